"""The commands about single trainings: one knob turned through all its values, and a log that is judged.

Looking (`--help`) imports nothing heavy: a command imports what it calls when it is called.
"""

import json
import sys
from typing import Annotated

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
)
from trimtab.errors import OptionError
from trimtab.terminal.console import console_on
from trimtab.terminal.sweep import EpochLine, print_sweep, save_figure


@app.command(epilog="Example: trimtab sweep houses.csv --target price --knob lr --plot rates.png")
def sweep(
    data: Annotated[str, typer.Argument(help="The table: CSV, Parquet, Arrow, JSON lines, Excel.")],
    target: Annotated[str, in_data("Column to predict; several as a,b.")],
    knob: Annotated[str, in_search("The knob to turn: lr, loss, optimizer, batch_size, width, dropout, ...")],
    values: Annotated[Text, in_search("The values to try, as a,b,c.", "spread over what fit tries")] = None,
    fix: Annotated[
        list[str] | None, in_search("Another knob at a fixed value, as NAME=VALUE; may be repeated.")
    ] = None,
    seeds: Annotated[int, in_search("Runs for each value (and fold).", "1")] = 1,
    metric: Annotated[Text, in_search("What values are compared by: rmse, mae, accuracy, ...", "by task")] = None,
    seed: Annotated[int, in_search("The seed of all that is random.", "0")] = 0,
    threads: Annotated[int | None, in_search("Threads to train with.", "all cores allowed")] = None,
    device: Annotated[str, in_search("auto, cpu or cuda.", "auto")] = "auto",
    task: Annotated[str, in_data("regression or classification.", "auto")] = "auto",
    split: Annotated[
        str, in_data("random, time:COL, group:COL, or a column of train/valid/test.", "random")
    ] = "random",
    test: Annotated[
        Text, in_data("The test part of fit, which is left alone: a share, a file, or none.", "0.2")
    ] = None,
    weight: Annotated[Text, in_data("Column of row weights.")] = None,
    drop: Annotated[list[str] | None, in_data("Columns to leave out, as a,b.")] = None,
    number: Annotated[list[str] | None, in_data("Columns to take as numbers.")] = None,
    category: Annotated[list[str] | None, in_data("Columns to take as categories.")] = None,
    plot: Annotated[Text, in_output("Also draw the result: a .png, .svg or .pdf file.")] = None,
    as_json: Annotated[bool, in_output("Print the result as one JSON object.", name="--json")] = False,
) -> None:
    """Train one network for every value of a knob, all at once: which is best, and which cannot be told apart."""
    from trimtab.cli.knob_text import knobs_in, values_in
    from trimtab.machine import keep_freed_memory
    from trimtab.sweeps.table_sweep import sweep_table

    keep_freed_memory()
    columns = {"drop": columns_in(drop), "number": columns_in(number), "category": columns_in(category)}
    with EpochLine(sys.stderr) as line:
        result = sweep_table(
            data, columns_in([target]), knob, values_in(values), seeds=seeds, metric=metric, seed=seed, device=device,
            test="auto" if test is None else share_or_file(test), threads=threads, callbacks=line,
            data_options={"task": task, "split": split, "weight": weight, **columns}, **knobs_in(fix or ()),
        )  # fmt: skip
    if plot is not None:
        save_figure(result.plot(), plot)
    if as_json:
        typer.echo(json.dumps(result.summary(), default=str))
    else:
        print_sweep(console_on(sys.stdout), result)


@app.command(epilog="Example: trimtab diagnose train.log")
def diagnose(
    log: Annotated[str, typer.Argument(help="A file of any usual format, a folder of a run, or - for standard input.")],
    train: Annotated[Text, in_data("Column of the training loss.", "by its name")] = None,
    valid: Annotated[Text, in_data("Column of the validation loss.", "by its name")] = None,
    metric: Annotated[Text, in_data("Column of the metric, or what it is called.", "by its name")] = None,
    lr: Annotated[Text, in_data("Column of the learning rate.", "by its name")] = None,
    epoch: Annotated[Text, in_data("Column of the epoch, or of the step.", "by its name")] = None,
    greater_is_better: Annotated[Text, in_data("true or false: the direction of the metric.", "by its name")] = None,
    run: Annotated[Text, in_data("Which of several trainings, by name or number.", "the last")] = None,
    everything: Annotated[bool, in_output("Show all findings and every stopping rule.", name="--all")] = False,
    as_json: Annotated[bool, in_output("Print the result as one JSON object.", name="--json")] = False,
    html: Annotated[Text, in_output("Write it as one HTML page with pictures too.")] = None,
) -> None:
    """Say what is wrong with a training by its log, whatever framework wrote it.

    Exit status: 0 nothing was found, 1 something was, 2 bad input, 3 nothing could be judged.
    """
    from trimtab.diagnose import diagnose as diagnosis_of
    from trimtab.terminal.diagnosis import print_diagnosis

    found = diagnosis_of(
        log, train=train, valid=valid, metric=metric, lr=lr, epoch=epoch, run=run,
        greater_is_better=_truth(greater_is_better, "--greater-is-better"),
    )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(found.to_json()))
    else:
        print_diagnosis(console_on(sys.stdout), found, everything=everything)
    if html is not None:
        path = found.report(html)
        if not as_json:
            say_page(path, is_opened=False)
    raise typer.Exit(found.status)


def _truth(text: str | None, option: str) -> bool | None:
    known = {"true": True, "yes": True, "false": False, "no": False}
    if text is not None and text.lower() not in known:
        raise OptionError(f'{option} "{text}" must be true or false.')
    return None if text is None else known[text.lower()]
