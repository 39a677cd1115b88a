"""The ground of a study: a table's or that of a caller's own networks, with the winner of its search.

Knows subjects and folders; it trains nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy
import torch

from trimtab.findings.worth.account import Step
from trimtab.knobs.domains import Domain
from trimtab.knobs.knob import CUSTOM
from trimtab.knobs.table import LOGIT_LOSSES, losses_for
from trimtab.model.model import build
from trimtab.networks.fitting import Fitting
from trimtab.studies.call import Call
from trimtab.studies.counterfactuals.alternatives import Variable
from trimtab.studies.counterfactuals.ground import Ground
from trimtab.studies.network_subject import NetworkSubject
from trimtab.studies.table_subject import TableSubject
from trimtab.table.redrawing import redrawn
from trimtab.training.config import Config
from trimtab.training.data import Fold, TrainingData
from trimtab.training.lanes.compilation import Compilation
from trimtab.training.lanes.engine import Engine
from trimtab.training.lanes.judging import Judging
from trimtab.training.lanes.modules import Modules
from trimtab.training.metrics import bootstrap_errors, middle
from trimtab.training.programs.step import Features
from trimtab.tuning.baselines import default_mlp_config
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.space import constants_of, defaults_of
from trimtab.tuning.trial import TrialRecord

ENSEMBLE = "ensemble"


def ground_of_table(subject: TableSubject, winner: TrialRecord, call: Call) -> Ground:
    """The development rows of a table, whose folds can be drawn anew where chance drew them."""
    prepared, data = subject.prepared, subject.data
    task = subject.space.task

    def engine_for(data: TrainingData, judging: Judging) -> Engine:
        modules = Modules(lambda **network: build(prepared.encoder, prepared.target_encoder, network))
        compilation = Compilation("found", always=Features(dropout=True))
        return Engine(data, modules, judging, threads=call.threads, compilation=compilation)

    def drawn_again(seed: int) -> Sequence[Fold] | None:
        drawn = redrawn(prepared, seed)
        if drawn is None:
            return None
        return [
            Fold(*(torch.as_tensor(part, dtype=torch.int64, device=data.device) for part in fold)) for fold in drawn
        ]

    return Ground(
        data, winner.config, subject.metric, subject.seed, Variable(task, constants_of, is_table=True),
        engine_for, drawn_again,
        beginner=default_mlp_config(task, rows=data.most_training_rows, epochs=subject.space.natural_epochs),
        units=prepared.units, seconds=winner.seconds,
    )  # fmt: skip


def ensemble_of_table(
    subject: TableSubject, folder: StudyFolder, winner: TrialRecord, members: Sequence[Mapping[str, Any]]
) -> Step | None:
    """By how much the ensemble is better than the winner alone on the rows out of fold, which chose both; None where
    the model is the winner."""
    metric, data = subject.metric, subject.data
    alone = folder.load_weights(winner.number)
    kept = [(folder.load_weights(member["trial"]), member["share"]) for member in members]
    if len(members) < 2 or alone is None or any(weights is None for weights, _ in kept):
        return None
    mixed = numpy.sum([share * weights.predictions.astype(numpy.float64) for weights, share in kept if weights], axis=0)
    known = ~numpy.isnan(mixed).any(1) & ~numpy.isnan(alone.predictions).any(1)
    rows = torch.from_numpy(numpy.flatnonzero(known)).to(data.device)
    lanes = torch.from_numpy(numpy.stack([alone.predictions[known], mixed[known]]).astype(numpy.float64))
    truth, weights = data.truth(rows).cpu(), data.weights[rows].cpu().double()
    many = truth.expand(2, *truth.shape), weights.expand(2, -1)
    error = metric.error(lanes, *many)
    drawn = bootstrap_errors(metric, lanes, *many, seed=subject.seed, units=subject.prepared.units[known])
    low, high = middle(drawn[0] - drawn[1])
    return Step(ENSEMBLE, f"{len(members)} trials", 0.0, float(error[0] - error[1]), float(low), float(high))


def ground_of_networks(subject: NetworkSubject, winner: TrialRecord) -> Ground:
    """The rows of a caller's own networks, of which one part judges."""
    space = subject.space
    is_knob = "dropout" in {*space.domains, *space.fixed} - {*dict(winner.config.network)}
    return ground_of_fitting(
        subject.fitting, winner.config, seed=subject.seed, domains=space.domains, has_dropout=is_knob,
        seconds=winner.seconds,
    )  # fmt: skip


def ground_of_fitting(
    fitting: Fitting, config: Config, *, seed: int, domains: Mapping[str, Domain], has_dropout: bool, seconds: float
) -> Ground:
    """The same of any network of the caller's own that was trained by `config`."""
    named = LOGIT_LOSSES if fitting.one_output == "logit" else losses_for(fitting.task)
    losses = named if fitting.metric is not None and config.loss.name != CUSTOM else ()
    variable = Variable(
        fitting.task, _usual_constants, is_table=False, domains=domains, has_dropout=has_dropout,
        has_losses=bool(losses), losses=tuple(losses),
    )  # fmt: skip
    return Ground(
        fitting.training_data, config, fitting.metric, seed, variable,
        lambda data, judging: fitting.engine(judging, over=data), lambda seed: None,
        by_loss=fitting.judges_by_loss, seconds=seconds,
    )  # fmt: skip


def _usual_constants(optimizer: str) -> dict[str, float]:
    """The numbers of an optimizer in networks of one's own; typical rates are those of tables."""
    return defaults_of(optimizer) | {"lr": constants_of(optimizer)["lr"]}
