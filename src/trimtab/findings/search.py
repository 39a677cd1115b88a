"""The rules on a search: search_edge, worse_than_baseline and gain_within_noise.

Knows what a search came to, by figures and intervals; it knows no trials, and trains nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from trimtab.findings.checked import Checked
from trimtab.findings.data.amount import evaluation_too_noisy
from trimtab.findings.finding import Effect, Finding, NotChecked, Remedy, Severity
from trimtab.knobs.domains import HIGH
from trimtab.knobs.effects import flag
from trimtab.text.wording import counted, listed
from trimtab.tuning.baselines import DEFAULT_MLP, LINEAR, MEAN
from trimtab.tuning.notices import Edge
from trimtab.tuning.standing import BETTER, UNKNOWN, WORSE, Gain

BOOSTED_TREE = "boosted_tree"
CALLED = {
    MEAN: "the mean of the training rows", LINEAR: "a linear model", BOOSTED_TREE: "a boosted tree (scikit-learn's)",
    DEFAULT_MLP: "the default network",
}  # fmt: skip
_CALLED_CLASSES = CALLED | {MEAN: "always giving the shares of the classes"}


@dataclass(frozen=True)
class Compared:
    """The model beside another on the same `rows`: its `error` in the study's metric, lower is better, and by how much
    that is less than the other's, with its paired 95 % interval; `on` says which rows they are."""

    gain: Gain
    error: float
    rows: int
    on: str = "test rows"


@dataclass(frozen=True)
class SearchRecord:
    """What a search came to.

    Attributes:
        metric: the study's, `greater_is_better` its direction.
        compared: the model beside others, by name: mean, linear, default_mlp, boosted_tree.
        trials: finished ones of the search's own.
        edges: knobs whose best value lies at the end of what was tried.
        task: "regression" or "classification".
        is_itself: the baseline that the model is, "" where it is none.
    """

    metric: str
    greater_is_better: bool
    compared: Mapping[str, Compared] = field(default_factory=dict)
    trials: int = 0
    edges: tuple[Edge, ...] = ()
    task: str = "regression"
    is_itself: str = ""

    def called(self, name: str) -> str:
        return (_CALLED_CLASSES if self.task == "classification" else CALLED).get(name, name)

    @property
    def error_in_words(self) -> str:
        """What `error` is called: the metric, or what it leaves of 1."""
        return f"1 - {self.metric}" if self.greater_is_better else self.metric


def search_edge(record: SearchRecord) -> list[Checked]:
    """The best value of a knob lies at the end of what was tried.

    Rule: within 2 % of the range, on its scale, from an end that the table of knobs has as open, after at least ten
    trials (`tuning.notices`). One finding for each knob.
    """
    if not record.edges:
        return ["No knob's best value lies at the end of what was tried."] if record.trials else []
    found: list[Checked] = []
    for edge in record.edges:
        side = "a larger" if edge.end == HIGH else "a smaller"
        found.append(
            Finding(
                "search_edge",
                "low",
                f"The best {edge.knob} ({edge.shown}) is at the edge of what is tried: {side} value may be better.",
                {"knob": edge.knob, "value": edge.value, "end": edge.end, "trials": record.trials},
                Effect("What lies beyond was not tried."),
                Remedy(
                    f"Try {flag(edge.knob)} with {side} value.",
                    flag=f"{flag(edge.knob)} VALUE",
                    code=f"{edge.knob}=...",
                ),
            )
        )
    return found


def worse_than_baseline(record: SearchRecord) -> Checked:
    """Something simpler beats the network: the mean, a linear model, or boosted trees.

    Rule: the paired 95 % interval of the difference in the study's metric, bootstrapped over the rows' units on the
    same rows, is on the baseline's side of 0. Of several the best is named.
    """
    others = {name: each for name, each in record.compared.items() if name not in (DEFAULT_MLP, record.is_itself)}
    if not others or all(each.gain.verdict == UNKNOWN for each in others.values()):
        return NotChecked("worse_than_baseline", "there is no baseline to compare with on these rows")
    better = {name: each for name, each in others.items() if each.gain.verdict == WORSE}
    if not better:
        beaten = [record.called(name) for name, each in others.items() if each.gain.verdict == BETTER]
        if beaten:
            return f"The network is better than {listed(beaten)} by more than noise."
        return "No baseline is better than the network by more than noise."
    name = min(better, key=lambda each: _share(better[each]))
    share, (low, high) = _share(better[name]), _ends(better[name])
    said = _said(-share, -high, -low)
    beside = listed(record.called(other) for other in better if other != name)
    also = f", and {beside} too" if beside else ""
    called = record.called(name)
    severity: Severity = "high" if name != BOOSTED_TREE or -share >= 0.05 else "medium"
    return Finding(
        "worse_than_baseline",
        severity,
        f"{called[0].upper()}{called[1:]} beats the network: its error ({record.error_in_words}) is {said} of the "
        f"network's smaller on the same {counted(better[name].rows, 'row')}{also}.",
        _evidence(record, better),
        Effect(f"So much of the error, on {better[name].on}, is not needed: {said}.", -share, True),
        Remedy(
            f"Use {called} for this table, or give the search a longer budget.", flag="--budget 30m",
            code='budget="30m"',
        ),
    )  # fmt: skip


def gain_within_noise(record: SearchRecord) -> Checked:
    """The search has found nothing that the default network does not do as well.

    Rule: the paired 95 % interval of the difference in the study's metric between the model and the default network,
    bootstrapped over the rows' units on the same rows, holds 0 or is on the side of the default; or the model is a
    baseline itself.
    """
    if record.is_itself:
        called = record.called(record.is_itself)
        return _nothing_gained(
            record, f"The search has found nothing better than {called}: the model is just that.", None
        )
    beside = record.compared.get(DEFAULT_MLP)
    if beside is None or beside.gain.verdict == UNKNOWN:
        return NotChecked(
            "gain_within_noise", "the default network was not trained, or the rows are too few to compare"
        )
    said, metric = _said(_share(beside), *_ends(beside)), record.error_in_words
    if beside.gain.verdict == BETTER:
        of_default = _said(*(each / (1 + _share(beside)) for each in (_share(beside), *_ends(beside))))
        return f"The search has gained on the default network: its error ({metric}) is {of_default} smaller."
    if beside.gain.verdict == WORSE:
        return _nothing_gained(record, "The default network is better than what the search has found.", beside)
    return _nothing_gained(
        record,
        f"The search has found nothing that the default network does not do as well: the gain in error ({metric}) is "
        f"{said} on {counted(beside.rows, 'row')}, which cannot be told from none.",
        beside,
    )


def _nothing_gained(record: SearchRecord, statement: str, beside: Compared | None) -> Finding:
    is_worse = beside is not None and beside.gain.verdict == WORSE
    return Finding(
        "gain_within_noise",
        "medium" if is_worse else "low",
        statement,
        _evidence(record, {} if beside is None else {DEFAULT_MLP: beside}) | {"trials": record.trials},
        Effect(
            "The default network would have been the better choice."
            if is_worse
            else "The default network does as well: the time of the search is lost, nothing else.",
            None, True,
        ),
        Remedy(
            "Give the search a longer budget, or judge by more rows, if a gain this small matters.",
            flag="--budget 30m", code='budget="30m"',
        ),
    )  # fmt: skip


def no_better_than_the_mean(record: SearchRecord) -> Checked:
    """The network predicts no better than the mean (or the shares of the classes): the columns carry nothing that it
    could learn.

    Rule: the paired 95 % interval of its gain over the mean, on the same rows, holds 0 or is below it.
    """
    beside = record.compared.get(MEAN)
    if beside is None or beside.gain.verdict == UNKNOWN:
        return NotChecked("features_carry_nothing", "there is no mean to compare with on these rows")
    if beside.gain.verdict == BETTER and record.is_itself != MEAN:
        return None
    if any(each.gain.verdict == WORSE for name, each in record.compared.items() if name != MEAN):
        return None  # somebody else learns from these columns: it is the network that does not
    said = _said(_share(beside), *_ends(beside))
    return Finding(
        "features_carry_nothing",
        "high",
        f"The network predicts no better than {record.called(MEAN)}: the gain in error ({record.error_in_words}) is "
        f"{said} on {counted(beside.rows, 'row')}, which cannot be told from none.",
        _evidence(record, {MEAN: beside}),
        Effect("The columns are of no use for this target, as far as these rows tell.", None, True),
        Remedy("Add columns that have to do with the target, or check that rows and targets belong together."),
    )


def too_noisy(record: SearchRecord) -> Checked:
    """Whether the rows judged by tell differences that matter, by the rule of `amount.evaluation_too_noisy`."""
    gains = {
        name: (each.gain.better_by / each.error, *_ends(each))
        for name, each in record.compared.items()
        if each.gain.better_by is not None and each.gain.interval is not None and each.error > 0
        and name not in (MEAN, record.is_itself)
    }  # fmt: skip
    rows = max((each.rows for each in record.compared.values()), default=0)
    return evaluation_too_noisy(gains, metric=record.error_in_words, rows=rows)


def _share(beside: Compared) -> float:
    """The gain as a share of the model's error."""
    return (beside.gain.better_by or 0.0) / (beside.error if beside.error > 0 else 1.0)


def _ends(beside: Compared) -> tuple[float, float]:
    low, high = beside.gain.interval or (0.0, 0.0)
    error = beside.error if beside.error > 0 else 1.0
    return low / error, high / error


def _said(share: float, low: float, high: float) -> str:
    """ "3.1 % [1.2 %, 4.8 %]"."""
    return f"{100 * share:.1f} % [{100 * low:.1f} %, {100 * high:.1f} %]".replace("-0.0 %", "0.0 %")


def _evidence(record: SearchRecord, compared: Mapping[str, Compared]) -> dict[str, Any]:
    return {
        "metric": record.metric,
        "compared": {
            name: {"error": each.error, "better_by": each.gain.better_by, "rows": each.rows, "on": each.on,
                   "interval": None if each.gain.interval is None else list(each.gain.interval)}
            for name, each in compared.items()
        },
    }  # fmt: skip


def checks(record: SearchRecord) -> Iterable[Checked]:
    """All rules on a search."""
    yield worse_than_baseline(record)
    yield gain_within_noise(record)
    yield no_better_than_the_mean(record)
    yield too_noisy(record)
    yield from search_edge(record)
