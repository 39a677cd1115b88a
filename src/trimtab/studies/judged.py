"""Judged: what a study's model predicted for rows that it may be judged by, the figures this comes to, and the frame of
it that is kept.

Knows prepared tables, models and metrics; it knows no trials and no search.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import polars

from trimtab.model.model import Model
from trimtab.table.prepared import Prepared
from trimtab.training.metrics import Metric
from trimtab.tuning.standing import JudgedRows, Standing, scores_of, standing

VALIDATION, TEST = "validation", "test"
UNIT_NAMES = {"group": "groups", "time": "stretches of time"}


@dataclass(frozen=True)
class Yardstick:
    """What the model is compared with: a baseline as a model, and its predictions out of fold."""

    model: Model
    predictions: numpy.ndarray


@dataclass(frozen=True)
class Judged:
    """The figures of a study's model.

    `test` are those on the test rows (None without any), `validation` those of `out_of_fold` [rows, outputs], which
    also chose the model; without test rows `nested` are those of models chosen without the rows they are judged on.
    `standing` has intervals and gains: on the test rows, or else of the nested choices.
    """

    test: dict[str, float] | None
    validation: dict[str, float]
    nested: dict[str, float] | None
    baselines: dict[str, dict[str, float]]
    standing: Standing
    out_of_fold: numpy.ndarray
    test_predictions: numpy.ndarray | None
    units: dict[str, Any]

    def document(self, metric: str) -> dict[str, Any]:
        """The figures as they stand in a study's result."""
        return {
            "test": self.test,
            "validation": self.validation,
            "nested": self.nested,
            "judged": int((~numpy.isnan(self.out_of_fold).any(axis=1)).sum()),
            "interval": _listed(self.standing.intervals[metric]),
            "intervals": {name: _listed(ends) for name, ends in self.standing.intervals.items()},
            "interval_units": self.units,
            "baselines": self.baselines,
            "gains": {
                name: {each: gain.to_json() for each, gain in gains.items()}
                for name, gains in self.standing.gains.items()
            },
        }


def judge(
    prepared: Prepared,
    metric: Metric,
    model: Model,
    *,
    out_of_fold: numpy.ndarray,
    nested: Sequence[numpy.ndarray],
    yardsticks: Mapping[str, Yardstick],
    seed: int,
    decisive: Sequence[numpy.ndarray] = (),
) -> Judged:
    """The figures of `model` and of the `yardsticks` on the test rows; without any on the rows out of fold.

    `nested` are predictions [rows, outputs] of what was chosen without the rows predicted, once for each division of
    the rows; empty where there was nothing to choose from. `decisive` are the same by which classes are decided on,
    where probabilities have factors.
    """
    target = model.target
    development = JudgedRows(target.truth(prepared.development), prepared.weights, prepared.units)

    def scored(raw: numpy.ndarray, rows: JudgedRows) -> dict[str, float]:
        return scores_of(raw, rows, metric, decisive=target.weighed(raw) if target.factors else None)

    validation = scored(out_of_fold, development)
    if prepared.test is None:
        others = {name: each.predictions for name, each in yardsticks.items()}
        rows, raw, compared = development, None, tuple(nested) or (out_of_fold,)
        deciding = tuple(decisive)
    else:
        encoded = prepared.encoder.encode(prepared.test)
        others = {name: each.model.raw_of(encoded) for name, each in yardsticks.items()}
        raw = model.raw_of(encoded)
        rows = JudgedRows(target.truth(prepared.test), prepared.test_weights, prepared.test_units)
        compared, deciding = (raw,), ((target.weighed(raw),) if target.factors else ())
    found = standing(compared, others, rows, metric, seed=seed, decisive=deciding)
    judged = ~numpy.isnan(compared[0]).any(axis=1)
    return Judged(
        test=None if raw is None else scored(raw, rows),
        validation=validation,
        nested=found.scores if raw is None and nested else None,
        baselines={name: scores_of(each, rows, metric) for name, each in others.items()},
        standing=found,
        out_of_fold=out_of_fold,
        test_predictions=raw,
        units=_units(prepared, rows.units[judged]),
    )


def predictions_frame(prepared: Prepared, model: Model, judged: Judged) -> polars.DataFrame:
    """A row for every prediction that was judged: `row`, its number in the source (or in a test table of its own),
    `part` (validation: out of fold; test), truth and prediction as `Model.predict_frame` names them, and `weight` where
    rows have one. Rows that no fold judged are absent."""
    known = numpy.flatnonzero(~numpy.isnan(judged.out_of_fold).any(axis=1))
    parts = [
        _part(
            prepared, model, VALIDATION, judged.out_of_fold[known], prepared.development[known],
            prepared.development_rows[known], prepared.weights[known],
        )
    ]  # fmt: skip
    if prepared.test is not None and judged.test_predictions is not None:
        parts.append(
            _part(
                prepared, model, TEST, judged.test_predictions, prepared.test,
                prepared.test_rows, prepared.test_weights,
            )
        )  # fmt: skip
    return polars.concat(parts)


def _part(
    prepared: Prepared,
    model: Model,
    part: str,
    raw: numpy.ndarray,
    frame: polars.DataFrame,
    rows: numpy.ndarray,
    weights: numpy.ndarray,
) -> polars.DataFrame:
    target = prepared.target_encoder
    truth = target.truth(frame)
    if target.task == "classification":
        certain = numpy.eye(target.outputs)[truth]
        truths = {"truth": target.written(certain)}
    elif len(target.names) == 1:
        truths = {"truth": truth[:, 0]}
    else:
        truths = {f"truth_{name}": truth[:, i] for i, name in enumerate(target.names)}
    columns: list[Any] = [
        polars.DataFrame({"row": rows.astype(numpy.int64), "part": [part] * len(rows)}),
        polars.DataFrame(truths),
        model.as_frame(raw.astype(numpy.float64)),
    ]
    if prepared.schema.weight is not None:
        columns.append(polars.DataFrame({"weight": weights.astype(numpy.float64)}))
    return polars.concat(columns, how="horizontal")


def _units(prepared: Prepared, units: numpy.ndarray) -> dict[str, Any]:
    """What the intervals are drawn over, and how many of them there are."""
    return {"of": UNIT_NAMES.get(prepared.split.kind, "rows"), "count": len(numpy.unique(units))}


def _listed(ends: tuple[float, float] | None) -> list[float] | None:
    return None if ends is None else list(ends)
