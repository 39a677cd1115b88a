"""The recorder as a callback of skorch. Knows skorch's history: a row is complete when the next one begins."""

from typing import Any

import torch

from trimtab.errors import OptionError
from trimtab.packages import required
from trimtab.recording.loops.relay import EpochRecorder, EpochRelay

callbacks: Any = required("skorch.callbacks", "recorder.skorch()", "skorch")
# How long an epoch took and how many batches it had tell nothing of the training.
_BESIDE = ("dur", "train_batch_count", "valid_batch_count")


class RecorderCallback(callbacks.Callback):
    """One row per epoch of `fit` or `partial_fit`, wherever among the callbacks it stands."""

    def __init__(self, recorder: EpochRecorder, *, watch: bool = False) -> None:
        self.recorder, self.watch = recorder, watch

    def initialize(self) -> "RecorderCallback":
        self._relay = EpochRelay(self.recorder)
        self._has_ended, self._epochs = False, 0
        self._rate: float | None = None
        return self

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:  # noqa: N803
        self._relay.begin(len(net.history))
        self._has_ended, self._epochs = False, 0
        if self.watch:
            optimizer = _optimizer_of(net)
            if optimizer is None:
                raise OptionError(
                    "recorder.skorch(watch=True) finds no optimizer in the net: leave out watch, or keep one as "
                    "optimizer_."
                )
            self.recorder.watch(net.module_, optimizer)

    def on_grad_computed(self, net: Any, named_parameters: Any, **kwargs: Any) -> None:
        optimizer = _optimizer_of(net)
        self._rate = None if optimizer is None else float(optimizer.param_groups[0]["lr"])

    def on_epoch_begin(self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any) -> None:
        if self._has_ended:
            self._tell(net.history[-2])

    def on_epoch_end(self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any) -> None:
        self._has_ended = True
        self._epochs += 1

    def on_train_end(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:  # noqa: N803
        if self._has_ended:
            self._tell(net.history[-1])
        stops_early = any(isinstance(callback, callbacks.EarlyStopping) for _, callback in net.callbacks_)
        self.recorder.close(
            "all epochs" if self._epochs >= net.max_epochs else "stopped early" if stops_early else "stopped"
        )

    def _tell(self, row: Any) -> None:
        self._has_ended = False
        values = {name: value for name, value in row.items() if name not in _BESIDE}
        self._relay.tell(row["epoch"], {"learning_rate": self._rate} | values)


def _optimizer_of(net: Any) -> torch.optim.Optimizer | None:
    """The net's optimizer; the first of those that a net with several keeps under names of its own."""
    if isinstance(getattr(net, "optimizer_", None), torch.optim.Optimizer):
        return net.optimizer_
    return next((each for each in vars(net).values() if isinstance(each, torch.optim.Optimizer)), None)
