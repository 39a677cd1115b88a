"""Check: every rule on one training's record: what is wrong, gravest first, why the rest is healthy, and what could not
be told. Knows which findings are sides of one fact; it trains nothing."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from trimtab.findings import capacity, duration, loss, network, rate
from trimtab.findings.finding import IDS, Finding, Findings, NotChecked, Outcome
from trimtab.findings.judged import course_of, errors_of, pair_of
from trimtab.findings.shapes import FEWEST, TOO_SHORT
from trimtab.findings.training_record import TrainingRecord
from trimtab.findings.words import in_steps

Rule = Callable[[TrainingRecord], Outcome]

RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        capacity.underfitting, duration.overfitting, duration.stopped_too_early, duration.trained_too_long,
        duration.best_weights_not_restored, capacity.capacity_too_small, capacity.capacity_too_large,
        capacity.regularised_too_strongly,
        rate.learning_rate_too_large, rate.learning_rate_too_small, rate.diverged, rate.oscillating, rate.plateau,
        rate.batch_noise_too_high, rate.slow_optimizer,
        loss.loss_does_not_match_metric, loss.collapsed_to_constant,
        network.dead_units, network.vanishing_gradients, network.exploding_gradients, network.saturated_activations,
        network.wrong_output_layer, network.missing_zero_grad, network.double_softmax,
    )
}  # fmt: skip

# The same fact seen from behind: where one of the causes is found, the consequence says nothing more.
SAME_FACT: Mapping[str, frozenset[str]] = {
    "overfitting": frozenset({"diverged"}),
    "trained_too_long": frozenset({"diverged", "best_weights_not_restored"}),
    "stopped_too_early": frozenset(
        {
            "diverged",
            "exploding_gradients",
            "saturated_activations",
            "regularised_too_strongly",
            "missing_zero_grad",
            "batch_noise_too_high",
            "dead_units",
            "loss_does_not_match_metric",
            "wrong_output_layer",
            "learning_rate_too_large",
        }
    ),
    "learning_rate_too_small": frozenset(
        {
            "exploding_gradients",
            "saturated_activations",
            "dead_units",
            "collapsed_to_constant",
            "missing_zero_grad",
            "loss_does_not_match_metric",
            "wrong_output_layer",
            "double_softmax",
            "batch_noise_too_high",
            "learning_rate_too_large",
            "regularised_too_strongly",
        }
    ),
    "dead_units": frozenset({"vanishing_gradients"}),
    "exploding_gradients": frozenset({"loss_does_not_match_metric"}),
    "slow_optimizer": frozenset({"exploding_gradients", "missing_zero_grad"}),
    "underfitting": frozenset(
        {
            "diverged",
            "stopped_too_early",
            "learning_rate_too_large",
            "learning_rate_too_small",
            "wrong_output_layer",
            "double_softmax",
            "loss_does_not_match_metric",
            "dead_units",
            "vanishing_gradients",
            "collapsed_to_constant",
            "exploding_gradients",
            "missing_zero_grad",
            "outliers_dominate_loss",
        }
    ),
    "plateau": frozenset({"diverged", "collapsed_to_constant"}),
}
# What follows from something else, and is told after it.
FOLLOWS: Mapping[str, frozenset[str]] = {
    "diverged": frozenset({"learning_rate_too_large", "exploding_gradients", "missing_zero_grad"}),
    "underfitting": frozenset(
        {"capacity_too_small", "regularised_too_strongly", "learning_rate_too_small", "slow_optimizer", "dead_units",
         "vanishing_gradients", "collapsed_to_constant", "plateau", "wrong_output_layer", "double_softmax"}
    ),
    "collapsed_to_constant": frozenset({"vanishing_gradients", "dead_units", "regularised_too_strongly"}),
    "stopped_too_early": frozenset({"learning_rate_too_small", "slow_optimizer"}),
    "trained_too_long": frozenset({"overfitting"}),
    "oscillating": frozenset({"learning_rate_too_large", "batch_noise_too_high"}),
    "overfitting": frozenset({"capacity_too_large"}),
    "exploding_gradients": frozenset({"learning_rate_too_large"}),
    "saturated_activations": frozenset({"learning_rate_too_large"}),
    "dead_units": frozenset({"learning_rate_too_large", "saturated_activations"}),
    "vanishing_gradients": frozenset({"learning_rate_too_large", "saturated_activations", "exploding_gradients"}),
}  # fmt: skip

_GRAVITY = {"high": 0, "medium": 1, "low": 2}


def check(record: TrainingRecord, more: Iterable[Outcome] = ()) -> Findings:
    """What the curves of one training tell; never raises, whatever is in them. `more` is what rules of something else
    came to (residuals, data), to be ranked among it."""
    if not len(record.epochs):
        return Findings(not_checked=tuple(NotChecked(name, "no evaluated epoch") for name in RULES))
    outcomes = [*(_of_rule(name, record) for name in RULES), *more]
    found = one_of_each_fact([outcome for outcome in outcomes if isinstance(outcome, Finding)])
    not_checked = tuple(outcome for outcome in outcomes if isinstance(outcome, NotChecked))
    return Findings(tuple(ranked(found)), () if found else _healthy(record, not_checked), not_checked)


def _of_rule(name: str, record: TrainingRecord) -> Outcome:
    """What a rule comes to. To have found nothing in fewer evaluations than tell a trend says nothing."""
    outcome = RULES[name](record)
    if isinstance(outcome, Finding) and record.counts == "step":
        outcome = _told_in_steps(outcome)
    return NotChecked(name, TOO_SHORT) if outcome is None and len(record.epochs) < FEWEST else outcome


def _told_in_steps(finding: Finding) -> Finding:
    """The same of a log that counts steps: what the rules call epochs are those; flags keep their names."""
    told = replace(finding.effect, text=in_steps(finding.effect.text))
    return replace(finding, statement=in_steps(finding.statement), effect=told)


def one_of_each_fact(findings: Iterable[Finding]) -> list[Finding]:
    """Without those that only repeat another that was found."""
    findings = list(findings)
    names = {finding.id for finding in findings}
    return [finding for finding in findings if not SAME_FACT.get(finding.id, frozenset()) & names]


def ranked(findings: Iterable[Finding]) -> list[Finding]:
    """Gravest first: by severity, causes before what follows from them, then by what is known to be lost. A cause is as
    grave as what follows from it."""
    findings = list(findings)
    names = {finding.id for finding in findings}

    def causes(finding: Finding) -> frozenset[str]:
        return FOLLOWS.get(finding.id, frozenset()) & names

    def weighed(finding: Finding) -> Finding:
        following = [other.severity for other in findings if finding.id in causes(other)]
        return replace(finding, severity=min([finding.severity, *following], key=_GRAVITY.__getitem__))

    def place(finding: Finding) -> tuple[int, int, float]:
        return _GRAVITY[finding.severity], len(causes(finding)), -(finding.effect.share or 0.0)

    return sorted(map(weighed, findings), key=place)


def _healthy(record: TrainingRecord, not_checked: tuple[NotChecked, ...]) -> tuple[str, ...]:
    """Why nothing was found, a sentence for each family of rules that could look."""
    unchecked = {each.id for each in not_checked}
    reasons = []
    pair = pair_of(record)
    if len(course_of(record, record.train_loss)) >= FEWEST:
        reasons.append("The training loss falls, stays a number and settles: the learning rate suits it.")
    if len(course_of(record, errors_of(record))) >= FEWEST:
        reasons.append("Validation rows have stopped getting better, and do not get much worse: the duration suits.")
    if pair is not None and len(pair.epochs) >= FEWEST:
        reasons.append("Training rows are fitted no more beyond validation rows than in other healthy trainings.")
    if not set(IDS["network"][:4]) & unchecked:
        reasons.append("Units are alive and gradients reach every layer.")
    return tuple(reasons)
