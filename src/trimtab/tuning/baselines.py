"""The baselines that are trained before anything else: mean or majority, ridge or logistic, a careful beginner's MLP.

The first two come from scikit-learn and are kept as depth-0 networks, so that they can be saved, compared and taken
into an ensemble like any other trial. Knows no search.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import numpy
import torch
from torch import Tensor

from trimtab.knobs.knob import Task
from trimtab.machine import one_blas_thread
from trimtab.settings.quiet import quietly
from trimtab.training.config import Config, Loss, Optimizer, Schedule, Stopping
from trimtab.training.data import Fold, TrainingData
from trimtab.training.programs.program import Layout
from trimtab.tuning.trial import TrialWeights, out_of_fold

FITTED_BASELINES = MEAN, LINEAR = "mean", "linear"
DEFAULT_MLP = "default_mlp"
BASELINES = (*FITTED_BASELINES, DEFAULT_MLP)
LINEAR_NETWORK = (("activation", "relu"), ("depth", 0), ("inputs", "scaled"), ("width", 1))
# Steps of L-BFGS at most: scikit-learn's own hundred, doubled, since columns of several hundreds need more (a guess).
ITERATIONS = 200
# Inverse strengths of the penalty of a logistic regression, a decade apart on both sides of scikit-learn's 1 (guesses).
PENALTIES = (0.03, 0.3, 3.0)
# Cells of the design, times classes, up to which three penalties are tried and one thread of BLAS is enough: a fit
# takes about a second then (a guess).
_CELLS_FOR_ONE_PENALTY = 2_000_000
# Penalties of a ridge regression, as powers of ten and how many: from next to none to all but the mean.
RIDGE_PENALTIES = -3, 4, 15
# The rows that each class has at least (in place of none), and what a probability is at least, so that their
# logarithms are finite.
FEWEST, _LEAST = 1e-3, 1e-12
# The logit of a class that no training row of a fold has: a probability of 2e-9.
_ABSENT = -20.0
# Multiplications a second of one core in float64, as a linear fit does them; and of the passes of an iteration. Low
# guesses, for they keep a short budget from a fit that it has no time for.
_RIDGE_PACE, _LOGISTIC_PACE = 2e9, 1.5e9


def linear_config(task: Task) -> Config:
    """The config that stands for a baseline without training of ours."""
    return Config(network=LINEAR_NETWORK, loss=Loss("mse" if task == "regression" else "cross_entropy"), epochs=1)


def default_mlp_config(task: Task, *, rows: int, epochs: int) -> Config:
    """What a careful beginner would train: two layers of 128 ReLU units, Adam at 1e-3, early stopping.

    The numbers are near those of scikit-learn's MLP and of many tutorials. They stay what they are: it is a yardstick.
    """
    return Config(
        network=(("activation", "relu"), ("depth", 2), ("inputs", "scaled"), ("width", 128)),
        loss=Loss("mse" if task == "regression" else "cross_entropy"),
        optimizer=Optimizer("adam", learning_rate=1e-3),
        schedule=Schedule("constant"),
        stopping=Stopping("patience", patience=max(10, epochs // 10)),
        batch_size=64 if rows <= 5_000 else 256,
        epochs=epochs,
    )


def fit_mean(data: TrainingData, layout: Layout, *, seed: int = 0) -> TrialWeights:
    """The mean target (or the class shares) of each fold's training rows, as a linear network without slopes."""
    del seed

    def fit(fold: Fold) -> tuple[numpy.ndarray, numpy.ndarray]:
        weights = data.weights[fold.train].double()
        slopes = numpy.zeros((data.outputs, _design(data, fold.train[:1]).shape[1]))
        if data.task == "classification":
            counts = torch.zeros(data.outputs, dtype=torch.float64).index_add_(
                0, data.targets[fold.train].cpu(), weights.cpu()
            )
            return slopes, ((counts + FEWEST) / (counts + FEWEST).sum()).log().numpy()
        targets = data.targets[fold.train].double()
        return slopes, ((targets * weights.view(-1, 1)).sum(0) / weights.sum()).numpy(force=True)

    return _as_networks(data, layout, [fit(fold) for fold in data.folds])


def get_ready() -> None:
    """Import what fitting needs, which takes seconds that are no fit's."""
    import sklearn.linear_model  # noqa: F401


def fit_linear(data: TrainingData, layout: Layout, *, seed: int) -> TrialWeights:
    """Ridge (penalty by leave-one-out) or logistic regression (penalty by the folds themselves) on each fold."""
    with _fitting(data):
        if data.task == "regression":
            return _as_networks(data, layout, [_ridge(data, fold) for fold in data.folds])
        return _best_logistic(data, layout, seed)[1]


def refitted(name: str, whole: TrainingData, scored: TrainingData, layout: Layout, *, seed: int) -> Tensor:
    """The baseline `name` fitted on the rows of the one fold of `whole`: float32 `[1, parameters]`.

    What validation decides (the penalty of a logistic regression) is decided by the folds of `scored`, as it was when
    the baseline was scored.
    """
    if name != LINEAR or whole.task == "regression":
        return FITTED[name](whole, layout, seed=seed).parameters
    with _fitting(whole):
        penalty = _best_logistic(scored, layout, seed)[0]
        return _as_networks(whole, layout, [_logistic(whole, fold, penalty, seed) for fold in whole.folds]).parameters


def _best_logistic(data: TrainingData, layout: Layout, seed: int) -> tuple[float, TrialWeights]:
    """The penalty with the least out-of-fold log loss, and what it gave; one alone where several would take long."""
    fitted = [
        (c, _as_networks(data, layout, [_logistic(data, fold, c, seed) for fold in data.folds]))
        for c in _penalties(data)
    ]
    return min(fitted, key=lambda pair: _log_loss(data, pair[1].predictions))


def _penalties(data: TrainingData) -> tuple[float, ...]:
    return PENALTIES if _cells(data) <= _CELLS_FOR_ONE_PENALTY else (1.0,)


FITTED = {MEAN: fit_mean, LINEAR: fit_linear}


@contextmanager
def _fitting(data: TrainingData) -> Iterator[None]:
    """For scikit-learn, which warns of what is as it should be here.

    Products this small take a thousand times as long where the threads of BLAS wait for a processor that is busy.
    """
    with quietly(), one_blas_thread() if _cells(data) <= _CELLS_FOR_ONE_PENALTY else nullcontext():
        yield


def _cells(data: TrainingData) -> int:
    return data.rows * _design(data, torch.zeros(1, dtype=torch.int64)).shape[1] * data.outputs


def linear_seconds(data: TrainingData) -> float:
    """A rough upper estimate of what `fit_linear` takes, for budgets too short for it."""
    columns = _design(data, torch.zeros(1, dtype=torch.int64)).shape[1]
    rows = sum(len(fold.train) for fold in data.folds)
    if data.task == "regression":
        return rows * columns * min(columns, max(len(f.train) for f in data.folds)) / _RIDGE_PACE
    # Each iteration passes over the outputs of all rows some thirty times, beside the products.
    penalties = len(_penalties(data))
    return penalties * rows * (columns + 30) * data.outputs * ITERATIONS / _LOGISTIC_PACE


def _ridge(data: TrainingData, fold: Fold) -> tuple[numpy.ndarray, numpy.ndarray]:
    from sklearn.linear_model import Ridge, RidgeCV  # takes seconds to import: the mean baseline comes before it

    # One row leaves none to choose a penalty by.
    model = RidgeCV(alphas=numpy.logspace(*RIDGE_PENALTIES)) if len(fold.train) > 1 else Ridge()
    targets = data.targets[fold.train].double().numpy(force=True)
    model.fit(_design(data, fold.train), targets, sample_weight=data.weights[fold.train].numpy(force=True))
    slopes, intercept = numpy.asarray(model.coef_), numpy.asarray(model.intercept_)
    return numpy.atleast_2d(slopes), numpy.atleast_1d(intercept)


def _logistic(data: TrainingData, fold: Fold, penalty: float, seed: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    from sklearn.linear_model import LogisticRegression

    targets = data.targets[fold.train].numpy(force=True)
    design = _design(data, fold.train)
    slopes = numpy.zeros((data.outputs, design.shape[1]))
    bias = numpy.full(data.outputs, _ABSENT)
    classes = numpy.unique(targets)
    if len(classes) == 1:
        bias[classes[0]] = 0.0
        return slopes, bias
    model = LogisticRegression(C=penalty, max_iter=ITERATIONS, random_state=seed)
    model.fit(design, targets, sample_weight=data.weights[fold.train].numpy(force=True))
    if len(classes) == 2:
        bias[classes[0]] = 0.0
        slopes[classes[1]], bias[classes[1]] = model.coef_[0], numpy.ravel(model.intercept_)[0]
    else:
        slopes[classes], bias[classes] = model.coef_, model.intercept_
    return slopes, bias


def _design(data: TrainingData, rows: Tensor) -> numpy.ndarray:
    """Numbers and one-hot embedded categories of `rows`, float64 [rows, columns]."""
    numbers, codes = (x[rows].numpy(force=True) for x in data.inputs)
    pieces = [numbers.astype(numpy.float64)]
    cardinalities = data.cardinalities
    pieces += [numpy.eye(count)[codes[:, i]] for i, count in enumerate(cardinalities)]
    return numpy.concatenate(pieces, axis=1)


def _as_networks(data: TrainingData, layout: Layout, fitted: list[tuple[numpy.ndarray, numpy.ndarray]]) -> TrialWeights:
    rows, pieces = [], []
    numbers = data.inputs[0].shape[1]
    for fold, (slopes, bias) in zip(data.folds, fitted, strict=True):
        parameters = {"output.weight": slopes[:, :numbers], "output.bias": bias}
        start = numbers
        for i, count in enumerate(data.cardinalities):
            parameters[f"categories.tables.{i}.weight"] = slopes[:, start : start + count].T
            start += count
        tensors = {name: torch.tensor(value, dtype=torch.float32) for name, value in parameters.items()}
        rows.append(layout.flatten(tensors))
        outputs = torch.from_numpy(_design(data, fold.validation) @ slopes.T + bias)
        pieces.append(data.predictions(outputs.to(data.device)).numpy(force=True))
    return TrialWeights(torch.stack(rows), out_of_fold(data, pieces))


def _log_loss(data: TrainingData, predictions: numpy.ndarray) -> float:
    known = ~numpy.isnan(predictions[:, 0])
    targets = data.targets.numpy(force=True)[known]
    chosen = predictions[known, targets].clip(_LEAST)
    return float(numpy.average(-numpy.log(chosen), weights=data.weights.numpy(force=True)[known]))
