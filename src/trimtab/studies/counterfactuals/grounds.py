"""The ground of a study: a table's or that of a caller's own networks, with the winner of its search.

Knows subjects and folders; it trains nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch

from trimtab.findings.worth.account import INPUTS_UNSCALED, TARGET_UNSCALED
from trimtab.knobs.domains import Domain
from trimtab.knobs.knob import CUSTOM
from trimtab.knobs.table import LOGIT_LOSSES, losses_for
from trimtab.model.model import build
from trimtab.networks.fitting import Fitting
from trimtab.studies.call import Call
from trimtab.studies.counterfactuals.alternatives import Variable
from trimtab.studies.counterfactuals.ground import Ground
from trimtab.studies.counterfactuals.purse import longer_to_its_end
from trimtab.studies.network_subject import NetworkSubject
from trimtab.studies.table_subject import TableSubject
from trimtab.table.prepared import Prepared
from trimtab.table.redrawing import redrawn
from trimtab.table.unscaled import has_scaling, numbers_unscaled
from trimtab.training.config import Config
from trimtab.training.data import Fold, TrainingData
from trimtab.training.lanes.compilation import Compilation
from trimtab.training.lanes.engine import Engine
from trimtab.training.lanes.judging import Judging
from trimtab.training.lanes.modules import Modules
from trimtab.training.programs.step import Features
from trimtab.tuning.baselines import default_mlp_config
from trimtab.tuning.space import constants_of, defaults_of
from trimtab.tuning.trial import TrialRecord


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

    otherwise = prepared_otherwise(prepared, data)
    return Ground(
        data, winner.config, subject.metric, subject.seed,
        Variable(task, constants_of, is_table=True, preparations=tuple(otherwise)), engine_for, drawn_again,
        beginner=default_mlp_config(task, rows=data.most_training_rows, epochs=subject.space.natural_epochs),
        units=prepared.units, longer=longer_to_its_end(winner), otherwise=otherwise,
    )  # fmt: skip


def prepared_otherwise(prepared: Prepared, data: TrainingData) -> dict[str, Callable[[], TrainingData]]:
    """`data`, the tensors of a prepared table, without one step of its preparation: each where there is such a step."""
    found: dict[str, Callable[[], TrainingData]] = {}
    if has_scaling(prepared.encoder):
        found[INPUTS_UNSCALED] = lambda: _with_inputs_unscaled(prepared, data)
    if data.task == "regression":
        found[TARGET_UNSCALED] = lambda: _with_target_unscaled(data)
    return found


def _with_inputs_unscaled(prepared: Prepared, data: TrainingData) -> TrainingData:
    numbers = numbers_unscaled(prepared.encoder, prepared.development, prepared.numbers)
    return replace(data, inputs=(torch.as_tensor(numbers, device=data.device), *data.inputs[1:]))


def _with_target_unscaled(data: TrainingData) -> TrainingData:
    targets = (data.targets.double() * data.scale + data.mean).to(data.targets.dtype)
    mean, scale = torch.zeros_like(data.mean), torch.ones_like(data.scale)
    # Without bounds: they would hide how far from the target such a network begins.
    return replace(data, targets=targets, mean=mean, scale=scale, bounds=None)


def ground_of_networks(subject: NetworkSubject, winner: TrialRecord) -> Ground:
    """The rows of a caller's own networks, of which one part judges."""
    space = subject.space
    is_knob = "dropout" in {*space.domains, *space.fixed} - {*dict(winner.config.network)}
    return ground_of_fitting(
        subject.fitting, winner.config, seed=subject.seed, domains=space.domains, has_dropout=is_knob,
        longer=longer_to_its_end(winner),
    )  # fmt: skip


def ground_of_fitting(
    fitting: Fitting, config: Config, *, seed: int, domains: Mapping[str, Domain], has_dropout: bool,
    longer: float = 1.0,
) -> Ground:  # fmt: skip
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
        by_loss=fitting.judges_by_loss, longer=longer,
    )  # fmt: skip


def _usual_constants(optimizer: str) -> dict[str, float]:
    """The numbers of an optimizer in networks of one's own; typical rates are those of tables."""
    return defaults_of(optimizer) | {"lr": constants_of(optimizer)["lr"]}
