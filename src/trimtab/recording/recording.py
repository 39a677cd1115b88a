"""Recording: the curves of one training run, epoch by epoch as somebody's loop tells them, and the file they go to.

Knows names and numbers. It knows no networks, no hooks and no training frameworks, and loads no torch.
"""

import difflib
import io
import json
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars

from trimtab.errors import DataError, OptionError, unknown_choice
from trimtab.recording.names import OTHER_NAMES, SHORT, direction_of, plain
from trimtab.recording.names import PARTS as WHOSE
from trimtab.whole_file import replacing

# Those of `training.run`, which would bring torch along; a test holds them equal.
COLUMNS = (
    "epoch", "train_loss", "train_metric", "validation_loss", "validation_metric", "learning_rate", "gradient_norm",
    "update_ratio", "noise_scale", "dead_units", "saturated_units",
)  # fmt: skip
PARTS = ("gradient_norms", "dead_by_layer", "saturated_by_layer")
ENDINGS = ("all epochs", "stopped early", "not finite", "stopped")
UNKNOWN = "unknown"
FORMAT = 1
_MARK = "trimtab recording"

_NEAR = 0.9  # of difflib: a letter or two in a name are a slip, more are another word (a guess)


@dataclass(frozen=True)
class Measure:
    """The metric that `train_metric` and `validation_metric` hold."""

    name: str
    greater_is_better: bool

    @classmethod
    def of(cls, name: str, greater_is_better: bool | None) -> "Measure":
        """Raises OptionError where nobody says whether greater is better."""
        known = next((full for full, others in OTHER_NAMES.items() if name in others), name)
        if greater_is_better is None:
            greater_is_better = direction_of(known)
        if greater_is_better is None:
            raise OptionError(f'Is a greater "{name}" better? Say so with greater_is_better=True or False.')
        return cls(known, greater_is_better)

    @property
    def names(self) -> tuple[str, ...]:
        """What a loop may call it."""
        return (plain(self.name), *OTHER_NAMES.get(self.name, ()))


@dataclass
class Recording:
    """What was told so far: `columns` hold one number for each of `epochs`, None where nobody told one; `parts` a list
    of numbers, one per parameter tensor or activation layer.

    `measure` is the metric by which the run is judged (None: the validation loss); `ended` says why it ended, as far as
    anyone said. `changes` counts what was told.
    """

    measure: Measure | None = None
    epochs: list[float] = field(default_factory=list)
    columns: dict[str, list[float | None]] = field(default_factory=lambda: {name: [] for name in COLUMNS[1:]})
    parts: dict[str, list[list[float]]] = field(default_factory=lambda: {name: [] for name in PARTS})
    ended: str = UNKNOWN
    changes: int = 0

    @property
    def last_epoch(self) -> float:
        """The number of the last epoch, 0 before the first."""
        return self.epochs[-1] if self.epochs else 0

    def add(self, epoch: float | None, values: Mapping[str, Any]) -> None:
        """One epoch's numbers, the next epoch where it has no number of its own.

        Raises DataError or OptionError, and is then as it was.
        """
        number = self._checked(epoch)
        given: dict[str, str] = {}
        row: dict[str, float | None] = {}
        for name, value in values.items():
            column = self.column_of(name)
            if column in given:
                raise OptionError(f'"{given[column]}" and "{name}" both mean {column}: give one of them.')
            self.check(name, column)
            given[column], row[column] = name, number_of(name, value)
        for column in row.keys() - self.columns.keys():
            _warn_if_near(column)
            self.columns[column] = [None] * len(self.epochs)
        self.epochs.append(number)
        for column, numbers in self.columns.items():
            numbers.append(row.get(column))
        for lists in self.parts.values():
            lists.append([])
        self.ended = UNKNOWN
        self.changes += 1

    def complete(self, numbers: Mapping[str, float], parts: Mapping[str, list[float]]) -> None:
        """Put numbers, by their columns, into the last row where it has none, and lists of numbers."""
        for column, number in numbers.items():
            if self.columns[column][-1] is None:
                self.columns[column][-1] = number
        for column, several in parts.items():
            self.parts[column][-1] = several

    def column_of(self, name: str) -> str:
        """The column for what is called `name`: a known one (`val/loss` is validation_loss), or one of that name."""
        short = plain(name)
        if short in COLUMNS[1:] or short in SHORT:
            return SHORT.get(short, short)
        metrics = self.measure.names if self.measure else ()
        first, _, behind = short.partition("_")
        before, _, last = short.rpartition("_")
        for part, what in ((first, behind), (last, before)):
            if WHOSE.get(part, "test") != "test" and what in ("loss", "metric", *metrics):
                return f"{WHOSE[part]}_{'loss' if what == 'loss' else 'metric'}"
        return "train_metric" if short in metrics else name

    def rewind(self, epoch: float) -> None:
        """Forget what came after `epoch`."""
        kept = sum(number <= epoch for number in self.epochs)
        del self.epochs[kept:]
        for column in (*self.columns.values(), *self.parts.values()):
            del column[kept:]
        self.ended = UNKNOWN
        self.changes += 1

    def frame(self) -> polars.DataFrame:
        """The columns of `run.curves`, then those beyond them; null where nobody told a number."""
        whole = all(float(number).is_integer() for number in self.epochs)
        epochs = polars.Series("epoch", self.epochs, dtype=polars.Float64)
        series = {name: polars.Series(name, told, dtype=polars.Float64) for name, told in self.columns.items()}
        lists = [polars.Series(name, told, dtype=polars.List(polars.Float64)) for name, told in self.parts.items()]
        known = [series.pop(name) for name in COLUMNS[1:]]
        return polars.DataFrame([epochs.cast(polars.Int64) if whole else epochs, *known, *lists, *series.values()])

    @property
    def judged_by(self) -> str:
        """The column that tells which epoch was best."""
        return "validation_loss" if self.measure is None else "validation_metric"

    def best(self) -> tuple[float, float]:
        """The best epoch, the first of equals, and its score; (0, NaN) where none has a finite one."""
        sign = -1 if self.measure is not None and self.measure.greater_is_better else 1
        scores = self.columns[self.judged_by]
        told = [(e, s) for e, s in zip(self.epochs, scores, strict=True) if s is not None and math.isfinite(s)]
        return min(told, key=lambda pair: sign * pair[1], default=(0, math.nan))

    def why_ended(self) -> str:
        """What was said; "not finite" where the last losses are not."""
        last = [self.columns[name][-1] for name in ("train_loss", "validation_loss") if self.epochs]
        return "not finite" if any(value is not None and not math.isfinite(value) for value in last) else self.ended

    def end(self, ended: str) -> None:
        """Note why training ended; raises OptionError for a reason that is none of `ENDINGS`."""
        if ended not in ENDINGS:
            raise unknown_choice("ending", ended, ENDINGS)
        self.ended = ended
        self.changes += 1

    def save(self, path: Path) -> None:
        """Write the parquet file beside its place and rename it into it; raises OSError."""
        about = {
            "kind": _MARK,
            "format": FORMAT,
            "metric": self.measure and self.measure.name,
            "greater_is_better": self.measure and self.measure.greater_is_better,
            "ended": self.ended,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        # By way of memory: what polars raises of a full disk is no OSError.
        content = io.BytesIO()
        self.frame().write_parquet(content, metadata={"trimtab": json.dumps(about)})
        with replacing(path) as part:
            part.write_bytes(content.getvalue())

    @classmethod
    def load(cls, path: Path) -> "Recording":
        """What `save` wrote; raises DataError where there is no such file or it is something else."""
        if not path.is_file():
            raise DataError(f"There is no recording {path}.")
        try:
            about = json.loads(polars.read_parquet_metadata(path).get("trimtab", "{}"))
            frame = polars.read_parquet(path)
        except (OSError, ValueError, polars.exceptions.PolarsError) as error:
            raise DataError(f"{path} cannot be read as a parquet file: {error}.") from None
        if about.get("kind") != _MARK:
            raise DataError(f"{path} is not a recording: it was not written by tt.Recorder.")
        if about["format"] > FORMAT:
            raise DataError(f"{path} was written by a newer trimtab: update trimtab to open it.")
        measure = None if about["metric"] is None else Measure(about["metric"], about["greater_is_better"])
        columns = frame.to_dict(as_series=False)
        epochs, parts = columns.pop("epoch"), {name: columns.pop(name) for name in PARTS}
        return cls(measure, epochs, columns, parts, about["ended"])

    def check(self, name: str, column: str) -> None:
        if column in PARTS:
            raise OptionError(f"{name} has a number for each part of a network: only recorder.watch notes it.")
        if column.endswith("_metric") and column in COLUMNS and self.measure is None:
            raise OptionError(f'Which metric is {name}? Say so when you make the recorder: tt.Recorder(metric="rmse").')

    def _checked(self, epoch: float | None) -> float:
        if epoch is None:
            return math.floor(self.last_epoch) + 1
        number = number_of("epoch", epoch)
        if number is None or not math.isfinite(number) or number <= 0:
            raise DataError(f"epoch is {epoch!r}: epochs count from 1. Give epoch + 1, or leave it out.")
        if self.epochs and number <= self.last_epoch:
            raise DataError(
                f"Epoch {number:g} was told after epoch {self.last_epoch:g}: each is recorded once, in rising order. "
                f"To go on from an earlier one, forget what followed it: recorder.rewind({number - 1:g})."
            )
        return number


def number_of(name: str, value: Any) -> float | None:
    """A float of any framework's scalar, None of None; raises DataError for what is not one number."""
    if value is None:
        return None
    count = value.numel() if callable(getattr(value, "numel", None)) else getattr(value, "size", 1)
    if isinstance(count, int) and count != 1:
        raise DataError(f"{name} holds {count} values, and an epoch has one: give their mean, for example.")
    plain = value.item() if callable(getattr(value, "item", None)) else value
    try:
        if isinstance(plain, bool | str | bytes):
            raise TypeError
        return float(plain)
    except (TypeError, ValueError):
        raise DataError(f"{name} is {value!r}: it must be a number.") from None


def _warn_if_near(name: str) -> None:
    for near in difflib.get_close_matches(name, COLUMNS[1:], n=1, cutoff=_NEAR):
        warnings.warn(f'"{name}" is kept as a column of its own. Did you mean "{near}"?', stacklevel=4)
