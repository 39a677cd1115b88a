"""Recorder: curves from anyone's own training loop, kept as those of `trimtab.fit` are.

Knows when a row is complete and when the file is written. It trains nothing, and what other packages' loops look like
stands in `interop`.
"""

import copy
import math
import time
import warnings
import weakref
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import polars

from trimtab.errors import DataError, OptionError
from trimtab.findings.check import check
from trimtab.findings.finding import Findings
from trimtab.findings.logs.recordings import training_of
from trimtab.findings.training_record import TrainingRecord
from trimtab.recording.recording import UNKNOWN, Measure, Recording
from trimtab.text.wording import listed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from trimtab.recording.watcher import Watcher

SAVE_EVERY = 5.0  # seconds: what a killed loop loses at most, and a file of a few kilobytes each time (a guess)
_JUDGING = ("train_loss", "train_metric", "validation_loss", "validation_metric")


class Recorder:
    """Collects the curves of one training run, epoch by epoch.

        recorder = tt.Recorder()
        for epoch in range(epochs):
            ...
            recorder.epoch(train_loss=train_loss, validation_loss=validation_loss)
        run = recorder.run()

    `metric` names what `validation_metric` holds; by it the best epoch is chosen, and by the validation loss without it
    (`greater_is_better` has to be said of a metric that trimtab does not know). With `path` the recording is also a
    parquet file, written every few seconds while the loop runs and when it ends, so that a run that is killed leaves
    its curves. As a context manager it is closed at the end.
    """

    def __init__(
        self, path: str | Path | None = None, *, metric: str | None = None, greater_is_better: bool | None = None
    ) -> None:
        if path is not None and Path(path).exists():
            raise OptionError(
                f'{path} exists already: go on with it by tt.Recorder.load("{path}"), or choose another path.'
            )
        if metric is None and greater_is_better is not None:
            raise OptionError(
                "greater_is_better has no effect without a metric: name it, or leave greater_is_better out."
            )
        self._watcher: Watcher | None = None
        self._noted: tuple[dict[str, float], dict[str, list[float]]] = {}, {}
        self._keep(Recording(None if metric is None else Measure.of(metric, greater_is_better)), path)

    def _keep(self, recording: Recording, path: str | Path | None = None) -> None:
        self.recording = recording
        self._file = None if path is None else _File(recording, Path(path))
        if self._file is not None:
            # Also when the program ends without `close`. The file knows no recorder, which would live on through it.
            weakref.finalize(self, self._file.write)

    # -- telling

    def epoch(self, epoch: float | None = None, **values: Any) -> None:
        """Record one epoch: floats, or any framework's scalars, by name.

        `train_loss`, `train_metric`, `validation_loss`, `validation_metric`, `learning_rate`, `gradient_norm`,
        `update_ratio`, `noise_scale`, `dead_units` and `saturated_units` have columns of their own, under usual other
        names too (`loss`, `val_loss`, `valid/loss`, `lr`, `val_accuracy` where that is the metric). Others are kept as
        further columns. None is what is not known. Epochs are counted from 1, unless `epoch` says which one it is.

        Raises DataError where a value is not one number or epochs do not rise.
        """
        self.recording.add(epoch, values)
        if not any(self._noted):
            self.note_watched()
        self.recording.complete(*self._noted)
        self._noted = ({}, {})
        if self._file is not None:
            self._file.write_in_time()

    def watch(self, module: Any, optimizer: Any, *, scaler: Any = None) -> "Watcher":
        """Note a torch module's gradient norm, update ratio, learning rate and dead and saturated units from now on.

        Hooks see what happens and change nothing: training stays the same to the last bit. Units are judged on what
        passes through the module in evaluation mode or without gradients, so validate before you call `epoch`. `scaler`
        is the loop's `torch.amp.GradScaler`, if it has one. The hooks are taken off by `close`, by the `remove` of what
        is returned, and when something else is watched.
        """
        from trimtab.recording.watcher import Watcher

        watcher = Watcher(module, optimizer, scaler)
        if self._watcher is not None:
            self._watcher.remove()
        self._watcher = watcher
        return watcher

    def note_watched(self) -> None:
        """Let what was watched so far belong to the epoch that is told next, although more happens until then."""
        if self._watcher is not None:
            numbers, parts = self._watcher.noted()
            self._noted = self._noted[0] | numbers, self._noted[1] | parts

    def rewind(self, epoch: float) -> None:
        """Forget what was recorded after `epoch`, to go on from a checkpoint of that epoch."""
        self.recording.rewind(epoch)

    def close(self, ended: str | None = None) -> None:
        """Take the hooks off and write the file, if there is one.

        `ended` says why training ended: "all epochs", "stopped early", "not finite" or "stopped" (from outside).
        """
        if self._watcher is not None:
            self._watcher.remove()
            self._watcher = None
        try:
            if ended is not None:
                self.recording.end(ended)
        finally:
            if self._file is not None:
                self._file.write()

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close("stopped" if error is not None and self.recording.ended == UNKNOWN else None)

    # -- what was told

    @property
    def last_epoch(self) -> float:
        """The number of the last recorded epoch, 0 before the first."""
        return self.recording.last_epoch

    @property
    def curves(self) -> polars.DataFrame:
        """What was recorded: the columns of `run.curves`, then those beyond them; null where nothing was told."""
        return self.recording.frame()

    @property
    def findings(self) -> Findings:
        """What is wrong with the training so far and what to change, gravest first; or why it is healthy.

        It may be asked for while the loop runs: what takes more epochs to be told is in `not_checked`.
        """
        return check(training_of(self.recording))

    def run(self) -> "RecordedRun":
        """The run so far; raises DataError where no epoch was recorded, or neither a loss nor a metric."""
        recording = self.recording
        if not recording.epochs:
            raise DataError(
                "No epoch was recorded: call recorder.epoch(train_loss=..., validation_loss=...) in the loop."
            )
        told = [name for name, numbers in recording.columns.items() if any(number is not None for number in numbers)]
        if not set(_JUDGING) & set(told):
            raise DataError(
                f"Neither a loss nor a metric was recorded, only {listed(told) or 'epochs'}: call them "
                f"{listed(_JUDGING, 'or')}."
            )
        return RecordedRun.of(recording, "recording" if self._file is None else self._file.path.stem)

    # -- files

    def save(self, path: str | Path) -> None:
        """Write the recording to a parquet file, by atomic rename; raises DataError where that cannot be."""
        try:
            self.recording.save(Path(path))
        except OSError as error:
            raise DataError(f"{path} cannot be written: {error.strerror or error}.") from None

    @classmethod
    def load(cls, path: str | Path) -> "Recorder":
        """The recording in a file; epochs that follow are written there too. Raises DataError where there is none."""
        return cls._of(Recording.load(Path(path)), path)

    @classmethod
    def _of(cls, recording: Recording, path: str | Path | None = None) -> "Recorder":
        recorder = cls()
        recorder._keep(recording, path)
        return recorder

    def __reduce__(self) -> tuple:
        # A copy, as scikit-learn makes of a net and its callbacks, starts with what was told and writes no file.
        return Recorder._of, (copy.deepcopy(self.recording),)

    # -- other packages' loops

    def lightning(self, *, watch: bool = False) -> Any:
        """A callback for Lightning's `Trainer`; with `watch` it watches the module and its first optimizer."""
        from trimtab.recording.loops.lightning import callback

        return callback(self, watch=watch)

    def keras(self) -> Any:
        """A callback for the `fit` of a Keras 3 model, whatever the backend."""
        from trimtab.recording.loops.keras import RecorderCallback

        return RecorderCallback(self)

    def skorch(self, *, watch: bool = False) -> Any:
        """A callback for a skorch net; with `watch` it watches the net's module."""
        from trimtab.recording.loops.skorch import RecorderCallback

        return RecorderCallback(self, watch=watch)

    def transformers(self, *, watch: bool = False) -> Any:
        """A callback for the `Trainer` of Hugging Face's transformers; with `watch` it watches the model."""
        from trimtab.recording.loops.transformers import RecorderCallback

        return RecorderCallback(self, watch=watch)

    def __repr__(self) -> str:
        return f"Recorder({len(self.recording.epochs)} epochs)"


@dataclass(frozen=True, repr=False)
class RecordedRun:
    """A recorded training, as far as it got: what of `trimtab.Run` can be known of a loop that was only listened to.

    `curves` are those of a `Run`, then what was recorded beyond them, NaN where nothing was told; where no `metric` was
    named the validation loss stands in its place. `score` is the metric at the best epoch; `best_epoch` is 0 where no
    epoch has a finite score. `ended` is "unknown" where nobody said why training ended. `record` is the run as the
    rules read it.
    """

    name: str
    curves: polars.DataFrame
    metric: str | None
    score: float
    best_epoch: float
    epochs: float
    ended: str
    record: TrainingRecord = field(repr=False)

    @classmethod
    def of(cls, recording: Recording, name: str) -> "RecordedRun":
        curves = recording.frame()
        if recording.measure is None:
            curves = curves.with_columns(validation_metric="validation_loss")
        best_epoch, score = recording.best()
        return cls(
            name=name,
            curves=curves.with_columns(polars.col(polars.Float64).fill_null(math.nan)),
            metric=None if recording.measure is None else recording.measure.name,
            score=score,
            best_epoch=_whole(best_epoch),
            epochs=_whole(recording.last_epoch),
            ended=recording.why_ended(),
            record=training_of(recording),
        )

    @cached_property
    def findings(self) -> Findings:
        """What is wrong with the training and what to change, gravest first; or why it is healthy."""
        return check(self.record)

    def plot(self) -> "Figure":
        """The score on training and validation rows by epoch, the best epoch marked: a matplotlib figure."""
        from trimtab.report.figures import curves_figure

        return curves_figure(self.curves, metric=self.metric, best_epoch=self.best_epoch, title=self.name)

    def __repr__(self) -> str:
        score = f"{self.metric or 'validation loss'} {self.score:.4g}"
        return f"RecordedRun({self.name}: {score} at epoch {self.best_epoch:g} of {self.epochs:g}, {self.ended})"


def _whole(epoch: float) -> float:
    return int(epoch) if float(epoch).is_integer() else epoch


class _File:
    """Where a recording is kept while it grows. What cannot be written is said once and ends no training."""

    def __init__(self, recording: Recording, path: Path) -> None:
        self._recording, self.path = recording, path
        self._written, self._written_at, self._has_failed = recording.changes, -SAVE_EVERY, False

    def write_in_time(self) -> None:
        if time.monotonic() - self._written_at >= SAVE_EVERY:
            self.write()

    def write(self) -> None:
        """Write what is new, if anything is."""
        if self._recording.changes == self._written:
            return
        self._written_at = time.monotonic()
        try:
            self._recording.save(self.path)
            self._written = self._recording.changes
        except OSError as error:
            if not self._has_failed:
                warnings.warn(
                    f"{self.path} cannot be written: {error.strerror or error}. Training goes on.", stacklevel=2
                )
            self._has_failed = True
