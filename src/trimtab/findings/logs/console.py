"""Console: what training loops print, in the shapes that are common: names beside numbers.

Keras' bars, PyTorch's examples, tqdm, XGBoost, LightGBM, CatBoost, dicts, logging with its prefixes. A line tells
the part of the data ("Test set: ..."), and the epoch, also for those after it that name none.
"""

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import chain
from typing import Any

import polars

from trimtab.findings.logs.content import Content
from trimtab.findings.logs.log import Log, column_of
from trimtab.recording.names import PARTS, Named, named, words_of

_NUMBER = r"(?>[-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|\.\d+(?:e[-+]?\d+)?|nan|inf(?:inity)?))(?!\w)"
_WORD = r"[A-Za-z_][\w@.^/-]*(?:\(\w{1,3}\))?(?:'s)?"
_PART = "|".join(PARTS)
# The same wherever it stands: what is between is the shape of a line.
_NUMBERS = re.compile(rf"(?<![\w.])({_NUMBER})", re.IGNORECASE)
# A name of up to four words and the number behind it, or a word for a part of the data.
_TOLD = re.compile(
    rf"""(?<![\w./-])(?:
        (?P<name>{_WORD}(?:[ ]{_WORD}){{0,3}})["']?
        (?P<between>\s*[:=]\s*\[?|\s*\[|[ \t]+)\s*(?:(?:tensor|np\.float\d+|array)\(\[?)?["']?
        (?P<value>{_NUMBER})(?:\s*/\s*(?P<of>\d+)(?!\w))?
        |(?P<part>{_PART})(?![\w./-])
    )""",
    re.IGNORECASE | re.VERBOSE,
)
# XGBoost and LightGBM: "[12]\ttrain-rmse:0.1"; CatBoost: "12:\tlearn: 0.1".
_ROUND = re.compile(r"\s*(?:\[(\d+)\]|(\d+):)\t")
_BAR = re.compile(r"\s*(\d+)/(\d+)[ \t]")
_EPOCH = re.compile(r"\bepoch\W{0,3}(\d+)", re.IGNORECASE)
_HEADING = re.compile(rf"\W*({_PART})\b", re.IGNORECASE)
_STOPPED_EARLY = re.compile(
    r"epoch (?P<epoch>\d+): early stopping|^early stopping[,.]|stopped by early stopping", re.IGNORECASE | re.MULTILINE
)
_KEPT = re.compile(r"(?:best epoch:? |best iteration is:?\s*\[|bestIteration = )(\d+)", re.IGNORECASE)
# LightGBM tells the best round once more, when all is over.
_AGAIN = re.compile(r"best iteration is:\s*$", re.IGNORECASE)
# Words of sentences: "val_loss improved from 0.5".
_SENTENCE = {"a", "after", "all", "and", "are", "at", "be", "by", "did", "for", "from", "has", "have", "in", "into",
    "is", "not", "of", "on", "or", "than", "the", "to", "was", "with"}  # fmt: skip
_LONGEST_LINE = 5000
_HEADING_WORDS = 6
_FEWEST, _CURVES = 2, ("loss", "metric", "epoch", "step")
_MOST_RECENT = 4  # shapes that take turns: a step, training, validation, a bar (a guess)
_MOST_SHAPES = 10_000  # those of a loop are a few; text between them may have any


def read(content: Content) -> list[Log] | None:
    """The log in printed lines; None where no line tells a loss or a metric."""
    text = content.text
    told = _Told()
    lines = text.replace("\r\n", "\n").split("\n")
    for line in chain.from_iterable(map(_last_updates, lines)) if "\r" in text else lines:
        told.line(line)
    frame, planned = told.frame(), told.planned()
    if frame is None:
        return None
    known = _end_of(text[-_LONGEST_LINE:]) | ({"planned": planned} if planned else {})
    return [Log("printed lines", frame, known=known)]


def _end_of(text: str) -> dict[str, Any]:
    """What the last lines say of how training ended, and of which epoch the weights are."""
    known: dict[str, Any] = {}
    stopped, kept = _STOPPED_EARLY.search(text), _KEPT.findall(text)
    if stopped:
        known["ended"] = "stopped early"
    if kept:
        known["kept"] = float(kept[-1])
    elif stopped and stopped["epoch"]:
        known["kept"] = float(stopped["epoch"])  # Keras would say that it restores the best
    return known


@dataclass(frozen=True)
class _Number:
    """A number of a line: the `place`-th there is in it, and what it is called; `of` is the one behind its slash."""

    place: int
    name: str
    what: Named
    of: int | None = None


@dataclass(frozen=True)
class _Plan:
    """What lines of one shape tell, in order: a part of the data, or a number.

    Lines that a loop prints differ in their numbers alone: each shape is understood once. `is_bar`: a bar of Keras;
    `continues`: it is of the part that the line before was of. `lines` are those of this shape, by the part of the data
    that they begin with: their rows, and their numbers as they stand there.
    """

    told: tuple[str | _Number, ...]
    epoch: _Number | None
    is_bar: bool = False
    continues: bool = False
    lines: dict[str, tuple[list[int], list[Sequence[str]]]] = field(default_factory=dict)

    def called(self, part: str) -> dict[str, _Number]:
        """The numbers by what they are called where a line begins with `part`."""
        found: dict[str, _Number] = {}
        for told in self.told:
            if isinstance(told, str):
                part = told
            elif told is not self.epoch:
                is_curve = told.what.kind in ("loss", "metric")
                has_part = is_curve and told.what.part is None and part
                found.setdefault(f"{part} {told.name}" if has_part else told.name, told)
        return found

    @cached_property
    def last_part(self) -> str | None:
        """The part of the data that its last numbers are of; None where it names none."""
        return next((told for told in reversed(self.told) if isinstance(told, str)), None)


class _Told:
    """What the lines so far have told: a row for each line with numbers."""

    def __init__(self) -> None:
        self._plans: dict[str, _Plan] = {}
        self._others: list[_Plan] = []  # of shapes beyond the most that are kept
        self._epochs: list[float | None] = []
        self._epoch: float | None = None
        self._part = self._latest = ""
        self._is_over = False
        self._recent: deque[tuple[re.Pattern[str], _Plan]] = deque(maxlen=_MOST_RECENT)

    def line(self, line: str) -> None:
        if self._is_over:
            return
        for pattern, plan in self._recent:
            if found := pattern.fullmatch(line):
                self._follow(plan, found.groups())
                return
        pieces = _NUMBERS.split(line[:_LONGEST_LINE])
        if len(pieces) == 1:
            self._heading(line)
            return
        shape = "0".join(pieces[::2])
        plan = self._plans.get(shape)
        if plan is None:
            plan = self._new_plan(shape, line)
        elif len(line) <= _LONGEST_LINE:  # it came before, and will again
            self._recent.append((_pattern_of(pieces[::2]), plan))
        self._follow(plan, pieces[1::2])

    def _new_plan(self, shape: str, line: str) -> _Plan:
        plan = _plan(line[:_LONGEST_LINE])
        if len(self._plans) < _MOST_SHAPES:
            self._plans[shape] = plan
        else:
            self._others.append(plan)
        return plan

    def _follow(self, plan: _Plan, numbers: Sequence[str]) -> None:
        if plan.is_bar and float(numbers[0]) < float(numbers[1]):
            return  # Keras shows the running mean: that of the full bar counts
        part = self._latest if plan.continues else self._part
        if plan.epoch is not None:
            epoch = float(numbers[plan.epoch.place])
            if epoch != self._epoch:  # a new one is of no part of the data
                self._epoch, self._part, part = epoch, "", ""
        self._latest = part if plan.last_part is None else plan.last_part
        if part not in plan.lines:
            plan.lines[part] = ([], [])
        rows, told = plan.lines[part]
        rows.append(len(self._epochs))
        told.append(numbers)
        self._epochs.append(self._epoch)

    def _heading(self, line: str) -> None:
        """ "Test Error:" says whose the numbers of the lines behind it are."""
        self._is_over = _AGAIN.search(line) is not None
        found = _HEADING.match(line)
        if found and len(line.split()) <= _HEADING_WORDS:
            self._part = PARTS[found[1].lower()]

    # -- in the end

    def frame(self) -> polars.DataFrame | None:
        """A column for each name, and one of epochs; None where no loss and no metric was told."""
        columns: dict[str, tuple[list[int], list[float]]] = {}
        for plan in (*self._plans.values(), *self._others):
            for part, (rows, told) in plan.lines.items():
                for name, number in plan.called(part).items():
                    places, values = columns.setdefault(name, ([], []))
                    places += rows
                    values += _values(number, told)
        kinds = {name: _named(name).kind for name in columns}
        if not {"loss", "metric"} & set(kinds.values()):
            return None
        places = [place for place, epoch in enumerate(self._epochs) if epoch is not None]
        if places:
            columns["epoch"] = places, [epoch for epoch in self._epochs if epoch is not None]
        kept = [name for name, told in columns.items() if len(told[0]) >= _FEWEST or kinds.get(name) in _CURVES]
        return polars.DataFrame([column_of(name, len(self._epochs), *columns[name]) for name in kept])

    def planned(self) -> int:
        """The most epochs that a line counted to: "Epoch 3/10"; 0 where none did."""
        counts = [
            int(numbers[plan.epoch.of])
            for plan in self._plans.values()
            if plan.epoch is not None and plan.epoch.of is not None
            for _, told in plan.lines.values()
            for numbers in told
            if numbers[plan.epoch.of].isdecimal()
        ]
        return max(counts, default=0)


def _pattern_of(pieces: Sequence[str]) -> re.Pattern[str]:
    """What matches the lines with these pieces around their numbers, and gives the numbers: twice as fast as to look
    for numbers at every place."""
    return re.compile(f"((?i:{_NUMBER}))".join(map(re.escape, pieces)))


def _values(number: _Number, told: list[Sequence[str]]) -> list[float]:
    values = [float(numbers[number.place]) for numbers in told]
    if number.what.kind != "metric" or number.of is None:
        return values
    # As in Accuracy: 9810/10000.
    of = [float(numbers[number.of]) for numbers in told]
    return [value / count if count else value for value, count in zip(values, of, strict=True)]


def _plan(line: str) -> _Plan:
    """What a line of this shape tells."""
    places = {found.start(): place for place, found in enumerate(_NUMBERS.finditer(line))}
    told: list[str | _Number] = []
    begun = _ROUND.match(line)
    if begun:
        told.append(_Number(0, "iteration", _named("iteration")))
    for found in _TOLD.finditer(line, begun.end() if begun else 0):
        if found["part"]:
            told.append(PARTS[found["part"].lower()])
        elif found.start("value") in places:
            of = places.get(found.start("of")) if found["of"] else None
            told += _named_number(found, places[found.start("value")], of)
    is_bar = _BAR.match(line) is not None and " - " in line and len(places) > 1
    epoch = next((each for each in told if isinstance(each, _Number) and each.what.kind == "epoch"), None)
    return _Plan(tuple(told), epoch, is_bar, continues=line.lstrip().startswith("* "))


def _named_number(found: re.Match[str], place: int, of: int | None) -> list[str | _Number]:
    """A number, and the part of the data that it and the numbers behind it are of, where its name says so."""
    name, between = _stripped(found["name"]), found["between"]
    if name is None:
        return []
    what, part = _named(name), _part_in(name)
    number = _Number(place, name, what, of)
    if what.kind == "epoch":
        return [number, part] if part else [number]
    if name.lower() in PARTS:
        is_loss = "[" not in between and (between.strip() or "." in found["value"])
        return [number] if is_loss else [part]  # "train: 0.5" beside "Test: [10/391]"
    if "[" in between and what.kind not in ("loss", "metric"):
        return []
    return [part, number] if part and " " in name else [number]


def _stripped(name: str) -> str | None:
    """A name without the words of a sentence around it: "the loss is" 0.5; None where they are all, or between others,
    as in "end of the best epoch"."""
    words = name.split(" ")
    while words and words[0].lower() in _SENTENCE:
        del words[0]
    while words and words[-1].lower() in _SENTENCE:
        del words[-1]
    return None if not words or any(word.lower() in _SENTENCE for word in words) else " ".join(words)


def _last_updates(line: str) -> Iterator[str]:
    """What a line shows in the end where a bar was drawn over and over: its last state, of each epoch."""
    if "\r" not in line:
        yield line
        return
    shown: dict[str, str] = {}
    for state in line.split("\r"):
        if state.strip():
            epoch = _EPOCH.search(state)
            shown[epoch[1] if epoch else ""] = state
    yield from shown.values()


@lru_cache(maxsize=4096)
def _named(name: str) -> Named:
    return named(name)


@lru_cache(maxsize=4096)
def _part_in(name: str) -> str:
    return next((PARTS[word] for word in words_of(name) if word in PARTS), "")
