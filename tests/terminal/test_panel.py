"""A search is shown where somebody looks, and its runs are told to callbacks."""

import io
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy
import polars
import pytest
from torch import nn

import trimtab as tt
from trimtab.terminal.panel import LivePanel, NotebookLine, view_in_python
from trimtab.terminal.progress import Silent
from trimtab.tuning.progress import Progress

ROWS = 60
_generator = numpy.random.default_rng(0)
X = _generator.normal(size=(ROWS, 3)).astype(numpy.float32)
Y = (X @ numpy.array([1.0, 2.0, -1.0], numpy.float32)).astype(numpy.float32)
TABLE = polars.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "y": Y})


def net(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, 1))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Told:
    """A callback that remembers, and ends the run called `ends`."""

    def __init__(self, ends: str = "") -> None:
        self.ends, self.runs, self.epochs, self.results = ends, {}, {}, {}

    def started(self, run: str, config: dict[str, Any]) -> None:
        assert run not in self.runs, "each run has a name of its own"
        self.runs[run] = config

    def epoch_ended(self, run: str, values: dict[str, float]) -> bool:
        self.epochs.setdefault(run, []).append(values["epoch"])
        return run == self.ends

    def ended(self, run: str, result: dict[str, Any]) -> None:
        self.results[run] = result


@pytest.fixture(scope="module")
def table_study(tmp_path_factory: pytest.TempPathFactory, few_epochs: None) -> tuple[tt.Study, Told]:
    told = Told(ends="trial 4, fold 2")
    options: dict[str, Any] = {"trials": 3, "epochs": 60, "width": 32, "depth": 1, "seed": 1, "callbacks": told}
    return tt.tune(TABLE, "y", out=tmp_path_factory.mktemp("runs") / "table", **options), told


@pytest.fixture(scope="module")
def network_study(tmp_path_factory: pytest.TempPathFactory) -> tuple[tt.Study, Told]:
    told = Told(ends="trial 1")
    space = {"width": [2, 4], "lr": (1e-3, 1e-1, "log")}
    out = tmp_path_factory.mktemp("runs") / "networks"
    return tt.tune(net, data=(X, Y), space=space, trials=3, epochs=60, out=out, callbacks=[told]), told


def test_the_runs_of_a_tables_search_are_told_by_trial_and_fold(table_study: tuple[tt.Study, Told]) -> None:
    study, told = table_study
    tuned = [trial for trial in study.trials if not trial.name]
    expected = {f"trial {trial.number}, fold {fold + 1}" for trial in tuned for fold in range(5)}
    assert expected <= set(told.runs)
    assert {"default MLP, fold 1"} <= set(told.runs)
    assert told.runs.keys() == told.results.keys() == told.epochs.keys()
    assert told.runs["trial 3, fold 1"]["epochs"] == 60
    curves = study.curves
    for trial in tuned:
        for fold in range(5):
            rows = curves.filter((polars.col("trial") == trial.number) & (polars.col("fold") == fold))
            assert told.epochs[f"trial {trial.number}, fold {fold + 1}"] == rows["epoch"].to_list()


def test_a_callback_ends_one_run_and_no_other(table_study: tuple[tt.Study, Told], network_study: Any) -> None:
    for _, told in (table_study, network_study):
        assert told.results[told.ends]["ended"] == "stopped"
        assert len(told.epochs[told.ends]) == 1
        others = [result["ended"] for run, result in told.results.items() if run != told.ends]
        assert "stopped" not in others


def test_the_runs_of_own_networks_are_told_by_trial(network_study: tuple[tt.Study, Told]) -> None:
    study, told = network_study
    assert list(told.runs) == ["trial 0", "trial 1", "trial 2"]
    best = told.results[f"trial {study.winner.number}"]
    assert best["score"] == pytest.approx(study.winner.error)
    assert best["best_epoch"] == study.winner.best_epoch


def test_a_function_of_an_epochs_values_is_a_callback_too(tmp_path: Path) -> None:
    seen: list[float] = []
    space = {"width": [2]}
    tt.tune(net, data=(X, Y), space=space, trials=1, epochs=60, out=tmp_path / "s",
            callbacks=lambda values: seen.append(values["validation_loss"]))  # fmt: skip
    assert len(seen) > 1 and all(numpy.isfinite(seen))


def test_a_callback_that_raises_ends_the_search_with_its_error(tmp_path: Path) -> None:
    def fail(values: dict[str, float]) -> None:
        raise RuntimeError("the tab fell off")

    with pytest.raises(RuntimeError, match="fell off"):
        tt.tune(TABLE, "y", trials=1, epochs=2, out=tmp_path / "s", callbacks=fail)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"callbacks": 3}, "callbacks holds a int|callbacks holds an int"),
        ({"listeners": [Told()]}, "listeners holds a Told, which is told of epochs: give it as callbacks="),
        ({"listeners": "ab"}, "listeners holds a str"),
        ({"listeners": [Silent]}, "listeners holds the class Silent"),
        ({"listeners": [lambda values: None]}, "listeners holds a function"),
    ],
)
def test_listeners_that_hear_nothing_are_refused(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(tt.OptionError, match=words):
        tt.tune(TABLE, "y", trials=1, out=tmp_path / "s", **options)
    assert list(tmp_path.iterdir()) == []


# -- what is shown


def test_a_study_prints_as_its_summary_and_is_one_line_by_itself(table_study: Any, network_study: Any) -> None:
    for study, _ in (table_study, network_study):
        text = str(study)
        assert "Best config: " in text and str(study.out) in text
        assert all(len(line) <= 80 or str(study.out) in line for line in text.splitlines())
        assert "\n" not in repr(study)
    assert "linear model" in str(table_study[0])
    assert "validation, 12 rows" in str(network_study[0])
    model = table_study[0].model
    assert repr(model) == f"Model(regression of y: {model.networks} networks)"


def test_a_study_draws_its_search(table_study: Any, network_study: Any) -> None:
    pytest.importorskip("matplotlib")
    for study, _ in (table_study, network_study):
        above, *below = study.plot().axes
        tuned = [trial for trial in study.trials if not trial.name]
        turned = {name for trial in tuned for name in trial.values
                  if len({other.values[name] for other in tuned}) > 1}  # fmt: skip
        assert {axes.get_xlabel() for axes in below if axes.get_visible()} == turned
        drawn = [place for line in above.lines for place in line.get_xdata() if line.get_marker() in ("o", "x")]
        assert sorted(drawn) == [trial.number for trial in tuned if numpy.isfinite(trial.error)]
        assert study.plot(kind="search").axes[0].get_ylabel() == above.get_ylabel()
    with pytest.raises(tt.OptionError, match='Did you mean "search"'):
        study.plot(kind="serach")


def progress() -> Any:
    return SimpleNamespace(
        phase="searching", seconds_left=30.0, trials_done=1, lanes_alive=8, best_score=None, best_trial=None,
        steps_per_second=1234.5, metric="rmse", share=0.25,
    )  # fmt: skip


def test_scripts_see_nothing_and_terminals_the_panel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert type(view_in_python()) is Silent
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert isinstance(view_in_python(), LivePanel)
    monkeypatch.setattr(sys, "stderr", None)
    assert type(view_in_python()) is Silent


class Notebook(ModuleType):
    """An IPython that is the kernel of a notebook, and what it was asked to show."""

    def __init__(self) -> None:
        super().__init__("IPython")
        self.shown: list[str] = []
        self.display = self

    def get_ipython(self) -> Any:
        return SimpleNamespace(kernel=object())

    def __call__(self, content: dict[str, str], **_: Any) -> Any:
        self.shown.append(content["text/plain"])
        return SimpleNamespace(update=lambda later, **_: self.shown.append(later["text/plain"]))


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Notebook:
    found = Notebook()
    monkeypatch.setitem(sys.modules, "IPython", found)
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=found))  # type: ignore[arg-type]
    return found


def test_a_notebook_has_one_line_that_is_cleared_at_the_end(
    notebook: Notebook, capsys: pytest.CaptureFixture[str]
) -> None:
    with view_in_python() as view:
        assert isinstance(view, NotebookLine)
        for _ in range(50):
            view.progress(progress())
        view.notice("Something to know.")
    assert notebook.shown == ["25%: searching, 0:30 left; 1 trial; 8 lanes; 1,234 steps/s; no trial finished yet", ""]
    assert "Note: Something to know." in capsys.readouterr().err


@pytest.mark.parametrize("is_quiet", [False, True])
def test_quiet_silences_a_search_in_a_notebook(
    notebook: Notebook, capsys: pytest.CaptureFixture[str], tmp_path: Path, is_quiet: bool
) -> None:
    tt.tune(net, data=(X, Y), space={"width": [2]}, trials=1, epochs=2, out=tmp_path / "s", quiet=is_quiet)
    captured = capsys.readouterr()
    assert (captured.out, captured.err == "") == ("", is_quiet)
    assert bool(notebook.shown) is not is_quiet


@pytest.mark.parametrize(("count", "shown"), [(0, 0), (2, 2), (11, 9)])
def test_the_panel_has_a_line_for_each_worker_and_one_for_those_beyond(count: int, shown: int) -> None:
    panel = LivePanel(Terminal())
    workers = tuple(f"Worker {number} on a node: 3 trials, 15 networks" for number in range(count))
    panel._latest = Progress("searching", 10.0, 3, 15, 15, 0.5, None, 100.0, "rmse", 0.2, workers)
    with panel.console.capture() as captured:
        panel.console.print(panel._render())
    lines = [line for line in captured.get().splitlines() if "orker" in line]
    assert len(lines) == shown
    assert count <= shown or "and 3 more workers" in lines[-1]
