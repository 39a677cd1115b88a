"""What a model for `time:` should be made of: series that drift, and the error on the newest rows of each way.

The folds of such a split are windows: each trains on what lies before the rows that judge it, the first on a sixth of
them. The same chosen trials predict the test rows (a fifth, the newest) by

- `windows`: the mean of all windows' networks, as for other splits;
- `rising`: the same, each weighted by its training rows;
- `latest`: the networks of the latest window alone;
- `all rows x1`, `x3`, `x5`: so many networks each, trained once more on all rows but the test's.

    python -m benchmarks.quality.time_windows [--seeds 3] [--trials 6]
"""

import argparse
import tempfile
from pathlib import Path

import numpy
import polars
import torch

import trimtab as tt
from benchmarks.tables import SHARED
from trimtab.model.model import Member, Model, build
from trimtab.model.tensors import training_data
from trimtab.studies.refit import Refit
from trimtab.table.prepare import prepare
from trimtab.table.prepared import Prepared
from trimtab.training.lanes.engine import Engine
from trimtab.training.lanes.judging import Judging
from trimtab.training.lanes.modules import Modules
from trimtab.training.metrics import metric_for
from trimtab.tuning.folder import StudyFolder

ROWS, COLUMNS = 500, 5


def noise_of(rng: numpy.random.Generator, rows: int) -> numpy.ndarray:
    return 0.3 * rng.normal(size=rows)


def drifting(rng: numpy.random.Generator, rows: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Slopes that wander as a random walk."""
    x = rng.normal(size=(rows, COLUMNS))
    slopes = rng.normal(size=COLUMNS) + numpy.cumsum(rng.normal(size=(rows, COLUMNS)), axis=0) * 2 / rows**0.5
    return x, (x * slopes).sum(1) + numpy.sin(2 * x[:, 0]) + noise_of(rng, rows)


def trending(rng: numpy.random.Generator, rows: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """A level that rises, with a season."""
    x = rng.normal(size=(rows, COLUMNS))
    t = numpy.arange(rows) / rows
    return x, 4 * t + numpy.sin(40 * numpy.pi * t) + x[:, 0] * x[:, 1] + numpy.abs(x[:, 2]) + noise_of(rng, rows)


def broken(rng: numpy.random.Generator, rows: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Half of the slopes change their sign after three fifths of the rows."""
    x = rng.normal(size=(rows, COLUMNS))
    slopes = numpy.tile(rng.normal(size=COLUMNS), (rows, 1))
    slopes[3 * rows // 5 :, ::2] *= -1
    return x, (x * slopes).sum(1) + numpy.sin(2 * x[:, 0]) + noise_of(rng, rows)


def standing(rng: numpy.random.Generator, rows: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Nothing changes."""
    x = rng.normal(size=(rows, COLUMNS))
    return x, x[:, 0] * x[:, 1] + numpy.abs(x[:, 2]) + numpy.sin(2 * x[:, 3]) + noise_of(rng, rows)


SERIES = {"drifting": drifting, "trending": trending, "broken": broken, "standing": standing}


def made(name: str, seed: int, rows: int = ROWS) -> polars.DataFrame:
    x, y = SERIES[name](numpy.random.default_rng(seed), rows)
    columns = {f"x{i}": x[:, i] for i in range(x.shape[1])}
    return polars.DataFrame({"t": numpy.arange(rows), **columns, "y": y})


def real(name: str, target: str, time: str | None, seed: int, rows: int) -> polars.DataFrame:
    """So many rows in their order from a place that the seed draws; `t` is their time, or their number."""
    frame = polars.read_csv(SHARED / f"{name}.csv.gz", infer_schema_length=10_000)
    frame = frame.sort(time) if time else frame
    start = int(numpy.random.default_rng(seed).integers(0, max(1, frame.height - rows)))
    frame = frame.slice(start, rows).rename({target: "y"})
    return frame.with_columns(t=polars.int_range(polars.len())).drop(*([time] if time else []))


TABLES = {
    **{name: (lambda seed, name=name: made(name, seed)) for name in SERIES},
    "drifting of 6000": lambda seed: made("drifting", seed, 6_000),
    "drifting of 7000": lambda seed: made("drifting", seed, 7_000),
    "bike": lambda seed: real("bike", "target", None, seed, 1_200),
    "taxis": lambda seed: real("taxis", "fare", "pickup", seed, 600),
}


def errors(frame: polars.DataFrame, seed: int, trials: int) -> dict[str, float]:
    """The test RMSE of each way to make a model of the trials that one study chose."""
    with tempfile.TemporaryDirectory() as place:
        study = tt.tune(
            frame,
            "y",
            split="time:t",
            trials=trials,
            seed=seed,
            epochs=60,
            width=32,
            depth=2,
            threads=1,
            out=Path(place) / "study",
        )
        prepared = prepare(frame, target="y", split="time:t", seed=seed)
        folder = StudyFolder(study.out)
        shares = {entry["trial"]: entry["share"] for entry in study.summary()["ensemble"]}
        chosen = [(record, shares[record.number]) for record in study.trials if record.number in shares]
        ways = dict(windows_of(folder, chosen, [len(train) for train, _ in prepared.folds]))
        ways |= all_rows_of(folder, prepared, chosen, seed)
        return {way: rmse(prepared, members) for way, members in ways.items()}


def windows_of(folder: StudyFolder, chosen: list, rows: list[int]):
    kept = {record.number: folder.load_weights(record.number) for record, _ in chosen}
    weights = {number: each.parameters for number, each in kept.items() if each is not None}
    arguments = {record.number: record.config.module_arguments for record, _ in chosen}
    for way, own in (("windows", [1.0] * len(rows)), ("rising", rows), ("latest", [0.0] * (len(rows) - 1) + [1.0])):
        yield (
            way,
            [
                Member(arguments[r.number], weights[r.number][i : i + 1], share * own[i] / sum(own))
                for r, share in chosen
                for i in range(len(rows))
                if own[i]
            ],
        )


def all_rows_of(folder: StudyFolder, prepared: Prepared, chosen: list, seed: int) -> dict[str, list[Member]]:
    data = training_data(prepared, torch.device("cpu"))
    modules = Modules(lambda **network: build(prepared.encoder, prepared.target_encoder, network))
    engine = Engine(data, modules, Judging(metric_for(None, data.task, data.outputs)))
    made = Refit(engine, data, folder, seed=seed, networks=5, goes_forward=True).of(chosen)
    members = [each.member for each in made if each.member is not None]
    assert len(members) == len(made), [each.ended for each in made]
    return {
        f"all rows x{count}": [Member(m.network, m.parameters[:count], m.share) for m in members] for count in (1, 3, 5)
    }


def rmse(prepared: Prepared, members: list[Member]) -> float:
    assert prepared.test is not None
    model = Model(prepared.encoder, prepared.target_encoder, tuple(members))
    wrong = model.raw(prepared.test)[0] - prepared.target_encoder.truth(prepared.test)
    return float(numpy.sqrt((wrong**2).mean()))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--names", default=",".join(TABLES))
    options = parser.parse_args()
    heads = None
    for name in options.names.split(","):
        found = [errors(TABLES[name](seed), seed, options.trials) for seed in range(options.seeds)]
        if heads is None:
            heads = list(found[0])
            print("| series | " + " | ".join(heads) + " |", "| --- " * (len(heads) + 1) + "|", sep="\n")
        # Relative to the mean of all windows, each seed by itself.
        relative = {way: numpy.mean([each[way] / each["windows"] for each in found]) for way in heads}
        print(f"| {name} | " + " | ".join(f"{relative[way]:.3f}" for way in heads) + " |", flush=True)


if __name__ == "__main__":
    main()
