"""Replays: stopping rules read off a recorded curve: what each would have spent, which epoch it keeps, and its score.

The rules are those that training uses itself (`training.rules.stopping`). Knows curves alone; nothing is trained.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy

from trimtab.findings.judged import Curve, errors_of, is_scored_by_metric
from trimtab.findings.training_record import TrainingRecord
from trimtab.training.config import Stopping
from trimtab.training.rules.stopping import make

# Thresholds of Prechelt (1998): a low and a high one of each class that he tries; strips of 5 epochs are his too.
RULES: dict[str, Stopping] = {
    **{f"patience {epochs}": Stopping("patience", patience=epochs) for epochs in (5, 10, 20, 50, 100)},
    **{f"GL {percent}": Stopping("gl", threshold=percent) for percent in (2, 5)},
    **{f"PQ {quotient}": Stopping("pq", threshold=quotient) for quotient in (0.5, 1)},
    **{f"UP {strips}": Stopping("up", patience=strips) for strips in (2, 4)},
    "no stopping": Stopping("none"),
}
HINDSIGHT = "best of hindsight"


@dataclass(frozen=True)
class Replay:
    """What a stopping rule comes to on a curve: the `epochs` that it spends, the epoch that it has `kept`, and the
    `score` of that epoch, as users read it. NaN where no epoch has a score."""

    rule: str
    epochs: float
    kept: float
    score: float


@dataclass(frozen=True)
class Stop:
    """Where a training should have stopped, and what that would have gained.

    Attributes:
        epoch: the epoch with the best validation score, NaN where there is none.
        gain: by how much the score is better there than where the training stands, in the metric; 0 or more.
        share: the same as a share of the error there; NaN where errors are not above 0.
        saved: the epochs that came after it.
    """

    epoch: float
    gain: float
    share: float
    saved: float


def replayed(record: TrainingRecord) -> tuple[Replay, ...]:
    """Every rule on one curve that both decides and scores; nothing where there is no validation curve.

    `no stopping` keeps the best epoch's weights, as trimtab does; `best of hindsight` ends with that epoch as well. Of
    a log that counts steps, rules count its evaluations.
    """
    return _replayed(record, record)


def replayed_between(decides: TrainingRecord, scores: TrainingRecord) -> tuple[Replay, ...]:
    """Every rule on two records of one training that differ in the validation rows: one half decides when to stop and
    what to keep, the other says what that is worth. Then the halves are swapped: figures are the means of both ways.

    `best of hindsight` is chosen by the half that scores, which no rule can do. Both have the same epochs.
    """
    there, back = _replayed(decides, scores), _replayed(scores, decides)
    return tuple(
        Replay(
            one.rule, (one.epochs + other.epochs) / 2, (one.kept + other.kept) / 2, (one.score + other.score) / 2
        )
        for one, other in zip(there, back, strict=bool(there and back))
    )  # fmt: skip


def stop_of(record: TrainingRecord) -> Stop | None:
    """Where the training should have stopped, beside the epoch whose weights were kept, or the last where nobody knows;
    None where no epoch has a validation score."""
    errors = errors_of(record)
    if errors is None or not numpy.isfinite(errors).any():
        return None
    epochs = record.epochs
    best = int(numpy.nanargmin(numpy.where(numpy.isfinite(errors), errors, numpy.nan)))
    stands = _place_of(record)
    # A training that was lost has no score at its end: what it gains has no number.
    cost = float(errors[stands] - errors[best]) if math.isfinite(errors[stands]) else math.inf
    share = cost / float(errors[best]) if errors[best] > 0 else math.nan
    return Stop(float(epochs[best]), max(0.0, cost), share, float(epochs[-1] - epochs[best]))


def _place_of(record: TrainingRecord) -> int:
    """The entry whose weights were kept; the last where nobody knows."""
    if record.kept is None or not math.isfinite(record.kept):
        return len(record.epochs) - 1
    return int(numpy.nanargmin(numpy.abs(record.epochs - record.kept)))


def _replayed(decides: TrainingRecord, scores: TrainingRecord) -> tuple[Replay, ...]:
    deciding, scoring = errors_of(decides), errors_of(scores)
    if deciding is None or scoring is None or not len(deciding):
        return ()
    shown = _shown(scores, scoring)
    losses = numpy.zeros(len(deciding)) if decides.train_loss is None else decides.train_loss
    # Rules that read the training loss say nothing without one; a quotient of errors that are not above 0 is none.
    reads_losses = decides.train_loss is not None and bool(numpy.isfinite(losses).any())
    has_quotients = not bool((deciding <= 0).any())
    epochs, told = _numbered(decides).tolist(), (losses.tolist(), deciding.tolist())
    replays = []
    for name, stopping in RULES.items():
        if (stopping.name == "pq" and not reads_losses) or (stopping.name in ("gl", "pq") and not has_quotients):
            continue
        end = _end(stopping, epochs, *told)
        replays.append(_kept(name, decides.epochs, deciding[: end + 1], shown))
    best = _best(scoring)
    kept = math.nan if best is None else float(decides.epochs[best])
    return (*replays, Replay(HINDSIGHT, kept, kept, math.nan if best is None else float(shown[best])))


def _numbered(record: TrainingRecord) -> Curve:
    """Epochs as rules count them; of a log of steps, its evaluations, or a patience of 5 would be none."""
    return record.epochs if record.counts == "epoch" else numpy.arange(1.0, len(record.epochs) + 1)


def _end(stopping: Stopping, epochs: Sequence[float], losses: Sequence[float], errors: Sequence[float]) -> int:
    """The entry after which the rule stops, the last where it never does. Lists are gone through several times as fast
    as arrays."""
    if stopping.name == "none":
        return len(epochs) - 1
    should_stop = make(stopping).should_stop
    for place, (epoch, loss, error) in enumerate(zip(epochs, losses, errors, strict=True)):
        if math.isfinite(epoch) and should_stop(int(epoch), loss, error):
            return place
    return len(epochs) - 1


def _kept(name: str, epochs: Curve, errors: Curve, shown: Curve) -> Replay:
    spent, best = float(epochs[len(errors) - 1]), _best(errors)
    if best is None:
        return Replay(name, spent, math.nan, math.nan)
    return Replay(name, spent, float(epochs[best]), float(shown[best]))


def _best(errors: Curve) -> int | None:
    finite = numpy.isfinite(errors)
    return int(numpy.argmin(numpy.where(finite, errors, math.inf))) if finite.any() else None


def _shown(record: TrainingRecord, errors: Curve) -> Curve:
    return 1 - errors if is_scored_by_metric(record) and record.greater_is_better else errors
