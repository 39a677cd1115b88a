"""Losses: values and derivatives equal autograd's, and no lane touches another."""

import math

import hypothesis
import numpy
import pytest
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch.nn import functional

from trimtab.training.config import Loss
from trimtab.training.rules.losses import LossCoefficients, classification_loss, logit_loss, regression_loss

REGRESSION = (
    Loss("mse"),
    Loss("mae"),
    Loss("huber", 0.7),
    Loss("log_cosh"),
    Loss("quantile", 0.2),
    Loss("huber", 3.0),
)
CLASSIFICATION = (
    Loss("cross_entropy"),
    Loss("cross_entropy", label_smoothing=0.1),
    Loss("cross_entropy", class_weights=(1.0, 2.0, 0.5, 0.0)),
    Loss("cross_entropy", label_smoothing=0.2, class_weights=(0.3, 2.0, 1.0, 4.0)),
    Loss("focal", 2.0),
    Loss("focal", 0.5, class_weights=(1.0, 2.0, 0.5, 1.0)),
)
FINITE = st.floats(-1e3, 1e3, width=32)
WEIGHTS = st.floats(0.125, 8, width=32)


def torch_regression(loss, output, target, weight):
    """One lane's loss from torch's own losses, for autograd."""
    tau = loss.parameter
    error = output - target
    values = {
        "mse": lambda: functional.mse_loss(output, target, reduction="none"),
        "mae": lambda: functional.l1_loss(output, target, reduction="none"),
        "huber": lambda: functional.huber_loss(output, target, reduction="none", delta=loss.parameter),
        "log_cosh": lambda: torch.logaddexp(error, -error) - math.log(2),
        "quantile": lambda: torch.maximum(-tau * error, (1 - tau) * error),
    }[loss.name]()
    return (values * weight[:, None]).sum() / (weight.sum() * output.shape[1])


def torch_focal(loss, logits, target, weight):
    class_weights = torch.tensor(loss.class_weights or (1.0,) * logits.shape[1], dtype=logits.dtype)
    log_p = logits.log_softmax(1).gather(1, target[:, None]).squeeze(1)
    row = weight * class_weights[target]
    return (-row * (1 - log_p.exp()) ** loss.parameter * log_p).sum() / row.sum()


def stacked(shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator), torch.rand(shape[:2], generator=generator) + 0.1


def autograd(function, output):
    leaf = output.double().clone().requires_grad_()
    value = function(leaf)
    return value.detach(), torch.autograd.grad(value, leaf)[0]


@pytest.mark.parametrize("losses", [REGRESSION, *[(loss,) for loss in REGRESSION]], ids=lambda losses: losses[-1].name)
@hypothesis.given(data=st.data())
@hypothesis.settings(max_examples=25)
def test_regression_losses_equal_autograd_of_torch(losses, data):
    shape = (len(losses), 3, 2)
    output, target = (torch.from_numpy(data.draw(arrays.arrays(numpy.float32, shape, elements=FINITE))) for _ in "ab")
    weight = torch.from_numpy(data.draw(arrays.arrays(numpy.float32, shape[:2], elements=WEIGHTS)))
    hypothesis.assume(bool(((output - target).abs() > 1e-3).all()))
    value, derivative = regression_loss(output, target, weight, LossCoefficients.stack(losses))
    for lane, loss in enumerate(losses):
        other = autograd(
            lambda leaf, i=lane, loss=loss: torch_regression(loss, leaf, target[i].double(), weight[i].double()),
            output[lane],
        )
        torch.testing.assert_close(value[lane].double(), other[0], rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(derivative[lane].double(), other[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("losses", [CLASSIFICATION[:1], CLASSIFICATION[:2], CLASSIFICATION[:4]], ids=len)
@hypothesis.given(data=st.data())
@hypothesis.settings(max_examples=25)
def test_cross_entropy_equals_torch_with_smoothing_and_class_weights(losses, data):
    shape = (len(losses), 5, 4)
    logits = torch.from_numpy(data.draw(arrays.arrays(numpy.float32, shape, elements=st.floats(-30, 30, width=32))))
    target = torch.from_numpy(data.draw(arrays.arrays(numpy.int64, shape[:2], elements=st.integers(0, 2))))
    ones = torch.ones(shape[:2])
    value, derivative = classification_loss(logits, target, ones, LossCoefficients.stack(losses, 4))
    for lane, loss in enumerate(losses):
        weights = torch.tensor(loss.class_weights, dtype=torch.float64) if loss.class_weights else None
        other = autograd(
            lambda leaf, i=lane, loss=loss, weights=weights: functional.cross_entropy(
                leaf, target[i], weight=weights, label_smoothing=loss.label_smoothing
            ),
            logits[lane],
        )
        torch.testing.assert_close(value[lane].double(), other[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(derivative[lane].double(), other[1], rtol=1e-4, atol=1e-6)


def test_row_weights_count_as_repeated_rows():
    logits, _ = stacked((len(CLASSIFICATION), 3, 4))
    target = torch.tensor([[0, 1, 2]]).repeat(len(CLASSIFICATION), 1)
    coefficients = LossCoefficients.stack(CLASSIFICATION, 4)
    weight = torch.tensor([[2.0, 1.0, 0.0]]).repeat(len(CLASSIFICATION), 1)
    value, derivative = classification_loss(logits, target, weight, coefficients)
    rows = torch.tensor([0, 0, 1])
    repeated, _ = classification_loss(logits[:, rows], target[:, rows], torch.ones_like(weight), coefficients)
    torch.testing.assert_close(value, repeated)
    assert (derivative[:, 2] == 0).all()


@pytest.mark.parametrize("loss", [Loss("focal", gamma) for gamma in (0.0, 0.5, 1.0, 2.0, 5.0)], ids=str)
def test_focal_equals_autograd_of_its_definition(loss):
    logits, weight = stacked((1, 50, 3))
    target = torch.arange(50).remainder(3)[None]
    value, derivative = classification_loss(3 * logits, target, weight, LossCoefficients.stack([loss], 3))
    other = autograd(lambda leaf: torch_focal(loss, leaf, target[0], weight[0].double()), 3 * logits[0])
    torch.testing.assert_close(value[0].double(), other[0], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(derivative[0].double(), other[1], rtol=1e-4, atol=1e-6)


def test_focal_with_gamma_0_is_cross_entropy_beside_other_gammas():
    logits, weight = stacked((3, 20, 4))
    target = torch.arange(60).remainder(4).view(3, 20)
    losses = [Loss("focal", 0.0, label_smoothing=0.1), Loss("focal", 2.0), Loss("cross_entropy", label_smoothing=0.1)]
    value, derivative = classification_loss(logits, target, weight, LossCoefficients.stack(losses, 4))
    plain = LossCoefficients.stack([Loss("cross_entropy", label_smoothing=0.1)] * 3, 4)
    expected, slope = classification_loss(logits, target, weight, plain)
    torch.testing.assert_close(value[[0, 2]], expected[[0, 2]])
    torch.testing.assert_close(derivative[[0, 2]], slope[[0, 2]])


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.0])
@pytest.mark.parametrize("distance", [40.0, 200.0, 1e4, 1e30, 3e38])
def test_focal_is_finite_where_the_model_is_certain(gamma, distance):
    """Certain and right, certain and wrong: p rounds to 1 and to 0."""
    logits = torch.tensor([[[distance, -distance], [distance, -distance]]])
    coefficients = LossCoefficients.stack([Loss("focal", gamma, label_smoothing=0.1)], 2)
    _, derivative = classification_loss(logits, torch.tensor([[0, 1]]), torch.ones(1, 2), coefficients)
    assert derivative.isfinite().all()


@pytest.mark.parametrize("loss", [loss for loss in REGRESSION if loss.name != "mse"], ids=str)
def test_an_error_of_1e25_leaves_the_derivative_finite(loss):
    output = torch.tensor([[[1e25], [-1e25], [0.5]]])
    value, derivative = regression_loss(
        output,
        torch.zeros(1, 3, 1),
        torch.ones(1, 3),
        LossCoefficients.stack(
            [
                loss,
            ]
        ),
    )
    assert value.isfinite().all()
    assert derivative.isfinite().all()
    assert derivative[0, 0] > 0 > derivative[0, 1]


def test_a_lane_without_weight_has_loss_and_derivative_0():
    output, _ = stacked((len(REGRESSION), 4, 1))
    nothing = torch.zeros(len(REGRESSION), 4)
    value, derivative = regression_loss(output, torch.zeros_like(output), nothing, LossCoefficients.stack(REGRESSION))
    assert (value == 0).all()
    assert (derivative == 0).all()
    for losses in (CLASSIFICATION, CLASSIFICATION[:2], CLASSIFICATION[:1]):
        logits, _ = stacked((len(losses), 4, 4))
        target = torch.zeros(len(losses), 4, dtype=torch.int64)
        nothing = torch.zeros(len(losses), 4)
        value, derivative = classification_loss(logits, target, nothing, LossCoefficients.stack(losses, 4))
        assert (value == 0).all()
        assert (derivative == 0).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e38])
def test_a_lane_that_is_not_finite_changes_no_bit_of_another(bad):
    regression = LossCoefficients.stack(REGRESSION)
    classification = LossCoefficients.stack(CLASSIFICATION, 4)
    output, weight = stacked((6, 5, 4))
    target, _ = stacked((6, 5, 4), seed=1)
    labels = torch.arange(30).remainder(4).view(6, 5)
    clean = (
        regression_loss(output, target, weight, regression),
        classification_loss(output, labels, weight, classification),
    )
    for lane in range(6):
        spoiled = output.clone()
        spoiled[lane] = bad
        others = [i for i in range(6) if i != lane]
        dirty = (
            regression_loss(spoiled, target, weight, regression),
            classification_loss(spoiled, labels, weight, classification),
        )
        for (value, derivative), (expected, slope) in zip(dirty, clean, strict=True):
            assert torch.equal(value[others], expected[others])
            assert torch.equal(derivative[others], slope[others])


def test_a_logit_is_binary_cross_entropy_for_any_logit():
    logits = torch.tensor([-1e4, -200.0, -3.0, 0.0, 1e-3, 5.0, 200.0, 1e4]).view(1, -1, 1).repeat(2, 2, 1)
    target = torch.tensor([0, 1]).repeat_interleave(8).repeat(2, 1)
    weight = torch.ones(2, 16)
    value, derivative = logit_loss(logits, target, weight, LossCoefficients.stack([Loss("bce")] * 2, 2))
    leaf = logits[0, :, 0].double().requires_grad_()
    expected = torch.nn.functional.binary_cross_entropy_with_logits(leaf, target[0].double())
    torch.testing.assert_close(value[0].double(), expected.detach(), rtol=1e-6, atol=0)
    torch.testing.assert_close(
        derivative[0, :, 0].double(), torch.autograd.grad(expected, leaf)[0], rtol=1e-5, atol=1e-8
    )
    assert torch.equal(derivative[0], derivative[1])


@pytest.mark.parametrize("loss", REGRESSION, ids=lambda loss: loss.name)
def test_the_bits_of_a_lanes_loss_do_not_depend_on_how_many_lanes_there_are(loss):
    generator = torch.Generator().manual_seed(0)
    for rows in range(1, 40):
        output, target = torch.randn(2, 4, rows, 1, generator=generator)
        whole = regression_loss(output, target, torch.ones(4, rows), LossCoefficients.stack([loss] * 4))
        for lanes in (1, 2, 3):
            some = output[:lanes], target[:lanes], torch.ones(lanes, rows)
            part = regression_loss(*some, LossCoefficients.stack([loss] * lanes))
            assert all(torch.equal(a[:lanes], b) for a, b in zip(whole, part, strict=True))
