"""The rules on a search: search_edge, worse_than_baseline and gain_within_noise.

Knows what a search came to, by figures and intervals; it knows no trials, and trains nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from trimtab.findings.finding import Effect, Finding, NotChecked, Remedy, Severity
from trimtab.findings.outcome import Outcome
from trimtab.knobs.domains import HIGH
from trimtab.knobs.effects import flag
from trimtab.text.wording import counted, listed
from trimtab.tuning.baselines import DEFAULT_MLP, LINEAR, MEAN
from trimtab.tuning.notices import Edge
from trimtab.tuning.standing import ALIKE, BETTER, UNKNOWN, WORSE, Gain

BOOSTED_TREE = "boosted_tree"
CALLED = {
    MEAN: "the mean of the training rows", LINEAR: "a linear model", BOOSTED_TREE: "a boosted tree (scikit-learn's)",
    DEFAULT_MLP: "the default network",
}  # fmt: skip
_CALLED_CLASSES = CALLED | {MEAN: "always giving the shares of the classes"}


@dataclass(frozen=True)
class SearchRecord:
    """What a search came to.

    Attributes:
        metric: the study's, `greater_is_better` its direction.
        error: the model's score as an error, lower is better, on the rows it is judged by.
        gains: by how much its error is less than another's on the same rows, by name: mean, linear, default_mlp,
            boosted_tree; intervals are of 95 % and paired.
        errors: the error of each of these, where it is known.
        trials: finished ones of the search's own; 0 where the model is a baseline.
        edges: knobs whose best value lies at the end of what was tried.
        rows: those judged by; `judged_by` says which they are.
        task: "regression" or "classification".
        is_default: the model is the default network itself.
    """

    metric: str
    greater_is_better: bool
    error: float
    gains: Mapping[str, Gain] = field(default_factory=dict)
    errors: Mapping[str, float] = field(default_factory=dict)
    trials: int = 0
    edges: tuple[Edge, ...] = ()
    rows: int = 0
    judged_by: str = "test rows"
    task: str = "regression"
    is_default: bool = False

    def called(self, name: str) -> str:
        return (_CALLED_CLASSES if self.task == "classification" else CALLED).get(name, name)

    @property
    def error_in_words(self) -> str:
        """What `error` is called: the metric, or what it leaves of 1."""
        return f"1 - {self.metric}" if self.greater_is_better else self.metric


def search_edge(record: SearchRecord) -> list[Outcome]:
    """The best value of a knob lies at the end of what was tried.

    Rule: within 2 % of the range, on its scale, from an end that the table of knobs has as open, after at least ten
    trials (`tuning.notices`). One finding for each knob.
    """
    if not record.edges:
        return ["No knob's best value lies at the end of what was tried."] if record.trials else []
    found: list[Outcome] = []
    for edge in record.edges:
        side = "a larger" if edge.end == HIGH else "a smaller"
        found.append(
            Finding(
                "search_edge",
                "low",
                f"The best {edge.knob} ({edge.shown}) is at the edge of what is tried: {side} value may be better.",
                {"knob": edge.knob, "value": edge.value, "end": edge.end, "trials": record.trials},
                Effect("What lies beyond was not tried (the cost is not known)."),
                Remedy(
                    f"Try {flag(edge.knob)} with {side} value.",
                    flag=f"{flag(edge.knob)} VALUE",
                    code=f"{edge.knob}=...",
                ),
            )
        )
    return found


def worse_than_baseline(record: SearchRecord) -> Outcome:
    """Something simpler beats the network: the mean, a linear model, or boosted trees.

    Rule: the paired 95 % interval of the difference in the study's metric, bootstrapped over the rows' units on the
    same rows, is on the baseline's side of 0. Of several the best is named.
    """
    others = {name: gain for name, gain in record.gains.items() if name != DEFAULT_MLP}
    if not others or all(gain.verdict == UNKNOWN for gain in others.values()):
        return NotChecked("worse_than_baseline", "there is no baseline to compare with on these rows")
    better = {name: gain for name, gain in others.items() if gain.verdict == WORSE}
    if not better:
        beaten = [record.called(name) for name, gain in others.items() if gain.verdict == BETTER]
        if beaten:
            return f"The network is better than {listed(beaten)} by more than noise."
        return "No baseline is better than the network by more than noise."
    name = min(better, key=lambda each: better[each].better_by or 0.0)
    gain = better[name]
    share, said = _in_per_cent(gain, record.error, is_loss=True)
    also = [record.called(other) for other in better if other != name]
    severity: Severity = "high" if name != BOOSTED_TREE or share >= 0.05 else "medium"
    return Finding(
        "worse_than_baseline",
        severity,
        f"{record.called(name).capitalize()} beats the network: its error ({record.error_in_words}) is {said} smaller "
        f"on the same {counted(record.rows, 'row')}{', and ' + listed(also) + ' too' if also else ''}.",
        _evidence(record, better),
        Effect(f"The error is {said} larger than it needs to be (measured on {record.judged_by}).", share, True),
        Remedy(
            f"Use {record.called(name)} for this table, or give the search a longer budget.", flag="--budget 30m",
            code='budget="30m"',
        ),
    )  # fmt: skip


def gain_within_noise(record: SearchRecord) -> Outcome:
    """The search has found nothing that the default network does not do as well.

    Rule: the paired 95 % interval of the difference in the study's metric between the model and the default network,
    bootstrapped over the rows' units on the same rows, holds 0 or is on the side of the default.
    """
    if record.is_default:
        return _nothing_gained(record, "The search has found nothing better than the default network.", None)
    gain = record.gains.get(DEFAULT_MLP)
    if gain is None or gain.verdict == UNKNOWN:
        return NotChecked(
            "gain_within_noise", "the default network was not trained, or the rows are too few to compare"
        )
    said = _in_per_cent(gain, record.error, is_loss=False)[1]
    if gain.verdict == BETTER:
        return f"The search has gained on the default network: {said} less error ({record.error_in_words})."
    if gain.verdict == WORSE:
        return _nothing_gained(record, "The default network is better than what the search has found.", gain)
    assert gain.verdict == ALIKE
    return _nothing_gained(
        record,
        "The search has found nothing that the default network does not do as well: the difference in error "
        f"({record.error_in_words}) is {said} on {counted(record.rows, 'row')}, which cannot be told from none.",
        gain,
    )


def _nothing_gained(record: SearchRecord, statement: str, gain: Gain | None) -> Finding:
    return Finding(
        "gain_within_noise",
        "low" if gain is None or gain.verdict == ALIKE else "medium",
        statement,
        _evidence(record, {} if gain is None else {DEFAULT_MLP: gain}) | {"trials": record.trials},
        Effect(f"Nothing is lost but the time of the search (measured on {record.judged_by}).", None, True),
        Remedy(
            "Give the search a longer budget, or judge by more rows, if a gain this small matters.",
            flag="--budget 30m", code='budget="30m"',
        ),
    )  # fmt: skip


def _in_per_cent(gain: Gain, error: float, *, is_loss: bool) -> tuple[float, str]:
    """A gain as a share of the model's error (of the other's, for a gain): "3.1 % [1.2 %, 4.8 %]"."""
    assert gain.better_by is not None and gain.interval is not None
    sign = -1.0 if is_loss else 1.0
    base = error if is_loss else error + gain.better_by
    base = base if base > 0 else 1.0
    low, high = sorted(sign * end / base for end in gain.interval)
    share = sign * gain.better_by / base
    return share, f"{100 * share:.1f} % [{100 * low:.1f} %, {100 * high:.1f} %]"


def _evidence(record: SearchRecord, gains: Mapping[str, Gain]) -> dict[str, Any]:
    return {
        "metric": record.metric, "error": record.error, "rows": record.rows, "judged_by": record.judged_by,
        "errors": {name: record.errors[name] for name in gains if name in record.errors},
        "better_by": {name: gain.better_by for name, gain in gains.items()},
        "intervals": {name: list(gain.interval) if gain.interval else None for name, gain in gains.items()},
    }  # fmt: skip


def checks(record: SearchRecord) -> Iterable[Outcome]:
    """All rules on a search."""
    yield worse_than_baseline(record)
    yield gain_within_noise(record)
    yield from search_edge(record)
