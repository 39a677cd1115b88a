"""Flight: the trials of a study that are not in its store yet, as a document that is right at every moment.

One that training leaves is still here until it is stored, and so is one that was cut short and runs again when the
study goes on, with what it had come to. Knows values and records; it trains nothing.
"""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from trimtab.knobs.domains import Value
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.store import document_of, record_of
from trimtab.tuning.trial import TrialRecord

FILE = "inflight.json"
# Of so many in flight each that is stored is worth writing all others anew; of more, each second, third, ... (a guess).
FEW = 16


@dataclass(frozen=True)
class Flying:
    """A trial that is not finished: its number (None in a folder of an older trimtab) and, if it was cut short, what it
    had come to."""

    number: int | None
    values: Mapping[str, Value]
    so_far: TrialRecord | None = None


class Flight:
    """The trials of `folder` in flight, `earlier` ones first; those who train and those who store both change it."""

    def __init__(self, folder: StudyFolder, earlier: Iterable[Flying] = ()) -> None:
        self.folder = folder
        self._flying = {flying.number: flying for flying in earlier if flying.number is not None}
        self._changing = threading.Lock()
        self._unwritten = 0

    def __contains__(self, number: int) -> bool:
        return number in self._flying

    def add(self, number: int, values: Mapping[str, Value]) -> None:
        """Trial `number` begins; what it had come to before remains until it is through."""
        self.add_all([(number, values)])

    def add_all(self, trials: Iterable[tuple[int, Mapping[str, Value]]]) -> None:
        """Several begin, by their numbers."""
        with self._changing:
            for number, values in trials:
                before = self._flying.get(number)
                self._flying[number] = Flying(number, values, before.so_far if before is not None else None)
            self._write()

    def cut(self, record: TrialRecord) -> None:
        """A trial was cut short."""
        with self._changing:
            self._flying[record.number] = Flying(record.number, record.values, record)
            self._write()

    def stored(self, number: int) -> None:
        """Trial `number` is finished and on disk, so that nobody takes it for one in flight, whatever stands here."""
        with self._changing:
            self._flying.pop(number, None)
            self._unwritten += 1
            if FEW * self._unwritten >= len(self._flying):
                self._write()

    def close(self) -> None:
        """Write what was not worth it before."""
        with self._changing:
            if self._unwritten:
                self._write()

    def _write(self) -> None:
        self._unwritten = 0
        self.folder.write(FILE, [_document(flying) for flying in self._flying.values()])


def in_flight(folder: StudyFolder, stored: Iterable[TrialRecord]) -> list[Flying]:
    """What was in flight when the study was last left, but for what is `stored`; in the order of their numbers."""
    if not (folder.path / FILE).exists():
        return []
    known = {record.number for record in stored}
    flying = [
        Flying(entry.get("number"), entry["values"], record_of(entry["so_far"]) if entry.get("so_far") else None)
        for entry in folder.read(FILE)
    ]
    return sorted(
        (each for each in flying if each.number not in known),
        key=lambda each: float("inf") if each.number is None else each.number,
    )


def _document(flying: Flying) -> dict:
    so_far = {} if flying.so_far is None else {"so_far": document_of(flying.so_far)}
    return {"number": flying.number, "values": dict(flying.values), **so_far}
