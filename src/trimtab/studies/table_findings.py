"""What is found about a table and about the search over it, at the two times at which it can be said: before training,
and when the result is there. It is kept in the study's folder.

Knows prepared tables, results and rules; it trains no network.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from trimtab.findings.checked import Checked, joined, together
from trimtab.findings.data import copies, representative
from trimtab.findings.data.before_training import Check, in_time
from trimtab.findings.data.boosted_trees import (
    SECONDS_TO_IMPORT,
    USUAL,
    design_of,
    in_own_thread,
    out_of_fold,
    seconds_of,
)
from trimtab.findings.data.label_noise import label_noise
from trimtab.findings.data.seconds import FEW_SECONDS, MANY_TRIALS
from trimtab.findings.data.table_record import TableRecord
from trimtab.findings.finding import Findings, NotChecked
from trimtab.findings.search import BOOSTED_TREE, Compared, SearchRecord, checks
from trimtab.table.prepared import Prepared
from trimtab.training.metrics import Metric
from trimtab.tuning.baselines import BASELINES
from trimtab.tuning.notices import Edge
from trimtab.tuning.standing import Gain, JudgedRows, standing
from trimtab.tuning.verdicts import remembers

# Trees of 31 leaves take twice as long as quick ones (measured), whose time is estimated on the high side.
LARGER = 1.5
# What is measured on the result: the estimate before training no longer counts.
JUDGED_AGAIN = ("evaluation_too_noisy",)
# Of a budget, of the part of it that counterfactuals may have, and seconds without one, that may be spent on growing
# trees beside the result: they train too, and a twentieth of a minute reaches only the smallest tables.
SHARE_OF_BUDGET, SHARE_OF_EXPLAINING, MOST_SECONDS = 0.05, 0.5, 30.0


def seconds_after(budget: float | None, left: float, trials: int | None, *, explaining: float = 0.0) -> float:
    """How long looking at the result may take after a search of `budget` seconds, of which some are `left` and a share
    is for `explaining` the result, or one without limit that ended after `trials`."""
    if budget is not None:
        return max(0.0, min(left, max(SHARE_OF_BUDGET, SHARE_OF_EXPLAINING * explaining) * budget))
    return MOST_SECONDS if trials is None or trials >= MANY_TRIALS else FEW_SECONDS


@dataclass(frozen=True)
class Searched:
    """What a search came to, as the rules need it: `result` is the study's, `predictions` [rows, outputs] are the
    model's out of fold, `nested` those of models chosen without the rows predicted, where there are such, and
    `decisive` the same by which classes are decided on, where probabilities have factors."""

    result: Mapping[str, Any]
    predictions: numpy.ndarray
    nested: Sequence[numpy.ndarray]
    edges: Sequence[Edge]
    decisive: Sequence[numpy.ndarray] = ()


def after_search(
    prepared: Prepared, metric: Metric, searched: Searched, before: Findings, *, seconds: float, seed: int = 0,
    trees: numpy.ndarray | None = None,
) -> Findings:  # fmt: skip
    """What was found `before` training and what can be said now: about the search, wrong targets, and test rows of
    which the features alone are compared, now that the score is taken.

    Boosted `trees` that are not there yet are grown only where they take no more than `seconds`.
    """
    began = time.monotonic()
    record = TableRecord.of_prepared(prepared, with_test=True, seed=seed)
    compares = representative.seconds_needed(record)
    of_rows = [Check("label_noise", lambda: [label_noise(record, searched.predictions[record.places])])]
    if record.other:
        of_rows += [
            Check("duplicate_rows", lambda: [copies.copies_among(record)]),
            Check("not_representative", lambda: [representative.differs_from_others(record, seed=seed)], compares),
        ]
    rules = in_time(of_rows, seconds)
    without_trees, left = list[Checked](), max(0.0, seconds - (time.monotonic() - began))
    if trees is None and boosted_tree_seconds(prepared) <= left:
        trees = boosted_tree(prepared, metric, seed=seed)
    elif trees is None:
        why = f"boosted trees take about {boosted_tree_seconds(prepared):.0f} s, and there was time for {left:.0f} s"
        without_trees.append(NotChecked("worse_than_baseline", why))
    record_of_search = search_record(prepared, metric, searched, trees, seed=seed)
    of_search = together([*checks(record_of_search), *without_trees])
    not_checked = [each.id for each in of_search.not_checked]
    earlier = without(before, [name for name in JUDGED_AGAIN if name not in not_checked])
    return joined(earlier, rules, of_search)


def without(findings: Findings, ids: Sequence[str]) -> Findings:
    """The same without the findings of these ids."""
    found = tuple(finding for finding in findings.found if finding.id not in ids)
    return Findings(found, findings.healthy, findings.not_checked)


def search_record(
    prepared: Prepared, metric: Metric, searched: Searched, trees: numpy.ndarray | None, *, seed: int = 0
) -> SearchRecord:
    """The record of a finished search; `trees` are predictions of boosted trees out of fold."""
    result, greater = searched.result, metric.greater_is_better
    figures = result["test"] or result.get("nested") or result["validation"]
    figure = figures[metric.name]
    rows, on = (result["rows"]["test"], "test rows") if result["test"] else (result["judged"], "rows out of fold")
    compared = {}
    for name in BASELINES:
        gain = result["gains"].get(name, {}).get(metric.name)
        if gain is not None and figure is not None:
            interval = None if gain["interval"] is None else tuple(gain["interval"])
            error = 1 - figure if greater else figure
            compared[name] = Compared(Gain(gain["better_by"], interval, gain["verdict"]), error, rows, on)
    if trees is not None:
        compared[BOOSTED_TREE] = _beside_trees(prepared, metric, searched, trees, seed)
    members = result["ensemble"]
    alone = members[0]["name"] if len(members) == 1 and not remembers(members) else ""
    return SearchRecord(
        metric.name, greater, compared, trials=result["finished"], edges=tuple(searched.edges), task=metric.task,
        is_itself=alone or "",
    )  # fmt: skip


def _beside_trees(prepared: Prepared, metric: Metric, searched: Searched, trees: numpy.ndarray, seed: int) -> Compared:
    """The model beside boosted trees, out of fold: the test rows are the model's alone."""
    target = prepared.target_encoder
    rows = JudgedRows(target.truth(prepared.development), prepared.weights, prepared.units)
    models = tuple(searched.nested) or (searched.predictions,)
    decisive = tuple(searched.decisive)
    found = standing(models, {BOOSTED_TREE: trees}, rows, metric, seed=seed, decisive=decisive)
    figure = found.scores[metric.name]
    judged = int((~numpy.isnan(searched.predictions).any(axis=1)).sum())
    error = 1 - figure if metric.greater_is_better else figure
    return Compared(found.gains[BOOSTED_TREE][metric.name], error, judged, "rows out of fold")


def boosted_tree_seconds(prepared: Prepared) -> float:
    """A high estimate of what `boosted_tree` takes."""
    folds, outputs = prepared.folds, prepared.target_encoder.outputs
    rows = max(len(train) for train, _ in folds)
    columns = len(prepared.schema.features)
    growing = seconds_of(rows, columns, folds=len(folds), outputs=outputs, size=USUAL) - SECONDS_TO_IMPORT
    return SECONDS_TO_IMPORT + LARGER * growing


@in_own_thread
def boosted_tree(prepared: Prepared, metric: Metric, *, seed: int = 0) -> numpy.ndarray:
    """Predictions out of fold by scikit-learn's boosted trees with their usual settings, on the same folds: float64
    [rows, outputs] in original units, or probabilities."""
    record = TableRecord.of_prepared(prepared, most_rows=prepared.development.height)
    target = prepared.target_encoder
    classes = target.outputs if target.task == "classification" else 0
    loss = "absolute_error" if metric.name == "mae" else "squared_error"
    return out_of_fold(
        design_of(record.features), record.targets, prepared.folds, classes=classes, weights=record.weights,
        size=USUAL, loss=loss, seed=seed,
    )  # fmt: skip
