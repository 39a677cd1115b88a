"""Remembering: what the nearest training rows say, in the last hidden layer of networks; as candidates for a study's
model, and as members of it.

Knows trials, programs and rows; it chooses nothing but how far a network looks.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy
import torch
from torch import Tensor

from trimtab.model.model import Member
from trimtab.model.neighbours import NEAREST, NEAREST_OF_CLASSES, Neighbours, nearest_in_pieces, spread
from trimtab.table.prepared import Prepared
from trimtab.training.data import Fold, TrainingData
from trimtab.training.lanes.precision import multiplying
from trimtab.training.metrics import Metric
from trimtab.training.programs.mlp_program import MLPProgram
from trimtab.training.programs.program import Program
from trimtab.tuning.scoring import Scoring
from trimtab.tuning.trial import TrialRecord, TrialWeights, out_of_fold

# The best networks of a search, in whose hidden layers is looked (a guess: they are much alike).
NETWORKS = 2
# Beyond as many rows a model is large and slow, and networks alone have learnt what rows can tell (guesses).
MOST_ROWS = 40_000
# What the distance between two rows takes of so many units (8 to 10 ns measured on two cores); and the share of a
# budget that all of them may take, in which a search would find little more (a guess).
SECONDS_OF_A_PAIR, UNITS_OF_A_PAIR, SHARE_OF_BUDGET = 1e-8, 128, 0.05
# How far a network looks, in the spread of the rows as it sees them.
REACHES = (0.02, 0.05, 0.1, 0.2)
# Rows that go through a network at once.
ROWS_SEEN_AT_ONCE = 4_096

ProgramOf = Callable[[TrialRecord], Program]


@dataclass(frozen=True)
class Recalled:
    """What the neighbours of validation rows say, as the networks of one structure see them, one for each fold.

    `network` are what its knobs make it of, `parameters` float32 [folds, parameters]; `reaches`, one for each fold, are
    in the spread of the rows there. `predictions` float64 [rows, outputs] are out of fold. The networks are those of
    the trial `record`; without one they learnt nothing but whom to ask, and are the study's network number `place`.
    """

    network: Mapping[str, str | int | float]
    parameters: Tensor
    reaches: tuple[float, ...]
    predictions: numpy.ndarray
    record: TrialRecord | None = None
    place: int = 0

    @property
    def key(self) -> str:
        """What tells it from the others that are kept."""
        return key_of(None if self.record is None else self.record.number, self.place)


def key_of(trial: int | None, place: int) -> str:
    """The key of what a trial's networks remember, or of network number `place` of those that learnt whom to ask."""
    return f"learnt-{place}" if trial is None else str(trial)


def recalled(
    candidates: Sequence[tuple[TrialRecord, TrialWeights]],
    data: TrainingData,
    program_of: ProgramOf,
    metric: Metric,
    *,
    networks: int = NETWORKS,
    is_over: Callable[[], bool] = lambda: False,
) -> list[Recalled]:
    """Of the first `networks` among the `candidates` (best first), each with the reach that serves it best; as far as
    there is time before it `is_over`."""
    found: list[Recalled] = []
    for record, weights in candidates:
        program = program_of(record)
        if len(found) >= networks or is_over():
            break
        if isinstance(program, MLPProgram) and program.module.depth and weights.parameters.shape[0] == len(data.folds):
            found.append(_with_best_reach(record, weights, data, program, metric))
    return found


def seconds_to_recall(prepared: Prepared) -> float:
    """What one network takes that is looked at, and asked about the test rows: the distances of rows on both sides of
    every fold, and of all rows from the test's for each fold's network."""
    folds, test = prepared.folds, 0 if prepared.test is None else prepared.test.height
    pairs = sum(len(train) * len(valid) for train, valid in folds) + len(folds) * len(prepared.targets) * test
    return SECONDS_OF_A_PAIR * pairs


def affordable(prepared: Prepared, budget: float) -> int:
    """How many networks are looked at within a budget of so many seconds."""
    if max(len(train) for train, _ in prepared.folds) > MOST_ROWS:
        return 0
    return int(min(NETWORKS, SHARE_OF_BUDGET * budget / max(1e-9, seconds_to_recall(prepared))))


def member_that_remembers(
    member: Member, data: TrainingData, program: Program, rows: Sequence[Tensor], reaches: Sequence[float]
) -> Member:
    """The networks of `member` as they remember the rows that each of them trained on."""
    assert isinstance(program, MLPProgram)
    remembered = [
        _remembered(program, flat, data, own, reach)
        for flat, own, reach in zip(member.parameters, rows, reaches, strict=True)
    ]
    return replace(member, neighbours=tuple(remembered))


def _remembered(program: MLPProgram, flat: Tensor, data: TrainingData, rows: Tensor, reach: float) -> Neighbours:
    """What a network remembers of `rows`, of many of some that are evenly chosen; `reach` is in their spread."""
    rows = rows[data.weights[rows] > 0]
    if len(rows) > MOST_ROWS:
        rows = rows[torch.linspace(0, len(rows) - 1, MOST_ROWS, device=rows.device).long()]
    hidden, truth = _activations(program, flat, data, rows), data.truth(rows)
    is_classes = data.task == "classification"
    targets = torch.nn.functional.one_hot(truth, data.outputs) if is_classes else truth.reshape(len(rows), -1)
    weights, count = data.weights[rows].float().cpu(), NEAREST_OF_CLASSES if is_classes else NEAREST
    return Neighbours(hidden, targets.float().cpu(), weights, reach * spread(hidden), count)


def nearest_of_fold(
    program: MLPProgram, flat: Tensor, data: TrainingData, fold: Fold, rows: Tensor
) -> tuple[Neighbours, Tensor, Tensor]:
    """What a network remembers of a fold's training rows, with their spread for its reach; how far the nearest of them
    are from each of other `rows`, and their places."""
    kept = _remembered(program, flat, data, fold.train, 1.0)
    return kept, *nearest_in_pieces(_activations(program, flat, data, rows), kept.hidden, kept.nearest)


def _activations(program: MLPProgram, flat: Tensor, data: TrainingData, rows: Tensor) -> Tensor:
    """float32 [rows, units]: the activations of the last hidden layer, on the processor."""
    parameters = program.layout.views(flat.to(data.device).unsqueeze(0))
    with multiplying("high"):
        pieces = [
            program.last_hidden(parameters, data.gather(some.unsqueeze(0)))[0].cpu()
            for some in rows.split(ROWS_SEEN_AT_ONCE)
        ]
    return torch.cat(pieces).contiguous()


def _with_best_reach(
    record: TrialRecord, weights: TrialWeights, data: TrainingData, program: MLPProgram, metric: Metric
) -> Recalled:
    by_reach: list[list[numpy.ndarray]] = [[] for _ in REACHES]
    for flat, fold in zip(weights.parameters, data.folds, strict=True):
        kept, distances, places = nearest_of_fold(program, flat, data, fold, fold.validation)
        for own, reach in zip(by_reach, REACHES, strict=True):
            own.append(kept.mean(distances, places, reach * kept.reach).numpy())
    every = [out_of_fold(data, own) for own in by_reach]
    # Beside the network itself: alone, neighbours give what none of them is no probability at all.
    scoring = Scoring(data, metric)
    errors = [scoring.pooled_error((each + weights.predictions) / 2) for each in every]
    best = int(numpy.nan_to_num(errors, nan=numpy.inf).argmin())
    reaches = (REACHES[best],) * len(data.folds)
    return Recalled(record.config.module_arguments, weights.parameters, reaches, every[best], record)
