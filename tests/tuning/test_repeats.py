"""Spaces of finitely many configurations: each is proposed once, and then there are no more."""

import numpy
import pytest

from trimtab.networks.module_space import ModuleSpace, domains_of
from trimtab.networks.networks import Networks
from trimtab.tuning.ahead import Ahead, Waves
from trimtab.tuning.proposer import Proposer
from trimtab.tuning.repeats import Repeats


def space_of(**knobs):
    from torch import nn

    def network(width=4, depth=1):
        return nn.Linear(width, depth)

    return ModuleSpace(Networks(network), domains_of(knobs), {}, rows=100)


def waves_of(space, at_once=4, **options):
    return Waves(Proposer(space, seed=0), lambda values: at_once, **options)


@pytest.mark.parametrize("at_once", [1, 4, 64])
def test_every_configuration_is_proposed_once_and_then_there_are_no_more(at_once):
    space = space_of(width=[4, 8, 16, 32], depth=(1, 3), loss=["mse", "mae"])
    waves = waves_of(space, at_once)
    proposed = [waves.next(number) for number in range(25)]
    assert len({tuple(sorted(values.items())) for values in proposed if values is not None}) == 24
    assert proposed[24] is None


def test_nothing_repeats_with_a_proposer_that_works_ahead():
    ahead = Ahead(waves_of(space_of(width=[4, 8, 16], loss=["mse", "mae"])), seed=0)
    proposed = [ahead.next(number) for number in range(8)]
    ahead.close()
    assert len({tuple(sorted(values.items())) for values in proposed[:6]}) == 6
    assert proposed[6:] == [None, None]


def test_what_could_not_be_tried_may_be_proposed_again():
    waves = waves_of(space_of(width=[4, 8]))
    first = waves.next(0)
    waves.forget(0)
    assert {waves.next(1)["width"], waves.next(2)["width"]} == {4, 8} and waves.next(3) is None
    assert first["width"] in (4, 8)


def test_ranges_of_numbers_never_end():
    repeats = Repeats(domains_of({"lr": (1e-3, 1e-1, "log"), "width": [4]}))
    repeats.note({"lr": 0.01, "width": 4})
    assert not repeats.is_finite and not repeats.is_exhausted
    assert {"lr": 0.01, "width": 4} in repeats and {"lr": 0.02, "width": 4} not in repeats


def test_numbers_that_meet_at_the_ends_of_their_range_are_no_trial_of_their_own():
    waves = waves_of(space_of(lr=(1e-3, 2e-3, "log"), loss=["mse"]))
    proposed = [waves.next(number)["lr"] for number in range(40)]
    assert len(set(proposed)) == 40


@pytest.mark.parametrize("at_once", [1, 4])
def test_a_sampler_that_insists_on_the_end_of_a_range_is_not_followed(at_once, monkeypatch):
    waves = waves_of(space_of(lr=(1e-3, 1e-1, "log"), loss=["mse", "mae"]), at_once)
    real = Proposer.propose

    def insisting(self, number, structure=None, exactly=None):
        return real(self, number, structure, exactly or {"lr": 0.1, "loss": "mse"} | dict(structure or {}))

    monkeypatch.setattr(Proposer, "propose", insisting)
    proposed = [tuple(waves.next(number).items()) for number in range(12)]
    assert len(set(proposed)) == 12


def test_what_is_drawn_while_the_proposer_is_slow_is_drawn_once():
    waves = waves_of(space_of(lr=(0.01, 0.011, "log"), loss=["mse", "mae"]))
    drawn = [waves.drawn(numpy.random.default_rng(number)) for number in range(200)]
    assert len({tuple(values.items()) for values in drawn}) == 200
    assert all(values in waves.repeats for values in drawn)


def test_many_configurations_are_not_listed():
    repeats = Repeats(domains_of({"a": (1, 1000), "b": (1, 1000)}))
    assert repeats.is_finite and repeats.left(numpy.random.default_rng(0)) is None


def test_the_trials_of_a_search_are_shared_by_several_structures():
    space = space_of(width=[4, 8, 16, 32, 64, 128], lr=(1e-3, 1e-1, "log"))
    waves = waves_of(space, at_once=64, grow=True)
    widths = [waves.next(number)["width"] for number in range(30)]
    assert [len(set(widths[i : i + 2])) for i in range(0, 10, 2)] == [1] * 5 and len(set(widths[:10])) == 5
    assert [len(set(widths[i : i + 4])) for i in range(10, 30, 4)] == [1] * 5


def test_every_structure_is_opened_before_one_gets_many_trials():
    space = space_of(width=[4, 8, 16], lr=(1e-3, 1e-1, "log"))
    waves = waves_of(space, at_once=64)
    widths = [waves.next(number)["width"] for number in range(36)]
    assert [len(set(widths[i : i + 12])) for i in (0, 12, 24)] == [1] * 3 and len(set(widths)) == 3
