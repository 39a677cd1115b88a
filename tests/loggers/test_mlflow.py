"""tt.MLflowLogger: what MLflow gives back is what the runs told, and the caller's own MLflow run stays as it is."""

import math
import os
import sys
import types
from collections import namedtuple
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

import trimtab as tt
from trimtab.loggers import mlflow as file

X = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))


class Client:
    """Keeps what it is told, as MLflow's client of that name takes it."""

    def __init__(self, tracking_uri: str | None = None) -> None:
        self.uri, self.runs = tracking_uri, {}
        STANDINS.append(self)

    def get_experiment_by_name(self, name: str) -> None:
        return None

    def create_experiment(self, name: str) -> str:
        return f"experiment {name}"

    def create_run(self, experiment: str, run_name: str, tags: dict[str, str]) -> SimpleNamespace:
        self.runs[run_name] = {"experiment": experiment, "tags": tags, "metrics": [], "params": [], "status": "RUNNING"}
        return SimpleNamespace(info=SimpleNamespace(run_id=run_name))

    def log_batch(self, run: str, metrics: Sequence[Any] = (), params: Sequence[Any] = ()) -> None:
        self.runs[run]["metrics"] += metrics
        self.runs[run]["params"] += params

    def set_tag(self, run: str, name: str, value: str) -> None:
        self.runs[run]["tags"][name] = value

    def set_terminated(self, run: str, status: str) -> None:
        assert self.runs[run]["status"] == "RUNNING"
        self.runs[run]["status"] = status


STANDINS: list[Client] = []


@pytest.fixture
def standin(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for MLflow with what the logger uses of it, so that it is tested where MLflow is not installed."""
    module = types.ModuleType("mlflow")
    kinds = {"Param": namedtuple("Param", "key value"), "Metric": namedtuple("Metric", "key value timestamp step")}
    vars(module).update(entities=SimpleNamespace(**kinds), MlflowClient=Client, active_run=lambda: None)
    monkeypatch.setitem(sys.modules, "mlflow", module)
    STANDINS.clear()


class Stopping:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def epoch_ended(self, run: str, values: dict[str, float]) -> None:
        if values["epoch"] == 2:
            raise self.error


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt(), "KILLED"), (RuntimeError("the disk is full"), "FAILED")], ids=repr
)
def test_a_run_that_is_broken_off_is_ended_with_what_there_is_of_it(standin: None, error: Any, status: str) -> None:
    logger = tt.MLflowLogger("houses")
    with pytest.raises(type(error)):
        tt.fit(nn.Linear(3, 1), train=(X, X[:, :1]), epochs=5, callbacks=[logger, Stopping(error)])
    (run,) = STANDINS[0].runs.values()
    assert run["status"] == status and run["tags"]["ended"] == type(error).__name__
    assert {metric.step for metric in run["metrics"]} == {1, 2} and run["params"]
    logger.failed("run", error)  # it is ended once


def test_a_run_whose_losses_are_no_numbers_has_failed_and_one_whose_metric_is_none_too(standin: None) -> None:
    train = (X, X[:, :1])
    tt.fit(nn.Linear(3, 1), train=train, epochs=3, lr=1e20, optimizer="sgd", callbacks=tt.MLflowLogger("rates"))
    (run,) = STANDINS[0].runs.values()
    assert (run["status"], run["tags"]["ended"]) == ("FAILED", "not finite")
    assert all(math.isfinite(metric.value) for metric in run["metrics"])
    metric = tt.Metric(lambda prediction, truth: math.nan, name="odd", greater_is_better=True)
    with pytest.raises(tt.OptionError, match="Your metric odd gave nan"):
        tt.fit(nn.Linear(3, 1), train=train, epochs=2, metric=metric, callbacks=tt.MLflowLogger("metrics"))
    (run,) = STANDINS[1].runs.values()
    assert (run["status"], run["tags"]["ended"]) == ("FAILED", "OptionError")
    tt.fit(nn.Linear(3, 1), train=train, epochs=2, callbacks=tt.MLflowLogger("sound"))
    (run,) = STANDINS[2].runs.values()
    assert (run["status"], run["tags"]["ended"]) == ("FINISHED", "all epochs")


@pytest.fixture(params=["sqlite", "files"])
def uri(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    if request.param == "sqlite":
        pytest.importorskip("alembic")
        return f"sqlite:///{tmp_path / 'mlflow.db'}"
    return (tmp_path / "mlruns").as_uri()


def test_the_curves_of_a_fit_are_there_with_its_settings_and_result(uri: str) -> None:
    import mlflow

    logger = tt.MLflowLogger("houses", tracking_uri=uri)
    run = tt.fit(nn.Linear(3, 1), train=(X, X.sum(1, keepdim=True)), epochs=3, lr=0.02, callbacks=[logger])
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("houses")
    (logged,) = client.search_runs([experiment.experiment_id])
    assert logged.info.run_name == run.name
    assert logged.info.status == "FINISHED"
    assert logged.data.params["optimizer.learning_rate"] == "0.02"
    assert logged.data.tags["ended"] == "all epochs"
    assert logged.data.metrics["score"] == pytest.approx(run.score)
    for name in ("train_loss", "validation_loss", "gradient_norm"):
        history = client.get_metric_history(logged.info.run_id, name)
        assert [metric.step for metric in history] == [1, 2, 3]
        assert [metric.value for metric in history] == pytest.approx(run.curves[name].to_list()), name
    assert "dead_units" not in logged.data.metrics
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_a_run_that_is_active_is_the_parent_and_stays_active(uri: str) -> None:
    import mlflow

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    try:
        mlflow.set_experiment("houses")
        with mlflow.start_run() as parent:
            logger = tt.MLflowLogger("houses", tracking_uri=uri)
            logger.started("a", {f"knob{i}": i for i in range(150)})
            logger.epoch_ended("a", {"epoch": 1, "train_loss": math.inf, "validation_loss": math.nan})
            logger.ended("a", {"ended": "not finite", "score": math.nan, "best_epoch": 0})
            assert mlflow.active_run().info.run_id == parent.info.run_id
        client = mlflow.MlflowClient(tracking_uri=uri)
        runs = client.search_runs([parent.info.experiment_id])
        (child,) = [run for run in runs if run.info.run_id != parent.info.run_id]
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert child.info.status == "FAILED"
        assert len(child.data.params) == 150
        assert child.data.metrics == {"best_epoch": 0}
    finally:
        mlflow.set_tracking_uri(before)


def test_curves_are_sent_while_runs_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("alembic")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    logger = tt.MLflowLogger("houses", tracking_uri=uri)
    logger.epoch_ended("a", {"epoch": 1, "train_loss": 3.0})
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("houses").experiment_id
    assert client.search_runs([experiment]) == []
    monkeypatch.setattr(file, "SEND_EVERY", 0.0)
    logger.epoch_ended("b", {"epoch": 1, "train_loss": 2.0})
    assert sorted(run.data.metrics["train_loss"] for run in client.search_runs([experiment])) == [2.0, 3.0]
