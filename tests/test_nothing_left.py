"""After a public call that fails, wherever it does, the process and the caller's own things are as they were before."""

import importlib
import inspect
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import polars
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import trimtab as tt
from process_state import nothing_left
from trimtab.cli import main

KNOBS: dict[str, Any] = {"epochs": 2, "width": 32, "depth": 1, "batch_size": 32}
OPTIONS = [f"--{name.replace('_', '-')}={value}" for name, value in KNOBS.items()]


class InjectedError(RuntimeError):
    """What a test makes a place of the program raise."""


class Net(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, width), nn.Linear(width, 1)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.drop(torch.relu(self.first(x))))


class Noisy(Dataset):
    """Rows that are not the same twice."""

    def __init__(self, x: numpy.ndarray, y: numpy.ndarray) -> None:
        self.x, self.y = torch.from_numpy(x), torch.from_numpy(y)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.x[row] + torch.randn(3) / 100, self.y[row]


@dataclass(frozen=True)
class Bench:
    """What the calls of these tests are made with."""

    folder: Path
    table: Path
    study: Path
    x: numpy.ndarray
    y: numpy.ndarray
    module: nn.Module

    @property
    def out(self) -> Path:
        return self.folder / "runs" / "study"

    # -- the public calls

    def tune(self, **options: Any) -> Any:
        options = {"trials": 1, "threads": 2, **KNOBS, **options}
        return tt.tune(self.table, target="y", out=self.out, **options)

    def tune_within_a_budget(self) -> Any:
        return self.tune(trials=None, budget=6)

    def resume(self) -> Any:
        shutil.copytree(self.study, self.out)
        return tt.tune(self.table, trials=9, threads=2, resume=self.out)

    def tune_networks(self, make: Callable[..., nn.Module] = Net, **options: Any) -> Any:
        options = {"space": {"width": [4, 8]}, "trials": 2, "epochs": 2, "threads": 2, "out": self.out, **options}
        return tt.tune(make, data=(self.x, self.y), **options)

    def fit(self, **options: Any) -> Any:
        return tt.fit(self.module, (self.x, self.y), **{"epochs": 2, **options})

    def fit_alone(self) -> Any:
        return self.fit(optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.01))

    def fit_from_loader(self) -> Any:
        loader = DataLoader(Noisy(self.x, self.y), batch_size=40, num_workers=1)
        return tt.fit(self.module, loader, (self.x, self.y), epochs=2)

    def fit_with_checkpoint(self) -> Any:
        return self.fit(checkpoint=self.folder / "kept")

    def sweep(self) -> Any:
        return tt.sweep(self.module, (self.x, self.y), lr=[0.1, 0.01], epochs=2, seeds=2, threads=2)

    def estimate(self) -> Any:
        return tt.TrimtabRegressor(trials=1, random_state=0, threads=2, **KNOBS).fit(self.x, self.y)

    def load(self) -> Any:
        return tt.load(self.study)

    def predict(self) -> Any:
        return tt.load_model(self.study).predict(polars.read_csv(self.table))

    def export(self) -> Any:
        files = {"python": self.folder / "a.py", "onnx": self.folder / "a.onnx"}
        return tt.load(self.study).export(**files)

    def export_pt2(self) -> Any:
        return tt.load(self.study).export(pt2=self.folder / "a.pt2")

    def command_fit(self) -> int:
        return main(["fit", str(self.table), "--target=y", "--trials=1", "--threads=2", f"--out={self.out}", *OPTIONS])

    def command_sweep(self) -> int:
        plot = f"--plot={self.folder / 'plot.png'}"
        return main(["sweep", str(self.table), "--target=y", "--knob=lr", "--values=0.1,0.01", "--fix=epochs=2", plot])

    def command_predict(self) -> int:
        return main(["predict", str(self.study), str(self.table), "--out", str(self.folder / "p.parquet")])

    def record(self) -> None:
        optimizer = torch.optim.SGD(self.module.parameters(), lr=0.01)
        with tt.Recorder() as recorder:
            recorder.watch(self.module, optimizer)
            recorder.epoch(train_loss=1.0)
            recorder.save(self.folder / "recording.parquet")

    # -- and what they may leave

    def take_study(self) -> None:
        """What is left of a study holds a trial, to be gone on with, and no half of a file."""
        if self.out.exists():
            assert any((self.out / "runs").iterdir())
            assert not [path for path in self.out.rglob("*") if path.name.endswith(".part")]
            shutil.rmtree(self.out.parent)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A bench whose calls were made once: what is imported or made once for a process is there."""
    rng = numpy.random.default_rng(0)
    x = rng.normal(size=(60, 3)).astype("float32")
    folder = tmp_path_factory.mktemp("bench")
    (folder / "table").mkdir()
    table = folder / "table" / "t.csv"
    polars.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "y": x[:, 0] - x[:, 1]}).write_csv(table)
    bench = Bench(folder, table, folder / "study", x, x[:, 0] - x[:, 1], Net())
    # A model of networks alone, as its predictions are broken below.
    tt.tune(table, target="y", trials=1, out=bench.study, neighbours=False, **KNOBS)
    for call in (bench.sweep, bench.export, bench.command_sweep, bench.record, bench.fit_from_loader):
        call()
    return bench


@pytest.fixture
def bench(started: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path / "cache"))
    # The third of them trains as long as all the rest together.
    monkeypatch.setattr("trimtab.studies.table_work.BASELINES", ("mean", "linear"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    return Bench(tmp_path, started.table, started.study, started.x, started.y, Net())


def break_at(place: str, error: type[BaseException], monkeypatch: pytest.MonkeyPatch, *, after: int = 0) -> list[str]:
    """Make what stands at `place`, as module:name, raise from its call number `after` on; the list of calls of it."""
    module, _, path = place.partition(":")
    owner: Any = importlib.import_module(f"trimtab.{module}")
    *owners, name = path.split(".")
    for each in owners:
        owner = getattr(owner, each)
    original = inspect.getattr_static(owner, name)
    calls: list[str] = []

    def broken(*arguments: Any, **named: Any) -> Any:
        calls.append(place)
        if len(calls) > after:
            raise error("injected")
        return getattr(original, "__func__", original)(*arguments, **named)

    monkeypatch.setattr(
        owner, name, type(original)(broken) if isinstance(original, (staticmethod, classmethod)) else broken
    )
    return calls


# By public call, where it is made to fail. Places that other calls go through in the same way stand once.
PLACES: dict[str, tuple[str, ...]] = {
    "tune": (
        "table.read:pl.read_csv",
        "studies.request:prepare",
        "table.encode:Encoder.encode",
        "studies.table_subject:training_data",
        "studies.table_subject:space_for",
        "tuning.folder:StudyFolder.create",
        "tuning.folder:StudyFolder.write",
        "tuning.folder:save_file",
        "tuning.folder:StudyFolder.save_curves",
        "tuning.folder:StudyFolder.merge_curves",
        "tuning.writer:TrialStore.__init__",
        "tuning.database:_write_ahead",
        "tuning.writer:TrialStore.add",
        "tuning.writer:TrialWriter.__init__",
        "tuning.writer:TrialWriter.put",
        "tuning.writer:curve_rows",
        "tuning.search:Search.__init__",
        "tuning.trainer:Pace",
        "tuning.ahead:Waves.next",
        "tuning.proposer:Proposer.propose",
        "tuning.baselines:fit_linear",
        "tuning.baselines:fit_mean",
        "training.lanes.engine:Engine.__init__",
        "training.lanes.engine:Engine.admit",
        "training.lanes.engine:Engine.retire",
        "training.lanes.engine:Engine._train",
        "training.lanes.engine:Engine._evaluate",
        "training.lanes.engine:Engine._way",
        "training.lanes.tile:Tile.train",
        "training.lanes.tile:Tile.judged",
        "training.programs.step:Step.__call__",
        "studies.choice:choose",
        "studies.choice:as_model",
        "studies.table_work:judge",
        "studies.table_work:predictions_frame",
        "model.model:Model.save",
        "model.model:Model.load",
        "model.model:os.replace",
        "studies.table_work:TableWork._result",
        "studies.table_work:edges",
    ),
    "tune_within_a_budget": (
        "tuning.proposer:Proposer.propose",
        "tuning.ahead:Ahead.next",
        "training.lanes.engine:Engine.admit",
    ),
    "resume": ("tuning.store:TrialStore.trials", "studies.flow:words_of_going_on", "tuning.writer:TrialStore.add"),
    "tune_networks": (
        "studies.network_subject:Fitting",
        "studies.network_subject:NetworkSubject.document",
        "studies.flow:Search",
        "networks.fitting:Engine",
        "tuning.writer:TrialStore.__init__",
        "training.lanes.tile:Tile.train",
        "training.programs.vmap_program:functional_call",
        "studies.network_work:NetworkWork._result",
    ),
    "fit": (
        "fit:Datasets.read",
        "networks.networks:copied",
        "networks.fitting:tried",
        "networks.runs:in_lanes",
        "training.lanes.engine:Engine.population",
        "training.lanes.tile:Tile.train",
        "networks.fitting:Fitting.trained",
        "fit:Run",
    ),
    "fit_alone": (
        "training.lanes.solo:SoloRun.train",
        "training.lanes.solo:SoloRun.evaluate",
        "training.lanes.solo:SoloRun._move",
    ),
    "fit_from_loader": (
        "networks.streams:from_batch",
        "training.lanes.solo:SoloRun._advance",
        "networks.streams:check_finite",
    ),
    "fit_with_checkpoint": ("training.lanes.checkpoint:torch.save", "whole_file:os.replace"),
    "sweep": ("networks.runs:Engine.admit", "training.lanes.tile:Tile.train", "sweep:finished", "sweep:summarised"),
    "estimate": ("estimators:study_of", "training.lanes.engine:Engine.admit", "model.model:Model.load"),
    "load": ("tuning.writer:TrialStore.trials", "studies.loading:TableStudy"),
    "predict": ("table.encode:Encoder.encode", "model.model:outputs_of"),
    "export": ("export.files:as_onnx", "export.onnx:network_outputs", "export.files:Path.write_bytes"),
    "export_pt2": ("export.pt2:torch.export.export",),
    "command_fit": (
        "terminal.summary:print_summary",
        "training.lanes.engine:Engine.admit",
        "tuning.writer:TrialStore.add",
    ),
    "command_sweep": (
        "training.lanes.engine:Engine.admit",
        "cli.commands.trainings:save_figure",
        "whole_file:os.replace",
    ),
    "command_predict": ("model.predictions:polars.scan_parquet", "model.model:Model.raw_of"),
    "record": (
        "recording.recorder:Recorder.epoch",
        "recording.recording:Recording.save",
        "recording.watcher:Watcher._forward_hooks",
    ),
}
FAULTS = [(call, place) for call, places in PLACES.items() for place in places]


@pytest.mark.parametrize(("call", "place"), FAULTS)
def test_a_call_that_fails_leaves_nothing_behind(
    call: str, place: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = InjectedError if FAULTS.index((call, place)) % 2 else KeyboardInterrupt
    with nothing_left([bench.module], [bench.folder]):
        with monkeypatch.context() as patches, suppress(error, tt.TrimtabError):
            calls = break_at(place, error, patches)
            getattr(bench, call)()
        bench.take_study()
    assert calls


# -- where it is the caller's own code that fails


class Failing:
    """A callback, listener, loss or optimizer that fails in one of its methods."""

    def __init__(self, method: str, error: type[BaseException]) -> None:
        def fail(*_: Any, **__: Any) -> None:
            raise error("the caller's own")

        setattr(self, method, fail)


@pytest.mark.parametrize("error", [InjectedError, KeyboardInterrupt])
@pytest.mark.parametrize("method", ["started", "epoch_ended", "ended"])
def test_a_callback_that_fails(method: str, error: type[BaseException], bench: Bench) -> None:
    logger = tt.TensorBoardLogger(bench.folder / "logs")
    with nothing_left([bench.module]), pytest.raises(error):
        bench.fit(callbacks=[logger, Failing(method, error)])


@pytest.mark.parametrize("method", ["schema", "notice", "started", "baseline", "progress"])
def test_a_listener_that_fails(method: str, bench: Bench) -> None:
    with nothing_left([bench.module], [bench.folder]):
        with pytest.raises(InjectedError):
            bench.tune(listeners=[Failing(method, InjectedError)], refit=method == "notice", drop=["c"])
        bench.take_study()


def fail_from(call: int, error: type[BaseException]) -> Callable[[], None]:
    """Fails from its call of this number on."""
    calls: list[None] = []

    def fail() -> None:
        calls.append(None)
        if len(calls) >= call:
            raise error("the caller's own")

    return fail


@pytest.mark.parametrize("call", [1, 4, 12])
@pytest.mark.parametrize("error", [InjectedError, KeyboardInterrupt])
def test_a_forward_that_fails(call: int, error: type[BaseException], bench: Bench) -> None:
    fail = fail_from(call, error)

    class Faulty(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            fail()
            return super().forward(x)

    module = Faulty()
    with nothing_left([module], [bench.folder]):
        with suppress(error, tt.TrimtabError):
            tt.sweep(module, (bench.x, bench.y), lr=[0.1, 0.01], epochs=3, threads=2)
        with suppress(error, tt.TrimtabError):
            bench.tune_networks(Faulty)
        bench.take_study()


@pytest.mark.parametrize("call", [1, 3, 9])
def test_a_loss_an_optimizer_or_data_that_fail(call: int, bench: Bench) -> None:
    fails = [fail_from(call, error) for error in (InjectedError, KeyboardInterrupt, InjectedError)]

    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        fails[0]()
        return (output - target).square().mean()

    class Faulty(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            fails[1]()
            return super().step(closure)

    class Broken(Noisy):
        def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
            if row == 5 * call:
                fails[2]()
            return super().__getitem__(row)

    loader = DataLoader(Broken(bench.x, bench.y), batch_size=20, shuffle=True)
    with nothing_left([bench.module], [bench.folder]):
        for arguments in ({"loss": loss}, {"optimizer": lambda parameters: Faulty(parameters, lr=0.01)}):
            with suppress(InjectedError, KeyboardInterrupt, tt.TrimtabError):
                bench.fit(**arguments)
        with suppress(InjectedError, tt.TrimtabError):
            tt.fit(bench.module, loader, (bench.x, bench.y), epochs=3)


def test_a_training_loop_that_fails_inside_a_recorder(bench: Bench) -> None:
    optimizer = torch.optim.SGD(bench.module.parameters(), lr=0.01)
    of_another = torch.optim.SGD(Net().parameters(), lr=0.01)
    hooks = dict(optimizer._optimizer_step_pre_hooks), dict(optimizer._optimizer_step_post_hooks)

    def loop(fail: Callable[[tt.Recorder], None]) -> None:
        with tt.Recorder() as recorder:
            recorder.watch(bench.module, optimizer)
            fail(recorder)

    def raise_error(recorder: tt.Recorder) -> None:
        raise InjectedError

    with nothing_left([bench.module]):
        with pytest.raises(InjectedError):
            loop(raise_error)
        with pytest.raises(tt.TrimtabError, match="no such end"):
            loop(lambda recorder: recorder.close("no such end"))
        with pytest.raises(tt.TrimtabError, match="trains no parameter"):
            loop(lambda recorder: recorder.watch(bench.module, of_another))
    assert (optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks) == hooks


def test_looking_and_predicting_leave_nothing_behind_where_all_goes_well(bench: Bench) -> None:
    with nothing_left([bench.module]):
        for call in (bench.load, bench.predict, bench.export, bench.command_predict, bench.fit, bench.record):
            call()


def test_a_study_that_kept_nothing_can_be_started_again_in_its_folder(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        with monkeypatch.context() as patches:
            break_at("training.lanes.engine:Engine.__init__", InjectedError, patches)
            bench.tune()

    with pytest.raises(InjectedError):
        fail()
    assert not bench.out.parent.exists()
    bench.out.mkdir(parents=True)
    with pytest.raises(InjectedError):
        fail()
    assert bench.out.exists() and not list(bench.out.iterdir())  # the caller's own folder stays
    assert bench.tune().out == bench.out
