"""Datasets and loaders: collected where their items stay the same, read anew in every epoch where they do not."""

import copy
import logging

import numpy
import pytest
import torch
from torch import nn
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
)

import trimtab as tt
from trimtab.networks.examples import Examples
from trimtab.networks.streams import Stream, examples, split_stream
from trimtab.training.randomness import initialised

ROWS = 40
_generator = torch.Generator().manual_seed(0)
X = torch.randn(ROWS, 3, generator=_generator)
Y = X @ torch.tensor([[1.0], [2.0], [-1.0]])
VALID = (X[:10], Y[:10])


def fit(train, valid=VALID, **options):
    module = initialised(lambda: nn.Linear(3, 1), 0)
    return tt.fit(module, train, valid, **{"epochs": 3, "lr": 0.02, **options})


def losses(run):
    return run.curves["train_loss"].to_list()


class Stable(Dataset):
    def __init__(self):
        self.readings = 0

    def __len__(self):
        return ROWS

    def __getitem__(self, i):
        self.readings += 1
        return X[i], Y[i]


class Augmented(Stable):
    def __getitem__(self, i):
        x, y = super().__getitem__(i)
        return x + 0.1 * torch.randn(3), y


class RarelyAugmented(Stable):
    """Changes one item in a thousand: what is read twice hardly ever tells."""

    def __getitem__(self, i):
        x, y = super().__getitem__(i)
        return (x + 1 if numpy.random.rand() < 0.001 else x), y


class InOrder(IterableDataset):
    def __init__(self, change=lambda i, x, y: (x, y)):
        self.begun = self.finished = 0
        self.change = change

    def __iter__(self):
        self.begun += 1
        for i in range(ROWS):
            yield self.change(i, X[i], Y[i])
        self.finished += 1


def laid_out(items):
    return torch.stack([x for x, _ in items]), torch.stack([y for _, y in items])


def with_noise(items):
    x, y = laid_out(items)
    return x + torch.randn(3), y


def centred(items):
    x, y = laid_out(items)
    return x - x.mean(0), y


def padded(items):
    longest = max(len(x) for x, _ in items)
    return torch.stack([nn.functional.pad(x, (0, longest - len(x))) for x, _ in items]), torch.stack(
        [y for _, y in items]
    )


# -- which are read anew


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (Stable(), ""),
        (Subset(Stable(), range(5, 30)), ""),
        (ConcatDataset([Stable(), Stable()]), ""),
        (TensorDataset(X, Y), ""),
        (DataLoader(Stable(), batch_size=8, shuffle=True), ""),
        (DataLoader(Stable(), batch_size=8, collate_fn=laid_out), ""),
        (Augmented(), "items change"),
        (RarelyAugmented(), "items change"),
        (InOrder(), "in order"),
        (DataLoader(InOrder(), batch_size=8), "in order"),
        (DataLoader(Stable(), batch_size=8, sampler=WeightedRandomSampler([1.0] * ROWS, 20)), "sampler"),
        (DataLoader(Stable(), batch_size=8, collate_fn=with_noise), "collate_fn"),
        (DataLoader(TensorDataset(X, Y), batch_size=8, collate_fn=with_noise), "collate_fn"),
        (DataLoader(Stable(), batch_size=8, collate_fn=centred), "collate_fn"),
        (DataLoader(Augmented(), batch_size=8), "items change"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_only_what_stays_the_same_is_collected(given, reason):
    read = examples(given, "train")
    assert isinstance(read, Stream if reason else Examples)
    if reason:
        assert reason in read.reason
    else:
        loader = isinstance(given, DataLoader)
        assert read.batch_size == (8 if loader else None)
        expected = given.dataset if loader else given
        assert torch.equal(read.inputs[0], torch.stack([expected[i][0] for i in range(len(expected))]))
        assert torch.equal(read.targets[0], torch.stack([expected[i][1] for i in range(len(expected))]))


def test_a_stable_loader_gives_its_batch_size_and_trains_like_its_tensors():
    loader = DataLoader(Stable(), batch_size=7)
    run = fit(loader)
    assert run.config.batch_size == 7
    assert losses(run) == losses(fit((X, Y), batch_size=7))
    assert fit(loader, batch_size=5).config.batch_size == 5
    judged = fit((X, Y), DataLoader(TensorDataset(*VALID), batch_size=3))
    assert losses(judged) == losses(fit((X, Y)))


# -- reading anew


def test_what_changes_is_read_once_an_epoch_and_said_once(caplog):
    data = InOrder()
    with caplog.at_level(logging.WARNING):
        run = fit(data, epochs=4)
    assert data.finished == 4  # and begun once more, to try the network on its first batch
    assert data.begun == 5
    assert [r.message for r in caplog.records] == [
        "The data are read anew in every epoch, one run after the other: it can only be read in order."
    ]
    assert run.epochs == 4 and run.config.batch_size == 32
    both = InOrder(), InOrder()
    fit(*both, epochs=4, evaluate_every=2)
    assert [each.finished for each in both] == [4, 2]


def test_an_augmented_dataset_is_augmented_anew_in_every_epoch_by_the_seed():
    data = Augmented()
    run = fit(data, epochs=3, lr=1e-9, batch_size=ROWS)
    # Once to see that it changes, 40 items of them twice, the first batch, and three epochs.
    assert data.readings == 2 * ROWS + ROWS + 3 * ROWS
    assert len(set(losses(run))) == 3
    torch.rand(1)
    assert losses(fit(Augmented(), epochs=3, lr=1e-9, batch_size=ROWS)) == losses(run)
    assert losses(fit(Augmented(), epochs=3, lr=1e-9, batch_size=ROWS, seed=1)) != losses(run)


def test_a_stream_trains_as_a_loop_over_its_batches_does():
    run = fit(DataLoader(InOrder(), batch_size=16), optimizer="sgd", lr=0.1)
    module = initialised(lambda: nn.Linear(3, 1), 0)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    for _ in range(3):
        for rows in torch.arange(ROWS).split(16):
            optimizer.zero_grad()
            nn.functional.mse_loss(module(X[rows]), Y[rows]).backward()
            optimizer.step()
    assert run.best_epoch == 3
    torch.testing.assert_close(run.module.weight, module.weight, rtol=1e-4, atol=1e-6)


def test_a_loader_with_a_generator_and_with_workers_is_deterministic_and_left_alone():
    own = torch.Generator().manual_seed(3)
    before = own.get_state()
    loader = DataLoader(Augmented(), batch_size=8, shuffle=True, generator=own)
    assert losses(fit(loader)) == losses(fit(loader))
    assert torch.equal(own.get_state(), before)
    workers = DataLoader(Augmented(), batch_size=8, shuffle=True, num_workers=1)
    assert losses(fit(workers, epochs=2)) == losses(fit(workers, epochs=2))


def test_a_share_of_an_augmented_dataset_is_set_aside_by_items():
    stream = examples(Augmented(), "train", batch_size=8)
    train, valid = split_stream(stream, 0.25, 0)
    assert (len(train.source.dataset), len(valid.source.dataset)) == (30, 10)
    assert not {*train.source.dataset.indices} & {*valid.source.dataset.indices}
    assert fit(Augmented(), 0.25).epochs == 3


def test_batches_of_a_stream_are_counted_for_schedules_where_it_has_a_length():
    run = fit(Augmented(), batch_size=10, schedule="cosine", epochs=4, lr=0.1)
    rates = run.curves["learning_rate"].to_list()
    expected = [0.05 * (1 + numpy.cos(numpy.pi * (4 * epoch - 1) / 16)) for epoch in (1, 2, 3, 4)]
    numpy.testing.assert_allclose(rates, expected, rtol=1e-6)
    everything = fit(Augmented(), optimizer="gd")
    assert everything.config.batch_size == 0 and everything.epochs == 3


@pytest.mark.parametrize(
    ("train", "options", "words"),
    [
        (InOrder(), {"schedule": "cosine"}, "how many batches"),
        (InOrder(), {"decay_course": "linear", "weight_decay": 0.1}, "how many batches"),
        (InOrder(), {"optimizer": "gd"}, "all rows in every step"),
        (DataLoader(Augmented(), batch_size=7), {"batch_size": 9}, "in batches of 7, and batches of 9"),
    ],
)
def test_a_stream_cannot_do_what_it_does_not_know(train, options, words):
    with pytest.raises(tt.OptionError, match=words):
        fit(train, **options)


@pytest.mark.parametrize(
    ("train", "valid", "kind", "words"),
    [
        (InOrder(), 0.2, tt.DataError, "No share of train="),
        (
            DataLoader(Stable(), batch_size=4, sampler=WeightedRandomSampler([1.0] * ROWS, 8)),
            0.2,
            tt.DataError,
            "sampler",
        ),
        (InOrder(), None, tt.DataError, "valid= is missing"),
        (
            InOrder(lambda i, x, y: (x * torch.nan if i == 37 else x, y)),
            VALID,
            tt.NotFiniteError,
            r"X of train=.*\[37, 0\]",
        ),
        (InOrder(), InOrder(lambda i, x, y: (x, y / 0)), tt.NotFiniteError, r"y of valid=.*first at \[0, 0\]"),
        (InOrder(lambda i, x, y: {"x": x, "y": y}), VALID, tt.DataError, "must be \\(inputs, target\\)"),
        (Subset(Stable(), []), VALID, tt.DataError, "no rows"),
    ],
)
def test_streams_that_cannot_be_used(train, valid, kind, words):
    with pytest.raises(kind, match=words) as caught:
        fit(train, valid)
    assert type(caught.value) is kind


def test_a_loader_that_drops_every_batch_of_a_stream_is_told():
    for source in (Augmented(), NamedInOrder()):
        with pytest.raises(tt.DataError, match="gave no batch: its loader drops batches that are not full, and has no"):
            fit(DataLoader(source, batch_size=ROWS + 1, drop_last=True))


@pytest.mark.parametrize("layers", [(), (nn.BatchNorm1d(8),)], ids=["plain", "normalised"])
@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize("loss", ["mse", lambda output, target: (output - target).square().mean().sqrt()])
def test_a_loader_that_drops_its_last_batch_trains_as_a_loop_over_it_does(loss, drop_last, layers):
    loader = DataLoader(InOrder(), batch_size=16, drop_last=drop_last)
    make = initialised(lambda: nn.Sequential(nn.Linear(3, 8), *copy.deepcopy(layers), nn.ReLU(), nn.Linear(8, 1)), 0)
    module = copy.deepcopy(make)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05)
    expected, function = [], nn.functional.mse_loss if loss == "mse" else loss
    for _ in range(2):
        total = rows = 0
        for x, y in loader:
            optimizer.zero_grad()
            value = function(module(x), y)
            value.backward()
            optimizer.step()
            total, rows = total + value.item() * len(x), rows + len(x)
        expected.append(total / rows)
    run = tt.fit(make, loader, VALID, loss=loss, optimizer="sgd", lr=0.05, epochs=2)
    assert losses(run) == pytest.approx(expected, rel=1e-4)
    assert run.best_epoch == 2
    for own, found in zip(module.state_dict().values(), run.module.state_dict().values(), strict=True):
        torch.testing.assert_close(own, found, rtol=1e-3, atol=1e-5)


def test_labels_of_a_stream_are_checked_batch_by_batch():
    data = InOrder(lambda i, x, y: (x, torch.tensor(5 if i == 38 else i % 2)))
    with pytest.raises(tt.LabelError, match=r"class 5 at \[38\]"):
        tt.fit(nn.Linear(3, 2), data, (X, torch.arange(ROWS) % 2), epochs=1)


class Once(IterableDataset):
    """Gives out the one iterator it has."""

    def __init__(self):
        self.items = iter([(X[i], Y[i]) for i in range(ROWS)])

    def __iter__(self):
        return self.items


class Ragged(Stable):
    def __getitem__(self, i):
        return torch.ones(1 + i % 3), Y[i]


class Endless(Dataset):
    def __getitem__(self, i):
        return X[0], Y[0]


@pytest.mark.parametrize(
    ("data", "words"),
    [(Once(), "readable once per epoch"), (Ragged(), "cannot be stacked"), (Endless(), "no length")],
)
def test_sources_that_are_no_source(data, words):
    with pytest.raises(tt.DataError, match=words):
        fit(data)


def test_a_collate_function_that_pads_is_left_to_its_batches():
    module = nn.LazyLinear(1)
    module(torch.zeros(1, 3))
    run = tt.fit(module, DataLoader(Ragged(), batch_size=6, collate_fn=padded), (X, Y), epochs=2)
    assert run.epochs == 2


def test_a_datasets_own_error_is_told_with_its_item():
    class Broken(Stable):
        def __getitem__(self, i):
            raise OSError("the disk is gone")

    with pytest.raises(tt.DataError, match="Item 0 of the Dataset of train= raised OSError: the disk is gone") as told:
        fit(Broken())
    assert isinstance(told.value.__cause__, OSError)


def test_runs_of_a_sweep_over_a_stream_see_the_same_batches():
    sweep = tt.sweep(nn.Linear(3, 1), Augmented(), VALID, lr=[1e-9, 1e-8], seeds=2, epochs=2, batch_size=ROWS)
    first, second, third, fourth = (losses(run) for run in sweep.runs)
    numpy.testing.assert_allclose(first, third, rtol=1e-5)
    numpy.testing.assert_allclose(second, fourth, rtol=1e-5)
    assert abs(first[0] / second[0] - 1) > 1e-4
    assert sweep.runs[0].config.batch_size == ROWS
    with pytest.raises(tt.OptionError, match="batches of"):
        tt.sweep(nn.Linear(3, 1), Augmented(), VALID, batch_size=[4, 8], epochs=1)


# -- dicts: inputs and targets by name


class Named(Dataset):
    """Items whose dicts are written down in another order from one to the next."""

    def __len__(self):
        return ROWS

    def __getitem__(self, i):
        inputs, targets = {"u": X[i, :2], "v": X[i, 2:]}, {"z": Y[i, 0], "a": 10 * Y[i, 0]}
        if i >= ROWS // 2:
            inputs, targets = (dict(reversed(part.items())) for part in (inputs, targets))
        return inputs, targets


class NamedInOrder(IterableDataset):
    def __iter__(self):
        return (Named()[i] for i in range(ROWS))


class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, v, u):
        return self.linear(torch.cat([u, v], 1))


def by_place(output, target):
    """A loss that reads its targets by their places, as zip(outputs, targets.values()) does."""
    assert list(target) == ["z", "a"]
    first, second = target.values()
    return ((output[:, 0] - first) ** 2 + 0.01 * (output[:, 1] - second) ** 2).mean()


TENSORS = {"u": X[:, :2], "v": X[:, 2:]}, {"z": Y[:, 0], "a": 10 * Y[:, 0]}
OTHERWISE = tuple(dict(reversed(part.items())) for part in TENSORS)


@pytest.mark.parametrize(
    ("train", "valid"),
    [
        (TENSORS, OTHERWISE), (Named(), OTHERWISE), (DataLoader(Named(), batch_size=10), TENSORS),
        (NamedInOrder(), OTHERWISE), (DataLoader(NamedInOrder(), batch_size=10), NamedInOrder()),
    ],
    ids=["tensors", "Dataset", "loader", "in order", "loader in order"],
)  # fmt: skip
def test_dicts_keep_their_order_and_their_values_their_names(train, valid, monkeypatch):
    monkeypatch.setattr("trimtab.networks.streams.COLLECTED_AT_ONCE", 10)
    module = initialised(Both, 0)
    run = tt.fit(module, train, valid, loss=by_place, epochs=3, lr=0.02, batch_size=None if train is TENSORS else 10)
    output = run.module(v=X[:, 2:], u=X[:, :2])
    last = run.curves["validation_loss"][run.best_epoch - 1]
    assert float(by_place(output, TENSORS[1]).detach()) == pytest.approx(last, rel=1e-5)
    assert last < float(by_place(module(v=X[:, 2:], u=X[:, :2]), TENSORS[1]).detach())


# -- row weights


class Weighted(IterableDataset):
    def __iter__(self):
        return ((X[i], Y[i], WEIGHTS[i]) for i in range(ROWS))


WEIGHTS = torch.arange(1.0, ROWS + 1) % 5


def of_rows(output, target):
    return ((output - target) ** 2)[:, 0]


def mean_of_rows(output, target):
    return ((output - target) ** 2).mean()


@pytest.mark.parametrize("loss", ["mse", of_rows, mean_of_rows])
@pytest.mark.parametrize("source", [Weighted(), DataLoader(Weighted(), batch_size=10)], ids=["dataset", "loader"])
def test_weights_of_a_stream_reach_its_loss(source, loss):
    module = initialised(lambda: nn.Linear(3, 1), 0)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05)
    size = 10 if isinstance(source, DataLoader) else 32
    for _ in range(2):
        for rows in torch.arange(ROWS).split(size):
            optimizer.zero_grad()
            ((of_rows(module(X[rows]), Y[rows]) * WEIGHTS[rows]).sum() / WEIGHTS[rows].sum()).backward()
            optimizer.step()
    run = fit(source, (X, Y, WEIGHTS), loss=loss, optimizer="sgd", lr=0.05, epochs=2)
    assert run.best_epoch == 2
    torch.testing.assert_close(run.module.weight, module.weight, rtol=1e-4, atol=1e-6)
    expected = ((of_rows(module(X), Y) * WEIGHTS).sum() / WEIGHTS.sum()).item()
    assert run.score == pytest.approx(expected, rel=1e-4)


def test_a_loss_that_mixes_rows_refuses_the_weights_of_a_stream():
    def mixed(output, target):
        return ((output - target) ** 2).mean().sqrt()

    with pytest.raises(tt.OptionError, match="rows of train= have weights, and the loss gives one number"):
        fit(Weighted(), (X, Y), loss=mixed)
