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
from trimtab.modules import runs
from trimtab.training.checkpoint import FILE
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
    for epoch in at:  # twice, the second time in what was resumed
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
import sys, numpy, torch, trimtab as tt
from torch import nn
from trimtab.modules import runs
from trimtab.training.randomness import initialised
runs.CHECKPOINT_EVERY = 0.0
x = torch.arange(90.0).view(30, 3).sin()
net = initialised(lambda: nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, 1)), 0)
def hear(values):
    print(values["epoch"], flush=True)
run = tt.fit(net, (x, x.sum(1)), 0.3, epochs=int(sys.argv[2]), batch_size=8, schedule="cosine", dropout=0.3,
             checkpoint=sys.argv[1] or None, callbacks=hear)
print("done", run.best_epoch, [float(v.double().sum()) for v in run.module.state_dict().values()],
      run.curves["validation_loss"].to_list())
"""


def test_a_process_that_is_killed_goes_on(tmp_path):
    def start(folder):
        return subprocess.Popen([sys.executable, "-c", CHILD, str(folder), "40"],
                                stdout=subprocess.PIPE, text=True)  # fmt: skip

    whole = start("")
    killed = start(tmp_path)
    assert killed.stdout is not None
    for line in killed.stdout:
        if line.strip() == "8":
            os.kill(killed.pid, signal.SIGKILL)
            break
    killed.wait()
    assert killed.returncode == -signal.SIGKILL
    again = start(tmp_path)
    (printed, _), (expected, _) = again.communicate(timeout=200), whole.communicate(timeout=200)
    assert printed.splitlines()[-1] == expected.splitlines()[-1]
    assert int(printed.splitlines()[0]) > 5


OTHERS = {
    "other data": {"train": (X[:ROWS] + 1, Y[:ROWS])},
    "other rows set aside": {"train": (X[: ROWS - 1], Y[: ROWS - 1])},
    "the same rows, divided elsewhere": {"divided": ROWS + 4},
    "another rate": {"lr": 0.04},
    "another seed": {"seed": 1},
    "more epochs": {"epochs": EPOCHS + 1},
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


def fit_divided(divided=None, **options):
    if divided is None:
        return fit(**options)
    return tt.fit(net(), (X[:divided], Y[:divided]), (X[divided:], Y[divided:]), epochs=EPOCHS, batch_size=16, lr=0.05,
                  **options)  # fmt: skip


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


@pytest.mark.parametrize("content", [{}, {"format": 99}, [1, 2], {"format": 1, "identity": None}])
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
