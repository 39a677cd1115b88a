"""The recorder as a callback of Lightning's Trainer (`lightning.pytorch`, or `pytorch_lightning`).

Knows in which order Lightning trains, validates and reduces what was logged.
"""

import sys
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import torch

from trimtab.packages import required
from trimtab.recording.loops.relay import EpochRecorder, EpochRelay


def callback(recorder: EpochRecorder, *, watch: bool) -> Any:
    """A callback of whichever of Lightning's two packages is in use; raises OptionError where there is neither."""
    names = [name for name in ("lightning.pytorch", "pytorch_lightning") if find_spec(name.partition(".")[0])]
    in_use = next((name for name in names if name in sys.modules), names[0] if names else "lightning.pytorch")
    package: Any = required(in_use, "recorder.lightning()", "lightning")
    return type("RecorderCallback", (_Events, package.Callback), {})(recorder, watch=watch)


class _Events:
    """One row per training epoch, told when the next one begins: only then has everybody logged what they log of it.

    Of several validations in one epoch the last counts; an epoch without one has no validation numbers. What is logged
    of single steps only is left out, but for the training loss, whose mean over the rows of the epoch is taken.
    """

    def __init__(self, recorder: EpochRecorder, *, watch: bool) -> None:
        self._relay, self._watch = EpochRelay(recorder), watch
        self._epoch: int | None = None
        self._rate: float | None = None
        self._loss: torch.Tensor | None = None
        self._rows = 0
        self._has_validated = False
        self._before: set[str] = set()
        self._of_validation: set[str] = set()
        self._of_steps: set[str] | None = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        if not trainer.is_global_zero:
            return
        self._relay.begin(trainer.current_epoch)
        if self._watch:
            scaler = getattr(trainer.precision_plugin, "scaler", None)
            self._relay.recorder.watch(pl_module, trainer.optimizers[0], scaler=scaler)

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self._tell(trainer)
        self._loss, self._rows, self._has_validated = None, 0, False

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        self._rate = float(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if isinstance(loss, torch.Tensor) and loss.numel() == 1:
            rows = _rows_of(batch) or 1
            # Lightning has divided it by the batches whose gradients it adds up.
            shared = trainer.accumulate_grad_batches if pl_module.automatic_optimization else 1
            loss = loss.detach() * (rows * shared)
            self._loss = loss if self._loss is None else self._loss + loss
            self._rows += rows
        if self._of_steps is None:
            # After one batch, there is only what was logged of it; what is reduced over the epoch too has a twin.
            names = set(trainer.callback_metrics) - self._of_validation
            self._of_steps = {name for name in names if f"{name}_step" not in names}

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        self._before = set(trainer.callback_metrics)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.sanity_checking:
            return
        self._has_validated = True
        self._of_validation |= set(trainer.callback_metrics) - self._before

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self._epoch = trainer.current_epoch + 1

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self._tell(trainer)
        is_complete = trainer.max_epochs not in (None, -1) and trainer.current_epoch >= trainer.max_epochs
        is_complete = is_complete or 0 < trainer.max_steps <= trainer.global_step
        self._end(trainer, "all epochs" if is_complete else "stopped early")

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        try:
            self._tell(trainer)
        finally:
            self._end(trainer, "stopped")

    def _end(self, trainer: Any, ended: str) -> None:
        if trainer.is_global_zero:
            self._relay.recorder.close(ended)

    def _tell(self, trainer: Any) -> None:
        """The row of the epoch that has ended, if it has not been told yet."""
        epoch, self._epoch = self._epoch, None
        if epoch is None or not trainer.is_global_zero:
            return
        hidden = (self._of_steps or set()) | (set() if self._has_validated else self._of_validation)
        logged = trainer.callback_metrics
        values = {
            name: value
            for name, value in logged.items()
            if name not in hidden and not any(name == f"{base}_{kind}" for base in logged for kind in ("step", "epoch"))
        }
        column_of = self._relay.recorder.recording.column_of
        if self._loss is not None and "train_loss" not in map(column_of, values):
            values["train_loss"] = self._loss / self._rows
        self._relay.tell(epoch, {"learning_rate": self._rate} | values)


def _rows_of(batch: Any) -> int | None:
    """How many rows a batch has: those of the first tensor in it, None where there is none."""
    if isinstance(batch, torch.Tensor):
        return len(batch) if batch.dim() else None
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, (list, tuple)) else ()
    return next((rows for rows in map(_rows_of, parts) if rows), None)
