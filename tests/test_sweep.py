"""tt.sweep: every value is trained as tt.fit trains it, values are compared in pairs, and looking changes nothing."""

import numpy
import polars
import pytest
import torch
from torch import nn

import trimtab as tt
from trimtab.training.randomness import initialised

ROWS = 80
_generator = numpy.random.default_rng(4)
X = _generator.normal(size=(ROWS + 40, 3)).astype(numpy.float32)
Y = (numpy.sin(2 * X).sum(1) + 0.1 * _generator.normal(size=len(X))).astype(numpy.float32)
LABELS = (Y > 0).astype(numpy.int64)
TRAIN, VALID = (X[:ROWS], Y[:ROWS]), (X[ROWS:], Y[ROWS:])
COLUMNS = ["best", "best_low", "best_high", "final", "final_low", "final_high", "best_epoch", "diverged"]


def net(width=8, outputs=1):
    return nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, outputs))


def net_of_width(width):
    return net(width)


def given():
    return initialised(net, 0)


def sweep(module=None, train=TRAIN, valid=VALID, **knobs):
    module = given() if module is None else module
    return tt.sweep(module, train, valid, **{"epochs": 4, "seeds": 2, "batch_size": 16, **knobs})


def fit(module=None, **knobs):
    module = given() if module is None else module
    return tt.fit(module, TRAIN, VALID, **{"epochs": 4, "batch_size": 16, **knobs})


def weights(run):
    return torch.cat([value.flatten() for value in run.module.state_dict().values()])


def assert_same_sweep(one, other):
    assert one.table.equals(other.table, null_equal=True)
    for a, b in zip(one.runs, other.runs, strict=True):
        assert torch.equal(weights(a), weights(b)) and a.curves.equals(b.curves, null_equal=True)


RATES = [1e-3, 1e-2, 3e-2]


@pytest.mark.parametrize(
    ("module", "knobs"),
    [
        (given, {"lr": RATES}),
        (given, {"lr": RATES, "optimizer": "momentum", "schedule": "cosine"}),
        (net, {"lr": RATES}),
        (lambda: net_of_width, {"width": [4, 8], "lr": [0.01]}),
        (given, {"batch_size": [8, 0]}),
        (given, {"optimizer": ["adam", "sgd", torch.optim.Adam], "lr": 0.01}),
        (given, {"loss": ["mse", "mae", nn.MSELoss()]}),
        (lambda: initialised(lambda: nn.Sequential(net(), nn.Dropout(0.2)), 0), {"dropout": [0.0, 0.4]}),
        (lambda: initialised(lambda: nn.Sequential(nn.Linear(3, 4, bias=False), nn.BatchNorm1d(4), nn.Linear(4, 1)), 0),
         {"lr": [0.01, 0.03]}),
    ],
)  # fmt: skip
def test_every_run_is_the_run_of_tt_fit(module, knobs):
    made = net if module is net else module()
    result = sweep(made, **knobs)
    swept = {name: value for name, value in knobs.items() if isinstance(value, list)}
    combinations = [{}]
    for name, values in swept.items():
        combinations = [{**before, name: value} for before in combinations for value in values]
    assert len(result.runs) == 2 * len(combinations)
    for place, combination in enumerate(combinations):
        for seed in (0, 1):
            run = result.runs[2 * place + seed]
            alone = fit(made, **{**knobs, **combination}, seed=seed)
            for name in ("train_loss", "validation_loss", "learning_rate"):
                numpy.testing.assert_allclose(run.curves[name], alone.curves[name], rtol=1e-3)
            assert run.seed == seed and run.best_epoch == alone.best_epoch and run.ended == alone.ended
            torch.testing.assert_close(weights(run), weights(alone), rtol=1e-2, atol=1e-3)


class Drawing(nn.Module):
    """Draws by functions of its own; with `kind` in ways of torch's own layers, or beside what mixes rows."""

    def __init__(self, kind="function"):
        super().__init__()
        self.first, self.last = nn.Linear(3, 8, bias=False), nn.Linear(8, 1)
        self.middle = {
            "function": nn.Identity, "batch norm": lambda: nn.BatchNorm1d(8),
            "recurrent": lambda: nn.LSTM(8, 8, 2, batch_first=True, dropout=0.3),
            "attention": lambda: nn.MultiheadAttention(4, 2, 0.3),
        }[kind]()  # fmt: skip

    def forward(self, x):
        x = nn.functional.dropout(torch.relu(self.first(x)), 0.3, self.training)
        if isinstance(self.middle, nn.MultiheadAttention):
            steps = x.view(len(x), 2, 4).transpose(0, 1)
            x = self.middle(steps, steps, steps)[0].transpose(0, 1).flatten(1)
        elif isinstance(self.middle, nn.LSTM):
            x = self.middle(x.unsqueeze(1))[0].squeeze(1)
        else:
            x = self.middle(x)
        return self.last(x)


def noisy_loss(output, target):
    return ((output.reshape(-1) + 0.3 * torch.randn(len(output)) - target.reshape(-1)) ** 2).mean()


@pytest.mark.parametrize(
    ("kind", "knobs"),
    [("function", {}), ("batch norm", {}), ("recurrent", {}), ("attention", {}), ("function", {"evaluate_every": 2}),
     ("function", {"loss": noisy_loss})],
)  # fmt: skip
def test_what_a_run_draws_depends_on_no_other_run(kind, knobs):
    module = initialised(lambda: Drawing(kind), 0)
    result = sweep(module, lr=[0.003, 0.01, 0.03], epochs=3, **knobs)
    for run in (result.runs[1], result.runs[4]):
        alone = fit(module, lr=run.config.optimizer.learning_rate, seed=run.seed, epochs=3, **knobs)
        assert torch.equal(weights(run), weights(alone)) and run.curves.equals(alone.curves, null_equal=True)


def test_the_same_sweep_gives_the_same_bits_and_a_fit_after_it_too():
    before = fit()
    knobs = {"lr": RATES, "threads": 2}
    first = sweep(**knobs)
    torch.rand(3)
    assert_same_sweep(first, sweep(**knobs))
    after = fit()
    assert torch.equal(weights(before), weights(after)) and before.curves.equals(after.curves, null_equal=True)


def test_a_module_is_left_alone_and_a_factory_called_once_for_each_seed_and_width():
    module = given()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    sweep(module, lr=[0.1, 10.0])
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items()) and module.training
    calls = []

    def factory(width=8):
        calls.append(width)
        return net(width)

    sweep(factory, lr=RATES, seeds=3)
    assert calls == [8, 8, 8]
    calls.clear()
    sweep(factory, width=[2, 4], lr=RATES, seeds=2, epochs=1)
    assert sorted(calls) == [2, 2, 4, 4]
    calls.clear()
    sweep(factory, loss=["mse", nn.L1Loss()], optimizer=["adam", torch.optim.SGD], seeds=2, epochs=1)
    assert calls == [8, 8]


def test_the_table_has_what_the_runs_came_to():
    result = sweep(lr=numpy.array([0.003, 0.03, 1e4]), metric="r2", seeds=3, epochs=6, optimizer="sgd")
    assert result.table.columns == ["lr", *COLUMNS] and len(result.runs) == 9
    for place, row in enumerate(result.table.iter_rows(named=True)):
        runs = result.runs[3 * place : 3 * place + 3]
        scores = [run.score for run in runs]
        if row["diverged"]:
            continue
        final = [run.curves["validation_metric"][-1] for run in runs]
        assert row["best"] == pytest.approx(numpy.mean(scores)) and row["final"] == pytest.approx(numpy.mean(final))
        assert (row["best_low"], row["best_high"]) == (min(scores), max(scores))
        assert row["best_epoch"] == numpy.median([run.best_epoch for run in runs])
        assert [run.config.optimizer.learning_rate for run in runs] == [row["lr"]] * 3
    assert result.table["diverged"].to_list() == [0, 0, 3]
    assert result.metric == "r2" and result.best == {"lr": 0.03} and 0.03 in result.like_best
    assert result.edge == 0.03 and result.seconds > 0
    assert "Best: lr 0.03, with r2" in result.words and "Beyond lr 0.03 training diverges" in result.words
    assert "9 runs" in repr(result)
    assert [run.name for run in result.runs[:2]] == ["lr=0.003, seed 0", "lr=0.003, seed 1"]


def test_values_in_every_form():
    for values in ([4, 8], range(4, 9, 4), numpy.array([4, 8]), torch.tensor([4, 8]), polars.Series([4, 8]), (4, 8)):
        result = sweep(batch_size=values, epochs=1, seeds=1)
        assert result.table["batch_size"].to_list() == [4, 8]
        assert all(type(value) is int for value in result.best.values())
    one = sweep(lr=[0.01], epochs=1)
    assert one.like_best == (0.01,) and "Every other" not in one.words
    hidden = sweep(lambda hidden: net(hidden[0]), hidden=[(2,), (4,)], epochs=1)
    assert hidden.table["hidden"].to_list() == ["(2,)", "(4,)"]
    held = sweep(lambda hidden: net(hidden[0]), hidden=(2, 2), lr=[0.01, 0.1], epochs=1)
    assert held.knobs == ("lr",)
    mixed = sweep(stop=[None, 3, tt.EarlyStopping(patience=2)], epochs=1)
    assert mixed.table["stop"][:2].to_list() == ["None", "3"]


BIASES, WEIGHTS = tt.Group("*.bias", rate=0.5), tt.Group("*.weight", decay=0.0)
CLASSES = {"train": (X[:ROWS], LABELS[:ROWS]), "valid": (X[ROWS:], LABELS[ROWS:])}


@pytest.mark.parametrize("groups", [[BIASES, WEIGHTS], (BIASES, WEIGHTS), [BIASES], BIASES, []])
def test_groups_in_a_flat_list_are_one_value(groups):
    result = sweep(groups=groups, lr=[0.01, 0.1], epochs=1, seeds=1)
    assert result.knobs == ("lr",)
    given_as = tuple(groups) if isinstance(groups, (list, tuple)) else (groups,)
    assert all(run.config.groups == given_as for run in result.runs)


@pytest.mark.parametrize("groups", [[[BIASES], [BIASES, WEIGHTS]], ([BIASES], (BIASES, WEIGHTS))])
def test_groups_in_a_list_of_lists_are_several_values(groups):
    result = sweep(groups=groups, epochs=1, seeds=1)
    assert [run.config.groups for run in result.runs] == [(BIASES,), (BIASES, WEIGHTS)]
    nothing = sweep(groups=[[], [BIASES]], epochs=1, seeds=1)
    assert [run.config.groups for run in nothing.runs] == [(), (BIASES,)]


@pytest.mark.parametrize(
    "weights", [[1.0, 3.0], (1, 3), numpy.array([1.0, 3.0]), torch.tensor([1.0, 3.0]), polars.Series([1.0, 3.0])]
)
def test_class_weights_are_one_value_flat_and_several_in_a_list_of_lists(weights):
    module = initialised(lambda: net(outputs=2), 0)
    one = sweep(module, **CLASSES, class_weights=weights, lr=[0.01, 0.1], epochs=1, seeds=1)
    assert one.knobs == ("lr",)
    assert all(run.config.loss.class_weights == (1.0, 3.0) for run in one.runs)
    two = sweep(module, **CLASSES, class_weights=[None, weights], epochs=1, seeds=1)
    assert two.knobs == ("class_weights",) and two.metric == "log_loss"
    assert [run.config.loss.class_weights for run in two.runs] == [(), (1.0, 3.0)]


def test_a_table_of_class_weights_has_a_value_in_each_row():
    table = numpy.array([[1.0, 3.0], [2.0, 1.0]])
    for weights in (table, torch.from_numpy(table), table.tolist()):
        result = sweep(lambda: net(outputs=2), **CLASSES, class_weights=weights, epochs=1, seeds=1)
        assert [run.config.loss.class_weights for run in result.runs] == [(1.0, 3.0), (2.0, 1.0)]


def stacked(hidden):
    sizes = [3, *hidden]
    layers = [layer for a, b in zip(sizes, hidden, strict=False) for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], 1))


def by_default(hidden=(4,)):
    return stacked(hidden)


def annotated(hidden: list[int]):
    return stacked([] + hidden)  # noqa: RUF005 - what only a list can do


def perhaps(hidden: tuple[int, ...] | None = None):
    return stacked(hidden or (4,))


@pytest.mark.parametrize("factory", [stacked, by_default, annotated, perhaps])
def test_an_argument_that_is_a_list_is_one_value_flat_and_several_in_a_list_of_lists(factory):
    one = sweep(factory, hidden=[4, 2], lr=[0.01, 0.1], epochs=1, seeds=1)
    assert one.knobs == ("lr",) and [len(run.module) for run in one.runs] == [5, 5]
    two = sweep(factory, hidden=[[4], [4, 2]], epochs=1, seeds=1)
    assert [len(run.module) for run in two.runs] == [3, 5]


def test_one_value_alone_is_told_how_to_be_swept():
    with pytest.raises(tt.OptionError, match="One value of groups is a list: give a list of lists to sweep it"):
        sweep(groups=[BIASES, WEIGHTS])
    with pytest.raises(tt.OptionError, match="class_weights has a value twice"):
        sweep(initialised(lambda: net(outputs=2), 0), **CLASSES, class_weights=[[1, 3], (1.0, 3.0)])


def test_values_of_losses_are_compared_by_the_tasks_metric():
    result = sweep(loss=["mse", "huber", nn.L1Loss(), nn.SmoothL1Loss()], lr=0.02)
    assert result.metric == "rmse"
    assert result.table["loss"].to_list() == ["mse", "huber", "L1Loss", "SmoothL1Loss"]
    for run in result.runs:
        with torch.no_grad():
            error = run.module(torch.from_numpy(X[ROWS:]))[:, 0] - torch.from_numpy(Y[ROWS:])
        assert run.score == pytest.approx(float(error.square().mean().sqrt()), rel=1e-4)
    labels = {"train": (X[:ROWS], LABELS[:ROWS]), "valid": (X[ROWS:], LABELS[ROWS:])}
    classes = sweep(
        initialised(lambda: net(outputs=2), 0), **labels, loss=["cross_entropy", "focal", nn.CrossEntropyLoss()]
    )
    assert classes.metric == "log_loss"
    delta = sweep(loss="huber", delta=[0.1, 1.0])
    assert delta.metric == "rmse"
    assert sweep(lr=[0.01, 0.1]).metric is None
    with pytest.raises(tt.OptionError, match="cannot be compared"):
        sweep(initialised(lambda: net(outputs=2), 0), train=(X, Y[:, None]), valid=0.3,
              loss=[lambda o, t: (o[:, :1] - t) ** 2, lambda o, t: (o[:, :1] - t).abs()])  # fmt: skip


# -- what diverges


def test_a_small_rate_and_a_trained_network_have_not_diverged():
    trained = fit(epochs=30, lr=0.02).module
    result = sweep(trained, lr=[1e-7, 1e-4, 1e3], optimizer="sgd")
    assert result.table["diverged"].to_list() == [0, 0, 2] and result.edge == 1e-4
    by_accuracy = tt.sweep(initialised(lambda: net(outputs=2), 0), (X[:ROWS], LABELS[:ROWS]), (X[ROWS:], LABELS[ROWS:]),
                           lr=[1e-7, 1e-6], metric="accuracy", epochs=2)  # fmt: skip
    assert by_accuracy.table["diverged"].to_list() == [0, 0] and by_accuracy.best


def test_a_run_that_overfits_has_not_diverged():
    noise = numpy.random.default_rng(0).normal(size=ROWS).astype(numpy.float32)
    few, judged = (X[:12], noise[:12]), (X[ROWS:], noise[:40])
    result = sweep(lambda: net(64), few, judged, lr=[0.01, 0.015], epochs=80, batch_size=0, evaluate_every=8)
    last, first = ([run.curves["validation_loss"][place] for run in result.runs] for place in (-1, 0))
    assert min(last) > 1.2 * max(first), "it was to overfit"
    assert result.table["diverged"].to_list() == [0, 0]


def test_the_edge_of_gradient_descent_is_two_over_the_largest_eigenvalue():
    x = X[:ROWS] - X[:ROWS].mean(0)
    y = x @ numpy.ones(3, numpy.float32)
    largest = float(numpy.linalg.eigvalsh(2 * x.T @ x / ROWS).max())
    line = initialised(lambda: nn.Linear(3, 1), 0)
    rates = [factor * 2 / largest for factor in (0.9, 0.98, 1.02)]
    result = tt.sweep(line, (x, y), None, lr=rates, optimizer="gd", epochs=150, seeds=1, evaluate_every=10)
    assert result.edge == pytest.approx(rates[1]) and result.table["diverged"].to_list() == [0, 0, 1]


def test_when_all_diverge_or_none_does():
    wild = sweep(lr=[1e10, 1e12], optimizer="sgd")
    assert wild.best == {} and wild.like_best == () and wild.edge is None and wild.place is None
    assert "Every value of lr diverged: try smaller ones." in wild.words
    tame = sweep(lr=[1e-3, 1e-2])
    assert tame.edge is None and "Beyond" not in tame.words
    names = sweep(optimizer=["sgd", "momentum"], lr=1e10)
    assert names.words.startswith("Every value of optimizer diverged. ")


def test_one_run_of_each_value_says_what_it_cannot_tell():
    nothing = sweep(loss=lambda o, t: ((o - t) ** 2).mean(), lr=[1e-6, 0.05], seeds=1)
    assert "cannot tell a difference from chance" in nothing.words and not nothing.is_noise_known
    rows = sweep(lr=[1e-6, 0.05], seeds=1, epochs=20)
    assert "measurably worse on these rows and seeds" in rows.words or len(rows.like_best) == 2
    assert rows.is_noise_known


def test_findings_are_those_of_the_sweep_and_of_the_best_values_runs():
    wild = sweep(lr=[1e10, 1e12], optimizer="sgd")
    assert [(each.id, each.severity) for each in wild.findings] == [("diverged", "high")]
    short = sweep(lr=[1e-5, 1e-4, 1e-2], epochs=80, seeds=4)
    assert short.place == 2
    found = {each.id: each for each in short.findings}
    assert found["search_edge"].evidence["value"] == 1e-2
    of_runs = {each.id for run in short.runs[8:] for each in run.findings}
    assert set(found) - {"search_edge"} <= of_runs
    assert [each["id"] for each in short.summary()["findings"]] == [each.id for each in short.findings]


# -- callbacks


def test_listeners_hear_every_run_by_its_name_and_stop_it_alone():
    heard = {}

    class Listener:
        def started(self, run, config):
            heard[run] = [config["optimizer"]["learning_rate"]]

        def epoch_ended(self, run, values):
            heard[run].append(values["epoch"])
            return run.startswith("lr=0.01") and values["epoch"] == 2

        def ended(self, run, result):
            heard[run].append(result["ended"])

    result = sweep(lr=[0.01, 0.02], seeds=1, callbacks=Listener())
    assert heard == {"lr=0.01": [0.01, 1, 2, "stopped"], "lr=0.02": [0.02, 1, 2, 3, 4, "all epochs"]}
    assert [run.epochs for run in result.runs] == [2, 4]

    def fail(values):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        sweep(lr=[0.01, 0.02], callbacks=fail)


# -- what cannot be swept

REFUSED = {
    "nothing": (tt.OptionError, "given so: none", {}),
    "three knobs": (tt.OptionError, "batch_size, lr, momentum", {
        "lr": [0.1, 0.2], "momentum": [0.1, 0.2], "batch_size": [3, 4]}),
    "a value twice": (tt.OptionError, "lr has a value twice", {"lr": [0.1, 0.1]}),
    "a value twice, written otherwise": (tt.OptionError, "lr has a value twice", {"lr": [1, 1.0]}),
    "no values": (tt.OptionError, "lr has no values", {"lr": []}),
    "a table of values": (tt.OptionError, "given so: none", {"lr": numpy.ones((2, 2))}),
    "too many runs": (tt.OptionError, "at most", {"lr": numpy.linspace(0.1, 1, 30_000)}),
    "an unknown knob": (tt.UnknownKnobError, 'Did you mean "weight_decay"', {"wieght_decay": [0.1, 0.2]}),
    "a value that cannot be": (tt.OptionError, "learning rate is -0.2", {"lr": [0.1, -0.2]}),
    "an unknown name": (tt.OptionError, 'Unknown optimizer "adma"', {"optimizer": ["adam", "adma"]}),
    "losses of two tasks": (tt.OptionError, "Unknown loss for", {"loss": ["mse", "cross_entropy"]}),
    "no seeds": (tt.OptionError, "seeds is 0", {"lr": [0.1, 0.2], "seeds": 0}),
    "seeds in a list": (tt.OptionError, r"seeds is \[1, 2\]", {"lr": [0.1, 0.2], "seeds": [1, 2]}),
    "no threads": (tt.OptionError, "threads is 0", {"lr": [0.1, 0.2], "threads": 0}),
    "a checkpoint": (tt.UnknownKnobError, "checkpoint", {"lr": [0.1, 0.2], "checkpoint": "somewhere"}),
    "dropout without a layer": (tt.OptionError, "no nn.Dropout layer", {"dropout": [0.1, 0.2]}),
    "a knob that nobody reads": (tt.OptionError, "tau is read by quantile", {"lr": [0.1, 0.2], "tau": 0.4}),
    "a factory that raises for one": (tt.FactoryError, r"factory\(width=0\), raised ZeroDivisionError", {
        "module": lambda width: net(8 // width), "width": [2, 0]}),
    "other outputs for one": (tt.ShapeError, "must stay the same", {
        "module": lambda outputs: net(outputs=outputs), "outputs": [1, 2]}),
    "a network that cannot take its inputs": (tt.ModuleError, "cannot take inputs", {
        "module": lambda columns: nn.Linear(columns, 1), "columns": [3, 2]}),
    "groups that match nothing in one": (tt.OptionError, 'called like "x"', {
        "groups": [[tt.Group("*.bias")], [tt.Group("x")]]}),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_swept_is_refused_in_one_sentence(case):
    kind, words, knobs = REFUSED[case]
    with pytest.raises(kind, match=words) as caught:
        sweep(**knobs)
    assert type(caught.value) is kind and "\n" not in str(caught.value)


def test_a_knob_that_some_of_the_values_read_is_no_mistake():
    result = sweep(loss=["mse", "huber"], delta=0.3, epochs=1)
    assert [run.config.loss.parameter for run in result.runs[::2]] == [1.0, 0.3]
    pairs = sweep(optimizer=["sgd", "momentum"], momentum=[0.5, 0.9], epochs=1)
    assert len(pairs.table) == 4


def test_a_networks_own_dropout_beside_rates_of_dropout():
    module = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 1))
    own, none, much = (fit(module, epochs=4, **knobs).score for knobs in ({}, {"dropout": 0.0}, {"dropout": 0.9}))
    for order in ([None, 0.9, 0.0], [0.9, None, 0.0]):
        found = sweep(module, dropout=order, seeds=1)
        expected = {None: own, 0.9: much, 0.0: none}
        assert [run.score for run in found.runs] == pytest.approx([expected[rate] for rate in order], rel=1e-4)


class Padded(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.out = nn.Embedding(5, 3, padding_idx=0), nn.Linear(6, 1)

    def forward(self, codes):
        return self.out(self.table(codes).flatten(1))


def test_padding_is_trained_in_no_lane():
    codes = torch.randint(0, 5, (120, 2), generator=torch.Generator().manual_seed(0))
    y = codes.float().sum(1, keepdim=True) - 4
    module = initialised(Padded, 0)
    found = tt.sweep(module, (codes[:80], y[:80]), (codes[80:], y[80:]), lr=[0.01, 0.05], epochs=20, seeds=2)
    alone = tt.fit(module, (codes[:80], y[:80]), (codes[80:], y[80:]), lr=0.05, epochs=20)
    assert all(bool((run.module.table.weight[0] == 0).all()) for run in found.runs)
    assert found.runs[2].score == pytest.approx(alone.score, rel=1e-4)
