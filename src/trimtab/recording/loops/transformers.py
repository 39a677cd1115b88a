"""The recorder as a callback of Hugging Face's Trainer.

Knows its logs: training and evaluation are told apart, epochs are fractions, and the last log sums up all of it.
"""

import math
from typing import Any

from trimtab.packages import required
from trimtab.recording.loops.relay import EpochRecorder, EpochRelay

transformers: Any = required("transformers", "recorder.transformers()", "transformers")

# What is logged of the machine, not of the training.
_BESIDE = ("runtime", "per_second", "num_input_tokens_seen", "preparation_time")


class RecorderCallback(transformers.TrainerCallback):
    """One row per evaluation, which may come at a fraction of an epoch; one per epoch where nothing is evaluated."""

    def __init__(self, recorder: EpochRecorder, *, watch: bool = False) -> None:
        self._relay, self._watch = EpochRelay(recorder), watch
        self._is_training = self._evaluates = False
        self._begun_at = 0
        self._start_row(0)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._is_training, self._evaluates = state.is_world_process_zero, args.eval_strategy != "no"
        self._begun_at = state.global_step
        self._start_row(state.global_step)
        if not self._is_training:
            return
        self._relay.begin(state.epoch or 0)
        if self._watch:
            optimizer = kwargs["optimizer"]
            inner = getattr(optimizer, "optimizer", optimizer)  # accelerate's wrapper has no hooks
            self._relay.recorder.watch(kwargs["model"], inner, scaler=getattr(optimizer, "scaler", None))

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        is_summary = bool(logs) and "train_loss" in logs
        if not self._is_training or not logs or is_summary or state.global_step <= self._begun_at:
            return
        if state.global_step > self._complete_at:
            self._tell()
        values = {name: value for name, value in logs.items() if not name.endswith(_BESIDE)}
        if any(name.startswith("eval_") for name in values):
            self._evaluated |= values
            self._mark_complete(state)
        else:
            self._logs.append((state.global_step - self._logged_at, values))
            self._logged_at = state.global_step

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # What is logged once per epoch comes after this.
        if self._is_training and not self._evaluates:
            self._tell()
            self._mark_complete(state)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not self._is_training:
            return
        if math.isinf(self._complete_at):
            self._mark_complete(state)
        self._tell()
        self._is_training = False
        self._relay.recorder.close("all epochs" if state.global_step >= state.max_steps else "stopped early")

    def _start_row(self, logged_at: int) -> None:
        self._logs: list[tuple[int, dict[str, Any]]] = []
        self._evaluated: dict[str, Any] = {}
        self._logged_at, self._complete_at, self._epoch = logged_at, math.inf, 0.0

    def _mark_complete(self, state: Any) -> None:
        # By the time the row is told, the next one has been trained for.
        self._relay.recorder.note_watched()
        self._complete_at, self._epoch = state.global_step, round(state.epoch or 0, 6)

    def _tell(self) -> None:
        """Tell the row if it is complete; one that nobody logged anything of goes on."""
        if math.isinf(self._complete_at) or not (self._logs or self._evaluated):
            return
        values = {name: value for _, logged in self._logs for name, value in logged.items()} | self._evaluated
        values |= self._means()
        self._relay.tell(self._epoch, values)
        self._start_row(self._logged_at)

    def _means(self) -> dict[str, float]:
        """A log's loss is the mean over the steps it stands for, its gradient norm that of the last of them."""
        losses = [(steps, float(logged["loss"])) for steps, logged in self._logs if "loss" in logged]
        norms = [float(logged["grad_norm"]) for _, logged in self._logs if "grad_norm" in logged]
        means = {}
        if sum(steps for steps, _ in losses):
            means["loss"] = math.fsum(n * loss for n, loss in losses) / sum(n for n, _ in losses)
        if norms:
            means["grad_norm"] = math.sqrt(math.fsum(norm**2 for norm in norms) / len(norms))
        return means
