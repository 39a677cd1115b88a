"""Stopping rules: patience, and Prechelt's three classes by his definitions."""

import math

import numpy
import pytest

from trimtab.knobs.table import STOPPING_RULES
from trimtab.training.config import Stopping
from trimtab.training.rules.stopping import make, why_ended
from trimtab.training.run import ALL_EPOCHS, NOT_FINITE, STOPPED_EARLY


def stopped_at(scores, train=None, **stopping):
    """The epoch (from 1) after which the rule stops, or None."""
    rule = make(Stopping(**stopping))
    train = [1.0] * len(scores) if train is None else train
    for epoch, (loss, score) in enumerate(zip(train, scores, strict=True), start=1):
        if rule.should_stop(epoch, loss, float(score)):
            return epoch
    return None


def test_patience_counts_epochs_since_the_best():
    assert stopped_at([5, 4, 3, 4, 4, 4], name="patience", patience=3) == 6
    assert stopped_at([5, 4, 3, 4, 4, 2.9, 4, 4], name="patience", patience=3) is None


def test_patience_asks_for_a_relative_improvement():
    scores = [100, 99.5, 99.0, 98.6, 98.2]
    assert stopped_at(scores, name="patience", patience=3, min_improvement=0.0) is None
    assert stopped_at(scores, name="patience", patience=3, min_improvement=0.02) == 4


def test_patience_counts_epochs_not_calls():
    rule = make(Stopping("patience", patience=10))
    assert [rule.should_stop(epoch, 1.0, 1.0) for epoch in (5, 10, 15)] == [False, False, True]


@pytest.mark.parametrize(("every", "kept"), [(1, [3.0, 2.0, 1.0]), (2, [2.0, 1.0]), (3, [2.0, 1.0]), (5, [2.0, 1.0])])
def test_a_strip_counts_epochs_not_calls(every, kept):
    rule = make(Stopping("pq", threshold=1e-9, strip=3))
    epochs = [every * i for i in range(1, 7)]
    for epoch, loss in zip(epochs, [6.0, 5.0, 4.0, 3.0, 2.0, 1.0], strict=True):
        rule.should_stop(epoch, loss, 1.0)
    assert rule._strip.progress() == pytest.approx(1000 * (sum(kept) / (len(kept) * min(kept)) - 1))


def test_generalization_loss_is_the_rise_over_the_best_in_percent():
    assert stopped_at([2, 1, 1.04, 1.0499, 1.0501], name="gl", threshold=5.0) == 5
    assert stopped_at([2, 1, 1.04, 0.9, 0.94, 0.946], name="gl", threshold=5.0) == 6


def prechelt_pq(scores, train, alpha, k):
    """PQ_alpha written out from the paper's formulas."""
    for t in range(k, len(scores) + 1, k):
        generalization_loss = 100 * (scores[t - 1] / min(scores[:t]) - 1)
        strip = train[t - k : t]
        progress = 1000 * (sum(strip) / (k * min(strip)) - 1)
        if generalization_loss / progress > alpha:
            return t
    return None


def prechelt_up(scores, s, k):
    """UP_s written out from the paper's recursion."""

    def stops(t, s):
        if s == 0:
            return True
        return t - k >= k and stops(t - k, s - 1) and scores[t - 1] > scores[t - k - 1]

    return next((t for t in range(k, len(scores) + 1, k) if stops(t, s)), None)


@pytest.mark.parametrize("seed", range(30))
def test_progress_quotient_equals_the_paper(seed):
    generator = numpy.random.default_rng(seed)
    scores = (1 + 0.2 * generator.random(60) + numpy.abs(numpy.linspace(-1, 1, 60))).tolist()
    train = (numpy.exp(-numpy.arange(60) / 20) + 0.01 * generator.random(60)).tolist()
    expected = prechelt_pq(scores, train, alpha=0.5, k=5)
    assert stopped_at(scores, train, name="pq", threshold=0.5, strip=5) == expected


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("strips", [1, 2, 3])
def test_upward_equals_the_paper(seed, strips):
    scores = numpy.random.default_rng(seed).random(60).tolist()
    expected = prechelt_up(scores, s=strips, k=4)
    assert stopped_at(scores, name="up", patience=strips, strip=4) == expected


def test_a_training_loss_that_stands_still_ends_pq_once_the_score_has_risen():
    assert stopped_at([1, 1, 1, 1, 1.01, 1.01], name="pq", strip=3) == 6
    assert stopped_at([1.0] * 9, name="pq", strip=3) is None


def test_none_never_stops():
    assert stopped_at([1.0, math.nan, math.inf, *[9.0] * 100], name="none") is None


@pytest.mark.parametrize("name", [name for name in STOPPING_RULES if name != "none"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_no_improvement(name, bad):
    assert stopped_at([1.0, 1.0, *[bad] * 200], name=name, patience=10, strip=2) is not None


def test_a_run_ends_because_it_diverged_before_its_epochs_and_before_its_rule():
    def ended(epoch=1, train_loss=1.0, loss=1.0, score=1.0):
        rule = make(Stopping("patience", patience=1))
        rule.should_stop(1, 1.0, 0.5)
        return why_ended(rule, epoch=epoch, epochs=3, train_loss=train_loss, loss=loss, score=score)

    nothing = float("nan")
    assert ended() == "" and ended(epoch=2) == STOPPED_EARLY and ended(epoch=3) == ALL_EPOCHS
    assert ended(epoch=3, train_loss=nothing) == ended(loss=nothing, score=nothing) == NOT_FINITE
    # A metric alone without a number, or a loss alone, ends nothing.
    assert ended(score=nothing) == ended(loss=nothing) == ""
