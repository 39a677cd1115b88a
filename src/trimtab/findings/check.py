"""Check: every rule on one training's record: what is wrong, gravest first, why the rest is healthy, and what could not
be told. Knows which findings are one and the same fact; it trains nothing."""

from collections.abc import Callable, Iterable

from trimtab.findings import duration, rate
from trimtab.findings.duration import Outcome
from trimtab.findings.finding import Finding, Findings, NotChecked
from trimtab.findings.judged import course_of, errors_of
from trimtab.findings.training_record import TrainingRecord

Rule = Callable[[TrainingRecord], Outcome]

RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        duration.underfitting, duration.overfitting, duration.stopped_too_early, duration.trained_too_long,
        duration.best_weights_not_restored,
        rate.learning_rate_too_large, rate.learning_rate_too_small, rate.diverged, rate.oscillating,
    )
}  # fmt: skip

_GRAVITY = {"high": 0, "medium": 1, "low": 2}


def check(record: TrainingRecord) -> Findings:
    """What the curves of one training tell; never raises, whatever is in them."""
    if not len(record.epochs):
        return Findings(not_checked=tuple(NotChecked(name, "no evaluated epoch") for name in RULES))
    outcomes = [rule(record) for rule in RULES.values()]
    found = [outcome for outcome in outcomes if isinstance(outcome, Finding)]
    return Findings(
        tuple(ranked(found)),
        _healthy(record) if not found else (),
        tuple(outcome for outcome in outcomes if isinstance(outcome, NotChecked)),
    )


def ranked(findings: Iterable[Finding]) -> list[Finding]:
    """Gravest first: by severity, then by what is known to be lost."""
    return sorted(findings, key=lambda each: (_GRAVITY[each.severity], -(each.effect.share or 0.0)))


def _healthy(record: TrainingRecord) -> tuple[str, ...]:
    reasons = []
    if len(course_of(record, record.train_loss)):
        reasons.append("The training loss stays a number and settles.")
    if errors_of(record) is not None:
        reasons.append("Validation rows do not get worse for long.")
    return tuple(reasons)
