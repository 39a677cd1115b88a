"""The commands that search: a table is tuned, that of the user or the one that ships with trimtab.

Looking (`--help`) imports nothing heavy: a command imports what it calls when it is called.
"""

import errno
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trimtab.cli.commands.app import (
    Text,
    app,
    columns_in,
    in_data,
    in_output,
    in_search,
    say_page,
    share_or_file,
    view_of,
)
from trimtab.cli.interruption import Interruption
from trimtab.cli.knob_options import takes_knobs
from trimtab.errors import TrimtabError
from trimtab.terminal.console import console_on, print_next
from trimtab.terminal.progress import Notices, Silent
from trimtab.terminal.schema import print_columns

if TYPE_CHECKING:
    from trimtab.studies.study import Study

OWN_OPTIONS = (
    "data", "target", "test", "drop", "number", "category", "dry_run", "everything", "is_opened", "quiet", "as_json",
)  # fmt: skip
# Seconds of budget from which on a fit writes its page: that takes one to three, which a shorter one would not forgive.
PAGE_FROM = 30.0
# Of the demonstration's time more is for what choices were worth than of a search that is to find the best (15 %).
SHARE_OF_DEMO = "35%"


@app.command(epilog="Example: trimtab fit houses.csv --target price --budget 5m --loss huber")
@takes_knobs(before="out")
def fit(
    context: typer.Context,
    data: Annotated[Text, typer.Argument(help="The table: CSV, Parquet, Arrow, JSON lines, Excel.")] = None,
    target: Annotated[Text, in_data("Column to predict; several as a,b.")] = None,
    task: Annotated[Text, in_data("regression or classification.", "auto")] = None,
    split: Annotated[Text, in_data("random, time:COL, group:COL, or a column of train/valid/test.", "random")] = None,
    test: Annotated[Text, in_data("Share of the rows to test on, a file of test rows, or none.", "0.2")] = None,
    weight: Annotated[Text, in_data("Column of row weights.")] = None,
    drop: Annotated[list[str] | None, in_data("Columns to leave out, as a,b.")] = None,
    number: Annotated[list[str] | None, in_data("Columns to take as numbers.")] = None,
    category: Annotated[list[str] | None, in_data("Columns to take as categories.")] = None,
    budget: Annotated[Text, in_search("Wall-clock time for everything: 45s, 5m, 2h.", "5m; none with --trials")] = None,
    metric: Annotated[Text, in_search("What is optimised: rmse, mae, r2, log_loss, accuracy, ...", "by task")] = None,
    trials: Annotated[int | None, in_search("Stop after so many trials, earlier calls' included; repeatable.")] = None,
    seed: Annotated[int | None, in_search("The seed of all that is random.", "0")] = None,
    threads: Annotated[int | None, in_search("Threads to train with.", "all cores allowed")] = None,
    workers: Annotated[Text, in_search("Workers of Ray: 4, ray, ray://HOST:10001.", "this process")] = None,
    device: Annotated[Text, in_search("auto, cpu or cuda.", "auto")] = None,
    precision: Annotated[Text, in_search("high; or auto: bfloat16 where it is faster.", "high")] = None,
    single: Annotated[bool, in_search("Save one network instead of an ensemble.", name="--single")] = False,
    neighbours: Annotated[bool, in_search("Let the nearest training rows predict, too, where that is better.")] = True,
    refit: Annotated[bool, in_search("Train once more on all rows after the test.", name="--refit")] = False,
    counterfactuals: Annotated[Text, in_search("Share of the time for what each choice was worth.", "15%")] = None,
    resume: Annotated[Text, in_search("Folder of a study to continue; the budget is additional time.")] = None,
    storage: Annotated[Text, in_search("Database URL for the trials.", "a file in the study")] = None,
    out: Annotated[Text, in_output("Folder of the study.", "trimtab-runs/DATA-DATE-N")] = None,
    dry_run: Annotated[bool, in_output("Show what each column is for, and stop.", name="--dry-run")] = False,
    everything: Annotated[bool, in_output("Show all findings, not the five gravest.", name="--all")] = False,
    is_opened: Annotated[bool, in_output("Show the report in the browser at the end.", name="--open")] = False,
    quiet: Annotated[bool, in_output("Print the result only.", name="--quiet")] = False,
    as_json: Annotated[bool, in_output("Print the result as one JSON object.", name="--json")] = False,
    **knobs: Any,
) -> None:
    """Find the best network for a table, save it, and say how good it is on rows it never saw."""
    given = {name: value for name, value in context.params.items() if name not in OWN_OPTIONS and value is not None}
    given |= {"drop": columns_in(drop), "number": columns_in(number), "category": columns_in(category)}
    if target is not None:
        given["target"] = columns_in([target])
    if test is not None:
        given["test"] = share_or_file(test)
    if dry_run:
        _print_columns(data, given, everything=everything, as_json=as_json)
        return
    study = _tune(view_of(is_quiet=quiet, is_json=as_json), data=data, **given)
    if as_json:
        typer.echo(json.dumps(study.summary()))
        return
    from trimtab.terminal.findings import MOST_SHOWN, print_findings
    from trimtab.terminal.summary import print_summary

    console, folder = console_on(sys.stdout), str(study.out)
    print_summary(console, study)
    console.print()
    print_findings(console, study.findings, what="this study", most=None if everything else MOST_SHOWN)
    if is_opened or _has_time_for_a_page(budget, trials):
        console.print()
        say_page(study.report(), is_opened=is_opened)
    if not quiet:
        print_next(console, (
            ("predict", folder, "NEW.csv", "-o", "predictions.csv"), ("evaluate", folder, "KNOWN.csv"),
            ("explain", folder, "--budget", "2m"), ("report", folder, "--open"),
            ("fit", "--resume", folder, "--budget", "5m"), ("export", folder, "--python", "train.py"),
        ))  # fmt: skip


@app.command(epilog="Example: trimtab demo --budget 2m")
def demo(
    budget: Annotated[str, typer.Option(help="Wall-clock time for everything.")] = "90s",
    out: Annotated[Text, typer.Option(help="Folder of the study.", show_default="trimtab-runs/concrete-DATE-N")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the result only.")] = False,
) -> None:
    """The whole job on data that ships with trimtab: the strength of 1,030 samples of concrete."""
    from trimtab.data import TARGETS, path

    table = path("concrete")
    study = _tune(
        view_of(is_quiet=quiet), data=str(table), target=TARGETS["concrete"], budget=budget, out=out,
        counterfactuals=SHARE_OF_DEMO,
    )  # fmt: skip
    from trimtab.terminal.findings import print_findings
    from trimtab.terminal.summary import print_summary

    console, folder = console_on(sys.stdout), str(study.out)
    print_summary(console, study)
    console.print()
    print_findings(console, study.findings, what="this study", more="study.findings has them")
    if _has_time_for_a_page(budget, None):
        console.print()
        say_page(study.report(), is_opened=False)
    print_next(console, (
        ("report", folder, "--open"), ("predict", folder, os.path.relpath(table), "-o", "predictions.csv"),
        ("fit", "--resume", folder, "--budget", "1m"), ("fit", "YOUR.csv", "--target", "COLUMN", "--budget", "5m"),
    ))  # fmt: skip


def _tune(view: Silent, **arguments: Any) -> "Study":
    """Search with Ctrl-C and SIGTERM under control; a stopped search exits with status 1 and says how to go on."""
    started = time.monotonic()  # the budget is for the whole command: torch is not yet imported
    from trimtab.machine import keep_freed_memory
    from trimtab.tune import tune  # before the signals are taken: polars takes SIGINT when it is imported

    keep_freed_memory()

    with view, Interruption(view) as interruption:
        try:
            return tune(
                **arguments, listeners=(view,), stop=interruption.stop, abort=interruption.abort, started=started
            )
        except TrimtabError:
            if not interruption.abort.is_set():
                raise
        except OSError as error:
            if error.errno != errno.ENOSPC or view.out is None:
                raise
            raise OSError(errno.ENOSPC, f"The disk is full. {interruption.farewell()}") from None
        typer.echo(interruption.farewell(), err=True)
        raise typer.Exit(1)


def _print_columns(data: str | None, given: dict[str, Any], *, everything: bool, as_json: bool) -> None:
    from trimtab.findings.data.before_training import before_training
    from trimtab.findings.document import to_json
    from trimtab.tune import look

    prepared = look(data=data, **given)
    found = before_training(prepared, metric=given.get("metric", ""), seed=given.get("seed", 0))
    if as_json:
        typer.echo(json.dumps(prepared.summary() | to_json(found)))
    else:
        print_columns(console_on(sys.stdout), prepared, found, everything=everything)
        for text in prepared.notices:
            Notices(sys.stderr).notice(text)


def _has_time_for_a_page(budget: str | None, trials: int | None) -> bool:
    """Whether a fit ends with its page: not where trials are counted, which is how scripts and tests call it."""
    from trimtab.tuning.budget import seconds_for

    return (budget is not None or trials is None) and seconds_for(budget, trials) >= PAGE_FROM
