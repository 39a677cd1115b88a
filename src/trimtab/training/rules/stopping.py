"""Stopping: what ends a run, and the early-stopping rules that end it before its last epoch.

Scores are errors, lower is better; one that is not finite is never an improvement. Knows no weights: whatever the rule,
the engine keeps those of the best epoch. What ends a run from outside (a rung of a search, a budget, a callback) is
said by whoever decides it, in the words of `run`.
"""

import math
from collections import deque
from typing import Protocol, runtime_checkable

from trimtab.training.config import Stopping
from trimtab.training.run import ALL_EPOCHS, NOT_FINITE, STOPPED_EARLY


@runtime_checkable
class StoppingRule(Protocol):
    """Watches one run."""

    def should_stop(self, epoch: int, train_loss: float, score: float) -> bool:
        """True when the run should end after this epoch; called once per evaluated epoch, in order."""
        ...


def why_ended(rule: StoppingRule, *, epoch: int, epochs: int, train_loss: float, loss: float, score: float) -> str:
    """Why a run of `epochs` is over after the evaluation of `epoch`, in this order: training diverged, all epochs are
    made, `rule` stops it; "" where it goes on. `loss` is that of the validation rows; by its `score` it is judged.

    A score alone that is no number ends no run: the metric may give one later, and training has not diverged.
    """
    is_lost = not (math.isfinite(score) or math.isfinite(loss))
    if is_lost or not math.isfinite(train_loss):
        return NOT_FINITE
    if epoch >= epochs:
        return ALL_EPOCHS
    return STOPPED_EARLY if rule.should_stop(epoch, train_loss, score) else ""


def make(stopping: Stopping) -> StoppingRule:
    """The rule that `stopping` describes, for one run."""
    return _RULES[stopping.name](stopping)


class Never:
    """Train all epochs."""

    def __init__(self, stopping: Stopping) -> None:
        pass

    def should_stop(self, epoch: int, train_loss: float, score: float) -> bool:
        return False


class Patience:
    """Stop when no score has beaten the best by `min_improvement` of its size for `patience` epochs."""

    def __init__(self, stopping: Stopping) -> None:
        self._patience, self._min_improvement = stopping.patience, stopping.min_improvement
        self._best, self._best_epoch = math.inf, 0

    def should_stop(self, epoch: int, train_loss: float, score: float) -> bool:
        margin = self._min_improvement * abs(self._best) if math.isfinite(self._best) else 0.0
        if math.isfinite(score) and score < self._best - margin:
            self._best, self._best_epoch = score, epoch
        return epoch - self._best_epoch >= self._patience


class GeneralizationLoss:
    """GL of Prechelt (1998): stop when GL(t) = 100 (score / best score so far - 1) exceeds `threshold` (percent)."""

    def __init__(self, stopping: Stopping) -> None:
        self._threshold = stopping.threshold
        self._best = math.inf

    def should_stop(self, epoch: int, train_loss: float, score: float) -> bool:
        return self.loss(score) > self._threshold

    def loss(self, score: float) -> float:
        """GL(t) in percent, this score included in the best; infinite for a score that is not finite."""
        if not math.isfinite(score):
            return math.inf
        self._best = min(self._best, score)
        if score == self._best:
            return 0.0
        return math.inf if self._best <= 0 else 100 * (score / self._best - 1)


class ProgressQuotient:
    """PQ of Prechelt (1998): stop when GL(t) / P_k(t) exceeds `threshold`.

    P_k(t) = 1000 (mean of the last k training losses / their minimum - 1) is how much the training loss still moves
    within a strip of k = `strip` epochs; the rule is asked at the end of each strip.
    """

    def __init__(self, stopping: Stopping) -> None:
        self._threshold = stopping.threshold
        self._generalization = GeneralizationLoss(stopping)
        self._strip = _Strip(stopping.strip)

    def should_stop(self, epoch: int, train_loss: float, score: float) -> bool:
        loss = self._generalization.loss(score)
        if not self._strip.is_complete(epoch, train_loss):
            return False
        progress = self._strip.progress()
        return loss > 0 if progress == 0 else loss / progress > self._threshold


class Upward:
    """UP of Prechelt (1998): stop when the score went up in `patience` strips of `strip` epochs, one after the other.

    UP_s: stop after epoch t, the end of a strip, when UP_(s-1) stops after epoch t - k and the score of t is above that
    of t - k.
    """

    def __init__(self, stopping: Stopping) -> None:
        self._strips = stopping.patience
        self._strip = _Strip(stopping.strip)
        self._previous, self._rises = math.inf, 0

    def should_stop(self, epoch: int, train_loss: float, score: float) -> bool:
        if not self._strip.is_complete(epoch, train_loss):
            return False
        rose = score > self._previous or not math.isfinite(score)
        self._rises = self._rises + 1 if rose else 0
        self._previous = score if math.isfinite(score) else self._previous
        return self._rises >= self._strips


class _Strip:
    """The training losses of the last `length` epochs, as far as they were evaluated, and where the next strip ends.

    Where evaluations are further apart than a strip is long, the last two: one alone would pass for no progress.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._losses: deque[tuple[int, float]] = deque()
        self._end = length

    def is_complete(self, epoch: int, train_loss: float) -> bool:
        self._losses.append((epoch, train_loss))
        while self._is_past(epoch):
            self._losses.popleft()
        if epoch < self._end:
            return False
        self._end = (epoch // self._length + 1) * self._length
        return True

    def _is_past(self, epoch: int) -> bool:
        """Whether the first loss lies before the strip that ends with `epoch`."""
        first = self._losses[0][0]
        is_one_of_two_apart = len(self._losses) == 2 and epoch - first > 1
        return first <= epoch - self._length and not is_one_of_two_apart

    def progress(self) -> float:
        """P_k in thousandths; infinite where the losses are not all positive and finite."""
        losses = [loss for _, loss in self._losses]
        low = min(losses)
        if not all(map(math.isfinite, losses)) or low <= 0:
            return math.inf
        return 1000 * (math.fsum(losses) / (len(losses) * low) - 1)


_RULES = {"none": Never, "patience": Patience, "gl": GeneralizationLoss, "pq": ProgressQuotient, "up": Upward}
