"""Console: what training loops print, in the shapes that are common: names beside numbers.

Keras' bars, PyTorch's examples, tqdm, XGBoost, LightGBM, CatBoost, dicts, logging with its prefixes. A line tells
the part of the data ("Test set: ..."), and the epoch, also for those after it that name none.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain

import polars

from trimtab.findings.logs.content import Content
from trimtab.findings.logs.log import Log, column_of
from trimtab.recording.names import PARTS, Named, named, words_of

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\x08")
_NUMBER = r"(?>[-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|\.\d+(?:e[-+]?\d+)?|nan|inf(?:inity)?))(?!\w)"
_WORD = r"[A-Za-z_][\w@.^/-]*(?:\(\w{1,3}\))?(?:'s)?"
_PART = "|".join(PARTS)
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
    r"epoch \d+: early stopping|^early stopping[,.]|stopped by early stopping", re.IGNORECASE | re.MULTILINE
)
_KEPT = re.compile(r"(?:best epoch:? |best iteration is:?\s*\[|bestIteration = )(\d+)", re.IGNORECASE)
# LightGBM tells the best round once more, when all is over.
_AGAIN = re.compile(r"best iteration is:\s*$", re.IGNORECASE)
# Words of sentences: "val_loss improved from 0.5".
_SENTENCE = {"a", "after", "all", "and", "are", "at", "be", "by", "did", "for", "from", "has", "have", "in", "into",
    "is", "not", "of", "on", "or", "than", "the", "to", "was", "with"}  # fmt: skip
_LONGEST_LINE = 5000
_HEADING_WORDS = 6
_FEWEST = 2


def read(content: Content) -> list[Log] | None:
    """The log in printed lines; None where no line tells a loss or a metric."""
    text = _ESCAPES.sub("", content.text)
    told = _Told()
    for line in chain.from_iterable(map(_last_updates, text.split("\n"))):
        told.line(line)
    if not told.has_curves:
        return None
    known = {"planned": told.planned} if told.planned else {}
    kept = _KEPT.findall(text[-_LONGEST_LINE:])
    if kept:
        known["kept"] = float(kept[-1])
    if _STOPPED_EARLY.search(text[-_LONGEST_LINE:]):
        known["ended"] = "stopped early"
    return [Log("printed lines", told.frame(), known=known)]


class _Told:
    """What the lines so far have told: a row for each line with numbers."""

    def __init__(self) -> None:
        self.columns: dict[str, tuple[list[int], list[float]]] = {}
        self.rows = 0
        self.planned = 0
        self.has_curves = False
        self._epoch: float | None = None
        self._part = ""
        self._is_over = False

    def frame(self) -> polars.DataFrame:
        kept = {
            name: told
            for name, told in self.columns.items()
            if len(told[0]) >= _FEWEST or _named(name).kind not in ("other", "learning_rate")
        }
        return polars.DataFrame([column_of(name, self.rows, *told) for name, told in kept.items()])

    def line(self, line: str) -> None:
        line = line[:_LONGEST_LINE]
        if self._is_over:
            return
        self._is_over = _AGAIN.search(line) is not None
        if not any(map(line.__contains__, "0123456789")) and "nan" not in line.lower():
            self._heading(line)
            return
        bar = _BAR.match(line)
        if bar and int(bar[1]) < int(bar[2]) and " - " in line:
            return  # Keras shows the running mean: that of the full bar counts
        row: dict[str, float] = {}
        part = self._part
        begun = _ROUND.match(line)
        if begun:
            row["iteration"] = float(begun[1] or begun[2])
        for told in _TOLD.finditer(line, begun.end() if begun else 0):
            if told["part"]:
                part = PARTS[told["part"].lower()]
            else:
                part = self._take(told, part, row)
        if row.keys() - {"epoch"}:
            if self._epoch is not None:
                row.setdefault("epoch", self._epoch)
            self._add(row)

    def _take(self, told: re.Match[str], part: str, row: dict[str, float]) -> str:
        """Put a number into the row; gives the part that the numbers behind it belong to."""
        name, value = told["name"], float(told["value"])
        what = _named(name)
        if what.kind == "epoch":
            if value != self._epoch:
                self._part = part = ""
            self._epoch = row["epoch"] = value
            self.planned = max(self.planned, int(told["of"] or 0))
            return _part_in(name) or part
        is_bare = what.what == "loss" and name.lower() in PARTS
        if "[" in told["between"] or (is_bare and not told["between"].strip()) or _is_sentence(name):
            return part
        if what.kind == "metric" and told["of"] and float(told["of"]):
            value /= float(told["of"])  # "Accuracy: 9810/10000"
        if what.kind in ("loss", "metric"):
            self.has_curves = True
            if what.part is None and part:
                name = f"{part} {name}"
        row.setdefault(name, value)
        return what.part if what.part is not None and " " in name and not is_bare else part

    def _add(self, row: dict[str, float]) -> None:
        for name, value in row.items():
            places, values = self.columns.setdefault(name, ([], []))
            places.append(self.rows)
            values.append(value)
        self.rows += 1

    def _heading(self, line: str) -> None:
        """ "Test Error:" says whose the numbers of the lines behind it are."""
        found = _HEADING.match(line)
        if found and len(line.split()) <= _HEADING_WORDS:
            self._part = PARTS[found[1].lower()]


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


@lru_cache(maxsize=4096)
def _is_sentence(name: str) -> bool:
    return not _SENTENCE.isdisjoint(name.lower().split())
