"""Remedies, applied as findings name them, and trained again beside what they are to mend, with the same seeds.

A remedy helps where the error falls: in the mean over `SEEDS` seeds by more than the standard error of their paired
differences, and by 1 % at least. Where the fault shows in the last weights (overfitting, trained too long), they are
what is compared, as long as the remedy does not restore others.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy

from benchmarks.faults.judging import Made
from benchmarks.faults.setup import Setup
from benchmarks.faults.tasks import Task
from benchmarks.faults.training import OUTLIERS, error_of, predicted, trained, wild_rows
from trimtab.findings.finding import Finding
from trimtab.findings.training_record import TrainingRecord

SEEDS, LEAST = 3, 0.01
# Errors are compared as logarithms; a training that was lost counts as so many times the other.
_MOST = math.log(1e6)
# Ids whose remedy is new values for knobs, which the finding names; and those whose remedy is a line of code.
BY_KNOBS = (
    "underfitting", "overfitting", "stopped_too_early", "trained_too_long", "best_weights_not_restored",
    "capacity_too_small", "capacity_too_large", "regularised_too_strongly", "learning_rate_too_large",
    "learning_rate_too_small", "diverged", "oscillating", "plateau", "batch_noise_too_high", "slow_optimizer",
    "outliers_dominate_loss", "loss_does_not_match_metric", "collapsed_to_constant", "dead_units",
    "vanishing_gradients", "exploding_gradients",
)  # fmt: skip
BY_CODE: Mapping[str, Mapping[str, str]] = {
    "wrong_output_layer": {"head": ""}, "double_softmax": {"head": ""}, "missing_zero_grad": {"loop": "plain"},
    "saturated_activations": {"change": "", "steep": ""},  # scaled inputs, weights as PyTorch draws them
}  # fmt: skip
# Loops without zero_grad keep no other weights than the last ones.
_OF_LAST_WEIGHTS = (
    "missing_zero_grad",
    "overfitting",
    "trained_too_long",
    "best_weights_not_restored",
    "capacity_too_large",
)
_OF_NETWORK = ("width", "depth", "activation")


@dataclass
class RemedyTally:
    """By id: the change of the error, as a share of it, of each remedy that was tried, and which of them helped."""

    changes: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    helped: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))
    told: list[str] = field(default_factory=list)

    @property
    def share(self) -> float:
        every = [each for by_id in self.helped.values() for each in by_id]
        return sum(every) / max(1, len(every))


def remedies_tried(
    trainings: Iterable[Made], fits: dict[str, float], tasks: dict[str, Task], cache: Path, turns: Mapping[str, int],
    *, is_cached: bool,
) -> RemedyTally:  # fmt: skip
    """What came of the remedies of the faults that do harm and were found: of each data set and id one, of a severity
    that changes from data set to data set (`turns`). `is_cached`: only what was trained before."""
    counts = RemedyTally()
    for name, own in _by_task(trainings).items():
        asked = [(made, finding) for made, finding in _chosen(own, fits, turns[name])]
        pairs = [(made, finding, remedied(made.setup, finding)) for made, finding in asked]
        if is_cached:
            pairs = [pair for pair in pairs if _is_at_hand(pair[0].setup, cache) and _is_at_hand(pair[2], cache)]
        before = [[_seeded(made.setup, i) for i in range(SEEDS)] for made, _, _ in pairs]
        after = [[_seeded(mended, i) for i in range(SEEDS)] for _, _, mended in pairs]
        records = trained([each for group in (*before, *after) for each in group], tasks, cache)
        for (made, finding, mended), first, second in zip(pairs, before, after, strict=True):
            restores = "stop" in finding.remedy.change
            last = made.truth in _OF_LAST_WEIGHTS
            _count(counts, made, mended,
                   [_error(each, records, cache, last=last) for each in first],
                   [_error(each, records, cache, last=last and not restores) for each in second])  # fmt: skip
    return counts


def remedied(setup: Setup, finding: Finding) -> Setup:
    """The set-up with the change that the finding names, and nothing else."""
    if finding.id in BY_CODE:
        change: Mapping[str, Any] = BY_CODE[finding.id]
        if "loop" in change:
            return replace(setup, loop=change["loop"])
        network = {
            name: value for name, value in {**setup.network, **change}.items() if name in setup.network and value
        }
        return replace(setup, network=network, change=change.get("change", setup.change))
    change = finding.remedy.change
    network = {name: value for name, value in change.items() if name in _OF_NETWORK}
    knobs = {name: value for name, value in change.items() if name not in _OF_NETWORK}
    return replace(setup, network={**setup.network, **network}, knobs={**setup.knobs, **knobs})


def _is_at_hand(setup: Setup, cache: Path) -> bool:
    return all((cache / f"{_seeded(setup, i).key}.json").exists() for i in range(SEEDS))


def _by_task(trainings: Iterable[Made]) -> dict[str, list[Made]]:
    found: dict[str, list[Made]] = {}
    for made in trainings:
        found.setdefault(made.setup.task, []).append(made)
    return found


def _chosen(trainings: Sequence[Made], fits: dict[str, float], turn: int) -> Iterable[tuple[Made, Finding]]:
    by_id: dict[str, list[tuple[Made, Finding]]] = {}
    for made in trainings:
        if (
            not made.setup.fault
            or made.truth not in (*BY_KNOBS, *BY_CODE)
            or not made.is_harmful(fits[made.setup.task])
        ):
            continue
        finding = next((each for each in made.findings if each.id == made.truth), None)
        if finding is not None and (finding.remedy.change or made.truth in BY_CODE):
            by_id.setdefault(made.truth, []).append((made, finding))
    for place, found in enumerate(by_id.values()):
        yield found[(turn + place) % len(found)]


def _seeded(setup: Setup, place: int) -> Setup:
    return replace(setup, seed=setup.seed + 100 * place)


def _error(setup: Setup, records: Mapping[str, TrainingRecord], cache: Path, *, last: bool) -> float:
    """By the metric; where rows were made wild, of the others alone, by the weights that were kept."""
    if setup.change in OUTLIERS:
        told = predicted(setup.key, cache)
        tame = ~wild_rows(len(told["truth"]), OUTLIERS[setup.change][0])
        off = told["predictions"].reshape(len(tame), -1)[tame, 0] - told["truth"].reshape(len(tame), -1)[tame, 0]
        return float(numpy.sqrt((off**2).mean()))
    return error_of(records[setup.key], last=last)


def _count(counts: RemedyTally, made: Made, mended: Setup, before: Sequence[float], after: Sequence[float]) -> None:
    differences = numpy.array([_difference(a, b) for a, b in zip(after, before, strict=True)])
    mean, error = float(differences.mean()), float(differences.std(ddof=1) / math.sqrt(len(differences)))
    helps = mean < -max(error, -math.log(1 - LEAST))
    counts.changes[made.truth].append(math.expm1(mean))
    counts.helped[made.truth].append(helps)
    what = {k: v for k, v in {**mended.knobs, **mended.network}.items()
            if v != {**made.setup.knobs, **made.setup.network}.get(k)}  # fmt: skip
    counts.told.append(
        f"{made.truth}: {made.setup.severity} of {made.setup.task}, {what}: {math.expm1(mean):+.0%}"
        f"{'' if helps else ', no help'}"
    )


def _difference(after: float, before: float) -> float:
    if not (math.isfinite(after) or math.isfinite(before)):
        return 0.0
    if not math.isfinite(after) or not math.isfinite(before):
        return _MOST if math.isfinite(before) else -_MOST
    return float(numpy.clip(math.log(max(after, 1e-9) / max(before, 1e-9)), -_MOST, _MOST))
