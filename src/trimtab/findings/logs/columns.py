"""Columns: which column of a log is which curve, by the names they have or by what the caller says.

Knows names; it knows no formats, and does not put rows together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from trimtab.errors import OptionError, did_you_mean
from trimtab.findings.logs.log import Log
from trimtab.recording.names import Named, Part, direction_of, named, words_of

# Columns of trimtab's own curves, which are what they are called.
_SIGNALS = ("gradient_norm", "update_ratio", "noise_scale", "dead_units", "saturated_units")
_OWN_METRICS: dict[str, Part] = {"train_metric": "train", "validation_metric": "validation"}
_MOST_LISTED = 30


@dataclass(frozen=True)
class Picks:
    """Columns that the caller points at; None where they are to be found by name."""

    train: str | None = None
    valid: str | None = None
    metric: str | None = None
    lr: str | None = None
    epoch: str | None = None
    greater_is_better: bool | None = None


_NO_PICKS = Picks()


@dataclass(frozen=True)
class Columns:
    """Which column is what, None where there is none.

    `metric_name` is what the metric is called without its part ("accuracy"); `greater_is_better` its direction. `names`
    are all columns of numbers; `unused` are curves that were left out; `unknown` those of which nobody knows whether
    greater is better. `notes` say what was assumed.
    """

    epoch: str | None = None
    step: str | None = None
    train_loss: str | None = None
    validation_loss: str | None = None
    train_metric: str | None = None
    validation_metric: str | None = None
    rate: str | None = None
    signals: Mapping[str, str] | None = None
    metric_name: str = ""
    greater_is_better: bool | None = None
    names: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def train(self) -> str | None:
        """The column that training rows are followed by: their loss, or the metric where no loss was written down."""
        return self.train_loss or self.train_metric

    @property
    def valid(self) -> str | None:
        return self.validation_loss or self.validation_metric

    @property
    def metric(self) -> str | None:
        return self.validation_metric or self.train_metric

    @property
    def curves(self) -> dict[str, str]:
        """The column of each curve that was found."""
        names = ("train_loss", "validation_loss", "train_metric", "validation_metric", "rate")
        found = {name: getattr(self, name) for name in names}
        return {name: column for name, column in found.items() if column is not None}


def columns_of(log: Log, picks: Picks = _NO_PICKS) -> Columns:
    """Which column of a log is what. Raises OptionError where a pick is no column."""
    names = log.frame.columns
    read = {name: _named(name, log) for name in names}
    notes: list[str] = []
    read = _with_first_set(_told_often(read, log), notes)
    picked = Picks(
        *(_picked(option, getattr(picks, option), names) for option in ("train", "valid")),
        lr=_picked("lr", picks.lr, names),
        epoch=_picked("epoch", picks.epoch, names),
    )
    train, valid = _losses(read, picked, notes)
    metric, train_metric, validation_metric = _metric(read, picks, (train, valid), notes)
    greater = picks.greater_is_better
    # What --train and --valid point at may be no loss: "val_acc".
    pointed = [name for name in (picked.valid, picked.train) if name is not None]
    if picks.metric is None and pointed and (greater or any(map(_is_greater, pointed))):
        train_metric, validation_metric, train, valid = train, valid, None, None
        metric = read[validation_metric or train_metric or ""].what
    if greater is None and metric:
        is_own = metric == log.known.get("metric")
        greater = log.known.get("greater_is_better") if is_own else direction_of(metric)
    if not metric:
        greater = None
    taken = {train, valid, train_metric, validation_metric}
    others = [name for name, one in read.items() if name not in taken and one.kind in ("loss", "metric")]
    unknown = [name for name, one in read.items() if name not in taken and _may_be_metric(one)]
    return Columns(
        picked.epoch or _plainest(read, "epoch"), _plainest(read, "step"),
        train, valid, train_metric, validation_metric,
        picked.lr or _plainest(read, "learning_rate"), _signals(read),
        metric, greater, tuple(names), tuple(others), tuple(unknown), tuple(notes),
    )  # fmt: skip


def _told_often(read: dict[str, Named], log: Log) -> dict[str, Named]:
    """A number that is told once, in the end, is no curve where others of its kind are told all along."""
    told = {name: log.frame.height - log.frame[name].null_count() for name in read}
    most: dict[str, int] = {}
    for name, one in read.items():
        most[one.kind] = max(most.get(one.kind, 0), told[name])
    return {
        name: replace(one, kind="other") if told[name] == 1 and most[one.kind] > 2 else one
        for name, one in read.items()
    }


def _with_first_set(read: dict[str, Named], notes: list[str]) -> dict[str, Named]:
    """XGBoost counts the sets that it is given: of validation_0 and validation_1 the first is the training rows."""
    first = [name for name in read if words_of(name)[:2] == ["validation", "0"]]
    second = any(words_of(name)[:2] == ["validation", "1"] for name in read)
    if not first or not second or any(one.part == "train" for one in read.values()):
        return read
    notes.append("validation_0 is taken for the training rows, the first set that XGBoost was given.")
    return {name: replace(one, part="train") if name in first else one for name, one in read.items()}


def _named(name: str, log: Log) -> Named:
    """What a column is by its name, and by what the format tells beside it."""
    if name in _OWN_METRICS and "metric" in log.known:
        return Named(_OWN_METRICS[name], log.known["metric"], "metric", 0)
    return named(name)


def _picked(option: str, name: str | None, names: Sequence[str]) -> str | None:
    """The column that the caller means: by its name, or by the only one that has it but for case and blanks."""
    if name is None or name in names:
        return name
    alike = [each for each in names if each.strip().casefold() == name.strip().casefold()]
    if len(alike) == 1:
        return alike[0]
    shown = ", ".join(names[:_MOST_LISTED]) + (", ..." if len(names) > _MOST_LISTED else "")
    raise OptionError(
        f'The log has no column "{name}" for --{option}.{did_you_mean(name, names)} Its columns are: {shown}.'
    )


def _losses(read: Mapping[str, Named], picked: Picks, notes: list[str]) -> tuple[str | None, str | None]:
    """The columns of the training and of the validation loss."""
    valid = picked.valid or _plainest(read, "loss", "validation")
    if valid is None:
        valid = _plainest(read, "loss", "test")
        if valid is not None:
            notes.append(f'"{valid}" is taken for the loss of the validation rows: there is no other.')
    what = read[valid].what if valid is not None else None
    train = picked.train or _plainest(read, "loss", "train", what) or _plainest(read, "loss", None, what)
    return (None, valid) if train == valid and picked.train is None else (train, valid)


def _metric(
    read: Mapping[str, Named], picks: Picks, losses: tuple[str | None, str | None], notes: list[str]
) -> tuple[str, str | None, str | None]:
    """What the metric is called, and its columns for training and for validation rows."""
    if picks.metric is not None:
        return _metric_called(read, picks)
    rated = {name: one for name, one in read.items() if one.kind == "metric"}
    has_validation = losses[1] is not None and read[losses[1]].part == "validation"
    for part in ("validation", "test", None, "train"):
        of_part = [one for one in rated.values() if one.part == part]
        if not of_part or (part == "test" and has_validation):
            continue
        what = min(of_part, key=lambda one: one.rank // 10).what
        train, valid = _columns_of_metric(rated, what)
        if part == "test" and valid is not None:
            notes.append(f'"{valid}" is taken for the {what} of the validation rows: there is no other.')
        if part is None and train is not None and _are_told_apart(read, losses):
            # fastai: "epoch,train_loss,valid_loss,accuracy".
            notes.append(f'"{train}" is taken for that of the validation rows: its name does not say.')
            train, valid = None, train
        return what, train, valid
    return "", None, None


def _metric_called(read: Mapping[str, Named], picks: Picks) -> tuple[str, str | None, str | None]:
    """The metric that the caller names by a column, or by what several columns have in common."""
    assert picks.metric is not None
    what, column = " ".join(words_of(picks.metric)), None
    if picks.metric in read or what not in {one.what for one in read.values()}:
        column = _picked("metric", picks.metric, list(read)) or ""
        what = read[column].what or what
    if direction_of(what) is None and picks.greater_is_better is None:
        raise OptionError(f'Is a greater "{picks.metric}" better? Say so with --greater-is-better true, or false.')
    train, valid = _columns_of_metric(read, what)
    if column is not None and (valid is None or read[column].part in ("validation", "test")):
        valid = column  # somebody points at it: that is how good the network is
    elif column is None and valid is None:
        train, valid = None, train
    return what, None if train == valid else train, valid


def _columns_of_metric(read: Mapping[str, Named], what: str) -> tuple[str | None, str | None]:
    same = {name: one for name, one in read.items() if one.what == what}
    valid = _first(same, "validation") or _first(same, "test")
    return _first(same, "train") or _first(same, None), valid


def _are_told_apart(read: Mapping[str, Named], losses: tuple[str | None, str | None]) -> bool:
    """Whether both losses say whose they are, so that a metric which does not is no training metric."""
    train, valid = losses
    return train is not None and valid is not None and read[train].part == "train"


def _plainest(read: Mapping[str, Named], kind: str, part: str | None = None, what: str | None = None) -> str | None:
    """The column of a kind whose name is plainest; of two the one that has the mean over an epoch, then the first.

    One that has the same `what` as another comes first: box_loss beside val_box_loss.
    """
    fitting = [name for name, one in read.items() if one.kind == kind and one.part == part]
    return min(
        fitting,
        key=lambda name: (what is not None and read[name].what != what, _rank(name, read[name])),
        default=None,
    )


def _first(read: Mapping[str, Named], part: str | None) -> str | None:
    fitting = [name for name, one in read.items() if one.part == part]
    return min(fitting, key=lambda name: _rank(name, read[name]), default=None)


def _rank(name: str, one: Named) -> float:
    """Lightning writes train_loss_step and train_loss_epoch."""
    return one.rank + (0.5 if words_of(name)[-1:] == ["step"] else -0.5 if words_of(name)[-1:] == ["epoch"] else 0)


def _signals(read: Mapping[str, Named]) -> dict[str, str]:
    found = {name: name for name in _SIGNALS if name in read}
    norm = _plainest(read, "gradient_norm") or _plainest(read, "gradient_norm", "train")
    return found | ({"gradient_norm": norm} if norm is not None and "gradient_norm" not in found else {})


def _is_greater(name: str) -> bool:
    return named(name).kind == "metric" and direction_of(name) is True


def _may_be_metric(one: Named) -> bool:
    """A curve of training or validation rows with a name that says no more: "val_custom"."""
    return one.kind == "other" and one.part is not None and bool(one.what) and one.rank < 10
