"""Finding: a named statement about a training, a table or a search, with its evidence, its cost and what to change.

Knows words and numbers; it knows no rule by which anything is found.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["high", "medium", "low"]
Family = Literal["duration", "rate", "loss", "network", "data", "search"]

# Every finding there is, by its family.
IDS: dict[Family, tuple[str, ...]] = {
    "duration": (
        "underfitting", "overfitting", "stopped_too_early", "trained_too_long", "best_weights_not_restored",
        "capacity_too_small", "capacity_too_large", "regularised_too_strongly",
    ),
    "rate": (
        "learning_rate_too_large", "learning_rate_too_small", "diverged", "oscillating", "plateau",
        "batch_noise_too_high", "slow_optimizer",
    ),
    "loss": ("outliers_dominate_loss", "loss_does_not_match_metric", "collapsed_to_constant"),
    "network": (
        "dead_units", "vanishing_gradients", "exploding_gradients", "saturated_activations", "wrong_output_layer",
        "missing_zero_grad", "double_softmax",
    ),
    "data": (
        "unscaled_inputs", "unscaled_target", "not_representative", "leakage", "duplicate_rows", "label_noise",
        "class_imbalance", "too_little_data", "evaluation_too_noisy", "features_carry_nothing",
    ),
    "search": ("search_edge", "worse_than_baseline", "gain_within_noise"),
}  # fmt: skip
ALL_IDS = tuple(name for names in IDS.values() for name in names)


@dataclass(frozen=True)
class Effect:
    """What the fault costs: `text` is a sentence; `share` of the error (0.12: the error is 12 % larger for it), None
    where it has no number; `is_measured`: by a training that was made with and without it, else it is an estimate."""

    text: str
    share: float | None = None
    is_measured: bool = False


@dataclass(frozen=True)
class Trial:
    """What the change came to when it was tried: the metric before and after, in original units, as users read it, and
    the 95 % interval of `after - before`."""

    metric: str
    before: float
    after: float
    low: float
    high: float


@dataclass(frozen=True)
class Remedy:
    """The change to make: a sentence; where it is a matter of knobs, `change` has their new values by name, `flag` the
    flags of the command line and `code` the arguments in Python; `tried` is what it came to, None where it was not."""

    text: str
    change: Mapping[str, Any] = field(default_factory=dict)
    flag: str = ""
    code: str = ""
    tried: Trial | None = None


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        id: one of `ALL_IDS`.
        severity: how much is at stake.
        statement: one sentence that a beginner understands, every number with its unit.
        evidence: the numbers behind it by name: epochs, rows, shares, whatever the rule looked at.
        effect: what it costs.
        remedy: what to change.
    """

    id: str
    severity: Severity
    statement: str
    evidence: Mapping[str, Any]
    effect: Effect
    remedy: Remedy


@dataclass(frozen=True)
class NotChecked:
    """A check that could not run, and why: "no validation column"."""

    id: str
    why: str


# What a rule comes to: None where nothing is wrong.
Outcome = Finding | NotChecked | None


@dataclass(frozen=True)
class Findings:
    """What the checks came to: what was `found`, gravest first; why what was checked is `healthy`, a sentence each;
    and what could not be checked."""

    found: tuple[Finding, ...] = ()
    healthy: tuple[str, ...] = ()
    not_checked: tuple[NotChecked, ...] = ()

    def __iter__(self):
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)
