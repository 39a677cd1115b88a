"""EventFiles: TensorBoard's `events.out.tfevents...`, as TensorFlow, Keras, PyTorch, Lightning and others write them.

A file is a row of records (length, checksum, message, checksum); a message is an `Event` of TensorFlow, of which the
scalars are read, in the old form (`simple_value`) and the new one (a tensor with one number).
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy
import polars

from trimtab.findings.logs.content import Content
from trimtab.findings.logs.log import STEP, Log, Series, counted, frame_of_series
from trimtab.findings.logs.protobuf import bytes_in, double_in, fields, text_in
from trimtab.recording.names import PARTS, words_of

FORM = "TensorBoard event files"
PATTERN = "*tfevents*"
_MARK = b"brain.Event:"
_OVERHEAD = 12 + 4  # bytes of a record beside its message
# Numbers of TensorFlow's types that a scalar may have.
_TYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 19: "<f2"}


@dataclass
class _Told:
    steps: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)


def read(content: Content) -> list[Log] | None:
    """The scalars of a file, and of those beside it, which belong to the same training; None where it is none."""
    if _MARK not in content.data[:80]:
        return None
    files = [content.data]
    if content.path is not None and content.path.match(PATTERN):
        files = [Content.at(file).data for file in sorted(content.path.parent.glob(PATTERN))]
    return [Log(FORM, _frame({"": files}))]


def read_folder(folder: Path) -> list[Log] | None:
    """One log per folder of event files; folders that are called after a part of the data ("train", "validation")
    belong to one training. None where there are no event files."""
    files: dict[Path, list[Path]] = {}
    for file in sorted(folder.rglob(PATTERN)):
        if file.is_file():
            files.setdefault(file.parent, []).append(file)
    trainings: dict[Path, dict[str, list[bytes]]] = {}
    for place, there in files.items():
        is_part = place != folder and bool(set(words_of(place.name)) & set(PARTS))
        training = place.parent if is_part else place
        data = [Content.at(file).data for file in there]
        trainings.setdefault(training, {})[f"{place.name}/" if is_part else ""] = data
    logs = []
    for training, parts in trainings.items():
        frame = _frame(parts)
        if frame.width > 1:
            name = "" if training == folder else training.relative_to(folder).as_posix()
            logs.append(Log(FORM, frame, run=name))
    return logs or None


def _frame(parts: Mapping[str, Sequence[bytes]]) -> polars.DataFrame:
    told: dict[str, _Told] = {}
    for above, files in parts.items():
        for data in files:
            for event in events(data):
                _note(event, above, told)
    return frame_of_series(_on_one_axis(told))


def _on_one_axis(told: Mapping[str, _Told]) -> list[Series]:
    """Where training is told at each step and validation at each epoch, both counted from 0, their numbers do not go
    together: the clock tells which step an epoch ended with."""
    all_series = {name: Series(name, counted(one.steps), numpy.array(one.values)) for name, one in told.items()}
    longest = max(told, key=lambda name: len(told[name].steps), default="")
    if not longest or len(told[longest].times) < 2:
        return list(all_series.values())
    times, steps = numpy.array(told[longest].times), all_series[longest].steps
    for name, one in told.items():
        # Five times as many numbers, whose steps go five times as far: these are other steps (guesses).
        few, far = len(steps) >= 5 * len(one.steps), steps.max() >= 5 * all_series[name].steps.max()
        if few and far and len(one.steps) > 1 and name != STEP:
            places = numpy.clip(numpy.searchsorted(times, one.times, side="right") - 1, 0, len(steps) - 1)
            if (numpy.diff(places) > 0).all():
                all_series[name] = Series(name, steps[places], numpy.array(one.values))
    return list(all_series.values())


def events(data: bytes) -> Iterator[bytes]:
    """The messages of a file, as far as it is whole: a file that grows ends in the middle of one."""
    place = 0
    while place + _OVERHEAD <= len(data):
        (length,) = struct.unpack_from("<Q", data, place)
        if place + _OVERHEAD + length > len(data):
            return
        yield data[place + 12 : place + 12 + length]
        place += _OVERHEAD + length


def _note(event: bytes, above: str, told: dict[str, _Told]) -> None:
    step, time, summaries = 0, 0.0, []
    for number, value in fields(event):
        if number == 1:
            time = double_in(value) or 0.0
        elif number == 2 and isinstance(value, int):
            step = value if value < 1 << 63 else value - (1 << 64)
        elif number == 5:
            summaries.append(bytes_in(value))
    for summary in summaries:
        for number, value in fields(summary):
            name, scalar = _scalar(bytes_in(value)) if number == 1 else ("", None)
            if scalar is not None:
                one = told.setdefault(above + name, _Told())
                one.steps.append(step)
                one.values.append(scalar)
                one.times.append(time)


def _scalar(value: bytes) -> tuple[str, float | None]:
    """Name and number of a summary's value; None of a picture, a histogram or a text."""
    name, scalar = "", None
    for number, told in fields(value):
        if number == 1:
            name = text_in(told)
        elif number == 2:
            scalar = double_in(told)
        elif number == 8:
            scalar = _number_of_tensor(bytes_in(told))
    return name, scalar


def _number_of_tensor(tensor: bytes) -> float | None:
    kind, found = 0, b""
    for number, value in fields(tensor):
        if number == 1 and isinstance(value, int):
            kind = value
        elif number in (4, 5, 6):  # the bytes of all numbers; a list of floats; one of doubles
            found = bytes_in(value)
        elif number in (7, 10) and isinstance(value, int):  # one of int32 or int64, not packed
            return float(value)
    dtype = numpy.dtype(_TYPES[kind]) if kind in _TYPES else None
    if dtype is None or len(found) != dtype.itemsize:
        return None
    return float(numpy.frombuffer(found, dtype)[0])
