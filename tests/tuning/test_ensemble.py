"""Greedy ensembles: better than the best member where members differ, alone where nothing is to be gained."""

import numpy
import pytest
import torch

from trimtab.errors import StudyError
from trimtab.training.metrics import METRICS
from trimtab.tuning.ensemble import select

ROWS = 400


@pytest.fixture(autouse=True)
def _one_thread():
    """Products this small take far longer where torch's threads wait for a processor that is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def regression_case(candidates=6, noise=0.5, seed=0):
    generator = numpy.random.default_rng(seed)
    target = generator.normal(size=(ROWS, 1))
    noises = noise * generator.normal(size=(candidates, ROWS, 1)) * numpy.linspace(1, 1.3, candidates)[:, None, None]
    return (target + noises).astype(numpy.float32), target, numpy.ones(ROWS)


def classification_case(classes=3, candidates=6, seed=0):
    generator = numpy.random.default_rng(seed)
    target = generator.integers(0, classes, ROWS)
    logits = generator.normal(size=(candidates, ROWS, classes))
    logits[:, numpy.arange(ROWS), target] += 1
    return torch.from_numpy(logits).softmax(2).float(), target, numpy.ones(ROWS)


def case_for(metric):
    return regression_case() if metric.task == "regression" else classification_case(2)


def blended(ensemble, predictions):
    predictions = torch.as_tensor(predictions).double()
    return torch.stack([share * predictions[place] for place, share in ensemble.members]).sum(0)


@pytest.mark.parametrize("name", METRICS)
def test_independent_candidates_together_beat_the_best(name):
    predictions, target, weight = case_for(METRICS[name])
    ensemble = select(predictions, target, weight, METRICS[name])
    assert ensemble.error < ensemble.best_single_error
    assert ensemble.pays
    assert sum(share for _, share in ensemble.members) == pytest.approx(1)


@pytest.mark.parametrize("name", METRICS)
def test_errors_are_those_of_the_weighted_mean_and_of_the_best_candidate(name):
    metric = METRICS[name]
    predictions, target, weight = case_for(metric)
    ensemble = select(predictions, target, weight, metric)
    target, weight = torch.as_tensor(target), torch.as_tensor(weight)
    error = metric.error(blended(ensemble, predictions)[None], target[None], weight[None])
    assert ensemble.error == pytest.approx(float(error), rel=1e-6)
    singles = [float(metric.error(torch.as_tensor(p).double()[None], target[None], weight[None])) for p in predictions]
    assert ensemble.best_single_error == pytest.approx(min(singles), rel=1e-6)
    assert singles[ensemble.best_single] == pytest.approx(min(singles), rel=1e-6)


def plain_greedy(predictions, target, rounds):
    """Caruana's algorithm for RMSE, written without running sums."""
    chosen, best = [], (numpy.inf, [])
    for _ in range(rounds):
        errors = [
            numpy.sqrt(numpy.mean((predictions[[*chosen, i]].mean(0) - target) ** 2)) for i in range(len(predictions))
        ]
        chosen.append(int(numpy.argmin(errors)))
        best = min(best, (min(errors), chosen.copy()), key=lambda pair: pair[0])
    return best


def test_equals_the_algorithm_of_the_paper():
    predictions, target, weight = regression_case(candidates=9)
    ensemble = select(predictions, target, weight, METRICS["rmse"], rounds=12)
    error, chosen = plain_greedy(predictions.astype(numpy.float64), target, rounds=12)
    assert ensemble.error == pytest.approx(error, rel=1e-6)
    assert dict(ensemble.members) == pytest.approx({i: chosen.count(i) / len(chosen) for i in chosen})


def test_equal_candidates_stay_single_and_nothing_is_gained():
    predictions, target, weight = regression_case(candidates=1)
    ensemble = select([predictions[0]] * 4, target, weight, METRICS["rmse"])
    assert ensemble.members == ((0, 1.0),)
    assert ensemble.error == ensemble.best_single_error
    assert not ensemble.pays


def test_few_rows_need_not_prove_that_averages_are_better():
    """Twelve equally good candidates whose misses are independent, on forty rows: the mean is better, and no interval
    of 95 % could say so each time."""
    paying, better = 0, 0
    for seed in range(10):
        generator = numpy.random.default_rng(seed)
        known = generator.normal(size=(40, 1))
        predictions = (known + 0.4 * generator.normal(size=(12, 40, 1))).astype(numpy.float32)
        target = known + generator.normal(size=(40, 1))
        ensemble = select(predictions, target, numpy.ones(40), METRICS["rmse"])
        paying += ensemble.pays
        both = blended(ensemble, predictions).numpy(), predictions[0]
        mean, first = (float(((made - known) ** 2).mean()) for made in both)
        better += mean < first
    assert paying >= 5 and better == 10


def test_what_may_not_stand_alone_is_in_an_ensemble_or_nowhere():
    predictions, target, weights = regression_case(candidates=3, noise=1.0)
    close = target[None] + 0.05 * numpy.random.default_rng(1).normal(size=(1, ROWS, 1))
    pool = numpy.concatenate([predictions, close]).astype(numpy.float32)
    found = select(pool, target, weights, METRICS["rmse"], alone=3)
    # It is nearly all of the ensemble, or the whole of it; alone only the others count.
    assert found.members[0][0] == 3 and found.pays
    assert found.best_single == int(select(predictions, target, weights, METRICS["rmse"]).best_single)
    assert all(half.single < 3 for half in found.halves)
    assert found.error < 0.5 * found.best_single_error
    with pytest.raises(StudyError):
        select(
            numpy.where(numpy.arange(4)[:, None, None] < 3, numpy.nan, pool), target, weights, METRICS["rmse"], alone=3
        )


def test_rows_never_predicted_and_rows_without_weight_are_left_out():
    predictions, target, weight = regression_case()
    expected = select(predictions[:, 100:], target[100:], weight[100:], METRICS["rmse"])
    predictions[:, :50] = numpy.nan
    weight[50:100] = 0
    predictions[2, 50:100] = numpy.inf
    assert select(predictions, target, weight, METRICS["rmse"]) == expected


def test_a_candidate_that_is_not_finite_is_never_a_member():
    predictions, target, weight = regression_case()
    alone = select(predictions[1:], target, weight, METRICS["rmse"])
    predictions[0, 7] = numpy.nan
    ensemble = select(predictions, target, weight, METRICS["rmse"])
    assert ensemble.members == tuple((place + 1, share) for place, share in alone.members)
    assert ensemble.best_single == alone.best_single + 1


def test_nothing_usable_is_said():
    predictions, target, weight = regression_case()
    with pytest.raises(StudyError, match="finite predictions"):
        select(numpy.full_like(predictions, numpy.nan), target, weight, METRICS["rmse"])


def test_row_weights_decide():
    target = numpy.zeros((ROWS, 1))
    halves = (numpy.arange(ROWS) < ROWS // 2)[None, :, None]
    predictions = numpy.concatenate([numpy.where(halves, 0.1, 3.0), numpy.where(halves, 3.0, 0.1)])
    weight = numpy.where(halves[0, :, 0], 1.0, 1e-6)
    assert select(predictions.astype(numpy.float32), target, weight, METRICS["rmse"], rounds=3).members == ((0, 1.0),)


def test_a_start_from_the_best_few_includes_them():
    predictions, target, weight = regression_case()
    ensemble = select(predictions, target, weight, METRICS["rmse"], rounds=4, start_best=4)
    assert len(ensemble.members) == 4
    assert {share for _, share in ensemble.members} == {0.25}


def test_a_large_pool_keeps_its_best(monkeypatch):
    monkeypatch.setattr("trimtab.tuning.ensemble._LARGEST_POOL", 1)
    monkeypatch.setattr("trimtab.tuning.ensemble._SMALLEST_POOL", 2)
    predictions, target, weight = regression_case()
    singles = numpy.sqrt(((predictions - target) ** 2).mean((1, 2)))
    members = {place for place, _ in select(predictions, target, weight, METRICS["rmse"]).members}
    assert members == set(numpy.argsort(singles)[:2].tolist())


def null_case(seed, *, candidates=20, units=60, copies=1, spread=0.8):
    """The first candidate is all that can be known of the target; the others add noise to it, so that no average of
    them is better. Rows are `copies` of each other."""
    generator = numpy.random.default_rng(seed)
    known = generator.normal(size=units)
    noise = spread * generator.normal(size=(candidates, units))
    noise[0] = 0
    target = numpy.repeat(known + generator.normal(size=units), copies)[:, None]
    predictions = numpy.repeat(known + noise, copies, axis=1)[:, :, None].astype(numpy.float32)
    return predictions, target, numpy.repeat(numpy.arange(units), copies)


def taken(copies, *, knows_copies=True):
    """In how many of 15 cases in which one candidate knows all an average is taken; and what the candidate that would
    be taken alone, what is taken, and averages always would miss of what can be known (mean squares)."""
    count, misses = 0, numpy.zeros(3)
    for seed in range(15):
        predictions, target, units = null_case(seed, candidates=12, copies=copies)
        options = {"units": units} if knows_copies else {}
        ensemble = select(predictions, target, numpy.ones(len(target)), METRICS["rmse"], rounds=6, **options)
        alone, mean = predictions[ensemble.best_single], blended(ensemble, predictions).numpy()
        each = [
            float(((made - predictions[0]) ** 2).mean()) for made in (alone, mean if ensemble.pays else alone, mean)
        ]
        count, misses = count + ensemble.pays, misses + each
    return count, misses / 15


def test_where_one_candidate_knows_all_it_is_mostly_left_alone():
    count, (alone, chosen, always) = taken(copies=1)
    assert count <= 5
    assert chosen < alone < always


def test_copies_of_a_row_are_no_evidence_of_a_gain():
    assert taken(copies=5)[0] <= 5 < 10 <= taken(copies=5, knows_copies=False)[0]


def test_every_row_is_in_a_half_that_had_no_part_in_its_choice():
    predictions, target, weight = regression_case()
    units = numpy.arange(ROWS) // 4
    weight[:8] = 0
    ensemble = select(predictions, target, weight, METRICS["rmse"], units=units)
    assert len(ensemble.halves) % 2 == 0
    counts = numpy.bincount(numpy.concatenate([half.rows for half in ensemble.halves]), minlength=ROWS)
    assert set(counts[8:]) == {len(ensemble.halves) // 2} and not counts[:8].any()
    for half in ensemble.halves[:2]:
        rest = numpy.setdiff1d(numpy.arange(8, ROWS), half.rows)
        alone = select(predictions[:, rest], target[rest], weight[rest], METRICS["rmse"])
        assert half.members == alone.members and half.single == alone.best_single
        assert not set(units[half.rows]) & set(units[rest])
