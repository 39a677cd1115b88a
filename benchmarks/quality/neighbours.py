"""What the nearest training rows add to a network: one training on a table's first fold, and the best blend of both;
and what networks add that learn nothing but which rows to ask.

How far a network looks, and how much its neighbours count, is chosen on the validation rows, and so is the greedy mean
with those that learnt; the test rows judge.

python -m benchmarks.quality.neighbours --tables power_plant,phoneme
"""

import argparse
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy
import torch

from benchmarks.page import table as markdown
from benchmarks.quality.networks import engine_for, error_of
from benchmarks.quality.recipe import config_with
from benchmarks.tables import SHARED, Table, read_tables
from trimtab.machine import lanes_in_threads
from trimtab.model.model import Member, Model, build
from trimtab.model.tensors import training_data
from trimtab.studies.learnt_neighbours import Allowance, learnt, lessons_for
from trimtab.studies.remembering import REACHES, member_that_remembers
from trimtab.table.prepare import prepare
from trimtab.training.lanes.population import Structure
from trimtab.training.metrics import default_metric
from trimtab.training.programs.mlp_program import MLPProgram
from trimtab.training.run import Request
from trimtab.tuning.ensemble import select

SHARES = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Errors:
    """Test errors of the network; of the blend that is best on the validation rows, with its reach and share; of the
    first network that learnt whom to ask; and of the greedy mean of all of these."""

    network: float
    blend: float
    reach: float
    share: float
    learnt: float
    mean: float


def errors_of(table: Table, inputs: str) -> Errors:
    """Those of one table."""
    train, test = table.typed_split(0)
    prepared = prepare(train, target=table.target, test=test, seed=0)
    data, metric = training_data(prepared, torch.device("cpu")), default_metric(prepared.schema.task)  # type: ignore[arg-type]
    data = replace(data, folds=data.folds[:1])
    config = config_with(prepared, inputs=inputs)
    make = partial(build, prepared.encoder, prepared.target_encoder)
    with lanes_in_threads():
        engine = engine_for(prepared, data)
        (run,) = engine.whole_runs([(engine.population(Structure.of(config), 2), [Request(0, config, 0, 0)])])
        program = engine.program(config.network)
        engine.close()
        own = learnt(lessons_for(data.task, {}), data, make, metric, Allowance(), threads=2, seed=0)
    fold, frames = data.folds[0], (prepared.development[data.folds[0].validation.numpy()], test)
    network = Member(config.module_arguments, run.weights.unsqueeze(0), 1.0)
    truths = [prepared.target_encoder.truth(frame) for frame in frames]

    def predicted(member: Member) -> list[numpy.ndarray]:
        return [Model(prepared.encoder, prepared.target_encoder, (member,)).raw(frame)[0] for frame in frames]

    def judged(raw: list[numpy.ndarray]) -> list[float]:
        return [error_of(metric, one, truth) for one, truth in zip(raw, truths, strict=True)]

    alone, found = predicted(network), []
    candidates = [alone]
    for reach in REACHES:
        said = predicted(member_that_remembers(network, data, program, [fold.train], [reach]))
        candidates.append(said)
        for share in SHARES:
            blend = [share * one + (1 - share) * other for one, other in zip(said, alone, strict=True)]
            found.append((*judged(blend), reach, share))
    _, best, reach, share = min(found)
    for each in own:
        member, asked = Member(each.network, each.parameters, 1.0), MLPProgram(make(each.network))
        candidates.append(predicted(member_that_remembers(member, data, asked, [fold.train], each.reaches)))
    first = candidates[-len(own)]
    chosen = select([each[0] for each in candidates], truths[0], numpy.ones(len(truths[0])), metric)
    mean = [numpy.sum([part * candidates[place][i] for place, part in chosen.members], axis=0) for i in (0, 1)]
    return Errors(judged(alone)[1], best, reach, share, judged(first)[1], judged(mean)[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, default=SHARED, help="folder of the development sets")
    parser.add_argument("--tables", help="only these, as a,b")
    parser.add_argument("--inputs", default="periodic")
    asked = parser.parse_args()
    lines: list[list[str | float]] = []
    for table in read_tables(asked.data, asked.tables.split(",") if asked.tables else None):
        e = errors_of(table, asked.inputs)
        beside = [f"{error / e.network - 1:+.1%}" for error in (e.blend, e.mean)]
        lines.append([table.name, e.network, e.blend, beside[0], e.reach, e.share, e.learnt, e.mean, beside[1]])
        print(*lines[-1], flush=True)
    heading = ["table", "network", "with neighbours", "difference", "reach", "share"]
    print(markdown([*heading, "learnt, the first alone", "mean of all", "difference"], lines))


if __name__ == "__main__":
    main()
