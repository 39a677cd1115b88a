"""The trials of a search: the best that may be the model, and what was cut short until it is through."""

import numpy
import pytest
import torch

from trimtab.errors import OptionError
from trimtab.training.config import Config
from trimtab.training.metrics import METRICS
from trimtab.tuning.ledger import MOST_UNSCORED, Ledger
from trimtab.tuning.trial import COMPLETE, FAILED, TrialRecord, TrialWeights

WEIGHTS = TrialWeights(torch.zeros(1, 1), numpy.zeros((1, 1)))


class Written(list):
    """What a writer was given: the trials' numbers, and whether they were cut short."""

    def put(self, record: TrialRecord, weights: object, runs: object, *, is_cut: bool = False) -> None:
        self.append((record.number, is_cut))


def record(number: int, error: float, *, name: str = "", state: str = COMPLETE) -> TrialRecord:
    return TrialRecord(number, name, {}, Config(), state, error)


def ledger(*earlier: TrialRecord, cut: tuple[TrialRecord, ...] = ()) -> tuple[Ledger, Written, list[int]]:
    written, better = Written(), []
    made = Ledger(
        earlier, {each.number: each for each in cut}, writer=written, metric=METRICS["rmse"], held={},  # type: ignore[arg-type]
        on_best=lambda record, weights: better.append(record.number),
    )  # fmt: skip
    return made, written, better


def test_the_best_is_told_of_before_it_is_written_and_baselines_are_not_counted() -> None:
    made, written, better = ledger(record(0, 3.0, name="default_mlp"))
    for number, error in ((1, 2.0), (2, 2.5), (3, 1.0)):
        made.add(record(number, error), WEIGHTS, [])
    made.add(record(4, 0.5), None, [])  # its weights are not finite
    assert (better, made.tuned, made.best and made.best.number) == ([1, 3], 4, 3)
    assert written == [(1, False), (2, False), (3, False), (4, False)]


def test_what_was_cut_short_counts_as_far_as_it_came_until_it_is_through() -> None:
    made, written, better = ledger(record(1, 2.0))
    made.add_cut(record(2, 1.0), WEIGHTS, [])
    made.add_cut(record(2, 1.5), WEIGHTS, [])  # no better than before
    assert (better, written) == ([2], [(2, True)])
    assert [each.error for each in made.all] == [2.0, 1.0]
    made.add(record(2, 3.0), WEIGHTS, [])
    assert [each.error for each in made.all] == [2.0, 3.0]


def test_trials_without_any_score_end_a_search() -> None:
    made, _, _ = ledger()
    for number in range(MOST_UNSCORED - 1):
        made.add(record(number, float("inf"), state=FAILED), None, [])
    with pytest.raises(OptionError, match="rmse"):
        made.add(record(MOST_UNSCORED, float("inf"), state=FAILED), None, [])
