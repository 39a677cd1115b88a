import dataclasses
import math

import numpy
import pytest

from made_curves import epochs, found, healthy, learning, noisy, record
from trimtab.findings import network
from trimtab.findings.finding import NotChecked


def layers(name: str, *shares: float):
    return record(learning(40), by_layer={name: numpy.tile(shares, (40, 1))})


def test_layers_that_are_dead_or_saturated_are_named():
    dead = found(network.dead_units, layers("dead_by_layer", 0.1, 0.97))
    assert dead.evidence["layer"] == 2 and dead.remedy.change == {"activation": "silu"}
    assert network.dead_units(layers("dead_by_layer", 0.1, 0.5)) is None
    assert found(network.saturated_activations, layers("saturated_by_layer", 0.9, 0.1)).evidence["layer"] == 1
    assert network.saturated_activations(layers("saturated_by_layer", 0.1, 0.1)) is None


def test_gradients_that_do_not_reach_the_first_layer():
    fading = layers("gradient_norms", 1e-6, 1e-6, 1e-4, 1e-4, 1e-2, 1e-2)
    assert found(network.vanishing_gradients, fading).evidence["ratio"] == pytest.approx(1e-4)
    assert network.vanishing_gradients(layers("gradient_norms", 0.3, 0.1, 0.2, 0.1, 0.5, 0.2)) is None
    assert network.vanishing_gradients(layers("gradient_norms", 1e-6, 1e-6, 1.0, 1.0)) is None  # two layers alone


def test_gradients_that_grow_by_powers_of_ten():
    norms = numpy.ones(40)
    norms[-2:] = 1e5
    assert found(network.exploding_gradients, record(learning(40), signals={"gradient_norm": norms}))
    assert network.exploding_gradients(record(learning(40), signals={"gradient_norm": noisy(norms[:40] ** 0)})) is None


def test_a_first_loss_far_above_that_of_a_constant():
    train, rmse = learning(40), numpy.sqrt(learning(40))
    train[0] = 7.0  # the mean over the first epoch; the validation entry is of its end
    curves = record(train, learning(40), validation_metric=rmse, greater_is_better=False, metric="rmse",
                    signals={"gradient_norm": noisy(numpy.ones(40))}, knobs={"loss": "mse"},
                    facts={"constant_error": 1.0})  # fmt: skip
    assert "7.0 times that of a constant" in found(network.exploding_gradients, curves).statement
    usual = dataclasses.replace(curves, train_loss=learning(40))
    assert network.exploding_gradients(usual) is None
    other = dataclasses.replace(curves, knobs={"loss": "huber"})  # in another unit than the metric
    assert network.exploding_gradients(other) is None


def predicted(task: str, **facts: float):
    return record(learning(40), facts=facts, task=task)


def test_an_output_that_cannot_reach_the_targets():
    rule = network.wrong_output_layer
    relu = {"lowest_prediction": 0.0, "highest_prediction": 2.0, "at_lowest": 0.4, "at_highest": 0.01,
            "truth_below": 0.45, "truth_above": 0.0, "prediction_spread": 0.6}  # fmt: skip
    assert "45 %" in found(rule, predicted("regression", **relu)).statement
    sigmoid = relu | {"lowest_prediction": -3.0, "highest_prediction": 0.999, "at_highest": 0.2, "truth_above": 0.1}
    assert found(rule, predicted("regression", **sigmoid)).evidence["bound"] == 1.0
    for near_miss in ({"lowest_prediction": -0.8}, {"at_lowest": 0.01}, {"truth_below": 0.0}):
        assert rule(predicted("regression", **(relu | near_miss))) is None
    dead = relu | {"lowest_prediction": 0.004, "highest_prediction": 0.004, "at_lowest": 1.0, "prediction_spread": 0.0}
    assert rule(predicted("regression", **dead)) is None
    assert found(rule, predicted("classification", ties=0.3, prediction_spread=0.5))
    assert rule(predicted("classification", ties=0.0)) is None


def test_softmax_twice_bounds_probabilities():
    bound = math.e / (math.e + 2)
    twice = predicted("classification", outputs=3, largest_probability=bound - 1e-4, at_largest=0.3)
    assert found(network.double_softmax, twice)
    assert network.double_softmax(predicted("classification", outputs=3, largest_probability=0.99)) is None
    assert network.double_softmax(predicted("classification", outputs=3, largest_probability=0.4)) is None
    assert network.double_softmax(healthy(task="regression")) is None


def test_gradients_that_add_up():
    growing = noisy(0.1 * epochs(40), 0.05)
    loop = record(noisy(numpy.ones(40), 0.2), signals={"gradient_norm": growing})
    assert "zero_grad" in found(network.missing_zero_grad, loop).remedy.code
    assert network.missing_zero_grad(dataclasses.replace(loop, clears_gradients=True)) is None
    steady = record(noisy(learning(40)), signals={"gradient_norm": noisy(numpy.ones(40), 0.1)})
    assert network.missing_zero_grad(steady) is None


@pytest.mark.parametrize(
    "rule",
    [network.dead_units, network.saturated_activations, network.vanishing_gradients, network.exploding_gradients,
     network.wrong_output_layer, network.missing_zero_grad, network.double_softmax],
)  # fmt: skip
def test_without_signals_nothing_is_judged(rule):
    assert isinstance(rule(healthy()), NotChecked)


def test_a_remedy_is_not_what_the_network_has_already():
    dead = dataclasses.replace(layers("dead_by_layer", 0.1, 0.97), knobs={"activation": "silu", "lr": 0.03})
    assert found(network.dead_units, dead).remedy.change == {"lr": pytest.approx(0.01)}
    norms = numpy.where(epochs(40) == 20, 1e4, 1.0)
    for knobs, bound in (({}, 1.0), ({"gradient_clip": 1.0}, 0.1), ({"gradient_clip": 0.0}, 1.0)):
        exploding = record(learning(40), signals={"gradient_norm": norms}, knobs=knobs)
        assert found(network.exploding_gradients, exploding).remedy.change == {"gradient_clip": bound}
