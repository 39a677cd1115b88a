"""TrimtabRegressor, TrimtabClassifier: the search for a table's best network, with the manners of scikit-learn.

Checks what comes in as scikit-learn does and hands it to a job. Leaves no files and no threads behind.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import polars as pl
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, is_classifier
from sklearn.model_selection import check_cv
from sklearn.utils import check_array, check_consistent_length, check_random_state, column_or_1d
from sklearn.utils.validation import check_is_fitted, validate_data

from trimtab.errors import DataError, OptionError
from trimtab.knobs.effects import read_in_tables_of
from trimtab.knobs.knob import Task
from trimtab.knobs.table import TABLE_KNOBS
from trimtab.machine import cores, device_named
from trimtab.model.model import Model
from trimtab.studies.call import Call
from trimtab.studies.flow import study_of
from trimtab.studies.request import TableRequest
from trimtab.studies.study import Study
from trimtab.studies.table_subject import TableSubject
from trimtab.studies.table_work import TableWork
from trimtab.table.folds import FoldRows
from trimtab.table.frames import label_columns, to_frame
from trimtab.table.prepared import Prepared
from trimtab.table.sample_targets import (
    are_said_to_be_labels,
    numbered,
    refuse_fractions,
    target_labels,
    target_numbers,
)
from trimtab.table.samples import prepare_samples, sample_weights
from trimtab.tuning.budget import Budget, seconds_for
from trimtab.tuning.ray_cluster import WorkersAsked

# A guess: estimators are fitted often, within searches of scikit-learn too, and a minute does well on small tables.
USUAL_BUDGET = "60s"
# What scikit-learn asks of every estimator: with one row it raises.
FEWEST_ROWS = 2


class _Tuned(BaseEstimator):
    """What both estimators share: their parameters, how they search, and what their model makes of rows."""

    model_: Model
    words_: str
    result_: dict[str, Any]
    notices_: tuple[str, ...]
    n_features_in_: int
    feature_names_in_: np.ndarray

    def __init__(
        self,
        budget: str | float | None = None,
        trials: int | None = None,
        *,
        metric: str | None = None,
        cv: Any = None,
        single: bool = False,
        neighbours: bool = True,
        loss: str | None = None,
        delta: float | None = None,
        tau: float | None = None,
        gamma: float | None = None,
        optimizer: str | None = None,
        lr: float | None = None,
        schedule: str | None = None,
        batch_size: int | None = None,
        epochs: int | None = None,
        patience: int | None = None,
        width: int | None = None,
        depth: int | None = None,
        activation: str | None = None,
        inputs: str | None = None,
        sigma: float | None = None,
        dropout: float | None = None,
        weight_decay: float | None = None,
        label_smoothing: float | None = None,
        device: str = "auto",
        threads: int | None = None,
        workers: int | str | None = None,
        random_state: Any = None,
    ) -> None:
        self.budget = budget
        self.trials = trials
        self.metric = metric
        self.cv = cv
        self.single = single
        self.neighbours = neighbours
        self.loss = loss
        self.delta = delta
        self.tau = tau
        self.gamma = gamma
        self.optimizer = optimizer
        self.lr = lr
        self.schedule = schedule
        self.batch_size = batch_size
        self.epochs = epochs
        self.patience = patience
        self.width = width
        self.depth = depth
        self.activation = activation
        self.inputs = inputs
        self.sigma = sigma
        self.dropout = dropout
        self.weight_decay = weight_decay
        self.label_smoothing = label_smoothing
        self.device = device
        self.threads = threads
        self.workers = workers
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        # Under a budget alone the clock decides how many configurations are tried.
        tags.non_deterministic = self.trials is None
        return tags

    # -- fitting

    def _fit(self, X: Any, y: np.ndarray, weights: np.ndarray, *, task: Task, names: Sequence[str]) -> None:  # noqa: N803
        """Search with numbers `y` as targets, [rows] or [rows, targets]; those of classes for a classification."""
        clock = Budget(self._seconds(), started=time.monotonic())
        self._check_parameters(task)
        frame = self._features(X, fewest=FEWEST_ROWS, is_new=True)
        check_consistent_length(frame, y)
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        prepared = prepare_samples(
            frame, y, weights, names=names, task=task, cv=self._folds(X, y), seed=seed, categories=label_columns(X)
        )
        study, self.model_ = self._study(prepared, clock, seed)
        self._columns = tuple(frame.columns)
        self.result_ = {name: value for name, value in study.result.items() if name != "out"}
        self.words_, self.notices_ = study.words, study.notices

    def _seconds(self) -> float:
        return seconds_for(self.budget, self.trials, USUAL_BUDGET)

    def _check_parameters(self, task: Task) -> None:
        """What neither the search nor scikit-learn would refuse."""
        whole = {"trials": 1, "threads": 1} | ({"cv": 2} if np.isscalar(self.cv) else {})
        for name, least in whole.items():
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, Integral) or value < least):
                raise OptionError(f"{name} is {value!r}: it must be a whole number of at least {least}.")
        read = read_in_tables_of(task)
        strange = [name for name in TABLE_KNOBS if name not in read and getattr(self, name) is not None]
        if strange:
            raise OptionError(f"{' and '.join(strange)} cannot be set: no loss of a {task} has such a knob.")

    def _features(self, X: Any, *, fewest: int, is_new: bool = False) -> pl.DataFrame:  # noqa: N803
        """X as a frame, the names and the number of its columns noted (`is_new`) or compared with those noted."""
        if not nw.dependencies.is_into_dataframe(X):
            return to_frame(
                validate_data(self, X, reset=is_new, dtype=None, ensure_all_finite=False, ensure_min_samples=fewest)
            )
        validate_data(self, X, reset=is_new, skip_check_array=True)
        frame = to_frame(X)
        for there, least, what in ((frame.width, 1, "feature"), (frame.height, fewest, "sample")):
            if there < least:
                raise DataError(
                    f"Found a frame with {there} {what}(s) (shape={frame.shape}) where at least {least} is required."
                )
        return frame

    def _folds(self, X: Any, y: np.ndarray) -> int | list[FoldRows] | None:  # noqa: N803
        """`cv` as a number of folds, or as pairs (train, valid) of rows as they were given."""
        if self.cv is None or isinstance(self.cv, Integral):
            return None if self.cv is None else int(self.cv)
        splitter: Any = check_cv(self.cv, y, classifier=is_classifier(self))
        rows = np.arange(len(y))
        return [(rows[train], rows[valid]) for train, valid in splitter.split(X, y)]

    def _study(self, prepared: Prepared, clock: Budget, seed: int) -> tuple[Study, Model]:
        knobs = {name: getattr(self, name) for name in TABLE_KNOBS}
        fixed = {name: value.item() if isinstance(value, np.generic) else value for name, value in knobs.items()}
        request = TableRequest(
            metric=self.metric, fixed=fixed, seed=seed, single=bool(self.single), neighbours=bool(self.neighbours)
        )
        trials = None if self.trials is None else int(self.trials)
        threads = cores() if self.threads is None else int(self.threads)
        workers = None if self.workers is None else WorkersAsked.of(self.workers)
        with TemporaryDirectory(prefix="trimtab-") as folder:
            call = Call(
                clock,
                device_named(self.device),
                threads,
                trials=trials,
                out=Path(folder) / "study",
                is_lasting=False,
                workers=workers,
                threads_of_workers=None if self.threads is None else threads,
            )
            with call.at_work():
                study = study_of(TableSubject.of(request, prepared, call.device), call, TableWork)
            return study, study.model

    # -- predicting

    def _raw(self, X: Any) -> np.ndarray:  # noqa: N803
        """float64 [rows, outputs]: values in original units, or class probabilities."""
        check_is_fitted(self)
        frame = self._features(X, fewest=1)
        frame.columns = list(self._columns)
        return self.model_.raw_of(self.model_.encoder.encode(frame), dtype=torch.float64)


class TrimtabRegressor(RegressorMixin, _Tuned):
    """The best network for a table of numbers to predict, as an estimator of scikit-learn.

    `fit` searches as `trimtab.tune` does, on all rows it is given: none are put aside for a test, and configurations
    are compared by cross-validation. The model is an ensemble of the folds' networks. The order of rows means nothing,
    and a row of weight 2 is the same as the row twice.

    Every knob of the search (loss, delta, tau, optimizer, lr, schedule, batch_size, epochs, patience, width, depth,
    activation, inputs, sigma, dropout, weight_decay) may be fixed; those left None are searched. `trimtab fit
    --help` explains each. `gamma` and `label_smoothing` belong to a classification.

    Arguments:
        budget: wall-clock time of a fit, as "45s", "5m", "2h" or seconds, at least 5 s. None: 60 s, or no limit where
            `trials` is given.
        trials: how many configurations to try; the same seed then gives the same model.
        metric: what is optimised: rmse (None), mae or r2.
        cv: what configurations are compared on. None: five folds (ten of fewer than 300 rows), or one validation part
            of a fifth above 5,000 rows; a number of folds; a splitter of scikit-learn or pairs (train, valid) of row
            numbers, for rows as given.
        single: one network, trained on all rows, instead of an ensemble.
        neighbours: whether the nearest training rows may predict, too, where that is better; the model then holds them.
        device: "auto", "cpu", "cuda", ...
        threads: how many to use; None: one for each core.
        workers: train on so many workers of Ray, "ray" for one on each core, or the address of a cluster, as in
            `trimtab.tune`; None: in this process.
        random_state: the seed, as everywhere in scikit-learn.

    Attributes:
        model_: the model that was found; `model_.save(folder)` keeps it for `trimtab.load_model` and `trimtab predict`.
        words_: the best single configuration in words.
        result_: what was found, as a plain dict: metric, validation (out-of-fold figures), interval, config, ...
        notices_: what a user ought to know about data and result.
        n_features_in_: as everywhere in scikit-learn.
        feature_names_in_: as everywhere in scikit-learn, where columns have names.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "TrimtabRegressor":  # noqa: N803
        """Search, and keep the model that was found.

        Arguments:
            X: rows of features: an array, or any pandas, polars or pyarrow frame. Columns may hold numbers, text,
                categories, true and false, or moments. What is missing, not a number or infinite counts as missing.
            y: a number for each row, or several, [rows, targets].
            sample_weight: a weight from 0 on for each row: 2 counts as the row twice, 0 as if it were not there.

        Raises ValueError (as DataError or OptionError) for what cannot be used.
        """
        numbers = _as_numbers(y, self)
        weights = sample_weights(sample_weight, len(numbers))
        self._fit(X, numbers, weights, task="regression", names=_names(y, numbers))
        self._predicts_columns = numbers.ndim == 2
        return self

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """float64 [rows], or [rows, targets] where y had columns."""
        raw = self._raw(X)
        return raw if self._predicts_columns else raw[:, 0]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class TrimtabClassifier(ClassifierMixin, _Tuned):
    """The best network for a table of labels to predict, as an estimator of scikit-learn.

    Arguments and attributes are those of `TrimtabRegressor`, but for those below. Of the knobs, `gamma` and
    `label_smoothing` may be fixed here; `delta` and `tau` belong to a regression.

    Arguments:
        metric: what is optimised: log_loss (None), accuracy, balanced_accuracy or roc_auc (two classes).

    Attributes:
        classes_: the labels in sorted order, once fitted, as they were given; `predict` returns them. `model_`, which
            is saved as JSON, has text for labels that JSON lacks: "2024-01-31" for a day.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "TrimtabClassifier":  # noqa: N803
        """Search, and keep the model that was found.

        Arguments:
            X: as for `TrimtabRegressor.fit`.
            y: a label for each row, all of one kind: text, whole numbers, true and false, moments, days, spans of time,
                exact decimals, bytes, or the cells of a pandas category.
            sample_weight: as for `TrimtabRegressor.fit`.

        Raises ValueError (as DataError or OptionError) for what cannot be used.
        """
        labels, numbers = numbered(_as_labels(y, self))
        weights = sample_weights(sample_weight, len(numbers))
        # A class whose rows have no weight is as if they were not there.
        left = labels[np.unique(numbers[weights > 0])]
        if len(left) < 2:
            raise DataError(f'y has one class only, "{left[0]}": there is nothing to tell apart.')
        self._fit(X, numbers, weights, task="classification", names=_names(y, numbers))
        self.classes_ = labels[np.array(self.model_.target.classes)]
        self.model_ = replace(self.model_, target=self.model_.target.with_labels(self.classes_))
        return self

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """The label of each row, [rows]: the most probable one, or where `metric` gained by it ("f1",
        "balanced_accuracy") that of the greatest probability times its factor (`model_.target.factors`)."""
        probabilities = self._raw(X)
        return self.classes_[self.model_.target.decided(probabilities)]

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """float64 [rows, classes], in the order of `classes_`."""
        return self._raw(X)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:  # noqa: N803
        """The share of the rows, by their weights, whose label is predicted."""
        labels = _as_labels(y, self)
        weights = sample_weights(sample_weight, len(labels))
        predicted = self.predict(X)
        check_consistent_length(labels, predicted)
        return float(np.average([one == other for one, other in zip(labels, predicted, strict=True)], weights=weights))


def _there(y: Any, estimator: BaseEstimator) -> Any:
    if y is None:
        raise DataError(f"{type(estimator).__name__} requires y to be passed, but the target y is None.")
    return y


def _as_numbers(y: Any, estimator: BaseEstimator) -> np.ndarray:
    """float64 [rows] or [rows, targets]."""
    checks: dict[str, Any] = {"dtype": np.float64, "ensure_2d": False, "input_name": "y", "estimator": estimator}
    try:
        return check_array(target_numbers(_there(y, estimator)), **checks)
    except ValueError as error:
        # numpy's words for a cell of text; all others are scikit-learn's own.
        if "could not convert" not in str(error):
            raise
        raise DataError("y holds text, where numbers are needed: TrimtabClassifier takes labels.") from error


def _as_labels(y: Any, estimator: BaseEstimator) -> np.ndarray:
    """[rows], each label as it was given."""
    labels = column_or_1d(target_labels(_there(y, estimator)), warn=True)
    checks: dict[str, Any] = {"dtype": None, "ensure_2d": False, "input_name": "y", "estimator": estimator}
    check_array(labels, **checks)
    if not are_said_to_be_labels(y):
        refuse_fractions(labels)
    return labels


def _names(y: Any, numbers: np.ndarray) -> list[str]:
    """What the targets are called: as in a frame or a series, else target, or target0, target1, ..."""
    named: list[Any] = [y.name] if isinstance(getattr(y, "name", None), str) else list(getattr(y, "columns", ()))
    count = 1 if numbers.ndim == 1 else numbers.shape[1]
    if len(named) == len(set(named)) == count and all(isinstance(name, str) and name for name in named):
        return named
    return ["target"] if count == 1 else [f"target{i}" for i in range(count)]
