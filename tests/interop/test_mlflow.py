"""tt.MLflowLogger: what MLflow gives back is what the runs told, and the caller's own MLflow run stays as it is."""

import math
import os
from pathlib import Path

import pytest
import torch
from torch import nn

import trimtab as tt
from trimtab.interop import mlflow as file

mlflow = pytest.importorskip("mlflow")
X = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=["sqlite", "files"])
def uri(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    if request.param == "sqlite":
        pytest.importorskip("alembic")
        return f"sqlite:///{tmp_path / 'mlflow.db'}"
    return (tmp_path / "mlruns").as_uri()


def test_the_curves_of_a_fit_are_there_with_its_settings_and_result(uri: str) -> None:
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
