"""What is found out about a network on its first rows: casts, ranks, draws, and rows that hang on rows."""

import pytest
import torch
from torch import nn

import trimtab as tt
from trimtab.networks.examples import from_pair
from trimtab.networks.probe import tried
from trimtab.training.randomness import initialised, row_order

X = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
CODES = torch.arange(20) % 4


def probed(module, x=X, y=None, **options):
    y = torch.zeros(20) if y is None else y
    return tried(module, from_pair(x, y), **{"own_dropout": True, "keeps_outputs": False, "told": {}, **options})


class Squeezing(nn.Module):
    """Takes away every dimension of one, that of a single row too."""

    def __init__(self, outputs=1):
        super().__init__()
        self.layer = nn.Linear(3, outputs)

    def forward(self, x):
        return self.layer(x).squeeze()


class Centring(nn.Linear):
    def forward(self, x):
        return super().forward(x - x.mean(0))


class Drawing(nn.Linear):
    def forward(self, x):
        return super().forward(nn.functional.dropout(x, 0.5, self.training))


class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.layer = nn.Embedding(4, 3), nn.Linear(3, 1)

    def forward(self, x, codes):
        return self.layer(x) + self.layer(self.table(codes))


def test_whole_numbers_become_what_the_network_takes():
    assert probed(nn.Linear(3, 1), (X > 0)).dtypes == (torch.float32,)
    assert probed(nn.Linear(3, 1), (X > 0).to(torch.uint8)).dtypes == (torch.float32,)
    assert probed(nn.Embedding(4, 2), CODES.to(torch.int8)).dtypes == (torch.int64,)
    assert probed(nn.Embedding(4, 2), CODES).dtypes == (torch.int64,)
    assert probed(Both(), ((X > 0), CODES.to(torch.uint8))).dtypes == (torch.float32, torch.int64)
    found = probed(Both(), ((X > 0), CODES.to(torch.uint8)))
    prepared = found.prepared(from_pair(((X > 0), CODES.to(torch.uint8)), torch.zeros(20)))
    assert [x.dtype for x in prepared.inputs] == [torch.float32, torch.int64]


@pytest.mark.parametrize(
    ("module", "draws", "mixes"),
    [
        (nn.Linear(3, 1), False, False),
        (nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 1)), False, False),
        (nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)), False, True),
        (nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 1)), False, False),
        (Centring(3, 1), False, True),
        (Drawing(3, 1), True, False),
    ],
)
def test_draws_and_mixing_are_seen_and_nothing_is_changed(module, draws, mixes):
    before, state = {n: t.clone() for n, t in module.state_dict().items()}, torch.get_rng_state()
    found = probed(module)
    assert (found.draws, found.use.mixes_rows) == (draws, mixes)
    assert all(torch.equal(t, before[n]) for n, t in module.state_dict().items()) and module.training
    assert torch.equal(torch.get_rng_state(), state)


def test_a_module_that_mixes_rows_leaves_out_a_short_last_batch():
    module = initialised(lambda: Centring(3, 1), 0)
    run = tt.fit(module, (X, X.sum(1)), None, batch_size=6, epochs=2, optimizer="sgd", lr=0.1)
    own = tt.fit(module, (X, X.sum(1)), None, batch_size=6, epochs=2, optimizer=torch.optim.SGD, lr=0.1)
    plain = initialised(lambda: Centring(3, 1), 0)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1)
    for epoch in range(2):
        for rows in torch.from_numpy(row_order(20, seed=0, fold=0, epoch=epoch)).split(6)[:3]:
            optimizer.zero_grad()
            nn.functional.mse_loss(plain(X[rows])[:, 0], X[rows].sum(1)).backward()
            optimizer.step()
    assert run.best_epoch == 2
    for each in (run, own):
        torch.testing.assert_close(each.module.weight, plain.weight, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("options", [{}, {"optimizer": torch.optim.SGD}, {"loss": nn.MSELoss()}])
def test_a_network_that_squeezes_meets_one_row(outputs, options):
    module = initialised(lambda: Squeezing(outputs), 0)
    y = X[:, :outputs].squeeze(1) if outputs == 1 else X[:, :outputs]
    run = tt.fit(module, (X[:9], y[:9]), (X[:1], y[:1]), batch_size=4, epochs=2, lr=0.01, **options)
    plain = initialised(lambda: Squeezing(outputs), 0)
    expected = tt.fit(plain.layer, (X[:9], y[:9]), (X[:1], y[:1]), batch_size=4, epochs=2, lr=0.01, **options)
    assert run.score == pytest.approx(expected.score, rel=1e-5)
    alone = tt.fit(module, (X[:1], y[:1]), None, epochs=2, lr=0.01, **options)
    assert alone.epochs == 2


def test_outputs_that_are_none():
    class Counting(nn.Linear):
        def forward(self, x):
            return super().forward(x).argmax(1)

    class Averaging(nn.Linear):
        def forward(self, x):
            return super().forward(x).mean()

    class Nothing(nn.Linear):
        def forward(self, x):
            super().forward(x)

    for module, words in ((Counting(3, 2), "whole numbers"), (Averaging(3, 2), "rows"), (Nothing(3, 1), "NoneType")):
        with pytest.raises(tt.ShapeError, match=words):
            probed(module)
    broken = nn.Linear(3, 1)
    broken.weight.data.fill_(float("nan"))
    with pytest.raises(tt.NotFiniteError, match="before any training"):
        probed(broken)
