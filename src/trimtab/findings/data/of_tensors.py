"""of_tensors: what is wrong with the rows that a network of one's own trains on, as far as their numbers alone tell.

Knows the rules on data that need no training; tables have more (`before_training`).
"""

from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from trimtab.findings.checked import Checked, together
from trimtab.findings.data.classes import class_imbalance
from trimtab.findings.data.copies import duplicate_rows
from trimtab.findings.data.scaling import unscaled_inputs, unscaled_target
from trimtab.findings.data.table_record import TableRecord
from trimtab.findings.finding import Finding, Findings, Remedy


def of_tensors(
    inputs: NDArray[Any], targets: NDArray[Any], *, valid: tuple[NDArray[Any], NDArray[Any]] | None = None,
    is_scaled_inside: bool = False, is_target_scaled_inside: bool = False, rows: NDArray[Any] | None = None,
    of_rows: int | None = None,
) -> Findings:  # fmt: skip
    """What is wrong with `inputs` float [rows, columns] and `targets`, float [rows] or [rows, outputs] or int [rows]
    classes, and with the `valid` rows beside them.

    `is_scaled_inside`: the network scales its inputs itself, as one that begins with a normalisation does;
    `is_target_scaled_inside`: its outputs are of the target's size from the start. `rows` are the numbers by which all
    these rows are known, those to validate on after the others (default: counted from 0); `of_rows` how many there are
    of which these are a sample.
    """
    record = TableRecord.of_arrays(inputs, targets, valid=valid)
    if rows is not None:
        record = replace(record, rows=rows)
    if of_rows is not None:
        record = replace(record, of_rows=of_rows)
    return together(
        [
            "The network scales its inputs itself." if is_scaled_inside else unscaled_inputs(record),
            "The network gives outputs of the target's size from the start."
            if is_target_scaled_inside
            else unscaled_target(record),
            _without_columns(duplicate_rows(record)),
            class_imbalance(record),
        ]
    )


def _without_columns(outcome: Checked) -> Checked:
    """Equal rows of tensors are kept on one side by whoever parts them: no column says which belong together."""
    if not isinstance(outcome, Finding):
        return outcome
    text = "Keep one of the equal rows, or give the rows to validate on yourself, with none that trains too."
    return replace(outcome, remedy=Remedy(text, code="valid=(X_valid, y_valid)"))
