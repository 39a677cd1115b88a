"""EpochRelay: tells a recorder of the epochs of a framework that counts, names and stops in its own way.

Where a plain loop's mistake is an error, what a framework hands over besides (texts, flags, lists) is passed over.
Knows no framework.
"""

import math
from collections.abc import Mapping
from typing import Any, Protocol

from trimtab.errors import DataError, OptionError
from trimtab.recording.recording import Recording, number_of


class EpochRecorder(Protocol):
    """What the callbacks ask of a `Recorder`."""

    recording: Recording

    @property
    def last_epoch(self) -> float: ...

    def epoch(self, epoch: float | None = None, **values: Any) -> None: ...

    def watch(self, module: Any, optimizer: Any, *, scaler: Any = None) -> Any: ...

    def note_watched(self) -> None: ...

    def rewind(self, epoch: float) -> None: ...

    def close(self, ended: str | None = None) -> None: ...


class EpochRelay:
    """Tells `recorder` what one training after the other yields."""

    def __init__(self, recorder: EpochRecorder) -> None:
        self.recorder = recorder
        self._offset = 0

    def begin(self, after: float) -> None:
        """A training begins that goes on after epoch `after`: at 0 a new one, whose epochs count on from the last.

        What was recorded beyond the checkpoint that a training goes on from is forgotten: it will come again.
        """
        if after == 0:
            self._offset = math.ceil(self.recorder.last_epoch)
        elif self.recorder.last_epoch > after + self._offset:
            self.recorder.rewind(after + self._offset)

    def tell(self, epoch: float, values: Mapping[str, Any]) -> None:
        """Record what is a number among `values`; of two names for one column, the column's own."""
        recording = self.recorder.recording
        told: dict[str, float | None] = {}
        for name in sorted(values, key=lambda name: recording.column_of(name) != name):
            column = recording.column_of(name)
            if name == "epoch" or column in told:
                continue
            try:
                recording.check(name, column)
                told[column] = number_of(name, values[name])
            except (DataError, OptionError):
                continue
        self.recorder.epoch(epoch + self._offset, **told)
