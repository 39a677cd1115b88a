"""The peers: what others reach on the same splits, and two of them fitted again to have their predictions row by row.

Knows tables and scikit-learn; it knows nothing of trimtab.
"""

import json
import warnings
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
import polars
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_transformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from benchmarks.tables import Table, typed

REFITTED = ("linear", "sklearn_mlp")
SHOWN = ("sklearn_mlp", "linear", "realmlp", "catboost", "autogluon_best_quality_60s")


def read_peers(file: Path) -> dict[tuple[str, str], dict[int, dict[str, float]]]:
    """The figures of each (table, model) by split."""
    figures: dict[tuple[str, str], dict[int, dict[str, float]]] = defaultdict(dict)
    for line in file.read_text().splitlines():
        entry = json.loads(line)
        figures[entry["ds"], entry["model"]][entry["split"]] = entry
    return figures


def _names(table: Table) -> tuple[list[str], list[str]]:
    """The columns of numbers and those of categories."""
    columns = typed(table.frame.drop(table.target))
    numbers = [name for name in columns.columns if columns[name].dtype == polars.Float64]
    return numbers, [name for name in columns.columns if name not in numbers]


def _encoder(table: Table) -> ColumnTransformer:
    """Numbers imputed by the median and standardised, categories one-hot."""
    numbers, categories = _names(table)
    return make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()), numbers),
        (OneHotEncoder(handle_unknown="ignore"), categories),
        sparse_threshold=0,
    )


def _plain(table: Table, frame: polars.DataFrame) -> Any:
    """A pandas frame of numbers and labels."""
    numbers, categories = _names(table)
    return frame.select(
        *(polars.col(name).cast(polars.Float64) for name in numbers),
        *(polars.col(name).fill_null("missing") for name in categories),
    ).to_pandas()


def encoded(table: Table, fitted_on: polars.DataFrame, frames: Sequence[polars.DataFrame]) -> list[numpy.ndarray]:
    """float64 [rows, columns] of each frame, by the statistics and labels of the first."""
    encoder = _encoder(table).fit(_plain(table, fitted_on))
    return [encoder.transform(_plain(table, frame)) for frame in frames]


def predict_as(peer: str, table: Table, train: polars.DataFrame, test: polars.DataFrame) -> numpy.ndarray:
    """The peer's predictions for the test rows: values [rows], or probabilities [rows, classes] of sorted labels."""
    x, x_test = _plain(table, train), _plain(table, test)
    encoder = _encoder(table)
    y = train[table.target].to_numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if table.is_regression:
            inner = Ridge() if peer == "linear" else MLPRegressor(early_stopping=True, random_state=0)
            model = make_pipeline(encoder, TransformedTargetRegressor(inner, transformer=StandardScaler()))
            return model.fit(x, y.astype(float)).predict(x_test)
        inner = (
            LogisticRegression(max_iter=1000)
            if peer == "linear"
            else MLPClassifier(early_stopping=True, random_state=0)
        )
        return make_pipeline(encoder, inner).fit(x, y).predict_proba(x_test)
