import numpy

from trimtab.tuning.halving import RUNGS, Halving


def test_rungs_stand_at_shares_of_a_trials_own_epochs():
    halving = Halving()
    assert not halving.rung_due(0, 11, 100) and halving.rung_due(0, 12, 100)
    assert halving.rung_due(0, 2, 10)
    assert not halving.rung_due(len(RUNGS), 100, 100)


def test_the_first_trials_always_go_on_and_then_only_the_best_share():
    halving = Halving(reduction=2.5, grace=4)
    assert all(halving.keeps(0, error) for error in (9.0, 8.0, 7.0, 6.0))
    assert not halving.keeps(0, 10.0)
    assert halving.keeps(0, 1.0)
    kept = [halving.keeps(0, error) for error in numpy.random.default_rng(0).random(500) + 1]
    assert 0.3 < sum(kept) / len(kept) < 0.5


def test_an_error_that_is_not_finite_never_goes_on():
    assert not Halving().keeps(0, float("nan"))
    assert not Halving().keeps(0, float("inf"))
