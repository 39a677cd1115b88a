"""Schedules: parity with torch.optim.lr_scheduler, and a rate that never rises again beyond the plan."""

import math
import warnings

import numpy
import pytest
import torch
from torch.optim import lr_scheduler

import trimtab as tt
from trimtab.knobs.table import SCHEDULES
from trimtab.training.config import Schedule
from trimtab.training.rules.schedules import make

STEPS = 120


def torch_factors(make_scheduler, steps=STEPS):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make_scheduler(optimizer)
    factors = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(steps):
            factors.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
    return numpy.array(factors)


def factors(steps=STEPS, count=STEPS, **schedule):
    return make(Schedule(**schedule), steps, 10).factors(0, count)


def test_step_equals_torch():
    expected = torch_factors(lambda o: lr_scheduler.StepLR(o, step_size=36, gamma=0.3))
    numpy.testing.assert_allclose(factors(name="step", factor=0.3, every=0.3), expected)


def test_cosine_equals_torch():
    expected = torch_factors(lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS))
    numpy.testing.assert_allclose(factors(name="cosine"), expected, atol=1e-12)


@pytest.mark.parametrize("warmup", [0.1, 0.3, 0.55])
def test_one_cycle_equals_torch(warmup):
    expected = torch_factors(
        lambda o: lr_scheduler.OneCycleLR(o, 1.0, total_steps=STEPS, pct_start=warmup, cycle_momentum=False), STEPS - 1
    )
    numpy.testing.assert_allclose(factors(name="one_cycle", warmup=warmup)[:-1], expected, rtol=1e-9)
    assert factors(name="one_cycle", warmup=warmup)[-1] == pytest.approx(1 / 25 / 1e4)


def test_warmup_cosine_equals_torch_in_sequence():
    warmup = 12
    expected = torch_factors(
        lambda o: lr_scheduler.SequentialLR(
            o,
            [
                lr_scheduler.LinearLR(o, start_factor=1 / warmup, end_factor=1.0, total_iters=warmup - 1),
                lr_scheduler.CosineAnnealingLR(o, STEPS - warmup),
            ],
            milestones=[warmup],
        )
    )
    numpy.testing.assert_allclose(factors(name="warmup_cosine", warmup=0.1), expected, atol=1e-12)


def test_plateau_equals_torch():
    generator = numpy.random.default_rng(0)
    scores = numpy.concatenate([numpy.linspace(1, 0.5, 10), 0.5 + 0.01 * generator.random(40), [0.1], [0.2] * 20])
    ours = make(Schedule("plateau", factor=0.3, patience=4), STEPS, 10)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.3, patience=4, eps=0)
    for epoch, score in enumerate(scores):
        ours.observe(float(score))
        theirs.step(score)
        assert ours.factors(epoch * 10, 10) == pytest.approx([optimizer.param_groups[0]["lr"]] * 10)


@pytest.mark.parametrize("every", [2, 3, 5])
@pytest.mark.parametrize("patience", [0, 1, 3, 4, 7])
def test_a_plateaus_patience_counts_epochs_however_seldom_they_are_evaluated(every, patience):
    schedule = make(Schedule("plateau", factor=0.5, patience=patience), 100, 1)
    schedule.observe(1.0, every)
    epoch, cuts = every, []
    for _ in range(20):
        epoch += every
        before = schedule.factors(0, 1)[0]
        schedule.observe(1.0, epoch)
        if schedule.factors(0, 1)[0] < before:
            cuts.append(epoch)
    apart = every * (patience // every + 1)
    assert cuts[:2] == [every + apart, every + 2 * apart]


@pytest.mark.parametrize("optimizer", ["adam", torch.optim.Adam])
def test_a_run_that_is_evaluated_every_other_epoch_waits_as_many_epochs(optimizer):
    x = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    run = tt.fit(torch.nn.Linear(2, 1), (x, x.sum(1)), (x, x.sum(1)), lr=1e-9, optimizer=optimizer, epochs=20,
                 evaluate_every=2, schedule=Schedule("plateau", factor=0.5, patience=4))  # fmt: skip
    cut = [epoch for epoch, rate in zip(run.curves["epoch"], run.curves["learning_rate"], strict=True) if rate < 0.9e-9]
    assert cut[0] == 10  # the first was the best: after epoch 8, six epochs later, the rate fell


def test_plateau_counts_a_score_that_is_not_finite_as_no_improvement():
    schedule = make(Schedule("plateau", factor=0.5, patience=1), STEPS, 10)
    for score in (1.0, math.nan, -math.inf):
        schedule.observe(score)
    assert schedule.factors(0, 1)[0] == 0.5


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 3, 7, STEPS])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.99])
def test_factors_lie_between_0_and_1_and_never_rise_after_the_plan(name, steps, warmup):
    values = factors(steps, 3 * steps + 5, name=name, warmup=warmup)
    assert ((values >= 0) & (values <= 1)).all()
    assert (numpy.diff(values[steps - 1 :]) <= 0).all()
    assert values[0] > 0


@pytest.mark.parametrize("name", SCHEDULES)
def test_factors_of_a_part_equal_that_part_of_the_whole(name):
    schedule = make(Schedule(name), STEPS, 10)
    numpy.testing.assert_array_equal(schedule.factors(0, STEPS)[50:70], schedule.factors(50, 20))


def test_replayed_factors_last_for_an_epoch_each_and_the_last_one_stays():
    replayed = make(Schedule("plateau"), 100, 4, (1.0, 0.3, 0.09))
    replayed.observe(math.inf)
    numpy.testing.assert_array_equal(replayed.factors(2, 12), [1, 1, *[0.3] * 4, *[0.09] * 6])
