"""Scoring: what the runs of a trial come to, taken together. Knows data and the metric; it decides nothing."""

from collections.abc import Sequence

import numpy
import torch

from trimtab.training.data import TrainingData
from trimtab.training.metrics import Metric
from trimtab.training.run import NOT_FINITE, PRUNED, RunRecord
from trimtab.tuning.trial import COMPLETE, FAILED, ActiveTrial, TrialRecord, TrialWeights, out_of_fold, rate_cuts
from trimtab.tuning.trial import PRUNED as PRUNED_TRIAL


class Scoring:
    """Scores trials by `metric` over all out-of-fold predictions; without one, by their runs' validation losses."""

    def __init__(self, data: TrainingData, metric: Metric | None) -> None:
        self.data, self.metric = data, metric
        self.truth = data.truth(torch.arange(data.rows, device=data.device)).cpu() if data.outputs else torch.empty(0)
        self.weights = data.weights.cpu().double()

    def of(self, trial: ActiveTrial) -> tuple[TrialRecord, TrialWeights | None]:
        """The record of a trial whose runs have ended, and what it learnt; None where one of them is not finite."""
        runs = sorted(trial.runs, key=lambda run: run.request.fold)
        predictions = out_of_fold(self.data, [run.predictions for run in runs])
        is_finite = all(numpy.isfinite(run.error) for run in runs)
        record = TrialRecord(
            number=trial.number,
            name=trial.name,
            values=trial.values,
            config=trial.config,
            state=_state(runs, is_finite),
            error=self.error(runs, predictions) if is_finite else float("inf"),
            fold_errors=tuple(run.error for run in runs),
            best_epochs=tuple(run.best_epoch for run in runs),
            ended=tuple(run.ended for run in runs),
            seconds=trial.seconds,
            epochs=tuple(run.epochs for run in runs),
            cuts=tuple(rate_cuts(run.curves) for run in runs) if trial.config.schedule.name == "plateau" else (),
            rung_errors=tuple(trial.rung_errors),
        )
        if not is_finite:
            return record, None
        buffers = {name: torch.stack([run.buffers[name] for run in runs]).cpu() for name in runs[0].buffers}
        return record, TrialWeights(torch.stack([run.weights for run in runs]).cpu(), predictions, buffers)

    def error(self, runs: Sequence[RunRecord], predictions: numpy.ndarray) -> float:
        if self.metric is None or not self.data.outputs:
            return float(numpy.mean([run.error for run in runs]))
        return self.pooled_error(predictions)

    def pooled_error(self, predictions: numpy.ndarray) -> float:
        """The metric, lower is better, over the rows of `predictions` [rows, outputs] that some fold has judged."""
        assert self.metric is not None
        known = torch.from_numpy(~numpy.isnan(predictions).any(axis=1))
        lane = torch.from_numpy(predictions).double(), self.truth, self.weights
        return float(self.metric.error(*(part[known].unsqueeze(0) for part in lane))[0])


def _state(runs: Sequence[RunRecord], is_finite: bool) -> str:
    ended = {run.ended for run in runs}
    if NOT_FINITE in ended or not is_finite:
        return FAILED
    return PRUNED_TRIAL if PRUNED in ended else COMPLETE
