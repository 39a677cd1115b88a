"""prepare: a file, a frame or arrays become a schema, a split and the tensors that the engine trains on.

The one place where reading, roles, splitting and encoding meet. Knows nothing of what is trained.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from trimtab.errors import DataError, OptionError
from trimtab.table.asked import USUAL_TEST_SHARE, kind_of_test, require_columns
from trimtab.table.digest import table_digest
from trimtab.table.encode import Encoder
from trimtab.table.folds import FOLDS_OF_FEW, FoldRows
from trimtab.table.frames import column_called
from trimtab.table.observations import (
    Observations,
    ScorableTest,
    count_copies,
    keep_observed,
    keep_scorable,
    row_weights,
)
from trimtab.table.prepared import Counts, Prepared
from trimtab.table.schema import Schema, infer_schema
from trimtab.table.sources import Source, column_names, open_source, open_test
from trimtab.table.spelling import as_labels, other_spellings
from trimtab.table.split import Split, SplitRule, plan_split, units_of
from trimtab.table.target import TargetEncoder
from trimtab.text.wording import counted, listed


def prepare(
    data: Any,
    *,
    target: str | Sequence[str] | None,
    task: str = "auto",
    split: str | int | Sequence[FoldRows] = "random",
    test: Any = USUAL_TEST_SHARE,
    drop: Sequence[str] = (),
    number: Sequence[str] = (),
    category: Sequence[str] = (),
    weight: str | None = None,
    seed: int = 0,
    minimum_rows: int = 10,
    may_be_constant: bool = False,
    spans: bool = True,
    folds_of_few: int = FOLDS_OF_FEW,
) -> Prepared:
    """Read, judge, split and encode a table.

    Arguments:
        data: a path, any frame, (X, y), or (train, valid, test) frames of which the last two may be None.
        target: the column to predict, several as a sequence or `"a,b"`; (X, y) needs none.
        task: "regression", "classification" or "auto" (the rule is `task.choose_task`'s).
        split: "random", "time:COL", "group:COL", or a column that says train, valid or test; a number of random folds;
            or pairs (train, valid) of row numbers, which leave no rows for a test.
        test: the share of rows to put aside, a file or frame of test rows, or "none".
        drop, number, category: columns to leave out, to read as numbers, to read as labels: names, or one text "a,b".
        weight: the column of row weights; a row of weight 0 counts for nothing.
        seed: the same rows, target, `split`, `test` and seed give the same test part, whatever the other options are;
            the same data, options and seed give the same folds.
        minimum_rows: fewer usable rows than these are an error.
        may_be_constant: a regression target with one value in all rows is no error.
        spans: whether the time between two columns of date-times may be an input.
        folds_of_few: how many random folds few rows have where nobody says how many.

    Raises DataError for a table, OptionError for an option that cannot be used, in one or two sentences.
    """
    source = open_source(data, target, category)
    drop, number, category = (
        column_names(names, source.frame, option)
        for names, option in ((drop, "--drop"), (number, "--number"), (category, "--category"))
    )
    if source.parts and split != "random":
        raise OptionError(
            f"--split {split} has no effect on (train, valid, test) frames, which say themselves what is what: leave "
            "it out, or give one table."
        )
    rule = SplitRule("column", source.parts) if source.parts else SplitRule.of(split).of_table(source.frame.columns)
    rule = replace(rule, of_few=folds_of_few)
    weight = None if weight is None else column_called(weight, source.frame.columns)
    has_test_table, share = kind_of_test(test, rule, source)
    require_columns(source, rule, weight)
    observed = keep_observed(source, task=task, weight=weight, minimum_rows=minimum_rows)
    schema = infer_schema(
        observed.frame,
        targets=source.targets,
        task=task,
        drop=drop,
        number=number,
        category=category,
        labelled=[name for name in source.categories if name not in (*drop, *number, weight)],
        weight=weight,
        time=rule.column if rule.kind == "time" else None,
        reserved=rule.reserved,
        formats=source.formats,
    )
    classes, said = _classes(observed, schema, source)
    plan = _planned(observed, schema, rule, share, seed, classes)
    observed = replace(_with_labels_as_written(observed, schema, source, classes), notices=(*observed.notices, *said))
    fitted = _fit(observed, schema, plan, may_be_constant=may_be_constant, spans=spans)
    if has_test_table:
        part = _separate_test(test, source, observed, schema, fitted, weight)
        test_rows, test_units = part.places, units_of(part.frame, schema, rule)
    else:
        part = keep_scorable(observed.frame[plan.test], observed.weights[plan.test], fitted.target_encoder, "")
        test_rows = observed.rows[plan.test][part.places]
        test_units = plan.units[plan.test][part.places]
    options = {
        "target": source.targets,
        "task": schema.task,
        "split": [[part.tolist() for part in fold] for fold in rule.folds] or split,
        "test": "table" if has_test_table else share,
        "drop": sorted(drop),
        "number": sorted(number),
        "category": sorted(category),
        "weight": weight,
        "seed": seed,
    }
    digest = table_digest((source.frame, part.frame if has_test_table else None), options)
    return _assemble(
        source, observed, schema, plan, fitted, part, test_rows=test_rows, test_units=test_units, digest=digest
    )


@dataclass(frozen=True)
class _Fitted:
    """The encoders, the rows (places in the usable ones) they were fitted on, and those judged on in some fold."""

    encoder: Encoder
    target_encoder: TargetEncoder
    trained: np.ndarray
    judged: np.ndarray

    @property
    def development(self) -> np.ndarray:
        last = max(self.trained.max(), self.judged.max())
        return _distinct([self.trained, self.judged], int(last) + 1)


def _classes(observed: Observations, schema: Schema, source: Source) -> tuple[pl.Series | None, tuple[str, ...]]:
    """The classes of all rows that have a target, in one spelling each, and what to say of those that have several.

    Decided once, before rows are drawn: other rows might write a class otherwise. None where numbers are predicted.
    """
    if schema.task != "classification":
        return None, ()
    column = source.labels_of(observed.labelled[schema.targets[0]], observed.labelled_rows)
    said = tuple(
        f'"{column.name}": {listed(map(_quoted, [*others, label]))} are one label, written {_quoted(label)}.'
        for label, others in other_spellings(column).items()
    )
    return (as_labels(column).alias(column.name) if said else column), said


def _with_labels_as_written(
    observed: Observations, schema: Schema, source: Source, classes: pl.Series | None
) -> Observations:
    """The usable rows with the text of what is a label: classes and categories come back as the table has them."""
    labelled = [column.name for column in schema.features if column.role in ("category", "boolean")]
    columns = [source.labels_of(observed.frame[name], observed.rows) for name in labelled]
    columns += [] if classes is None else [classes.filter(pl.Series(observed.counts))]
    return replace(observed, frame=observed.frame.with_columns(columns))


def _quoted(label: str) -> str:
    return f'"{label}"'


def _planned(
    observed: Observations, schema: Schema, rule: SplitRule, share: float | None, seed: int, classes: pl.Series | None
) -> Split:
    """The split, as places among the usable rows. Cells are compared as they were read, whatever they are taken for."""
    if rule.kind == "given":
        return plan_split(observed.frame, schema, rule=_within(rule, observed), share=share, seed=seed)
    plan = plan_split(
        observed.labelled, schema, rule=rule, share=share, seed=seed, counts=observed.counts, classes=classes
    )
    place = np.cumsum(observed.counts) - 1
    pairs = tuple((place[train], place[valid]) for train, valid in plan.folds)
    return replace(plan, folds=pairs, test=place[plan.test], units=plan.units[observed.counts])


def _within(rule: SplitRule, observed: Observations) -> SplitRule:
    """The rule with its given folds as places among the usable rows."""
    if rule.kind != "given":
        return rule
    folds = tuple(
        (np.flatnonzero(np.isin(observed.rows, train)), np.flatnonzero(np.isin(observed.rows, valid)))
        for train, valid in rule.folds
    )
    for number, (train, valid) in enumerate(folds):
        if not len(train) or not len(valid):
            what = "to train on" if not len(train) else "to validate on"
            raise DataError(f"Fold {number} of those given has no usable row {what}: give other folds.")
    return replace(rule, folds=folds)


def _fit(observed: Observations, schema: Schema, plan: Split, *, may_be_constant: bool, spans: bool) -> _Fitted:
    """Encoders of the rows that train in at least one fold; classes are those of all rows but the test's."""
    trained = _distinct([train for train, _ in plan.folds], observed.frame.height)
    judged = _distinct([valid for _, valid in plan.folds], observed.frame.height)
    weights = observed.weights[trained] if schema.weight else None
    encoder = Encoder.fit(observed.frame[trained], schema, weights, spans=spans)
    seen = trained if schema.task == "regression" else _distinct([trained, judged], observed.frame.height)
    target_encoder = TargetEncoder.fit(
        observed.frame[seen], schema.targets, schema.task, weights=weights, may_be_constant=may_be_constant,
        is_bounded=plan.latest is None,  # later rows may lie higher than all before
    )  # fmt: skip
    return _Fitted(encoder, target_encoder, trained, judged)


def _distinct(parts: list[np.ndarray], rows: int) -> np.ndarray:
    """The row numbers in any of `parts`, rising."""
    is_in = np.zeros(rows, dtype=bool)
    for part in parts:
        is_in[part] = True
    return np.flatnonzero(is_in)


def _assemble(
    source: Source,
    observed: Observations,
    schema: Schema,
    plan: Split,
    fitted: _Fitted,
    part: ScorableTest,
    *,
    test_rows: np.ndarray,
    test_units: np.ndarray,
    digest: str,
) -> Prepared:
    development = fitted.development
    frame = observed.frame[development]
    encoded = fitted.encoder.encode(frame)
    place = np.zeros(observed.frame.height, dtype=np.int64)
    place[development] = np.arange(len(development))
    said = (f'The time from "{span.earlier}" to "{span.later}" is an input too.' for span in fitted.encoder.spans)
    notices = (*source.notices, *observed.notices, *schema.notices, *plan.notices, *part.notices, *encoded.notices)
    return Prepared(
        schema=schema,
        split=plan,
        encoder=fitted.encoder,
        target_encoder=fitted.target_encoder,
        numbers=encoded.numbers,
        codes=encoded.codes,
        targets=fitted.target_encoder.encode(frame),
        weights=observed.weights[development].astype(np.float32),
        folds=tuple((place[train], place[valid]) for train, valid in plan.folds),
        development=frame,
        development_rows=observed.rows[development],
        test=part.frame if part.frame.height else None,
        test_weights=part.weights.astype(np.float32),
        test_rows=test_rows,
        units=plan.units[development],
        test_units=test_units,
        notices=(*notices, *said),
        fingerprint=digest,
        source_name=source.name,
        counts=Counts(
            source=source.frame.height,
            train=len(fitted.trained),
            valid=len(fitted.judged),
            test=part.frame.height,
            without_target=observed.without_target,
        ),
    )


def _separate_test(
    test: Any, source: Source, observed: Observations, schema: Schema, fitted: _Fitted, weight: str | None
) -> ScorableTest:
    needed = [*fitted.encoder.names, *schema.targets, *([weight] if weight else [])]
    frame, said = open_test(test, source, needed)
    weights = row_weights(frame, weight)
    part = keep_scorable(frame, weights, fitted.target_encoder, "; ".join(said))
    if part.frame.height == 0:
        raise DataError("No row of the test table can be scored: every target is missing or of an unknown class.")
    copies = count_copies(source.frame[observed.rows], part.frame, [*fitted.encoder.names, *schema.targets])
    if not copies:
        return part
    what = "is an exact copy of a row that trains" if copies == 1 else "are exact copies of rows that train"
    text = f"{copies} of the {counted(part.frame.height, 'test row')} {what}: the score is too good."
    return replace(part, notices=(*part.notices, text))
