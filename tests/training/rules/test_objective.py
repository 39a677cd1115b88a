"""A loss function of anybody's, for all lanes at once: value and derivative of each lane are its own."""

import pytest
import torch

from trimtab.errors import LossError
from trimtab.training.config import Loss
from trimtab.training.rules.losses import LossCoefficients
from trimtab.training.rules.objective import CustomLoss

LANES, ROWS = 3, 6
_generator = torch.Generator().manual_seed(0)
OUTPUTS = torch.randn(LANES, ROWS, 2, generator=_generator)
TARGETS = torch.randn(LANES, ROWS, 2, generator=_generator)
WEIGHTS = torch.rand(LANES, ROWS, generator=_generator)


def coefficients(lanes=LANES):
    return LossCoefficients.stack([Loss()] * lanes)


def mean(output, target):
    return ((output - target) ** 2).mean()


def by_row(output, target):
    return ((output - target) ** 2).mean(1)


def not_mapped(output, target):
    return by_row(output, target) * (1 if float(output.detach().sum()) < 1e30 else 0)


def expected(outputs, targets, weights):
    outputs = outputs.clone().requires_grad_()
    values = torch.stack(
        [(by_row(o, t) * w).sum() / w.sum() for o, t, w in zip(outputs, targets, weights, strict=True)]
    )
    return values.detach(), torch.autograd.grad(values.sum(), outputs)[0]


CASES = {"averaged": mean, "given": by_row, "given, refused by vmap": not_mapped}


@pytest.mark.parametrize("lanes", [1, LANES])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("padded", [False, True])
def test_value_and_derivative_are_those_of_a_weighted_mean(case, lanes, padded):
    weights = WEIGHTS[:lanes].clone()
    if padded:
        weights[:, -2:] = 0
    loss = CustomLoss(CASES[case], case.partition(",")[0])
    value, slope = loss(OUTPUTS[:lanes], TARGETS[:lanes], weights, coefficients(lanes))
    torch.testing.assert_close((value, slope), expected(OUTPUTS[:lanes], TARGETS[:lanes], weights))


@pytest.mark.parametrize("lanes", [1, LANES])
def test_a_number_that_mixes_rows_is_taken_as_it_comes(lanes):
    loss = CustomLoss(lambda o, t: ((o - t) ** 2).mean().sqrt(), "mixed")
    assert loss.mixes_rows
    value, slope = loss(OUTPUTS[:lanes], TARGETS[:lanes], torch.ones(lanes, ROWS), coefficients(lanes))
    leaf = OUTPUTS[:lanes].clone().requires_grad_()
    roots = torch.stack([((o - t) ** 2).mean().sqrt() for o, t in zip(leaf, TARGETS, strict=False)])
    torch.testing.assert_close((value, slope), (roots.detach(), torch.autograd.grad(roots.sum(), leaf)[0]))


@pytest.mark.parametrize("lanes", [1, LANES])
@pytest.mark.parametrize("tree", [{"a": 0}, (0,)], ids=["a dict", "a tuple"])
def test_one_target_in_a_dict_or_a_tuple_is_each_lanes_own(tree, lanes):
    spec = torch.utils._pytree.tree_flatten(tree)[1]
    key = "a" if isinstance(tree, dict) else 0
    loss = CustomLoss(lambda o, t: by_row(o, t[key]), "given", spec)
    value, slope = loss(OUTPUTS[:lanes], TARGETS[:lanes], WEIGHTS[:lanes], coefficients(lanes))
    torch.testing.assert_close((value, slope), expected(OUTPUTS[:lanes], TARGETS[:lanes], WEIGHTS[:lanes]))


def test_several_outputs_and_targets_and_outputs_without_a_part_in_the_loss():
    outputs = {"value": OUTPUTS[..., :1], "scores": OUTPUTS, "codes": torch.zeros(LANES, ROWS, dtype=torch.int64)}
    tree = torch.utils._pytree.tree_flatten((0, 0))[1]
    loss = CustomLoss(lambda o, t: (o["value"][:, 0] - t[0]) ** 2 + t[1], "given", tree)
    value, slopes = loss(outputs, (TARGETS[..., 0], TARGETS[..., 1]), torch.ones(LANES, ROWS), coefficients())
    error = OUTPUTS[..., 0] - TARGETS[..., 0]
    torch.testing.assert_close(value, (error**2 + TARGETS[..., 1]).mean(1))
    torch.testing.assert_close(slopes["value"][..., 0], 2 * error / ROWS)
    assert not slopes["scores"].any() and not slopes["codes"].any()


def test_a_lane_that_is_not_finite_changes_no_neighbour():
    loss = CustomLoss(mean, "averaged")
    clean = loss(OUTPUTS, TARGETS, torch.ones(LANES, ROWS), coefficients())
    broken = OUTPUTS.clone()
    broken[1] = float("nan")
    value, slope = loss(broken, TARGETS, torch.ones(LANES, ROWS), coefficients())
    assert value[1].isnan() and torch.equal(value[[0, 2]], clean[0][[0, 2]])
    assert torch.equal(slope[[0, 2]], clean[1][[0, 2]])


def test_what_vmap_refuses_is_said_once_by_all_that_share_what_was_told(caplog):
    told = {}
    for _ in range(2):
        loss = CustomLoss(not_mapped, "given", told=told)
        loss(OUTPUTS, TARGETS, WEIGHTS, coefficients())
        assert not loss.is_mapped
    assert len(caplog.records) == 1 and "lane by lane" in caplog.text


def test_an_error_of_the_function_is_a_loss_error_that_names_it():
    def fail(output, target):
        raise ZeroDivisionError("by nothing")

    for lanes in (1, LANES):
        with pytest.raises(LossError, match="ZeroDivisionError: by nothing"):
            CustomLoss(fail, "given")(OUTPUTS[:lanes], TARGETS[:lanes], WEIGHTS[:lanes], coefficients(lanes))
