"""A run that is interrupted and goes on is the run that was never interrupted, to the bit."""

import os
import signal
import subprocess
import sys

import numpy
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

import trimtab as tt
from trimtab.networks import runs
from trimtab.training.lanes.checkpoint import FILE
from trimtab.training.randomness import initialised

ROWS, EPOCHS = 48, 9
_generator = numpy.random.default_rng(3)
X = _generator.normal(size=(ROWS + 16, 3)).astype(numpy.float32)
Y = (X.sum(1) + 0.3 * _generator.normal(size=len(X))).astype(numpy.float32)


class Interrupted(Exception):  # noqa: N818
    pass


@pytest.fixture(autouse=True)
def _at_every_epoch(monkeypatch):
    monkeypatch.setattr(runs, "CHECKPOINT_EVERY", 0.0)


def net(batch_norm=False, rate=0.0):
    norm = [nn.BatchNorm1d(12)] if batch_norm else []
    dropout = [nn.Dropout(rate)] if rate else []
    return initialised(lambda: nn.Sequential(nn.Linear(3, 12), *norm, nn.ReLU(), *dropout, nn.Linear(12, 1)), 0)


class Augmented(Dataset):
    def __len__(self):
        return ROWS

    def __getitem__(self, i):
        return torch.from_numpy(X[i]) + 0.05 * torch.randn(3), torch.tensor([Y[i]])


class NoisyInside(nn.Linear):
    def forward(self, x):
        return super().forward(nn.functional.dropout(x, 0.2, self.training))


def fit(module=None, train=(X[:ROWS], Y[:ROWS]), **options):
    module = net() if module is None else module
    return tt.fit(module, train, (X[ROWS:], Y[ROWS:]),
                  **{"epochs": EPOCHS, "batch_size": 16, "lr": 0.05, "optimizer": "adam", **options})  # fmt: skip


def interrupted_at(epoch):
    def stop(values):
        if values["epoch"] == epoch:
            raise Interrupted

    return stop


def assert_same_run(one, other):
    for a, b in zip(one.module.state_dict().values(), other.module.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert one.curves.equals(other.curves, null_equal=True)
    assert (one.best_epoch, one.epochs, one.ended, one.score) == (
        other.best_epoch,
        other.epochs,
        other.ended,
        other.score,
    )


plateau = tt.Schedule("plateau", patience=1, factor=0.3)
CASES = {
    "adam, cosine, dropout and batch norm": lambda: {
        "module": net(batch_norm=True, rate=0.3), "schedule": "cosine", "dropout": 0.4, "dropout_course": "linear"},
    "plateau and early stopping": lambda: {"schedule": plateau, "stop": 3, "lr": 0.4, "epochs": 40},
    "averaged weights": lambda: {"averaging": 0.9, "optimizer": "momentum"},
    "evaluated every other epoch": lambda: {"evaluate_every": 2, "schedule": "one_cycle"},
    "an optimizer of ones own": lambda: {"optimizer": torch.optim.Adam, "schedule": "cosine", "averaging": 0.5},
    "one that remembers many steps": lambda: {"optimizer": torch.optim.LBFGS, "batch_size": 0, "epochs": 6},
    "own optimizer, plateau and stopping": lambda: {
        "optimizer": torch.optim.Adam, "schedule": plateau, "stop": 3, "lr": 0.4, "epochs": 40},
    "data that change": lambda: {"train": Augmented(), "schedule": "cosine"},
    "data that change, batch norm, own optimizer": lambda: {
        "train": Augmented(), "module": net(batch_norm=True, rate=0.2), "optimizer": torch.optim.AdamW},
    "a loss of ones own": lambda: {"loss": nn.L1Loss(), "metric": "rmse"},
    "draws inside the network": lambda: {"module": initialised(lambda: NoisyInside(3, 1), 0)},
    "a factory": lambda: {"module": lambda width: net(), "width": 3},
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_interrupted_and_resumed_is_the_same_to_the_bit(case, tmp_path):
    options = CASES[case]()
    whole = fit(**options)
    at = [4, 6] if whole.epochs > 6 else [2, 4]
    for epoch in at:  # the second time in what was resumed
        with pytest.raises(Interrupted):
            fit(**options, checkpoint=tmp_path, callbacks=interrupted_at(epoch))
    heard = []
    resumed = fit(**options, checkpoint=tmp_path, callbacks=lambda values: heard.append(values["epoch"]))
    assert_same_run(resumed, whole)
    assert min(heard) > at[1] - 2 * options.get("evaluate_every", 1), "it began anew"
    # A finished run is given back at once.
    assert_same_run(fit(**options, checkpoint=tmp_path, callbacks=interrupted_at(1)), whole)


def test_a_checkpoint_changes_nothing_and_is_written_at_most_every_second(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "CHECKPOINT_EVERY", 3600.0)
    written = []
    monkeypatch.setattr(runs.Checkpoint, "write", lambda self, tensors, lane: written.append(lane.epoch))
    assert_same_run(fit(checkpoint=tmp_path / "deep" / "folder"), fit())
    assert written == [1, EPOCHS]


CHILD = """
import torch, trimtab as tt
from torch import nn
from trimtab.networks import runs
from trimtab.training.randomness import initialised
runs.CHECKPOINT_EVERY = 0.0
x = torch.arange(90.0).view(30, 3).sin()
net = initialised(lambda: nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, 1)), 0)
def fit(**how):
    return tt.fit(net, (x, x.sum(1)), 0.3, epochs=20, batch_size=8, schedule="cosine", dropout=0.3, **how)
"""


DYING = """
import os, signal
def die(values):
    if values["epoch"] == 8:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_that_is_killed_goes_on(tmp_path, monkeypatch):
    code = f"{CHILD}{DYING}fit(checkpoint={str(tmp_path)!r}, callbacks=die)"
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    monkeypatch.setattr(runs, "CHECKPOINT_EVERY", 0.0)
    here: dict = {}
    exec(CHILD, here)  # noqa: S102 - the same lines as there
    heard = []
    resumed = here["fit"](checkpoint=tmp_path, callbacks=lambda values: heard.append(values["epoch"]))
    assert_same_run(resumed, here["fit"]())
    assert min(heard) > 5


OTHERS = {
    "other data": {"train": (X[:ROWS] + 1, Y[:ROWS])},
    "other rows set aside": {"train": (X[: ROWS - 1], Y[: ROWS - 1])},
    "the same rows, divided elsewhere": {"divided": ROWS + 4},
    "another rate": {"lr": 0.04},
    "another seed": {"seed": 1},
    "another network": {"module": nn.Sequential(nn.Linear(3, 12), nn.Tanh(), nn.Linear(12, 1))},
    "other weights": {"module": nn.Sequential(nn.Linear(3, 12), nn.ReLU(), nn.Linear(12, 1))},
    "another activation": {"module": nn.Sequential(net()[0], nn.Tanh(), net()[2])},
    "a loss of ones own": {"loss": nn.MSELoss()},
    "an optimizer of ones own": {"optimizer": torch.optim.Adam},
    "a metric": {"metric": "rmse"},
    "other evaluations": {"evaluate_every": 2},
    "weights of rows": {"train": (X[:ROWS], Y[:ROWS], numpy.arange(ROWS) + 1.0)},
}


@pytest.mark.parametrize("case", OTHERS)
def test_another_run_does_not_go_on_from_it(case, tmp_path):
    with pytest.raises(Interrupted):
        fit(checkpoint=tmp_path, callbacks=interrupted_at(3))
    with pytest.raises(tt.CheckpointError, match="other data, another network or other knobs"):
        fit_divided(**OTHERS[case], checkpoint=tmp_path)
    assert fit(checkpoint=tmp_path).epochs == EPOCHS


@pytest.mark.parametrize("optimizer", ["adam", torch.optim.Adam])
@pytest.mark.parametrize("epochs", [EPOCHS - 2, EPOCHS + 4])
@pytest.mark.parametrize("interrupted", [4, None])
def test_more_epochs_go_on(optimizer, epochs, interrupted, tmp_path):
    options = {"optimizer": optimizer, "module": net(batch_norm=True), "averaging": 0.5}
    if interrupted is None and epochs < EPOCHS:
        fit(**options, checkpoint=tmp_path)
        with pytest.raises(tt.CheckpointError, match="of 9 epochs, not 7, and 9 of them are trained"):
            fit(**options, epochs=epochs, checkpoint=tmp_path)
        return
    if interrupted is None:
        fit(**options, checkpoint=tmp_path)
    else:
        with pytest.raises(Interrupted):
            fit(**options, checkpoint=tmp_path, callbacks=interrupted_at(interrupted))
    assert_same_run(fit(**options, epochs=epochs, checkpoint=tmp_path), fit(**options, epochs=epochs))


def test_more_epochs_of_a_run_that_stopped_early_or_was_to_stop_change_nothing(tmp_path):
    options = {"stop": 2, "lr": 0.4}
    whole = fit(**options, epochs=40)
    assert whole.ended == "stopped early"
    fit(**options, epochs=whole.epochs, checkpoint=tmp_path)
    assert_same_run(fit(**options, epochs=40, checkpoint=tmp_path), whole)
    assert_same_run(fit(**options, epochs=50, checkpoint=tmp_path), whole)


@pytest.mark.parametrize("plan", [{"schedule": "cosine"}, {"schedule": "step"},
                                  {"optimizer": "adamw", "weight_decay": 0.1, "decay_course": "linear"}])  # fmt: skip
def test_more_epochs_of_a_run_with_a_plan_are_another_run(plan, tmp_path):
    fit(**plan, checkpoint=tmp_path)
    with pytest.raises(tt.CheckpointError, match="of 9 epochs, not 12, and its rates follow a plan over all epochs"):
        fit(**plan, epochs=12, checkpoint=tmp_path)


def test_more_epochs_after_an_evaluation_out_of_turn_are_another_run(tmp_path):
    fit(evaluate_every=2, checkpoint=tmp_path)
    with pytest.raises(tt.CheckpointError, match="the last evaluation came after 1 epoch instead of 2"):
        fit(evaluate_every=2, epochs=12, checkpoint=tmp_path)


def fit_divided(divided=None, **options):
    if divided is None:
        return fit(**options)
    return tt.fit(net(), (X[:divided], Y[:divided]), (X[divided:], Y[divided:]), epochs=EPOCHS, batch_size=16, lr=0.05,
                  **options)  # fmt: skip


class Sloped(nn.Module):
    """A network with an attribute that no weight tells of."""

    def __init__(self, slope):
        super().__init__()
        self.inner, self.slope = net(), slope

    def forward(self, x):
        return nn.functional.leaky_relu(self.inner(x), self.slope)


class Moved(Dataset):
    def __init__(self, noise):
        self.noise = noise

    def __len__(self):
        return ROWS

    def __getitem__(self, i):
        return torch.from_numpy(X[i]) + self.noise * torch.randn(3), torch.tensor([Y[i]])


def powered(exponent):
    return lambda output, target: ((output - target).abs() ** exponent).mean()


TOLD_APART = {
    "an attribute of a loss": (
        {"loss": nn.HuberLoss(delta=1.0)}, {"loss": nn.HuberLoss(delta=0.1)},
        "the loss differs: delta was 1.0 and is 0.1"),
    "what a loss closes over": (
        {"loss": powered(2)}, {"loss": powered(3)}, "the loss differs: exponent was 2 and is 3"),
    "what an optimizer closes over": (
        {"optimizer": (lambda rate: lambda p: torch.optim.Adam(p, lr=rate))(0.01), "lr": None},
        {"optimizer": (lambda rate: lambda p: torch.optim.Adam(p, lr=rate))(0.1), "lr": None},
        "the optimizer differs: rate was 0.01 and is 0.1"),
    "an attribute of the network": (
        {"module": Sloped(0.1)}, {"module": Sloped(0.2)}, "the network differs: slope was 0.1 and is 0.2"),
    "a knob": ({"lr": 0.05}, {"lr": 0.04}, "the knobs differ: lr was 0.05 and is 0.04"),
    "a part of a schedule": (
        {"schedule": plateau}, {"schedule": tt.Schedule("plateau", patience=2, factor=0.3)},
        "the knobs differ: schedule.patience was 1 and is 2"),
    "what a Dataset does": (
        {"train": Moved(0.1)}, {"train": Moved(0.2)}, "what train= reads differs: dataset.noise was 0.1 and is 0.2"),
    "rows": ({}, {"train": (X[:ROWS] + 1, Y[:ROWS])}, r"the data differ: \[0\] is another"),
}  # fmt: skip


@pytest.mark.parametrize("case", TOLD_APART)
def test_the_refusal_names_what_differs(case, tmp_path):
    before, after, words = TOLD_APART[case]
    torch.manual_seed(0)
    fit(**before, epochs=1, checkpoint=tmp_path)
    with pytest.raises(tt.CheckpointError, match=words):
        fit(**after, epochs=1, checkpoint=tmp_path)
    fit(**before, epochs=1, checkpoint=tmp_path)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"loss": nn.MSELoss()}, {"loss": nn.L1Loss()}),
        ({"optimizer": torch.optim.Adam}, {"optimizer": torch.optim.AdamW}),
        ({"optimizer": torch.optim.Adam}, {"optimizer": "adam"}),
        ({"module": net(rate=0.3)}, {"module": net(rate=0.3), "dropout": 0.0}),
        ({"module": lambda make: make(), "make": net}, {"module": lambda make: make(), "make": dict}),
    ],
)
def test_functions_and_classes_are_told_apart(before, after, tmp_path):
    with pytest.raises(Interrupted):
        fit(**before, checkpoint=tmp_path, callbacks=interrupted_at(2))
    assert (tmp_path / FILE).exists()
    with pytest.raises((tt.CheckpointError, tt.FactoryError)):
        fit(**after, checkpoint=tmp_path)


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"not a checkpoint" * 9,
                                    lambda b: b[:200] + bytes(300) + b[500:]])  # fmt: skip
@pytest.mark.parametrize("optimizer", ["adam", torch.optim.Adam])
def test_a_damaged_file_is_refused(damage, optimizer, tmp_path):
    with pytest.raises(Interrupted):
        fit(checkpoint=tmp_path, optimizer=optimizer, callbacks=interrupted_at(3))
    file = tmp_path / FILE
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(tt.CheckpointError, match="delete it to start anew"):
        fit(checkpoint=tmp_path, optimizer=optimizer)


@pytest.mark.parametrize("content", [{}, {"format": 99}, [1, 2], {"format": 2, "identity": None}])
def test_a_file_of_another_kind_is_refused(content, tmp_path):
    torch.save(content, tmp_path / FILE)
    with pytest.raises(tt.CheckpointError):
        fit(checkpoint=tmp_path)


def test_no_code_that_a_file_holds_is_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'sprung'}",)

    torch.save({"format": 1, "identity": Trap()}, tmp_path / FILE)
    with pytest.raises(tt.CheckpointError):
        fit(checkpoint=tmp_path)
    assert not (tmp_path / "sprung").exists()


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(tt.CheckpointError, match="cannot be made"):
        fit(checkpoint=tmp_path / "file")


def test_half_a_file_is_never_found(tmp_path, monkeypatch):
    saved = torch.save

    def slowly(content, path):
        saved(content, path)
        assert path.name != FILE
        raise Interrupted

    with pytest.raises(Interrupted):
        fit(checkpoint=tmp_path, callbacks=interrupted_at(3))
    before = (tmp_path / FILE).read_bytes()
    monkeypatch.setattr(torch, "save", slowly)
    with pytest.raises(Interrupted):
        fit(checkpoint=tmp_path)
    assert (tmp_path / FILE).read_bytes() == before


def test_a_metric_of_ones_own_is_known_by_what_it_does(tmp_path):
    x, y = torch.randn(30, 2), torch.randn(30)

    def run(function, *, greater=False):
        metric = tt.Metric(function, greater_is_better=greater, name="mine")
        return tt.fit(nn.Linear(2, 1), (x, y), (x, y), epochs=2, checkpoint=tmp_path / "c", metric=metric)

    torch.manual_seed(0)
    run(lambda p, t: abs(p - t).mean())
    for function, greater in ((lambda p, t: abs(p - t).mean(), True), (lambda p, t: ((p - t) ** 2).mean(), False)):
        torch.manual_seed(0)
        with pytest.raises(tt.CheckpointError, match="the metric differs"):
            run(function, greater=greater)
