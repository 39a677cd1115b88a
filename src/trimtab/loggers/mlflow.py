"""MLflowLogger: runs as runs of an MLflow experiment, told by `callbacks=`. Knows MLflow and no training."""

import os
import time
from collections.abc import Mapping
from typing import Any

from trimtab.listeners.listener import Listener
from trimtab.loggers.settings import finite, flat
from trimtab.packages import required

SEND_EVERY = 5.0  # seconds: a call to a server may take a tenth of one (a guess)
# What MLflow takes in one call.
_MOST_PARAMETERS, _MOST_METRICS = 100, 1000


class MLflowLogger(Listener):
    """Logs each run's curves, settings and result to `experiment`, made if there is none of that name.

        tt.fit(module, train=(X, y), valid=0.2, callbacks=[tt.MLflowLogger("houses")])

    `tracking_uri` says where; without it MLflow's own settings do. A run that is active in MLflow becomes the parent of
    these runs. Curves are sent every few seconds; numbers that are not finite are left out. Raises OptionError where
    MLflow is not installed.
    """

    def __init__(self, experiment: str = "trimtab", *, tracking_uri: str | None = None) -> None:
        # MLflow tells its makers of its use unless it is told not to; nothing is to leave the machine because of us.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        mlflow: Any = required("mlflow", "tt.MLflowLogger", '"trimtab[mlflow]"')
        self._entities: Any = mlflow.entities
        self._client: Any = mlflow.MlflowClient(tracking_uri=tracking_uri)
        found = self._client.get_experiment_by_name(experiment)
        self._experiment = found.experiment_id if found else self._client.create_experiment(experiment)
        parent = mlflow.active_run()
        self._tags = {"mlflow.parentRunId": parent.info.run_id} if parent else {}
        self._runs: dict[str, str] = {}
        self._metrics: dict[str, list[Any]] = {}
        self._sent_at = time.monotonic()

    def started(self, run: str, config: Mapping[str, Any]) -> None:
        parameters = [self._entities.Param(name, str(setting)) for name, setting in flat(config).items()]
        for start in range(0, len(parameters), _MOST_PARAMETERS):
            self._client.log_batch(self._id(run), params=parameters[start : start + _MOST_PARAMETERS])

    def epoch_ended(self, run: str, values: Mapping[str, float]) -> None:
        numbers = finite(values)
        self._note(run, numbers, int(numbers.pop("epoch")))
        if time.monotonic() - self._sent_at >= SEND_EVERY:
            for each in list(self._metrics):
                self._send(each)
            self._sent_at = time.monotonic()

    def ended(self, run: str, result: Mapping[str, Any]) -> None:
        self._note(run, finite(result), 0)
        self._send(run)
        ended = str(result.get("ended", ""))
        self._client.set_tag(self._id(run), "ended", ended)
        self._client.set_terminated(self._runs.pop(run), "FAILED" if ended == "not finite" else "FINISHED")

    def failed(self, run: str, error: BaseException) -> None:
        """The call that the run belongs to has raised: what there is of it is kept."""
        if run in self._runs:
            self._send(run)
            self._client.set_tag(self._id(run), "ended", type(error).__name__)
            was_stopped = isinstance(error, KeyboardInterrupt)
            self._client.set_terminated(self._runs.pop(run), "KILLED" if was_stopped else "FAILED")

    def _note(self, run: str, numbers: Mapping[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        metrics = [self._entities.Metric(name, number, now, step) for name, number in numbers.items()]
        self._metrics.setdefault(run, []).extend(metrics)

    def _send(self, run: str) -> None:
        metrics = self._metrics.pop(run, [])
        for start in range(0, len(metrics), _MOST_METRICS):
            self._client.log_batch(self._id(run), metrics=metrics[start : start + _MOST_METRICS])

    def _id(self, run: str) -> str:
        if run not in self._runs:
            made = self._client.create_run(self._experiment, run_name=run, tags=dict(self._tags))
            self._runs[run] = made.info.run_id
        return self._runs[run]
