"""tt.fit: the same as a careful plain loop, from whatever the data come in, and the caller's things left alone."""

import copy
import functools
import logging
import random
import subprocess
import sys
import threading

import numpy
import pandas
import polars
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss
from torch.utils.data import DataLoader, Dataset, TensorDataset

import trimtab as tt
from trimtab.findings.finding import Findings
from trimtab.training.randomness import initialised, number_from, row_order

ROWS, HELD = 60, 24
_generator = numpy.random.default_rng(0)
X = _generator.normal(size=(ROWS + HELD, 3)).astype(numpy.float32)
Y = (X @ numpy.array([1.0, 2.0, -1.0], numpy.float32) + 0.3 * _generator.normal(size=len(X))).astype(numpy.float32)
LABELS = (Y > 0).astype(numpy.int64) + (Y > 1)
TRAIN, VALID = (X[:ROWS], Y[:ROWS]), (X[ROWS:], Y[ROWS:])
TRAIN_LABELS, VALID_LABELS = (X[:ROWS], LABELS[:ROWS]), (X[ROWS:], LABELS[ROWS:])


def net(outputs=1, width=8):
    return nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, outputs))


def fit(module=None, train=TRAIN, valid=VALID, **options):
    """A short fit; without a module, of a network that is the same each time."""
    module = initialised(net, 0) if module is None else module
    return tt.fit(module, train, valid, **{"epochs": 3, "lr": 0.02, **options})


def weights(run_or_module):
    module = getattr(run_or_module, "module", run_or_module)
    return torch.cat([value.detach().double().flatten() for value in module.state_dict().values()])


def assert_same_run(one, other):
    """To the bit."""
    assert torch.equal(weights(one), weights(other))
    assert one.curves.equals(other.curves, null_equal=True)
    assert (one.best_epoch, one.epochs, one.ended) == (other.best_epoch, other.epochs, other.ended)


def plain_loop(
    module, make_optimizer, *, epochs, batch, loss=mse_loss, patience=None, seed=0, train=TRAIN, valid=VALID
):
    """What a careful user would write: validation losses by epoch, and the module with the best epoch's weights."""
    (x, y), (xv, yv) = ((torch.from_numpy(a), torch.from_numpy(b)) for a, b in (train, valid))
    if y.is_floating_point():
        y, yv = y[:, None], yv[:, None]
    module = copy.deepcopy(module)
    optimizer = make_optimizer(module.parameters())
    losses, best = [], None
    for epoch in range(epochs):
        module.train()
        for rows in torch.from_numpy(row_order(len(x), seed=seed, fold=0, epoch=epoch)).split(batch or len(x)):
            optimizer.zero_grad()
            loss(module(x[rows]), y[rows]).backward()
            optimizer.step()
        module.eval()
        with torch.no_grad():
            losses.append(float(loss(module(xv), yv)))
        if losses[-1] == min(losses):
            best = copy.deepcopy(module.state_dict())
        if patience and epoch - int(numpy.argmin(losses)) >= patience:
            break
    module.load_state_dict(best)
    return module, losses


# -- the same as a plain loop

OPTIMIZERS = {
    "adam": lambda p: torch.optim.Adam(p, lr=0.02),
    "sgd": lambda p: torch.optim.SGD(p, lr=0.02),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9),
}


@pytest.mark.parametrize("stop", [None, 2])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_fit_is_a_plain_loop_over_the_same_batches(optimizer, stop):
    module = initialised(lambda: net(width=24), 3)
    # Few rows to learn from and a high rate: the best epoch comes before the last.
    train, lr = (X[:20], Y[:20]), 0.1 if optimizer == "adam" else 0.02
    make = {**OPTIMIZERS, "adam": lambda p: torch.optim.Adam(p, lr=0.1)}[optimizer]
    run = fit(module, train, optimizer=optimizer, lr=lr, batch_size=8, epochs=25, stop=stop)
    expected, losses = plain_loop(module, make, epochs=25, batch=8, patience=stop, train=train)
    numpy.testing.assert_allclose(run.curves["validation_loss"], losses, rtol=1e-4)
    torch.testing.assert_close(weights(run), weights(expected), rtol=1e-4, atol=1e-6)
    assert run.best_epoch == int(numpy.argmin(losses)) + 1
    assert run.ended == ("stopped early" if stop and len(losses) < 25 else "all epochs")
    assert run.epochs == len(losses)


def test_early_stopping_was_seen_to_stop():
    run = fit(initialised(lambda: net(width=24), 3), (X[:20], Y[:20]), lr=0.1, batch_size=8, epochs=25, stop=2)
    assert run.ended == "stopped early" and run.epochs < 25 and run.best_epoch == run.epochs - 2


@pytest.mark.parametrize("batch_size", [0, 1000, 7])
def test_all_rows_more_rows_than_there_are_and_a_short_last_batch(batch_size):
    module = initialised(net, 1)
    run = fit(module, batch_size=batch_size, optimizer="sgd", lr=0.05, epochs=4)
    expected, losses = plain_loop(module, lambda p: torch.optim.SGD(p, lr=0.05), epochs=4, batch=batch_size)
    torch.testing.assert_close(weights(run), weights(expected), rtol=1e-4, atol=1e-6)
    if batch_size != 7:
        descent = fit(module, optimizer="gd", lr=0.05, epochs=4)
        torch.testing.assert_close(weights(descent), weights(run))
    assert run.curves["learning_rate"].to_list() == [0.05] * 4
    assert run.score == pytest.approx(min(losses), rel=1e-4)


def test_classes_are_learnt_as_a_plain_loop_learns_them():
    module = initialised(lambda: net(3), 2)
    run = fit(module, TRAIN_LABELS, VALID_LABELS, epochs=5, batch_size=16)
    both = {"train": TRAIN_LABELS, "valid": VALID_LABELS}
    expected, losses = plain_loop(
        module, lambda p: torch.optim.Adam(p, lr=0.02), epochs=5, batch=16, loss=cross_entropy, **both
    )
    torch.testing.assert_close(weights(run), weights(expected), rtol=1e-4, atol=1e-6)
    assert run.task == "classification" and run.metric is None
    assert run.score == pytest.approx(min(losses), rel=1e-4)


def test_batch_norm_is_trained_with_its_running_means_and_leaves_out_a_short_last_batch():
    make = lambda: nn.Sequential(nn.Linear(3, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))  # noqa: E731
    module = initialised(make, 0)
    run = fit(module, (X[:48], Y[:48]), batch_size=16, epochs=4, optimizer="sgd", lr=0.05)
    sgd = lambda p: torch.optim.SGD(p, lr=0.05)  # noqa: E731
    expected, _ = plain_loop(module, sgd, epochs=4, batch=16, train=(X[:48], Y[:48]))
    torch.testing.assert_close(weights(run), weights(expected), rtol=1e-4, atol=1e-5)
    short = fit(module, (X[:50], Y[:50]), batch_size=16, epochs=2)
    assert int(short.module[1].num_batches_tracked) == 3 * short.best_epoch


def test_evaluating_every_third_epoch_changes_what_is_noted_and_nothing_else():
    module = initialised(net, 0)
    each, third = (fit(module, epochs=8, evaluate_every=n) for n in (1, 3))
    assert third.curves["epoch"].to_list() == [3, 6, 8]
    for epoch in (3, 6, 8):
        numbers = [run.curves.filter(polars.col("epoch") == epoch)["validation_loss"][0] for run in (each, third)]
        assert numbers[0] == numbers[1]


def test_one_epoch_two_rows_and_one_row_to_judge_by():
    run = fit(train=(X[:2], Y[:2]), valid=(X[:1], Y[:1]), epochs=1)
    assert (run.epochs, run.best_epoch, run.ended, len(run.curves)) == (1, 1, "all epochs", 1)
    assert fit(train=(X[:2], Y[:2]), valid=0.5, epochs=2).epochs == 2
    own = fit(train=(X[:1], Y[:1]), valid=None, epochs=2)
    assert own.curves["train_metric"].to_list() == own.curves["validation_metric"].to_list()


# -- from whatever the data come in


class Items(Dataset):
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


def forms(x, y):
    tensors = torch.from_numpy(x), torch.from_numpy(y)
    frame = pandas.DataFrame(x, columns=list("abc"))
    return {
        "tensors": tensors,
        "a column of targets": (x, y[:, None]),
        "lists": (x.tolist(), y.tolist()),
        "float64": (x.astype(numpy.float64), y.astype(numpy.float64)),
        "big-endian": (x.astype(">f4"), y.astype(">f8")),
        "gradients asked for": (tensors[0].clone().requires_grad_(), tensors[1]),
        "pandas": (frame, pandas.Series(y)),
        "pandas, other index": (frame.set_index(frame.index[::-1]), pandas.DataFrame({"y": y})),
        "polars": (polars.from_pandas(frame), polars.Series(y)),
        "lazy polars": (polars.from_pandas(frame).lazy(), polars.DataFrame({"y": y})),
        "weights": (x, y, numpy.full(len(y), 2.0)),
        "a tuple of one input": ((x,), y),
        "a list of both": [x, y],
        "TensorDataset": TensorDataset(*tensors),
        "Dataset": Items(*tensors),
        "Dataset of numpy": Items(x, y),
        "DataLoader": DataLoader(TensorDataset(*tensors), batch_size=16, shuffle=True),
        "DataLoader of a Dataset": DataLoader(Items(x, y), batch_size=16),
    }


FORMS = list(forms(*TRAIN))
_as_arrays = functools.cache(lambda: fit(batch_size=16))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_same_numbers_trains_the_same(form):
    assert_same_run(fit(train=forms(*TRAIN)[form], valid=forms(*VALID)[form], batch_size=16), _as_arrays())


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32",
              "float64", "longdouble"],
)  # fmt: skip
def test_numbers_of_every_width_are_inputs_targets_labels_and_weights(dtype):
    x, labels = (X[:ROWS] > 0).astype(dtype), (LABELS[:ROWS] > 0).astype(dtype)
    of_numbers, of_classes = _of_zeros_and_ones()
    assert_same_run(fit(train=(x, labels[:, None], numpy.ones(ROWS, dtype)), valid=None, epochs=2), of_numbers)
    named = fit(initialised(lambda: net(2), 0), (X[:ROWS], labels), None, loss="cross_entropy", epochs=2)
    assert_same_run(named, of_classes)
    if numpy.dtype(dtype).kind != "f":
        assert fit(net(2), (X[:ROWS], labels), None, epochs=1).task == "classification"


@functools.cache
def _of_zeros_and_ones():
    x, labels = (X[:ROWS] > 0).astype(numpy.float32), (LABELS[:ROWS] > 0).astype(numpy.int64)
    numbers = fit(train=(x, labels.astype(numpy.float32)), valid=None, epochs=2)
    return numbers, fit(initialised(lambda: net(2), 0), (X[:ROWS], labels), None, epochs=2)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "uint16", "int16", "int32", "int64"])
def test_whole_numbers_of_every_width_reach_an_embedding(dtype):
    codes = (X[:ROWS, :2] > 0).astype(dtype)
    module = initialised(lambda: nn.Sequential(nn.Embedding(2, 4), nn.Flatten(), nn.Linear(8, 1)), 0)
    assert fit(module, (codes, Y[:ROWS]), None).score < 10


class Joined(nn.Module):
    """Reads floats and codes, gives two outputs."""

    def __init__(self):
        super().__init__()
        self.table, self.left, self.right = nn.Embedding(3, 4), nn.Linear(7, 1), nn.Linear(7, 3)

    def forward(self, x, codes):
        both = torch.cat([x, self.table(codes)], dim=1)
        return self.left(both)[:, 0], self.right(both)


def joint_loss(outputs, targets):
    value, scores = outputs
    number, label = targets if isinstance(targets, tuple) else (targets["number"], targets["label"])
    return (value - number) ** 2 + cross_entropy(scores, label, reduction="none")


def test_tuples_and_dicts_of_inputs_and_of_targets_with_several_outputs():
    module = initialised(Joined, 0)
    y, yv = {"number": Y[:ROWS], "label": LABELS[:ROWS]}, {"label": LABELS[ROWS:], "number": Y[ROWS:]}
    x, xv = {"x": X[:ROWS], "codes": LABELS[:ROWS]}, {"codes": LABELS[ROWS:], "x": X[ROWS:]}
    by_name = fit(module, (x, y), (xv, yv), loss=joint_loss, epochs=8)
    in_order = fit(module, (tuple(x.values()), tuple(y.values())),
                   ((X[ROWS:], LABELS[ROWS:]), (Y[ROWS:], LABELS[ROWS:])), loss=joint_loss, epochs=8)  # fmt: skip
    assert_same_run(by_name, in_order)
    losses = by_name.curves["validation_loss"].to_list()
    assert losses[-1] < 0.8 * losses[0]
    value, scores = by_name.module(torch.from_numpy(X[ROWS:]), torch.from_numpy(LABELS[ROWS:]))
    target = (torch.from_numpy(Y[ROWS:]), torch.from_numpy(LABELS[ROWS:]))
    assert float(joint_loss((value, scores), target).mean().detach()) == pytest.approx(by_name.score, rel=1e-5)


def test_inputs_by_name_go_as_one_dict_to_a_network_that_reads_one():
    class Reads(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 1)

        def forward(self, batch):
            return self.layer(batch["x"])

    module = initialised(Reads, 0)
    assert_same_run(fit(module, ({"x": X[:ROWS]}, Y[:ROWS]), None), fit(module.layer, TRAIN, None))


def test_several_targets_without_a_name_are_columns():
    two = numpy.stack([Y, -Y], axis=1)
    run = fit(initialised(lambda: net(2), 0), (X[:ROWS], two[:ROWS]), (X[ROWS:], two[ROWS:]), metric="r2", epochs=30)
    assert run.score > 0.5 and run.metric == "r2"


def test_rows_of_weight_zero_do_not_count_and_weights_are_those_of_a_weighted_mean():
    kept = numpy.arange(ROWS) % 3 > 0
    with_zeros = fit(train=(*TRAIN, kept.astype(float)), batch_size=0)
    without = fit(train=(TRAIN[0][kept], TRAIN[1][kept]), batch_size=0)
    torch.testing.assert_close(weights(with_zeros), weights(without), rtol=1e-4, atol=1e-6)
    doubled = fit(train=(*TRAIN, 1.0 + kept), batch_size=0)
    repeated = [numpy.concatenate([part, part[kept]]) for part in TRAIN]
    torch.testing.assert_close(
        weights(doubled), weights(fit(train=tuple(repeated), batch_size=0)), rtol=1e-4, atol=1e-6
    )


def test_validation_rows_drawn_at_random_are_those_of_the_seed_and_none_is_lost():
    seen = []

    class Watching(nn.Linear):
        def forward(self, x):
            if not self.training:
                seen.append(tuple(x.flatten().tolist()))
            return super().forward(x)

    x = numpy.arange(20, dtype=numpy.float32)[:, None]
    fit(Watching(1, 1), (x, x[:, 0]), 0.25, epochs=1)
    validation, training = (set(part) for part in seen[-2:])
    assert len(validation) == 5 and len(training) == 15 and validation | training == set(range(20))
    again = [fit(initialised(net, 0), TRAIN, 0.25, seed=s).score for s in (0, 0, 1)]
    assert again[0] == again[1] != again[2]


# -- the caller's things are left alone


class NoisyInside(nn.Module):
    """Draws from torch's generator in a way that no dropout layer tells of."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(3, 16), nn.Linear(16, 1)

    def forward(self, x):
        return self.last(nn.functional.dropout(torch.relu(self.first(x)), 0.5, self.training))


def drawing_factory():
    numpy.random.rand(), random.random()
    return net()


def noisy_loss(output, target):
    return (output - target + 0.1 * torch.randn_like(output)) ** 2


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (lambda: initialised(net, 0), {}),
        (lambda: initialised(NoisyInside, 0), {}),
        (lambda: initialised(NoisyInside, 0), {"optimizer": torch.optim.Adam}),
        (lambda: drawing_factory, {}),
        (lambda: initialised(net, 0), {"loss": noisy_loss}),
        (lambda: initialised(net, 0), {"optimizer": torch.optim.SGD}),
    ],
    ids=["plain", "dropout inside", "dropout inside, own optimizer", "factory", "loss that draws", "own optimizer"],
)
def test_the_same_call_gives_the_same_bits_whatever_was_drawn_between(make, options):
    given = make()
    one = fit(given, **options)
    torch.rand(3), numpy.random.rand(3), random.random()
    assert_same_run(one, fit(given, **options))


GENERATORS = """
import random, numpy, torch, trimtab as tt
from torch import nn
from torch.utils.data import DataLoader, Dataset

class Noisy(nn.Linear):
    def forward(self, x):
        return super().forward(nn.functional.dropout(x, 0.5, self.training)) + 0 * random.random() * numpy.random.rand()

class Augmented(Dataset):
    def __len__(self):
        return 12
    def __getitem__(self, i):
        return torch.randn(3) + random.random(), torch.tensor([float(numpy.random.rand())])

def factory():
    numpy.random.rand(), random.random()
    return nn.Linear(3, 1)

def loss(output, target):
    return (output - target + torch.randn_like(output) + random.random()) ** 2

def states():
    state = numpy.random.get_state()
    return torch.get_rng_state().tolist(), state[1].tolist(), state[2:], random.getstate()

x, y = numpy.ones((12, 3)), numpy.ones(12)
own = torch.Generator().manual_seed(5)
loader = DataLoader(Augmented(), batch_size=4, shuffle=True, generator=own)
dropping = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 1))
calls = [
    lambda: tt.fit(noisy, (x, y), epochs=2),
    lambda: tt.fit(noisy, (x, y), epochs=2, optimizer=torch.optim.SGD),
    lambda: tt.fit(factory, (x, y), epochs=2),
    lambda: tt.fit(dropping, (x, y), epochs=2, loss=loss),
    lambda: tt.fit(dropping, loader, (x, y), epochs=2),
    lambda: tt.sweep(noisy, (x, y), lr=[0.1, 0.01], epochs=2, seeds=2, threads=2),
]
noisy = Noisy(3, 1)
before = states(), own.get_state().tolist()
for place, call in enumerate(calls):
    call()
    assert (states(), own.get_state().tolist()) == before, place
print("untouched")
"""


def test_no_generator_of_the_caller_moves():
    # In a process of its own: what checks types in the tests draws from Python's generator.
    done = subprocess.run([sys.executable, "-c", GENERATORS], capture_output=True, text=True, timeout=250, check=False)
    assert done.stdout.strip() == "untouched", done.stderr


def test_the_module_keeps_its_weights_buffers_mode_gradients_and_hooks():
    module = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1))
    calls = []
    module[0].register_forward_hook(lambda *arguments: calls.append(1))
    module.eval()
    module[2].train()
    module(torch.from_numpy(X[:4])).sum().backward()
    before, gradient = copy.deepcopy(module.state_dict()), module[0].weight.grad.clone()
    run = fit(module)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert [m.training for m in module] == [False, False, True, False]
    assert torch.equal(module[0].weight.grad, gradient) and module[0].weight.requires_grad
    assert len(module[0]._forward_hooks) == 1 and len(module[3]._forward_hooks) == 0
    assert run.module is not module and not any(m.training for m in run.module.modules())


def test_a_trained_module_starts_from_its_weights_and_seeds_differ_in_their_rows():
    module = fit(epochs=20).module
    with torch.no_grad():
        start = float(mse_loss(module(torch.from_numpy(X[ROWS:]))[:, 0], torch.from_numpy(Y[ROWS:])))
    still = fit(module, lr=1e-9, epochs=1)
    assert still.score == pytest.approx(start, rel=1e-4)
    one, other = (fit(module, seed=seed, batch_size=8) for seed in (0, 1))
    assert not torch.equal(weights(one), weights(other))
    alike = [fit(module, seed=seed, batch_size=0) for seed in (0, 1)]
    torch.testing.assert_close(weights(alike[0]), weights(alike[1]), rtol=1e-4, atol=1e-6)


def test_a_factory_is_called_once_and_its_weights_follow_from_the_seed():
    calls = []

    def factory(width=8):
        calls.append(width)
        return net(width=width)

    run = fit(factory, width=5)
    assert calls == [5] and run.config.network == (("width", 5),)
    expected = initialised(lambda: net(width=5), number_from("run", 0, 0))
    torch.testing.assert_close(weights(fit(factory, width=5, lr=1e-12)), weights(expected))
    assert not torch.equal(weights(fit(factory, seed=1)), weights(fit(factory, seed=0)))


def test_the_module_a_factory_gives_out_again_and_again_is_left_alone():
    kept = initialised(net, 0).double()
    before = copy.deepcopy(kept.state_dict())
    fit(lambda: kept)
    assert all(torch.equal(value, before[name]) for name, value in kept.state_dict().items())


def test_frozen_parameters_stay_and_tied_ones_stay_tied():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.again, self.last = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 1)
            self.again.weight = self.first.weight

        def forward(self, x):
            return self.last(torch.tanh(self.again(torch.relu(self.first(x)))))

    module = initialised(Tied, 0)
    module.last.weight.requires_grad_(requires_grad=False)
    run = fit(module)
    assert run.module.again.weight is run.module.first.weight
    assert torch.equal(run.module.last.weight, module.last.weight) and not run.module.last.weight.requires_grad
    assert not torch.equal(run.module.first.weight, module.first.weight)
    module.last.requires_grad_(requires_grad=False)
    expected, _ = plain_loop(module, lambda p: torch.optim.Adam(p, lr=0.02), epochs=3, batch=16)
    torch.testing.assert_close(weights(fit(module, batch_size=16)), weights(expected), rtol=1e-4, atol=1e-6)


def test_other_precisions_come_back_as_they_went_and_what_was_not_trained_keeps_its_digits():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 1)
            self.register_buffer("third", torch.tensor([1 / 3], dtype=torch.float64))
            self.frozen = nn.Parameter(torch.full((1,), 1 / 3, dtype=torch.float64), requires_grad=False)

        def forward(self, x):
            return self.layer(x) * (self.third * self.frozen).to(x.dtype)

    mixed = fit(initialised(Mixed, 0)).module
    assert mixed.third.dtype == mixed.frozen.dtype == torch.float64 and mixed.layer.weight.dtype == torch.float32
    assert float(mixed.third) == float(mixed.frozen) == 1 / 3
    module = initialised(net, 0).double()
    double, single = fit(module, (X[:ROWS].astype(float), Y[:ROWS].astype(float))), fit()
    assert all(p.dtype == torch.float64 for p in double.module.parameters())
    torch.testing.assert_close(weights(double), weights(single))
    with torch.no_grad():
        prediction = double.module(torch.from_numpy(X[ROWS:]).double())[:, 0]
    assert float(((prediction - torch.from_numpy(Y[ROWS:])) ** 2).mean()) == pytest.approx(double.score, rel=1e-5)


@pytest.mark.parametrize("options", [{}, {"optimizer": torch.optim.Adam}, {"loss": nn.MSELoss()}])
def test_what_the_caller_has_switched_on_or_off_in_torch_changes_nothing(options):
    module = initialised(net, 0)

    def run():
        return fit(module, **options)

    expected = run()
    with torch.no_grad():
        assert_same_run(run(), expected)
    with torch.inference_mode():
        assert_same_run(run(), expected)
    torch.set_default_dtype(torch.float64)
    try:
        assert_same_run(run(), expected)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.get_num_threads() >= 1 and torch.is_grad_enabled()


def test_two_fits_at_once_are_the_same_as_one_after_the_other():
    cases = [
        {"module": initialised(lambda: nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.2), nn.Linear(8, 1)), 0)},
        {"module": initialised(NoisyInside, 0)},
        {"module": drawing_factory, "optimizer": torch.optim.Adam},
    ]
    alone = [fit(**case, epochs=6) for case in cases]
    together, failures = [None] * len(cases), []

    def work(place):
        try:
            together[place] = fit(**cases[place], epochs=6)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(len(cases))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    for one, other in zip(alone, together, strict=True):
        assert_same_run(one, other)


# -- dropout


def dropping(rate=0.4):
    return nn.Sequential(nn.Linear(3, 64), nn.ReLU(), nn.Dropout(rate), nn.Linear(64, 1))


def test_dropout_layers_keep_their_rates_unless_one_is_given():
    module = initialised(dropping, 0)
    own, same, none = fit(module), fit(module, dropout=0.4), fit(module, dropout=0.0)
    torch.testing.assert_close(weights(own), weights(same), rtol=1e-4, atol=1e-6)
    without = nn.Sequential(*(m for m in copy.deepcopy(module) if not isinstance(m, nn.Dropout)))
    torch.testing.assert_close(weights(none), weights(fit(without)), rtol=1e-4, atol=1e-6)
    assert not torch.allclose(weights(own), weights(none), rtol=1e-2)
    assert own.module[2].p == 0.4
    with pytest.raises(tt.OptionError, match=r"no nn\.Dropout layer"):
        fit(dropout=0.5)


def test_dropout_that_is_no_layer_keeps_its_rate_and_that_is_said_once(caplog):
    with caplog.at_level(logging.WARNING):
        run = fit(NoisyInside(), epochs=3)
    assert [record.message for record in caplog.records if "keeps its rate" in record.message] == [
        "Dropout inside this module's own functions keeps its rate, and its runs train one by one: only "
        "nn.Dropout is a knob."
    ]
    assert run.curves["train_loss"][-1] != pytest.approx(run.curves["train_metric"][-1], rel=1e-2)


# -- how runs end


def test_the_best_epochs_weights_give_the_score():
    for options in ({}, {"metric": "rmse"}, {"metric": "r2"}):
        run = fit(initialised(lambda: net(width=64), 0), (X[:10], Y[:10]), lr=0.1, epochs=25, **options)
        shown = run.curves["validation_metric"].to_numpy()
        assert run.score == (shown.max() if options.get("metric") == "r2" else shown.min())
        assert run.best_epoch == run.curves["epoch"][int(numpy.flatnonzero(shown == run.score)[0])] < 25
        with torch.no_grad():
            error = run.module(torch.from_numpy(X[ROWS:]))[:, 0].double().numpy() - Y[ROWS:]
        mse = float((error**2).mean())
        expected = {"rmse": mse**0.5, "r2": 1 - mse / Y[ROWS:].astype(float).var()}.get(options.get("metric"), mse)
        assert run.score == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("optimizer", ["sgd", torch.optim.SGD])
def test_a_run_that_diverges_says_so_and_keeps_its_best_weights(optimizer):
    run = fit(optimizer=optimizer, lr=1e20, epochs=5)
    assert run.ended == "not finite" and run.epochs < 5
    start = initialised(net, 0)
    if run.best_epoch == 0:
        assert torch.equal(weights(run), weights(start)) and run.score == float("inf")
    later = fit(optimizer=optimizer, lr=1.2, epochs=200, batch_size=0)
    assert later.ended == "not finite"
    assert later.score == later.curves["validation_loss"].drop_nans().min()


def test_stopping_rules_of_every_form():
    patient = {"lr": 0.1, "epochs": 30, "train": (X[:10], Y[:10])}
    by_number, by_rule = fit(stop=3, **patient), fit(stop=tt.EarlyStopping(patience=3), **patient)
    assert_same_run(by_number, by_rule)
    assert by_number.ended == "stopped early" and by_number.epochs == by_number.best_epoch + 3
    assert fit(stop=None, **patient).ended == "all epochs"
    assert fit(stop=tt.EarlyStopping(rule="gl", threshold=1.0), **patient).ended == "stopped early"


def test_what_a_run_tells_of_itself():
    run = fit(metric="rmse")
    assert isinstance(run.findings, Findings) and run.task == "regression" and run.metric == "rmse" and run.seed == 0
    assert run.curves.columns[:5] == ["epoch", "train_loss", "train_metric", "validation_loss", "validation_metric"]
    assert run.curves["epoch"].to_list() == [1, 2, 3] and run.epochs == 3
    assert "rmse" in repr(run) and run.config.optimizer.learning_rate == 0.02
    assert (run.curves["gradient_norm"] > 0).all() and (run.curves["update_ratio"] > 0).all()
    assert run.plot().axes[0].get_xlabel() == "epoch"


# -- callbacks


class Listener:
    def __init__(self, stop_at=None):
        self.heard, self.stop_at = [], stop_at

    def started(self, run, config):
        self.heard.append(("started", run, config["optimizer"]["name"]))

    def epoch_ended(self, run, values):
        self.heard.append(("epoch", run, values["epoch"]))
        return values["epoch"] == self.stop_at

    def ended(self, run, result):
        self.heard.append(("ended", run, result["ended"], result["best_epoch"], result["score"]))


@pytest.mark.parametrize("optimizer", ["adam", torch.optim.Adam])
def test_listeners_and_functions_hear_every_epoch_and_may_stop(optimizer):
    listener, values = Listener(stop_at=2), []
    run = fit(optimizer=optimizer, epochs=5, callbacks=[listener, values.append])
    assert listener.heard[0][:2] == ("started", "run")
    assert listener.heard[1:3] == [("epoch", "run", 1), ("epoch", "run", 2)]
    assert listener.heard[-1] == ("ended", "run", "stopped", run.best_epoch, run.score)
    assert run.ended == "stopped" and run.epochs == 2
    assert [v["epoch"] for v in values] == [1, 2]
    assert values[1] == pytest.approx({name: run.curves[name][1] for name in values[1]}, nan_ok=True)


@pytest.mark.parametrize("answer", [True, numpy.True_])
def test_a_function_that_answers_true_stops_the_run(answer):
    assert fit(callbacks=lambda values: answer).epochs == 1
    assert fit(callbacks=lambda values: 1).epochs == 3


def test_a_callback_that_raises_is_the_callers_own_error():
    def fail(values):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fit(callbacks=fail)


def test_a_network_with_callables_as_knobs():
    run = fit(lambda activation: nn.Sequential(nn.Linear(3, 4), activation(), nn.Linear(4, 1)), activation=nn.Tanh)
    assert isinstance(run.module[1], nn.Tanh)


class Half(nn.Module):
    """vmap fails in it after a buffer was changed."""

    def __init__(self):
        super().__init__()
        self.norm, self.out = nn.BatchNorm1d(3), nn.Linear(3, 1)

    def forward(self, x):
        x = self.norm(x)
        return self.out(x * 0 if x.abs().max().item() > 1e9 else x)


def test_a_first_try_that_failed_leaves_no_trace_in_buffers():
    run = fit(initialised(Half, 0), epochs=1, batch_size=20)
    assert int(run.module.norm.num_batches_tracked) == 3


class Replacing(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x):
        self.count = self.count + 1
        return self.layer(x)


def test_a_buffer_that_is_replaced_instead_of_changed_is_refused():
    with pytest.raises(tt.ModuleError, match="in the place of its buffer count"):
        fit(Replacing())


def test_sparse_gradients_are_refused():
    module = nn.Sequential(nn.Embedding(5, 3, sparse=True), nn.Flatten(), nn.Linear(6, 1))
    with pytest.raises(tt.ModuleError, match="The gradient of 0 is sparse"):
        tt.fit(module, (torch.randint(0, 5, (20, 2)), torch.randn(20, 1)), epochs=1)


def plain_sgd(module, x, y, batches, lr):
    """One epoch of the usual loop over these batches."""
    module = copy.deepcopy(module)
    optimizer = torch.optim.SGD(module.parameters(), lr)
    for rows in batches:
        optimizer.zero_grad()
        mse_loss(module(x[rows]), y[rows]).backward()
        optimizer.step()
    return module


@pytest.mark.parametrize("drop_last", [True, False])
def test_a_loader_that_drops_the_last_batch_is_heeded(drop_last):
    x, y = torch.from_numpy(X[:ROWS]), torch.from_numpy(Y[:ROWS, None])
    module = initialised(net, 0)
    loader = DataLoader(TensorDataset(x, y), batch_size=25, shuffle=True, drop_last=drop_last)
    run = tt.fit(module, loader, (X[ROWS:], Y[ROWS:]), optimizer="sgd", lr=0.05, epochs=1)
    order = torch.from_numpy(row_order(ROWS, seed=0, fold=0, epoch=0)).split(25)
    expected = plain_sgd(module, x, y, order[:2] if drop_last else order, lr=0.05)
    torch.testing.assert_close(weights(run), weights(expected), rtol=1e-4, atol=1e-6)


def test_a_loader_whose_order_is_not_kept_is_told_of_and_one_without_a_batch_is_refused(caplog):
    rows = TensorDataset(torch.from_numpy(X[:ROWS]), torch.from_numpy(Y[:ROWS, None]))
    tt.fit(initialised(net, 0), DataLoader(rows, batch_size=20), VALID, epochs=1)
    assert "The loader of train= does not shuffle; trimtab does" in caplog.text
    with pytest.raises(tt.DataError, match="drops every batch: there are 60 rows, fewer than the 100"):
        tt.fit(initialised(net, 0), DataLoader(rows, batch_size=100, shuffle=True, drop_last=True), VALID, epochs=1)
