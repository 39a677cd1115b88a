"""What is found in rows of one's own before training: by tt.fit, tt.sweep and tt.tune, and what is not looked at."""

import json

import numpy
import pytest
import torch
from torch import nn

import trimtab as tt
from trimtab.networks.found_in_rows import CHECKED
from trimtab.training.randomness import initialised

ROWS = 120
_generator = numpy.random.default_rng(0)
X = _generator.normal(size=(ROWS, 3)).astype(numpy.float32)
Y = X[:, :1] + 0.1 * _generator.normal(size=(ROWS, 1)).astype(numpy.float32)
WIDE = X * numpy.float32([1, 1, 1e4])


class Scaling(nn.Module):
    """A network that brings inputs and outputs to size itself."""

    def __init__(self, mean=0.0, scale=1.0, inputs=(1.0, 1.0, 1.0)):
        super().__init__()
        self.line, self.mean, self.scale = nn.Linear(3, 1), mean, scale
        self.register_buffer("inputs", torch.tensor(inputs))

    def forward(self, x):
        return self.mean + self.scale * self.line(x / self.inputs)


def net(outputs=1):
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, outputs))


def found(module, train, valid=0.25, **knobs):
    return {each.id: each for each in tt.fit(module, train, valid, epochs=1, **knobs).found_in_rows}


def test_rows_that_are_as_they_should_be_have_no_findings():
    run = tt.fit(initialised(net, 0), (X, Y), 0.25, epochs=1)
    assert not run.found_in_rows.found and len(run.found_in_rows.healthy) == 3
    assert set(run.found_in_rows.healthy) <= set(run.findings.healthy)


@pytest.mark.parametrize(("module", "train", "ids"), [
    (net, (WIDE, Y), {"unscaled_inputs"}),
    (net, (X, 1000 + Y), {"unscaled_target"}),
    (lambda: nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1)), (WIDE, Y), set()),
    (lambda: Scaling(inputs=(1.0, 1.0, 1e4)), (WIDE, Y), set()),
    (lambda: Scaling(mean=1000.0), (X, 1000 + Y), set()),
    (lambda: Scaling(scale=1e4), (X, 1e4 * Y), set()),
    (net, (numpy.concatenate([X] * 2), numpy.concatenate([Y] * 2)), {"duplicate_rows"}),
    (lambda: net(2), (X, numpy.arange(ROWS) % 40 // 39), {"class_imbalance"}),
])  # fmt: skip
def test_what_is_wrong_is_told_where_the_network_does_not_mend_it(module, train, ids):
    assert set(found(initialised(module, 0), train)) == ids


def test_inputs_that_were_scaled_by_their_range_or_are_one_hot_are_scaled():
    kinds = numpy.eye(60, dtype=numpy.float32)[_generator.integers(0, 60, ROWS)]
    share = _generator.random((ROWS, 2)).astype(numpy.float32)
    rows = numpy.concatenate([X, share, kinds], 1)
    assert "unscaled_inputs" not in found(nn.Linear(65, 1), (rows, Y))


def test_row_numbers_are_those_of_what_was_given():
    twice = numpy.concatenate([X, X[:30]]), numpy.concatenate([Y, Y[:30]])
    rows = found(initialised(net, 0), twice)["duplicate_rows"].evidence["rows"]
    assert all(row < 30 or row >= ROWS for row in rows)
    apart = found(initialised(net, 0), (X, Y), (X[:7], Y[:7]))["duplicate_rows"].evidence["rows"]
    assert apart == list(range(7))


@pytest.mark.parametrize(("module", "train", "knobs", "why"), [
    (lambda: nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(8, 1)),
     (numpy.arange(2 * ROWS).reshape(-1, 2) % 5, Y), {}, "no table of numbers"),
    (lambda: nn.Sequential(nn.Flatten(), nn.Linear(3, 1)), (X.reshape(ROWS, 3, 1), Y), {}, "no table of numbers"),
    (net, (X, Y), {"loss": lambda output, target: ((output - target) ** 2).mean()}, "a loss of your own"),
    (lambda: nn.Linear(600, 1), (numpy.zeros((ROWS, 600), numpy.float32), Y), {}, "600 columns are too many"),
])  # fmt: skip
def test_what_is_not_looked_at_is_said(module, train, knobs, why):
    run = tt.fit(initialised(module, 0), train, 0.25, epochs=1, **knobs)
    assert {each.id for each in run.found_in_rows.not_checked} == set(CHECKED)
    assert why in run.found_in_rows.not_checked[0].why and not run.found_in_rows.healthy


def test_batches_that_are_read_anew_are_not_looked_at():
    class Batches(torch.utils.data.IterableDataset):
        def __iter__(self):
            yield from zip(torch.from_numpy(X), torch.from_numpy(Y), strict=True)

    loader = torch.utils.data.DataLoader(Batches(), batch_size=20)
    run = tt.fit(initialised(net, 0), loader, (X, Y), epochs=1)
    assert "anew in every epoch" in run.findings.not_checked[-1].why


def test_findings_are_told_before_training_and_stand_in_the_run_and_in_every_run_of_a_sweep():
    heard = []

    class Hears(tt.Listener):
        def findings(self, findings):
            heard.append([each.id for each in findings])

        def started(self, run, config):
            heard.append(run)

    run = tt.fit(initialised(net, 0), (WIDE, Y), 0.25, epochs=6, callbacks=[Hears()])
    assert heard == [["unscaled_inputs"], "run"]
    assert "unscaled_inputs" in {each.id for each in run.findings}
    sweep = tt.sweep(initialised(net, 0), (WIDE, Y), 0.25, lr=[1e-3, 1e-2], epochs=2, seeds=1)
    assert "unscaled_inputs" in {each.id for each in sweep.findings}


def test_a_study_of_networks_has_them_too(tmp_path):
    heard = []

    class Hears(tt.Listener):
        def findings(self, findings):
            heard.append([each.id for each in findings])

    study = tt.tune(
        net, data=(WIDE, Y), space={"lr": [1e-3, 1e-2]}, epochs=6, trials=2, out=tmp_path / "study",
        listeners=[Hears()], counterfactuals=0,
    )  # fmt: skip
    assert heard == [["unscaled_inputs"]]
    assert "unscaled_inputs" in {each.id for each in study.findings}
    written = json.loads((study.out / "findings.json").read_text())["findings"]
    assert [each["id"] for each in written] == [each.id for each in tt.load(study.out).findings]
