"""Networks that learn whom to ask: the loss by hand, what they learn, and what does not move them."""

import numpy
import pytest
import torch

from trimtab.nets.mlp import MLP
from trimtab.training.data import Fold, TrainingData
from trimtab.training.nca import Course, NeighbourhoodComponents
from trimtab.training.programs.mlp_program import MLPProgram
from trimtab.training.randomness import initialised

ROWS, COLUMNS = 240, 6
COURSE = Course(120, lr=0.05)


def module(outputs=1):
    return MLP(
        continuous=COLUMNS, numbers=COLUMNS, cardinalities=(), outputs=outputs, width=8, depth=1, activation="silu",
        inputs="scaled",
    )  # fmt: skip


def data(kind="numbers", weights=None, seed=0):
    """What a row is worth jumps along the first column; the others say nothing."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(ROWS, COLUMNS, generator=generator)
    level = (4 * x[:, 0]).sin()
    is_numbers = kind == "numbers"
    every = torch.arange(ROWS)
    return TrainingData(
        task="regression" if is_numbers else "classification",
        inputs=(x, torch.zeros(ROWS, 0, dtype=torch.int64)),
        targets=level.unsqueeze(1) if is_numbers else (level > 0).long(),
        weights=torch.ones(ROWS) if weights is None else weights,
        folds=(Fold(every, every[:0]),),
        outputs=1 if is_numbers else 2,
        mean=torch.zeros(1 if is_numbers else 2),
        scale=torch.ones(1 if is_numbers else 2),
    )


def learning(material, course=COURSE, networks=1, seed=1, rows=None):
    outputs = material.outputs
    program = MLPProgram(initialised(lambda: module(outputs), 0))
    start = torch.stack([
        program.layout.flatten(dict(initialised(lambda: module(outputs), place).named_parameters()))
        for place in range(networks)
    ])  # fmt: skip
    rows = [torch.arange(ROWS)[place::2] for place in range(networks)] if rows is None else rows
    return NeighbourhoodComponents(program, start, material, rows, course, seed=seed)


def by_hand(one, material, rows):
    """The loss of the first network on these rows: those in front are predicted by those behind them."""
    hidden = one.program.last_hidden(one.program.layout.views(one.parameters[:1]), material.gather(rows[:1]))[0]
    hidden, reach, told = hidden.double().numpy(), one.reaches[0], one.predicted
    own = rows[0].numpy()
    weights = material.weights[rows[0]].double().numpy()
    is_classes = material.task == "classification"
    targets = numpy.eye(2)[material.targets[rows[0]].numpy()] if is_classes else material.targets[rows[0]].numpy()
    errors = []
    for place in range(told):
        shares = weights[told:] * numpy.exp(-numpy.linalg.norm(hidden[told:] - hidden[place], axis=1) / reach)
        said = shares @ targets[told:] / shares.sum()
        errors.append(-numpy.log(said @ targets[place]) if is_classes else ((said - targets[place]) ** 2).mean())
    assert len(set(own)) == len(own), "nobody is asked about itself"
    return numpy.average(errors, weights=weights[:told])


@pytest.mark.parametrize("kind", ["numbers", "classes"])
def test_the_loss_is_that_of_the_weighted_mean_of_others(kind):
    weights = torch.linspace(0.5, 2.0, ROWS)
    material = data(kind, weights)
    one = learning(material, rows=[torch.arange(ROWS)])
    for _ in range(5):
        one.step()
    rows = torch.randperm(ROWS, generator=torch.Generator().manual_seed(0))[: one.rows_of_a_step].unsqueeze(0)
    assert float(one._loss(rows).detach()) == pytest.approx(by_hand(one, material, rows), rel=1e-4)


@pytest.mark.parametrize("kind", ["numbers", "classes"])
def test_it_learns_which_rows_to_ask(kind):
    material = data(kind)
    one = learning(material, rows=[torch.arange(ROWS)])
    rows = torch.stack([torch.randperm(ROWS, generator=torch.Generator().manual_seed(i)) for i in range(8)])

    def error():
        with torch.no_grad():
            return float(numpy.mean([float(one._loss(each[None, : one.rows_of_a_step])) for each in rows]))

    before = error()
    for _ in range(COURSE.steps):
        one.step()
    assert error() < 0.5 * before
    # The column that decides is what rows are compared by.
    scale = one.program.layout.views(one.parameters)["hidden.0.weight"][0].norm(dim=0)
    assert scale.argmax() == 0


def test_equal_seeds_learn_the_same_whoever_learns_beside_and_the_callers_numbers_stay():
    material, before = data(), torch.random.get_rng_state()
    course = Course(6, dropout=0.2, weight_decay=0.5)
    both, alone = learning(material, course, networks=2), learning(material, course, rows=[torch.arange(ROWS)[::2]])
    again, other = learning(material, course, networks=2), learning(material, course, networks=2, seed=2)
    for _ in range(6):
        for each in (both, alone, again, other):
            each.step()
    assert torch.equal(both.parameters, again.parameters) and both.reaches == again.reaches
    torch.testing.assert_close(alone.parameters[0], both.parameters[0], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(other.parameters, both.parameters, atol=1e-4)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_rows_that_count_for_nothing_teach_nothing():
    weights = (torch.arange(ROWS) % 3 > 0).float()
    known, changed = data(weights=weights), data(weights=weights)
    changed.targets[::3] += 100.0
    one, other = learning(known), learning(changed)
    for _ in range(4):
        one.step()
        other.step()
    assert torch.equal(one.parameters, other.parameters)


def test_some_are_predicted_by_some_of_the_others():
    material, every = data(), [torch.arange(ROWS)]
    assert (learning(material, Course(1), rows=every).predicted, learning(material, Course(1), rows=every).asked) == (
        60,
        180,
    )
    assert learning(material, Course(1, share_asked=0.5), rows=every).asked == 120
    assert learning(material, Course(1, asked=10), rows=every).rows_of_a_step == 70
    pair = learning(material, Course(2), rows=[torch.arange(2)])
    pair.step()
    assert bool(pair.parameters.isfinite().all())
    with pytest.raises(ValueError, match="two rows"):
        learning(material, Course(1), rows=[torch.arange(1)])
