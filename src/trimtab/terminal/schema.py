"""Schema: what a table is read as, column by column, and what becomes of its rows."""

import sys
from typing import TYPE_CHECKING

from rich.console import Console

from trimtab.terminal.console import say
from trimtab.terminal.findings import MOST_SHOWN, print_findings, print_not_checked
from trimtab.text.layout import table_in_text
from trimtab.text.wording import counted, listed

if TYPE_CHECKING:
    from trimtab.findings.finding import Findings
    from trimtab.table.prepared import Prepared
    from trimtab.table.schema import Schema

COLUMNS_SHOWN, CLASSES_SHOWN = 40, 30  # about a screen (guesses)


def print_schema(console: Console, schema: "Schema", *, most: int | None = COLUMNS_SHOWN) -> None:
    """Each column's role and the reason for it, the target first, and which task was chosen why.

    Of more than `most` columns the first are shown; None shows all.
    """
    columns = sorted(schema.columns, key=lambda column: column.role != "target")
    rows = [
        (column.name, column.role, column.dtype, f"{column.missing:,}", f"{column.distinct:,}", column.reason)
        for column in columns[:most]
    ]
    headings = ("column", "role", "type", "missing", "distinct", "why")
    console.print(table_in_text(headings, rows, console.width, right=(3, 4)), soft_wrap=True)
    if most is not None and len(columns) > most:
        more = counted(len(columns) - most, "more column")
        say(console, f"... and {more}: trimtab fit DATA --target COL --dry-run shows all")
    say(console, f"Task: {schema.task} of {listed(schema.targets)} ({schema.task_reason})", indent="  ")


def print_columns(console: Console, prepared: "Prepared", findings: "Findings", *, everything: bool = False) -> None:
    """All that a dry run shows, through a pager where it is longer than the screen and somebody sits there."""
    with console.capture() as captured:
        print_schema(console, prepared.schema, most=None)
        print_rows(console, prepared)
        console.print()
        print_findings(console, findings, what="the table", most=None if everything else MOST_SHOWN)
        print_not_checked(console, findings)
    text = captured.get()
    if console.is_terminal and sys.stdin.isatty() and text.count("\n") >= console.height:
        with console.pager():
            console.print(text, soft_wrap=True, end="")
    else:
        console.print(text, soft_wrap=True, end="")


def print_rows(console: Console, prepared: "Prepared") -> None:
    """How many rows are trained on, judged by and tested on, and how many each class has."""
    rows = prepared.counts
    judged = f"in {len(prepared.folds)} folds, each held out in turn to judge by"
    if len(prepared.folds) == 1:
        judged = f"{rows.valid:,} to judge by"
    tested = f"{rows.test:,} to test on" if rows.test else "none to test on"
    say(console, f"Rows: {counted(rows.train, 'row')} to train on, {judged}, {tested}", indent="  ")
    classes = list(prepared.class_counts().items())
    shown = [f"{label} {count:,}" for label, count in classes[:CLASSES_SHOWN]]
    if len(classes) > CLASSES_SHOWN:
        shown.append(counted(len(classes) - CLASSES_SHOWN, "rarer class", "rarer classes"))
    if shown:
        say(console, f"Classes, with their rows: {', '.join(shown)}", indent="  ")
