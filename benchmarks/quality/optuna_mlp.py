"""The usual tool as a careful user writes it: Optuna (TPE, Hyperband) around a plain PyTorch MLP, in two processes.

A fifth of the training rows judges; inputs are imputed, standardised and one-hot encoded, a number to predict is
standardised; AdamW with cosine decay, early stopping with patience, the best epoch's weights kept. Knows tables and
Optuna; it knows nothing of trimtab.
"""

import copy
import json
import multiprocessing
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy
import optuna
import torch
from optuna.storages.journal import JournalFileBackend
from sklearn.model_selection import train_test_split
from torch import nn

from benchmarks.quality.peers import encoded
from benchmarks.quality.scores import scores
from benchmarks.tables import Table, read_tables

MOST_EPOCHS, PATIENCE, JUDGED, PROCESSES = 300, 30, 0.2, 2
FEWEST_EPOCHS, REDUCTION = 5, 3


@dataclass(frozen=True)
class Rows:
    """float32 columns of training, judging and test rows, and their targets (standardised, or class numbers)."""

    x: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    y: tuple[torch.Tensor, torch.Tensor]
    mean: float
    scale: float
    labels: list[str] | None
    truth: numpy.ndarray

    @classmethod
    def of(cls, table: Table, split: int) -> "Rows":
        train, test = table.split(split)
        labels = table.labels(train)
        raw = train[table.target].to_numpy()
        y = raw.astype(float) if labels is None else numpy.array([labels.index(label) for label in raw])
        places = numpy.arange(train.height)
        fit, judge = train_test_split(places, test_size=JUDGED, random_state=0, stratify=None if labels is None else y)
        columns = encoded(table, train[fit], (train[fit], train[judge], test))
        mean, scale = (float(y[fit].mean()), float(y[fit].std())) if labels is None else (0.0, 1.0)
        targets = [
            torch.tensor((y[part] - mean) / scale, dtype=torch.float32) if labels is None else torch.tensor(y[part])
            for part in (fit, judge)
        ]
        inputs = [torch.tensor(numpy.asarray(part), dtype=torch.float32) for part in columns]
        truth = test[table.target].to_numpy()
        return cls((inputs[0], inputs[1], inputs[2]), (targets[0], targets[1]), mean, scale, labels, truth)

    def score(self, outputs: torch.Tensor) -> float:
        """RMSE or log loss of a network's outputs for the test rows."""
        if self.labels is None:
            return scores(outputs[:, 0].double().numpy() * self.scale + self.mean, self.truth, None)["rmse"]
        return scores(outputs.double().softmax(1).numpy(), self.truth, self.labels)["logloss"]


@dataclass(frozen=True)
class Found:
    """A trial's end: seconds after the search began, its error on rows that judge, and its score on test rows."""

    seconds: float
    error: float
    score: float


def search(table: Table, split: int, seconds: float, folder: Path) -> list[Found]:
    """Every trial that ended, in order of time; the clock starts with the two processes, reading the table included."""
    started = time.time()
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=_work, args=(table.folder, table.name, split, seconds, started, str(folder), seed))
        for seed in range(PROCESSES)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    lines = [line for path in folder.glob("found-*.jsonl") for line in path.read_text().splitlines()]
    return sorted((Found(*json.loads(line)) for line in lines), key=lambda found: found.seconds)


def best_so_far(found: list[Found]) -> Iterator[tuple[float, float]]:
    """Seconds and test score each time a trial is the best of all so far on the rows that judge."""
    lowest = float("inf")
    for each in found:
        if each.error < lowest:
            lowest = each.error
            yield each.seconds, each.score


def _work(data: Path, name: str, split: int, seconds: float, started: float, folder: str, seed: int) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    rows = Rows.of(read_tables(data, [name])[0], split)
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(Path(folder) / "journal.log")))
    study = optuna.create_study(
        study_name="mlp", storage=storage, load_if_exists=True, direction="minimize",
        sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True),
        pruner=optuna.pruners.HyperbandPruner(FEWEST_EPOCHS, MOST_EPOCHS, REDUCTION),
    )  # fmt: skip
    path = Path(folder) / f"found-{seed}.jsonl"

    def objective(trial: optuna.Trial) -> float:
        error, network = _trained(rows, trial, started + seconds)
        with torch.no_grad():
            score = rows.score(network(rows.x[2]))
        with path.open("a") as file:
            file.write(json.dumps([time.time() - started, error, score]) + "\n")
        return error

    study.optimize(objective, timeout=max(0.0, started + seconds - time.time()))


def _trained(rows: Rows, trial: optuna.Trial, until: float) -> tuple[float, nn.Module]:
    """The best epoch's error on the rows that judge, and its network; raises TrialPruned where Hyperband ends it."""
    width = trial.suggest_categorical("width", [32, 64, 128, 256])
    depth = trial.suggest_int("depth", 1, 4)
    dropout = trial.suggest_float("dropout", 0.0, 0.5)
    activation = {"relu": nn.ReLU, "silu": nn.SiLU}[trial.suggest_categorical("activation", ["relu", "silu"])]
    layers, features = [], rows.x[0].shape[1]
    for _ in range(depth):
        layers += [nn.Linear(features, width), activation(), nn.Dropout(dropout)]
        features = width
    network = nn.Sequential(*layers, nn.Linear(features, 1 if rows.labels is None else len(rows.labels)))
    optimizer = torch.optim.AdamW(
        network.parameters(),
        lr=trial.suggest_float("lr", 1e-4, 3e-2, log=True),
        weight_decay=trial.suggest_float("weight_decay", 1e-5, 1e-1, log=True),
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, MOST_EPOCHS)
    batch = trial.suggest_categorical("batch_size", [32, 64, 128, 256])
    loss = _squared if rows.labels is None else nn.functional.cross_entropy
    best, kept, waited = float("inf"), network, 0
    for epoch in range(MOST_EPOCHS):
        network.train()
        order = torch.randperm(len(rows.y[0]))
        for start in range(0, len(order), batch):
            places = order[start : start + batch]
            optimizer.zero_grad()
            loss(network(rows.x[0][places]), rows.y[0][places]).backward()
            optimizer.step()
        schedule.step()
        network.eval()
        with torch.no_grad():
            error = float(loss(network(rows.x[1]), rows.y[1]))
        waited += 1
        if error < best:
            best, kept, waited = error, copy.deepcopy(network), 0
        trial.report(error, epoch + 1)
        if trial.should_prune():
            raise optuna.TrialPruned
        if waited >= PATIENCE or time.time() > until:
            break
    if not numpy.isfinite(best):
        raise optuna.TrialPruned
    return best, kept.eval()


def _squared(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (outputs[:, 0] - targets).square().mean()
