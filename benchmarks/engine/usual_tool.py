"""Against the usual tool: the same configs, folds and epochs through Optuna around a plain PyTorch script.

Two small real tables. Early stopping is off on both sides, so that both make the same steps; both evaluate after each
epoch and keep the best. Knows nothing of shapes.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from time import perf_counter, sleep

import numpy
import optuna
import polars
import torch
from sklearn.datasets import load_diabetes
from sklearn.model_selection import KFold
from torch import Tensor, nn

import trimtab
from benchmarks.page import table, verdict
from benchmarks.turns import Terms, torch_set_to
from trimtab.machine import lanes_in_threads
from trimtab.nets.mlp import MLP
from trimtab.training.config import Config, Loss, Optimizer, Schedule, Stopping
from trimtab.training.data import Fold, TrainingData
from trimtab.training.lanes.compilation import Compilation
from trimtab.training.lanes.engine import Engine
from trimtab.training.lanes.judging import Judging
from trimtab.training.lanes.modules import Modules
from trimtab.training.lanes.population import Structure
from trimtab.training.metrics import METRICS
from trimtab.training.run import Request

CONFIGS, FOLDS, EPOCHS, BATCH, DEPTH = 200, 5, 20, 32, 2
LANES = 320  # all configs are known beforehand, so that many may train at once
CONFIGS_OF_A_SAMPLE = 4  # what Optuna gets with --quick; its time is scaled up
WANTED_RATIO = 25
STUDENT_T = 2.776  # 97.5 % of Student's t with FOLDS - 1 = 4 degrees of freedom
LOSSES = {"mse": nn.MSELoss, "mae": nn.L1Loss, "huber": nn.HuberLoss}
OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
Folds = list[tuple[numpy.ndarray, numpy.ndarray]]
Knobs = dict[str, float | int | str]


@dataclass(frozen=True)
class Rows:
    """A table, standardised: columns `[rows, columns]`, target `[rows, 1]`, and the target's unit."""

    name: str
    x: Tensor
    y: Tensor
    mean: float
    scale: float

    @classmethod
    def of(cls, name: str, x: numpy.ndarray, y: numpy.ndarray) -> "Rows":
        x, target = (x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std()
        columns, targets = (torch.from_numpy(numpy.ascontiguousarray(a, numpy.float32)) for a in (x, target[:, None]))
        return cls(name, columns, targets, float(y.mean()), float(y.std()))

    def folds(self) -> Folds:
        return list(KFold(FOLDS, shuffle=True, random_state=0).split(self.x.numpy()))


@dataclass(frozen=True)
class Search:
    """What a search took, and each config's RMSE in the target's unit on every fold `[configs, folds]`."""

    seconds: float
    errors: numpy.ndarray

    @property
    def best(self) -> float:
        return float(self.errors.mean(1).min())

    def worse_than(self, other: "Search") -> tuple[float, float]:
        """By how much the best config's RMSE is above the other's, and half of the 95 % interval over paired folds."""
        mine, others = (search.errors[search.errors.mean(1).argmin()] for search in (self, other))
        difference = mine - others
        return float(difference.mean()), float(STUDENT_T * difference.std(ddof=1) / FOLDS**0.5)


def tables() -> Iterator[Rows]:
    x, y = load_diabetes(return_X_y=True)
    yield Rows.of("diabetes", numpy.asarray(x), numpy.asarray(y))
    concrete = polars.read_csv(Path(trimtab.__file__).parent / "data" / "concrete.csv").to_numpy().astype(float)
    yield Rows.of("concrete", concrete[:, :-1], concrete[:, -1])


def suggest(trial: optuna.Trial) -> Knobs:
    return {
        "width": trial.suggest_categorical("width", [32, 64]),
        "loss": trial.suggest_categorical("loss", list(LOSSES)),
        "optimizer": trial.suggest_categorical("optimizer", list(OPTIMIZERS)),
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 3e-2, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True),
        "dropout": trial.suggest_float("dropout", 0.0, 0.3),
    }


def configs() -> list[Knobs]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [suggest(study.ask()) for _ in range(CONFIGS)]


def by_optuna(rows: Rows, asked: list[Knobs], threads: int) -> Search:
    """Each config as a trial of a study; each fold trained by a plain loop."""
    errors = []

    def objective(trial: optuna.Trial) -> float:
        knobs = suggest(trial)
        errors.append([_train(rows, knobs, train, validation) for train, validation in rows.folds()])
        return mean(errors[-1])

    study = optuna.create_study()
    for knobs in asked:
        study.enqueue_trial(knobs)
    with torch_set_to(threads=threads):
        started = perf_counter()
        study.optimize(objective, n_trials=len(asked))
        return Search(perf_counter() - started, numpy.array(errors))


def _train(rows: Rows, knobs: Knobs, train: numpy.ndarray, validation: numpy.ndarray) -> float:
    """The best epoch's RMSE of one config on one fold."""
    layers, features = [], rows.x.shape[1]
    for _ in range(DEPTH):
        layers += [nn.Linear(features, int(knobs["width"])), nn.ReLU(), nn.Dropout(float(knobs["dropout"]))]
        features = int(knobs["width"])
    model = nn.Sequential(*layers, nn.Linear(features, 1))
    loss = LOSSES[str(knobs["loss"])]()
    constants = {"lr": knobs["learning_rate"], "weight_decay": knobs["weight_decay"]}
    optimizer = OPTIMIZERS[str(knobs["optimizer"])](model.parameters(), **constants)  # type: ignore[arg-type]
    x, y, x_validation, y_validation = rows.x[train], rows.y[train], rows.x[validation], rows.y[validation]
    best = float("inf")
    for _ in range(EPOCHS):
        model.train()
        order = torch.randperm(len(x))
        for start in range(0, len(x), BATCH):
            index = order[start : start + BATCH]
            optimizer.zero_grad()
            loss(model(x[index]), y[index]).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            error = (model(x_validation) - y_validation).square().mean().sqrt().item()
        best = min(best, error * rows.scale)
    return best


def by_lanes(rows: Rows, asked: list[Knobs], terms: Terms) -> Search:
    """The same configs and folds as runs; compiling and all else that a fresh engine does count."""
    started = perf_counter()
    with lanes_in_threads():
        modules = Modules(lambda **network: _module(rows, network))
        engine = Engine(
            _training_data(rows), modules, Judging(METRICS["rmse"]), threads=terms.threads,
            compilation=Compilation(terms.compiling),
        )  # fmt: skip
        queues: dict[Structure, deque[Request]] = {}
        for trial, knobs in enumerate(asked):
            config = _config(knobs)
            queue = queues.setdefault(Structure.of(config), deque())
            queue.extend(Request(trial, config, fold, seed=trial) for fold in range(FOLDS))
        errors = numpy.full((len(asked), FOLDS), numpy.nan)
        for structure, queue in queues.items():
            population = engine.population(structure, terms.lanes if isinstance(terms.lanes, int) else LANES)
            while queue or population.lanes:
                engine.admit(population, [queue.popleft() for _ in range(min(population.free, len(queue)))])
                engine.advance(population)
                for record in engine.retire(population):
                    errors[record.request.trial, record.request.fold] = record.error
    seconds = perf_counter() - started
    while engine.compiler.is_busy():  # what is compiled beside may not slow the next contestant
        sleep(0.1)
    return Search(seconds, errors)


def _module(rows: Rows, network: dict) -> MLP:
    columns = rows.x.shape[1]
    return MLP(continuous=columns, numbers=columns, cardinalities=(), outputs=1, **network)


def _config(knobs: Knobs) -> Config:
    return Config(
        network=(("activation", "relu"), ("depth", DEPTH), ("inputs", "scaled"), ("width", int(knobs["width"]))),
        loss=Loss(str(knobs["loss"])),
        optimizer=Optimizer(str(knobs["optimizer"]), float(knobs["learning_rate"]),
                            weight_decay=float(knobs["weight_decay"])),
        schedule=Schedule("constant"),
        stopping=Stopping("none"),
        batch_size=BATCH,
        epochs=EPOCHS,
        dropout=float(knobs["dropout"]),
    )  # fmt: skip


def _training_data(rows: Rows) -> TrainingData:
    return TrainingData(
        task="regression",
        inputs=(rows.x, torch.zeros(len(rows.x), 0, dtype=torch.int64)),
        targets=rows.y,
        weights=torch.ones(len(rows.x)),
        folds=tuple(Fold(torch.from_numpy(train), torch.from_numpy(held)) for train, held in rows.folds()),
        outputs=1,
        mean=torch.tensor([rows.mean], dtype=torch.float64),
        scale=torch.tensor([rows.scale], dtype=torch.float64),
    )


def page(_shapes: list, terms: Terms) -> str:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    head = ["table", "Optuna and a plain script, s", "ours, s", "ours again, s", "ratio", f"at least {WANTED_RATIO}x",
            "ratio again", "best RMSE, theirs", "ours", "no worse within noise"]  # fmt: skip
    asked = configs()
    text = f"{CONFIGS} configs x {FOLDS} folds x {EPOCHS} epochs, batches of {BATCH}, two widths."
    return f"{text}\n\n{table(head, [_row(rows, asked, terms) for rows in tables()])}"


def _row(rows: Rows, asked: list[Knobs], terms: Terms) -> list[str | float]:
    counted = CONFIGS_OF_A_SAMPLE if terms.is_quick else CONFIGS
    threads = min((1, terms.threads), key=lambda n: by_optuna(rows, asked[:1], n).seconds)
    first, again = by_lanes(rows, asked, terms), by_lanes(rows, asked, terms)
    theirs = by_optuna(rows, asked[:counted], threads)
    seconds = theirs.seconds * CONFIGS / counted
    ours = Search(again.seconds, again.errors[:counted])
    worse_by, noise = ours.worse_than(theirs)
    return [
        rows.name,
        f"{seconds:.1f} ({threads} threads{', scaled up' if terms.is_quick else ''})",
        first.seconds,
        again.seconds,
        f"{seconds / first.seconds:.1f}x",
        verdict(seconds >= WANTED_RATIO * first.seconds),
        f"{seconds / again.seconds:.1f}x",
        f"{theirs.best:.4g}",
        f"{ours.best:.4g} ({worse_by:+.2g} ± {noise:.2g})",
        verdict(worse_by <= noise),
    ]
