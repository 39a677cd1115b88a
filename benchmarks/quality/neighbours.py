"""What the nearest training rows add to a network: one training on a table's first fold, and the best blend of both.

How far a network looks, and how much its neighbours count, is chosen on the validation rows; the test rows judge.

python -m benchmarks.quality.neighbours --tables power_plant,phoneme
"""

import argparse
from pathlib import Path

import numpy
import torch

from benchmarks.page import table as markdown
from benchmarks.quality.networks import engine_for, error_of
from benchmarks.quality.recipe import config_with
from benchmarks.tables import SHARED, Table, read_tables
from trimtab.machine import lanes_in_threads
from trimtab.model.model import Member, Model
from trimtab.model.tensors import training_data
from trimtab.studies.remembering import REACHES, member_that_remembers
from trimtab.table.prepare import prepare
from trimtab.training.lanes.population import Structure
from trimtab.training.metrics import default_metric
from trimtab.training.run import Request

SHARES = (0.25, 0.5, 0.75)


def errors_of(table: Table, inputs: str) -> tuple[float, float, float, float]:
    """Test errors of the network, and of the blend that is best on the validation rows; its reach and share."""
    train, test = table.typed_split(0)
    prepared = prepare(train, target=table.target, test=test, seed=0)
    data, metric = training_data(prepared, torch.device("cpu")), default_metric(prepared.schema.task)  # type: ignore[arg-type]
    config = config_with(prepared, "inputs", inputs)
    with lanes_in_threads():
        engine = engine_for(prepared, data)
        (run,) = engine.whole_runs([(engine.population(Structure.of(config), 2), [Request(0, config, 0, 0)])])
        program = engine.program(config.network)
        engine.close()
    fold, frames = data.folds[0], (prepared.development[data.folds[0].validation.numpy()], test)
    network = Member(config.module_arguments, run.weights.unsqueeze(0), 1.0)

    def predicted(member: Member) -> list[numpy.ndarray]:
        return [Model(prepared.encoder, prepared.target_encoder, (member,)).raw(frame)[0] for frame in frames]

    def judged(raw: list[numpy.ndarray]) -> list[float]:
        truths = [prepared.target_encoder.truth(frame) for frame in frames]
        return [error_of(metric, one, truth) for one, truth in zip(raw, truths, strict=True)]

    alone, found = predicted(network), []
    for reach in REACHES:
        said = predicted(member_that_remembers(network, data, program, [fold.train], reach))
        for share in SHARES:
            blend = [share * one + (1 - share) * other for one, other in zip(said, alone, strict=True)]
            found.append((*judged(blend), reach, share))
    _, best, reach, share = min(found)
    return judged(alone)[1], best, reach, share


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, default=SHARED, help="folder of the development sets")
    parser.add_argument("--tables", help="only these, as a,b")
    parser.add_argument("--inputs", default="periodic")
    asked = parser.parse_args()
    lines: list[list[str | float]] = []
    for table in read_tables(asked.data, asked.tables.split(",") if asked.tables else None):
        alone, blend, reach, share = errors_of(table, asked.inputs)
        lines.append([table.name, alone, blend, f"{blend / alone - 1:+.1%}", reach, share])
        print(*lines[-1], flush=True)
    print(markdown(["table", "network", "with neighbours", "difference", "reach", "share"], lines))


if __name__ == "__main__":
    main()
