"""Real trainings on synthetic rows: each study has rows of its own from the same law, and a winner beside which others
are trained. The truth of a difference is its mean over all other studies."""

from dataclasses import replace

import numpy
import torch

from benchmarks.page import table
from trimtab.findings.worth.intervals import ALIKE, Difference, Paired, differences, level
from trimtab.machine import lanes_in_threads
from trimtab.studies.counterfactuals.alternatives import Variable
from trimtab.studies.counterfactuals.ground import Ground
from trimtab.studies.counterfactuals.paired_runs import PairedRuns, Wanted
from trimtab.training.config import Config, Loss, Optimizer, Schedule
from trimtab.training.data import Fold, TrainingData
from trimtab.training.lanes.engine import Engine
from trimtab.training.lanes.modules import Modules
from trimtab.training.metrics import metric_for
from trimtab.tuning.space import constants_of

ROWS, COLUMNS, FOLDS, REPETITIONS = 200, 4, 5, 2
WINNER = Config(
    network=(("width", 8),), optimizer=Optimizer("adam", 1e-2), schedule=Schedule("cosine"), batch_size=32, epochs=15
)


def page(studies: int) -> str:
    with lanes_in_threads():
        measured = [_study(seed) for seed in range(studies)]
    names = list(measured[0])
    means = {name: numpy.array([study[name].mean() for study in measured]) for name in names}
    rows, false_studies = [], numpy.zeros(studies, dtype=bool)
    alone, together = ([_found(study, names, at) for study in measured] for at in (0.05, level(len(names), 0)))
    for place, name in enumerate(names):
        truths = (means[name].sum() - means[name]) / (studies - 1)
        covers = [found[place].low <= true <= found[place].high for found, true in zip(alone, truths, strict=True)]
        is_false = [_is_false(found[place], true) for found, true in zip(together, truths, strict=True)]
        false_studies |= numpy.array(is_false)
        decided = numpy.mean([found[place].verdict != ALIKE for found in together])
        rows.append([name, f"{truths.mean():+.4f}", f"{numpy.mean(covers):.0%}", f"{decided:.0%}"])
    head = ["instead", "true difference in rmse", "95 % intervals cover", "decided, all taken together"]
    return (
        f"\n{studies} studies of {ROWS} rows, {REPETITIONS} x {FOLDS} folds, trained; a false claim in "
        f"{false_studies.mean():.1%} of them (at most 5 %).\n\n{table(head, rows)}"
    )


def _alternatives() -> dict[str, Config]:

    rate = WINNER.optimizer
    return {
        "huber": replace(WINNER, loss=Loss("huber", 1.0)),
        "mae": replace(WINNER, loss=Loss("mae")),
        "lr x 1/3": replace(WINNER, optimizer=replace(rate, learning_rate=rate.learning_rate / 3)),
        "lr x 3": replace(WINNER, optimizer=replace(rate, learning_rate=3 * rate.learning_rate)),
        "epochs x 1/2": replace(WINNER, epochs=WINNER.epochs // 2),
        "adamw, decay 0.01": replace(WINNER, optimizer=Optimizer("adamw", 1e-2, weight_decay=0.01)),
        "constant rate": replace(WINNER, schedule=Schedule("constant")),
        "width x 1/2": replace(WINNER, network=(("width", 4),)),
    }


def _study(seed: int) -> dict[str, numpy.ndarray]:
    """The differences of each alternative, one for each pair of runs."""
    ground = _ground(seed)
    runs = PairedRuns(ground, lambda: False)
    configs = {"winner": WINNER} | _alternatives()
    trained = runs.train([Wanted(name, config, r) for name, config in configs.items() for r in range(REPETITIONS)])
    runs.close()
    errors: dict[str, dict[tuple[int, int], float]] = {name: {} for name in configs}
    for run in trained:
        errors[run.name][run.repetition, run.fold] = run.error
    ours = errors.pop("winner")
    return {name: numpy.array([theirs[pair] - ours[pair] for pair in sorted(ours)]) for name, theirs in errors.items()}


def _ground(seed: int) -> Ground:
    rng = numpy.random.default_rng(seed)
    x = rng.normal(size=(ROWS, COLUMNS))
    y = numpy.sin(x[:, 0]) + 0.5 * x[:, 1] * x[:, 2] + 0.3 * rng.standard_t(4, size=ROWS)
    one = torch.ones(1, dtype=torch.float64)
    data = TrainingData(
        "regression", (torch.tensor(x, dtype=torch.float32),), torch.tensor(y[:, None], dtype=torch.float32),
        torch.ones(ROWS), tuple(_folds(seed)), 1, 0 * one, one,
    )  # fmt: skip
    make = lambda width: torch.nn.Sequential(  # noqa: E731
        torch.nn.Linear(COLUMNS, width), torch.nn.ReLU(), torch.nn.Linear(width, 1)
    )
    return Ground(
        data, WINNER, metric_for("rmse", "regression", 1), seed, Variable("regression", constants_of, is_table=False),
        lambda data, judging: Engine(data, Modules(make), judging, threads=2), _folds,
    )  # fmt: skip


def _folds(seed: int) -> list[Fold]:
    order = numpy.random.default_rng([seed, 1]).permutation(ROWS)
    parts = [torch.from_numpy(part) for part in numpy.array_split(order, FOLDS)]
    return [Fold(torch.cat([p for j, p in enumerate(parts) if j != i]), parts[i]) for i in range(FOLDS)]


def _found(study: dict[str, numpy.ndarray], names: list[str], at: float) -> list[Difference]:
    return differences([Paired.over_folds(study[name], 1 / (FOLDS - 1)) for name in names], level=at)


def _is_false(found: Difference, true: float) -> bool:
    return found.verdict != ALIKE and not found.low <= true <= found.high
