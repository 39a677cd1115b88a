"""Which of a trial's networks stands alone where one is asked for."""

from dataclasses import replace

import pytest

from trimtab.studies.choice import best_fold
from trimtab.training.config import Config
from trimtab.tuning.trial import COMPLETE, PRUNED, TrialRecord

WINNER = TrialRecord(0, "", {}, Config(), COMPLETE, 1.0, fold_errors=(1.0, 2.0, 3.0))


def other(*errors, state=COMPLETE):
    return TrialRecord(1, "", {}, Config(), state, 1.0, fold_errors=errors)


def test_the_best_network_is_best_beside_others_and_not_that_of_the_easiest_fold():
    assert best_fold(WINNER, [WINNER, other(1.0, 2.2, 6.0), other(0.9, 2.4, 5.0)]) == 2
    assert best_fold(WINNER, [WINNER, other(2.0, 2.2, 3.1)]) == 0


@pytest.mark.parametrize("trials", [[], [WINNER], [WINNER, other(9.0, 9.0, 1e-9, state=PRUNED)], [other()]])
def test_without_another_finished_trial_the_first_is_as_good_as_any(trials):
    assert best_fold(WINNER, trials) == 0


def test_folds_without_errors_are_no_reason():
    perfect = replace(WINNER, fold_errors=(0.0, 0.0, 0.0))
    assert best_fold(perfect, [perfect, other(0.0, 0.0, 0.2)]) == 2
    assert best_fold(WINNER, [WINNER, other(0.0, 2.1, 3.0)]) == 1
    assert best_fold(replace(WINNER, fold_errors=()), [other(1.0, 2.0, 3.0)]) == 0
