"""Epochs: the rows of a log become one entry per evaluation, and so a record of the training.

Losses that were written down at every step are averaged over the steps between two evaluations; of what was told twice
the later counts; where the count goes back, training was started again, and the later part counts from there. Knows
which column is what; it knows no formats.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import polars
from numpy.typing import NDArray

from trimtab.errors import OptionError
from trimtab.findings.logs.columns import Columns
from trimtab.findings.logs.log import Log
from trimtab.findings.training_record import TrainingRecord
from trimtab.recording.names import is_share
from trimtab.text.wording import counted

Numbers = NDArray[numpy.float64]
Flags = NDArray[numpy.bool_]

# A log that goes back more often than once in so many rows is in no order: its rows are sorted (a guess).
_ROWS_PER_RESTART = 20
# Without validation, steps are averaged into so many entries: more say nothing that a rule looks at (a guess).
_MOST_ENTRIES = 1000
# Fewer whole epochs than these are too few to judge by, and steps are taken (a guess).
_FEWEST_EPOCHS = 5


@dataclass(frozen=True)
class Rows:
    """The rows of one training: where each stands, in epochs or steps, and each curve with what was told of it."""

    at: Numbers
    values: Mapping[str, Numbers]
    is_told: Mapping[str, Flags]
    counts: str

    def taken(self, rows: Any) -> "Rows":
        return Rows(
            self.at[rows],
            {name: values[rows] for name, values in self.values.items()},
            {name: told[rows] for name, told in self.is_told.items()},
            self.counts,
        )


@dataclass(frozen=True)
class Trained:
    """The record of a training, and what should be said about its rows."""

    record: TrainingRecord
    notes: tuple[str, ...] = ()


def trained(log: Log, columns: Columns, run: str | None = None) -> Trained:
    """The training that a log holds; where it holds several one after another the last, or number `run` from 1 on.

    Raises OptionError where there is no such run.
    """
    notes: list[str] = []
    parts = _trainings(_rows(log, columns, notes), notes)
    which = len(parts) if run is None or log.run else _number(run, parts)  # a log with a name was found by it
    rows = parts[which - 1]
    if len(parts) > 1:
        notes.append(f"The log holds {len(parts)} trainings one after another: this is number {which} (--run NUMBER).")
    groups = _groups(rows, notes)
    return Trained(_record(log, columns, rows, groups, notes), tuple(notes))


def _number(run: str, parts: Sequence[Rows]) -> int:
    if run.isdecimal() and 1 <= int(run) <= len(parts):
        return int(run)
    there = f"{len(parts)} trainings, numbered from 1" if len(parts) > 1 else "one training: leave --run out"
    raise OptionError(f'The log has no run "{run}": it holds {there}.')


# -- rows


def _rows(log: Log, columns: Columns, notes: list[str]) -> Rows:
    values, is_told = {}, {}
    for curve, column in {**columns.curves, **(columns.signals or {})}.items():
        is_told[curve], values[curve] = _told_in(log.frame[column])
    told_at_all = numpy.zeros(log.frame.height, dtype=bool)
    for told in is_told.values():
        told_at_all |= told
    at, counts = _places(log, columns, is_told, notes)
    return Rows(at, values, is_told, counts).taken(told_at_all & numpy.isfinite(at))


def _told_in(column: polars.Series) -> tuple[Flags, Numbers]:
    """Which rows have a number, and the numbers.

    NaN is how many write that there is none: it is a loss that was lost only where no number follows any more.
    """
    values = column.fill_null(numpy.nan).to_numpy()
    finite = numpy.flatnonzero(numpy.isfinite(values))
    is_tail = numpy.arange(len(values)) > (finite[-1] if len(finite) else -1)
    return column.is_not_null().to_numpy() & (is_tail | ~numpy.isnan(values)), values


def _places(log: Log, columns: Columns, is_told: Mapping[str, Flags], notes: list[str]) -> tuple[Numbers, str]:
    """Where each row stands: its epoch, its step where epochs do not tell evaluations apart, else its number."""
    epochs, steps = _column(log, columns.epoch), _column(log, columns.step)
    if epochs is not None:
        epochs = _filled(epochs)
        if steps is None or not _is_too_coarse(epochs, _filled(steps), is_told):
            return epochs, "epoch"
    if steps is not None:
        if epochs is not None:
            notes.append("The network was evaluated more than once in an epoch: places are counted in steps.")
        steps = _filled(steps)
        # Rounds of boosting, or epochs that a logger calls steps: 1, 2, 3, ..., all of it told at each.
        return steps, "epoch" if epochs is None and _are_counted_one_by_one(steps, is_told) else "step"
    return _counted(is_told, log.frame.height), "epoch"


def _counted(is_told: Mapping[str, Flags], size: int) -> Numbers:
    """Where nothing counts, each evaluation does: what stands before one in rows of their own belongs to it."""
    evaluated = _told(is_told, "validation_loss", "validation_metric", size=size)
    trained = _told(is_told, "train_loss", "train_metric", size=size)
    if not evaluated.any() or (evaluated & trained).sum() > (trained & ~evaluated).sum():
        return numpy.arange(1.0, size + 1)
    return numpy.cumsum(evaluated) - evaluated + 1.0


def _column(log: Log, name: str | None) -> Numbers | None:
    if name is None:
        return None
    values = log.frame[name].fill_null(numpy.nan).to_numpy()
    return values if numpy.isfinite(values).any() else None


def _filled(at: Numbers) -> Numbers:
    """A row without a place stands where the next one with a place does; the last ones where the last did."""
    known = numpy.flatnonzero(numpy.isfinite(at))
    nearest = numpy.searchsorted(known, numpy.arange(len(at)))
    return at[known[numpy.minimum(nearest, len(known) - 1)]]


def _is_too_coarse(epochs: Numbers, steps: Numbers, is_told: Mapping[str, Flags]) -> bool:
    """Whether validation was told at several steps of most epochs, or all of it happened in one or two."""
    evaluated = _told(is_told, "validation_loss", "validation_metric", size=len(epochs))
    if not evaluated.any():
        return len(numpy.unique(epochs)) < min(_FEWEST_EPOCHS, len(numpy.unique(steps)))
    places = numpy.unique(numpy.stack([epochs[evaluated], steps[evaluated]]), axis=1)
    return places.shape[1] >= 1.5 * len(numpy.unique(places[0])) and (numpy.diff(steps) >= 0).mean() > 0.9


def _told(is_told: Mapping[str, Flags], *curves: str, size: int) -> Flags:
    told = numpy.zeros(size, dtype=bool)
    for curve in curves:
        told |= is_told.get(curve, False)
    return told


def _are_counted_one_by_one(steps: Numbers, is_told: Mapping[str, Flags]) -> bool:
    evaluated = _told(is_told, "validation_loss", "validation_metric", size=len(steps))
    there = numpy.unique(steps[evaluated])
    return len(there) > 1 and bool((numpy.diff(there) == 1).all()) and set(steps) == set(there)


# -- restarts


def _trainings(rows: Rows, notes: list[str]) -> list[Rows]:
    """The trainings of a log one after another, each without what was done again after a restart."""
    back = _goes_back(rows)
    if not len(back):
        return [rows]
    if len(back) * _ROWS_PER_RESTART > len(rows.at) and len(back) > 2:
        notes.append("The rows of the log stand in no order: they were sorted.")
        return [rows.taken(numpy.argsort(rows.at, kind="stable"))]
    parts, begin = [], 0
    stays = numpy.ones(len(rows.at), dtype=bool)
    for place in back:
        if rows.at[place] <= rows.at[begin:place].min():
            parts.append(slice(begin, place))
            begin = place
        else:
            again = numpy.flatnonzero(stays[begin:place] & (rows.at[begin:place] >= rows.at[place])) + begin
            if len(again):
                notes.append(
                    f"Training was started again at {rows.counts} {rows.at[place]:g}, after {rows.counts} "
                    f"{rows.at[again].max():g}: the later part counts from there."
                )
            stays[again] = False
    parts.append(slice(begin, len(rows.at)))
    return [rows.taken(numpy.flatnonzero(stays[part]) + part.start) for part in parts]


def _goes_back(rows: Rows) -> list[int]:
    """The rows at which a curve goes back behind a place that it has passed.

    Each curve by itself: validation may be written down after the first steps of the next epoch. One restart shows in
    all curves, one after another: the first counts.
    """
    found: set[tuple[int, int]] = set()
    for told in rows.is_told.values():
        places = numpy.flatnonzero(told)
        at = rows.at[places]
        back = numpy.flatnonzero(at[1:] < at[:-1]) + 1
        found.update(zip(places[back].tolist(), places[back - 1].tolist(), strict=True))
    restarts: list[int] = []
    for place, before in sorted(found):
        is_explained = restarts and before < restarts[-1] and rows.at[place] >= rows.at[restarts[-1]]
        if not is_explained:
            restarts.append(place)
    return restarts


# -- entries


def _groups(rows: Rows, notes: list[str]) -> NDArray[numpy.int64]:
    """The entry that each row belongs to, from 0 on, in rising order of places."""
    evaluated = _told(rows.is_told, "validation_loss", "validation_metric", size=len(rows.at))
    whole = bool((rows.at == numpy.rint(rows.at)).all())
    if rows.counts == "epoch" and whole:
        return numpy.unique(rows.at, return_inverse=True)[1]
    if evaluated.any():
        places = numpy.unique(rows.at[evaluated])
        return numpy.searchsorted(places, rows.at)
    if rows.counts == "epoch" and len(numpy.unique(numpy.ceil(rows.at))) >= _FEWEST_EPOCHS:
        return numpy.unique(numpy.ceil(rows.at), return_inverse=True)[1]
    group = numpy.unique(rows.at, return_inverse=True)[1]
    count = int(group.max(initial=-1)) + 1
    if count > _MOST_ENTRIES:
        size = -(-count // _MOST_ENTRIES)
        notes.append(f"Numbers of single steps were averaged, {counted(size, 'step')} at a time.")
        group //= size
    return group


def _record(log: Log, columns: Columns, rows: Rows, group: NDArray[numpy.int64], notes: list[str]) -> TrainingRecord:
    count = int(group.max(initial=-1)) + 1
    curves: dict[str, Numbers] = {}
    for curve, values in rows.values.items():
        how = _last if curve in ("validation_loss", "validation_metric", "rate") else _mean
        told = rows.is_told[curve]
        curves[curve] = how(values[told], group[told], count)
        if curve.startswith("validation"):
            more = int(told.sum() - len(numpy.unique(group[told])))
            note = f"Validation was told more than once for some of the {rows.counts}s: the last number counts."
            if more and note not in notes:
                notes.append(note)
    at = numpy.full(count, -numpy.inf)
    numpy.maximum.at(at, group, rows.at)
    losses = [curves[name] for name in ("train_loss", "validation_loss") if name in curves]
    is_lost = any(numpy.isinf(loss[numpy.isfinite(loss) | numpy.isinf(loss)][-1:]).any() for loss in losses)
    known = dict(log.known)
    if is_lost and not known.get("ended"):
        known["ended"] = "not finite"
    return _made(columns, at, curves, rows.counts, known, notes)


def _made(
    columns: Columns, at: Numbers, curves: dict[str, Numbers], counts: str, known: dict[str, Any], notes: list[str]
) -> TrainingRecord:
    metrics = {name: curves.get(name) for name in ("train_metric", "validation_metric")}
    greater, name = columns.greater_is_better, columns.metric_name
    if greater is None:
        metrics, name = dict.fromkeys(metrics), ""
    elif greater and is_share(name) and _are_per_cent(metrics):
        notes.append(f"The {name} is told in per cent: it is read as a share of 1.")
        metrics = {part: None if curve is None else curve / 100 for part, curve in metrics.items()}
    losses = {part: curves.get(part) for part in ("train_loss", "validation_loss")}
    if greater is False and all(loss is None for loss in losses.values()):
        # Of a boosted model an error is all that is told: it is what training makes smaller.
        losses = {"train_loss": metrics["train_metric"], "validation_loss": metrics["validation_metric"]}
    signals = {signal: curves[signal] for signal in columns.signals or {} if signal in curves}
    by_layer = {name: part for name, part in known.get("by_layer", {}).items() if len(part) == len(at)}
    fields = {"planned", "kept", "ended", "knobs", "facts", "task"}
    told: dict[str, Any] = {**losses, **metrics, **{field: known[field] for field in fields & known.keys()}}
    return TrainingRecord(
        at, **told, greater_is_better=greater, metric=name, rate=curves.get("rate"), signals=signals,
        by_layer=by_layer, counts="step" if counts == "step" else "epoch",
    )  # fmt: skip


def _are_per_cent(metrics: Mapping[str, Numbers | None]) -> bool:
    told = [curve[numpy.isfinite(curve)] for curve in metrics.values() if curve is not None]
    values = numpy.concatenate(told) if told else numpy.empty(0)
    return bool(len(values)) and 1.5 < values.max() <= 100 and values.min() >= 0


def _last(values: Numbers, group: NDArray[numpy.int64], count: int) -> Numbers:
    entries = numpy.full(count, numpy.nan)
    entries[group] = _lost(values)
    return entries


def _mean(values: Numbers, group: NDArray[numpy.int64], count: int) -> Numbers:
    """The mean of each entry; infinite where the last of its numbers was none: there training was lost."""
    finite = numpy.isfinite(values)
    told = numpy.bincount(group[finite], minlength=count)
    with numpy.errstate(invalid="ignore", divide="ignore"):
        entries = numpy.bincount(group[finite], weights=values[finite], minlength=count) / told
    last = numpy.full(count, 0.0)
    last[group] = _lost(values)
    return numpy.where(numpy.isinf(last), last, entries)


def _lost(values: Numbers) -> Numbers:
    """What was written down as no number is infinitely bad; only what was not written down is NaN."""
    return numpy.where(numpy.isnan(values), numpy.inf, values)
