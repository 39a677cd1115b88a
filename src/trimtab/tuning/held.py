"""Held: the knobs that a user holds still, and which trials have them at those values.

What is held is part of what was asked: a baseline without it is a yardstick, and never the model or a part of it.
Knows records and knobs; it trains and chooses nothing.
"""

import math
from collections.abc import Mapping, Sequence

from trimtab.knobs.domains import Value
from trimtab.knobs.effects import flag
from trimtab.knobs.table import KNOBS
from trimtab.text.layout import number
from trimtab.text.wording import listed, sentence
from trimtab.training.metrics import Metric
from trimtab.tuning.baselines import FITTED_BASELINES
from trimtab.tuning.space import knobs_of
from trimtab.tuning.trial import COMPLETE, TrialRecord
from trimtab.tuning.verdicts import BASELINES

# What has no such knob is as was asked for by 0.
_OFF_AT_0 = tuple(name for name, knob in KNOBS.items() if knob.is_off_at_0)
# The knobs that a model has which is solved and not trained; the rest of its config stands for nothing.
_OF_A_SOLUTION = ("depth", "loss")


def held_of(fixed: Mapping[str, Value | None]) -> dict[str, Value]:
    """The knobs that are held still, of those that a caller may have named without a value."""
    return {name: value for name, value in fixed.items() if value is not None and value != "auto"}


def broken(record: TrialRecord, held: Mapping[str, Value]) -> list[str]:
    """The knobs of `held` that `record` has at another value; a baseline, also those that it does not have at all.

    A trial of the search may lack a knob, as the `delta` of a loss that has none, and have fewer `epochs` than were
    asked for, which are the most that a run may have.
    """
    own = knobs_of(record.config)
    if not record.name:
        known = {name: value for name, value in held.items() if name in own}
        return [name for name, value in known.items() if own[name] != value and not _are_fewer(name, own[name], value)]
    if record.name in FITTED_BASELINES:
        own = {name: own[name] for name in _OF_A_SOLUTION}
    own = dict.fromkeys(_OFF_AT_0, 0) | own
    return [name for name, value in held.items() if name not in own or own[name] != value]


def may_be_model(record: TrialRecord, held: Mapping[str, Value]) -> bool:
    """Whether `record` may be the model, or a part of it: every trial of the search, and a baseline that has all that
    is `held` still."""
    return not (record.name and broken(record, held))


def best_of(trials: Sequence[TrialRecord], held: Mapping[str, Value]) -> TrialRecord | None:
    """The best finished trial that may be the model; None where there is none."""
    finished = [record for record in trials if record.state == COMPLETE and math.isfinite(record.error)]
    own = [record for record in finished if may_be_model(record, held)]
    return min(own, key=lambda record: record.error, default=None)


def words_of_no_trial(held: Mapping[str, Value]) -> str:
    """That there is nothing that may be the model, and what to do."""
    values = listed(f"{name} at {value}" for name, value in held.items())
    return sentence(
        f"No trial with {values} was finished, and the baselines do not keep what is held still: give a larger "
        "--budget, or values with which training does not diverge"
    )


def words_of_better(
    yardsticks: Sequence[TrialRecord], held: Mapping[str, Value], metric: Metric, score: float
) -> list[str]:
    """A sentence for each of `yardsticks` that has a better validation figure than the model's `score`, the best
    first, and how it could be the model."""
    texts = []
    for record in sorted(yardsticks, key=lambda record: record.error):
        if not record.error < metric.shown(score):
            continue
        lacking = broken(record, held)
        lack = f"does not keep {listed(lacking)} as asked for"
        if len(lacking) == len(held):
            lack = "has none of the fixed values"
        who, (one, other) = BASELINES[record.name], (number(each) for each in (metric.shown(record.error), score))
        text = f"{who[0].upper()}{who[1:]}, which {lack}, is better: validation {metric.name} {one} against {other}."
        if not texts:
            text += f" Without {listed(map(flag, lacking))} it may be the model."
        texts.append(text)
    return texts


def words_of_less_than_held(members: Sequence[TrialRecord], held: Mapping[str, Value]) -> list[str]:
    """What the trials that the model is made of have otherwise than it is `held` by now."""
    own = [record for record in members if not record.name]
    texts = []
    if others := [record for record in own if broken(record, held)]:
        names = listed(name for name in held if any(name in broken(record, held) for record in others))
        who = f"{'Trial' if len(others) == 1 else 'Trials'} {listed(record.number for record in others)}"
        what = "is of an earlier call and has" if len(others) == 1 else "are of earlier calls and have"
        texts.append(f"{who} in the model {what} another value of {names} than is held now.")
    shorter = [record.config.epochs for record in own if record.config.epochs < int(held.get("epochs", 0))]
    if shorter:
        planned = str(min(shorter)) if min(shorter) == max(shorter) else f"{min(shorter)} to {max(shorter)}"
        texts.append(
            f"The time was enough for {planned} of the {held['epochs']:,} epochs that were asked for: give a larger "
            "--budget, or --trials alone."
        )
    return texts


def _are_fewer(name: str, own: Value, held: Value) -> bool:
    return name == "epochs" and float(own) < float(held)
