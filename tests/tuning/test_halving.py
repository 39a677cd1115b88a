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


def test_with_a_lag_it_does_not_matter_who_comes_first():
    errors = dict(enumerate(numpy.random.default_rng(0).random(60) + 1))
    by_order = []
    for seed in (1, 2):
        halving, kept = Halving(lag=5), {}
        # Within the lag trials may come to a rung in any order.
        for first in range(0, 60, 5):
            for number in numpy.random.default_rng(seed).permutation(range(first, first + 5)):
                kept[int(number)] = halving.keeps(0, errors[int(number)], int(number))
        by_order.append(dict(sorted(kept.items())))
    assert by_order[0] == by_order[1] and not all(by_order[0].values())


def test_what_earlier_calls_came_to_counts():
    halving = Halving(grace=4)
    for number, error in enumerate((1.0, 2.0, 3.0, 4.0, 5.0)):
        halving.note((error, error), number)
    assert not halving.keeps(0, 6.0, 5) and halving.keeps(1, 0.5, 5)


def test_a_trial_is_judged_once_at_each_rung_by_the_mean_of_its_folds():
    halving, passed, failed, unscored = Halving(grace=1), [], [], []
    for epoch, rungs in ((5, []), (12, [2.0]), (20, [2.0]), (35, [2.0, 2.0]), (99, [2.0, 2.0])):
        assert halving.goes_on(0, passed, epoch=epoch, epochs=100, errors=[1.0, 3.0]) and passed == rungs
    assert not halving.goes_on(1, failed, epoch=12, epochs=100, errors=[4.0, 5.0]) and failed == [4.5]
    # A metric that has given no number yet says nothing against a trial.
    assert halving.goes_on(2, unscored, epoch=12, epochs=100, errors=[float("nan"), 1.0]) and len(unscored) == 1
