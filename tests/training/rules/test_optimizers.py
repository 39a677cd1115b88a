"""Optimizers: parity with torch.optim, Lion with its paper, and lanes that never touch each other."""

import pytest
import torch

from trimtab.knobs.table import OPTIMIZERS
from trimtab.training.config import Config, Group, Optimizer
from trimtab.training.rules.groups import GroupCoefficients
from trimtab.training.rules.update import OptimizerCoefficients, StepRates, UpdateRule, step_rates

SIZE = 57
STEPS = 100
DECAY = 0.05
PAIRS = {
    "gd": (Optimizer("gd", 0.01, weight_decay=DECAY), lambda p: torch.optim.SGD(p, 0.01, weight_decay=DECAY)),
    "sgd": (Optimizer("sgd", 0.01), lambda p: torch.optim.SGD(p, 0.01)),
    "momentum": (
        Optimizer("momentum", 0.01, momentum=0.8, weight_decay=DECAY),
        lambda p: torch.optim.SGD(p, 0.01, momentum=0.8, weight_decay=DECAY),
    ),
    "nesterov": (
        Optimizer("nesterov", 0.01, momentum=0.9, weight_decay=DECAY),
        lambda p: torch.optim.SGD(p, 0.01, momentum=0.9, nesterov=True, weight_decay=DECAY),
    ),
    "adagrad": (
        Optimizer("adagrad", 0.05, epsilon=1e-10, weight_decay=DECAY),
        lambda p: torch.optim.Adagrad(p, 0.05, eps=1e-10, weight_decay=DECAY),
    ),
    "rmsprop": (
        Optimizer("rmsprop", 0.002, second_decay=0.99, weight_decay=DECAY),
        lambda p: torch.optim.RMSprop(p, 0.002, alpha=0.99, weight_decay=DECAY),
    ),
    "adam": (Optimizer("adam", 0.003, weight_decay=DECAY), lambda p: torch.optim.Adam(p, 0.003, weight_decay=DECAY)),
    "adam without momentum": (
        Optimizer("adam", 0.003, momentum=0.0, second_decay=0.95, epsilon=1e-3),
        lambda p: torch.optim.Adam(p, 0.003, betas=(0.0, 0.95), eps=1e-3),
    ),
    "adamw": (
        Optimizer("adamw", 0.003, weight_decay=DECAY),
        lambda p: torch.optim.AdamW(p, 0.003, weight_decay=DECAY),
    ),
}


class PlainLion(torch.optim.Optimizer):
    """Algorithm 2 of Chen et al. (2023), arXiv:2302.06675."""

    def __init__(self, parameters, lr, betas, weight_decay):
        super().__init__(parameters, {"lr": lr})
        self.betas, self.weight_decay = betas, weight_decay

    @torch.no_grad()
    def step(self, closure=None):
        for p in self.param_groups[0]["params"]:
            m = self.state[p].setdefault("m", torch.zeros_like(p))
            c = self.betas[0] * m + (1 - self.betas[0]) * p.grad
            p -= self.param_groups[0]["lr"] * (c.sign() + self.weight_decay * p)
            m.copy_(self.betas[1] * m + (1 - self.betas[1]) * p.grad)


PAIRS["lion"] = (
    Optimizer("lion", 0.001, momentum=0.9, second_decay=0.99, weight_decay=DECAY),
    lambda p: PlainLion(p, 0.001, (0.9, 0.99), DECAY),
)


PAIRS_WITH_RATES = {
    "sgd": torch.optim.SGD,
    "momentum": lambda groups: torch.optim.SGD(groups, momentum=0.9),
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}


def start(lanes):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(lanes, SIZE, generator=generator), torch.randn(STEPS, lanes, SIZE, generator=generator)


def rates_at(coefficients, step, learning_rate) -> StepRates:
    return StepRates.of(step_rates(coefficients, step.unsqueeze(1), learning_rate.unsqueeze(1))[:, 0])


def rates_of(optimizers):
    return torch.tensor([optimizer.learning_rate for optimizer in optimizers])


def trained(optimizers, parameters, gradients, *, rates=None, groups=None):
    """Parameters and both moments after the steps in `gradients`."""
    state = [parameters.clone(), torch.zeros_like(parameters), torch.zeros_like(parameters)]
    rule, coefficients = UpdateRule(), OptimizerCoefficients.stack(optimizers)
    step = torch.zeros(len(optimizers), dtype=torch.int64)
    rates = rates_of(optimizers) if rates is None else rates
    for gradient in gradients:
        step += 1
        rule.update(state[0], gradient, state[1], state[2], coefficients, rates_at(coefficients, step, rates), groups)
    return state


def torch_trained(make_optimizer, parameters, gradients):
    parameter = torch.nn.Parameter(parameters.clone())
    optimizer = make_optimizer([parameter])
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
    return parameter.detach()


@pytest.mark.parametrize("name", PAIRS)
def test_100_steps_equal_torch(name):
    ours, theirs = PAIRS[name]
    parameters, gradients = start(2)
    result = trained([ours, ours], parameters, gradients)[0]
    torch.testing.assert_close(result, torch_trained(theirs, parameters, gradients), rtol=1e-4, atol=1e-5)


def test_every_rule_in_one_population_equals_torch():
    parameters, gradients = start(len(PAIRS))
    result = trained([ours for ours, _ in PAIRS.values()], parameters, gradients)[0]
    for lane, (_, theirs) in enumerate(PAIRS.values()):
        expected = torch_trained(theirs, parameters[lane], gradients[:, lane])
        torch.testing.assert_close(result[lane], expected, rtol=1e-4, atol=1e-5)


def test_adam_and_gradients_that_follow_the_parameters():
    """A quadratic valley, so that an error of the rule would feed back."""
    parameters, _ = start(1)
    curvature = torch.linspace(0.1, 3, SIZE)
    optimizer = Optimizer("adam", 0.05)
    rule, coefficients = UpdateRule(), OptimizerCoefficients.stack([optimizer])
    ours, first, second = parameters.clone(), torch.zeros(1, SIZE), torch.zeros(1, SIZE)
    theirs = torch.nn.Parameter(parameters.clone())
    reference = torch.optim.Adam([theirs], 0.05)
    for step in range(1, STEPS + 1):
        rates = rates_at(coefficients, torch.tensor([step]), torch.tensor([0.05]))
        rule.update(ours, curvature * ours, first, second, coefficients, rates)
        theirs.grad = curvature * theirs.detach()
        reference.step()
    torch.testing.assert_close(ours, theirs.detach(), rtol=1e-4, atol=1e-5)


MIXED = [Optimizer(name, 0.01, weight_decay=0.01 * (i % 2)) for i, name in enumerate(OPTIMIZERS)]


@pytest.mark.parametrize("spoil", ["gradient nan", "gradient inf", "gradient 1e30", "rate 1e30"])
@pytest.mark.parametrize("lane", range(len(MIXED)))
def test_a_lane_that_breaks_changes_no_bit_of_another(spoil, lane):
    parameters, gradients = start(len(MIXED))
    gradients = gradients[:5]
    clean = trained(MIXED, parameters, gradients)
    rates = rates_of(MIXED)
    if spoil == "rate 1e30":
        rates[lane] = 1e30
    else:
        gradients = gradients.clone()
        gradients[1:, lane] = float(spoil.split()[1])
    dirty = trained(MIXED, parameters, gradients, rates=rates)
    others = [i for i in range(len(MIXED)) if i != lane]
    for tensor, expected in zip(dirty, clean, strict=True):
        assert torch.equal(tensor[others], expected[others])


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "adamw"])
def test_groups_have_their_own_rate_and_decay_as_in_torch(name):
    parameters, gradients = start(1)
    ours, theirs = Optimizer(name, 0.01, weight_decay=0.1), PAIRS_WITH_RATES[name]
    config = Config(optimizer=ours, groups=(Group("*.bias", rate=0.5, decay=0.0), Group("slow.*", rate=0.1)))
    names, sizes = ("slow.weight", "fast.weight", "fast.bias"), (20, 30, 7)
    groups = GroupCoefficients.stack([config], names).over_flat(sizes)
    result = trained([ours], parameters, gradients[:50], groups=groups)[0][0]
    pieces = [torch.nn.Parameter(piece.clone()) for piece in parameters[0].split(sizes)]
    rates, decays = (0.001, 0.01, 0.005), (0.1, 0.1, 0.0)
    optimizer = theirs(
        [{"params": [p], "lr": lr, "weight_decay": wd} for p, lr, wd in zip(pieces, rates, decays, strict=True)]
    )
    for gradient in gradients[:50, 0]:
        for piece, part in zip(pieces, gradient.split(sizes), strict=True):
            piece.grad = part.clone()
        optimizer.step()
    torch.testing.assert_close(result, torch.cat([p.detach() for p in pieces]), rtol=1e-4, atol=1e-5)


def test_lanes_may_be_at_different_steps():
    parameters, gradients = start(2)
    optimizers = [Optimizer("adam", 0.01), Optimizer("adagrad", 0.01)]
    together = trained(optimizers, parameters, gradients[:6])
    state = trained([optimizers[0]], parameters[:1], gradients[:4, :1])
    state = [
        torch.cat([part, whole]) for part, whole in zip(state, (parameters[1:], *torch.zeros(2, 1, SIZE)), strict=True)
    ]
    rule, coefficients = UpdateRule(), OptimizerCoefficients.stack(optimizers)
    for late, early in ((4, 0), (5, 1)):
        gradient = torch.stack([gradients[late, 0], gradients[early, 1]])
        step = torch.tensor([late + 1, early + 1])
        rule.update(
            state[0], gradient, state[1], state[2], coefficients, rates_at(coefficients, step, rates_of(optimizers))
        )
    torch.testing.assert_close(state[0][0], together[0][0])
    torch.testing.assert_close(state[0][1], trained(optimizers[1:], parameters[1:], gradients[:2, 1:])[0][0])


def test_a_rate_of_0_moves_nothing():
    parameters, gradients = start(len(MIXED))
    assert torch.equal(trained(MIXED, parameters, gradients[:3], rates=torch.zeros(len(MIXED)))[0], parameters)


def test_the_gradient_is_only_read():
    parameters, gradients = start(len(MIXED))
    kept = gradients.clone()
    trained(MIXED, parameters, gradients)
    assert torch.equal(gradients, kept)


def test_one_rule_serves_populations_of_any_size():
    rule = UpdateRule()
    for lanes, size in ((2, 8), (5, 30), (1, 3)):
        parameters, gradient = torch.ones(2, lanes, size)
        first, second = torch.zeros(2, lanes, size)
        coefficients = OptimizerCoefficients.stack([Optimizer("adam", 0.5)] * lanes)
        steps = torch.ones(lanes, dtype=torch.int64)
        rule.update(
            parameters, gradient, first, second, coefficients, rates_at(coefficients, steps, torch.full((lanes,), 0.5))
        )
        torch.testing.assert_close(parameters, torch.full((lanes, size), 0.5))


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov", "lion"])
def test_a_gradient_whose_square_overflows_does_not_hurt_a_rule_without_squares(name):
    """Beside a lane of Adam, which needs them."""
    optimizers = [Optimizer(name, 1e-9), Optimizer("adam", 1e-3)]
    parameters, gradients = start(2)
    gradients = gradients[:5] * torch.tensor([1e25, 1.0]).view(1, 2, 1)
    beside = trained(optimizers, parameters, gradients)[0]
    alone = trained(optimizers[:1], parameters[:1], gradients[:, :1])[0]
    assert beside.isfinite().all()
    torch.testing.assert_close(beside[:1], alone)
