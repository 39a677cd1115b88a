"""What measurements of networks without a search share: an engine over a prepared table, and an error on some rows."""

import numpy
import torch

from trimtab.machine import cores
from trimtab.model.model import build
from trimtab.table.prepared import Prepared
from trimtab.training.data import TrainingData
from trimtab.training.lanes.engine import Engine
from trimtab.training.lanes.judging import Judging
from trimtab.training.lanes.modules import Modules
from trimtab.training.lanes.signals import Signals
from trimtab.training.metrics import Metric, default_metric

LOSSES = Signals(only_losses=True)


def engine_for(
    prepared: Prepared, data: TrainingData, *, signals: Signals = LOSSES, threads: int | None = None
) -> Engine:
    """One for the networks of tables, on all cores where nobody says on how many; it records losses alone."""
    modules = Modules(lambda **network: build(prepared.encoder, prepared.target_encoder, network))
    judging = Judging(default_metric(data.task))
    return Engine(data, modules, judging, threads=threads or cores(), signals=signals)


def error_of(metric: Metric, raw: numpy.ndarray, truth: numpy.ndarray) -> float:
    """The metric, lower is better, of predictions [rows, outputs]; every row counts the same."""
    lane = torch.from_numpy(raw).unsqueeze(0), torch.tensor(truth).unsqueeze(0)
    return float(metric.error(*lane, torch.ones(1, len(raw), dtype=torch.float64))[0])
