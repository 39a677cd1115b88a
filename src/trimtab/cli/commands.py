"""The commands: parse, call, print. No logic of its own, and no exit status.

Looking (`--help`, `--version`) imports nothing heavy: a command imports what it calls when it is called.
"""

import csv
import errno
import json
import os
import sys
import time
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import trimtab
from trimtab.cli.interruption import Interruption
from trimtab.cli.knob_options import takes_knobs
from trimtab.errors import OptionError, TrimtabError
from trimtab.terminal.console import console_on, print_next
from trimtab.terminal.panel import LivePanel
from trimtab.terminal.progress import Notices, PlainLines, Silent
from trimtab.terminal.schema import print_columns
from trimtab.terminal.sweep import EpochLine, print_sweep, save_figure
from trimtab.text.wording import counted

if TYPE_CHECKING:
    from trimtab.studies.study import Study

OWN_OPTIONS = (
    "data", "target", "test", "drop", "number", "category", "dry_run", "everything", "is_opened", "quiet", "as_json",
)  # fmt: skip
# Seconds of budget from which on a fit writes its page: that takes one to three, which a shorter one would not forgive.
PAGE_FROM = 30.0
# Of the demonstration's time more is for what choices were worth than of a search that is to find the best (15 %).
SHARE_OF_DEMO = "35%"

app = typer.Typer(
    name="trimtab",
    help="Finds how to train a neural network for your table: a whole population of configurations at once.",
    epilog="Example: trimtab fit houses.csv --target price --budget 5m. Nothing ever leaves this machine.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _options_in(panel: str) -> Any:
    def option(text: str = "", default: str | bool = False, name: str = "") -> Any:
        return typer.Option(*([name] if name else []), help=text, show_default=default, rich_help_panel=panel)

    return option


_data, _search, _output = _options_in("Data"), _options_in("Search"), _options_in("Output")
Text = str | None


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"trimtab {trimtab.__version__}")
        raise typer.Exit


@app.callback()
def _trimtab(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command(epilog="Example: trimtab fit houses.csv --target price --budget 5m --loss huber")
@takes_knobs(before="out")
def fit(
    context: typer.Context,
    data: Annotated[Text, typer.Argument(help="The table: CSV, Parquet, Arrow, JSON lines, Excel.")] = None,
    target: Annotated[Text, _data("Column to predict; several as a,b.")] = None,
    task: Annotated[Text, _data("regression or classification.", "auto")] = None,
    split: Annotated[Text, _data("random, time:COL, group:COL, or a column of train/valid/test.", "random")] = None,
    test: Annotated[Text, _data("Share of the rows to test on, a file of test rows, or none.", "0.2")] = None,
    weight: Annotated[Text, _data("Column of row weights.")] = None,
    drop: Annotated[list[str] | None, _data("Columns to leave out, as a,b.")] = None,
    number: Annotated[list[str] | None, _data("Columns to take as numbers.")] = None,
    category: Annotated[list[str] | None, _data("Columns to take as categories.")] = None,
    budget: Annotated[Text, _search("Wall-clock time for everything: 45s, 5m, 2h.", "5m; none with --trials")] = None,
    metric: Annotated[Text, _search("What is optimised: rmse, mae, r2, log_loss, accuracy, ...", "by task")] = None,
    trials: Annotated[int | None, _search("Stop after so many trials, earlier calls' included; repeatable.")] = None,
    seed: Annotated[int | None, _search("The seed of all that is random.", "0")] = None,
    threads: Annotated[int | None, _search("Threads to train with.", "all cores allowed")] = None,
    workers: Annotated[Text, _search("Workers of Ray: 4, ray, ray://HOST:10001.", "this process")] = None,
    device: Annotated[Text, _search("auto, cpu or cuda.", "auto")] = None,
    precision: Annotated[Text, _search("high; or auto: bfloat16 where it is faster.", "high")] = None,
    single: Annotated[bool, _search("Save one network instead of an ensemble.", name="--single")] = False,
    neighbours: Annotated[bool, _search("Let the nearest training rows predict, too, where that is better.")] = True,
    refit: Annotated[bool, _search("Train once more on all rows after the test.", name="--refit")] = False,
    counterfactuals: Annotated[Text, _search("Share of the time for what each choice was worth.", "15%")] = None,
    resume: Annotated[Text, _search("Folder of a study to continue; the budget is additional time.")] = None,
    storage: Annotated[Text, _search("Database URL for the trials.", "a file in the study")] = None,
    out: Annotated[Text, _output("Folder of the study.", "trimtab-runs/DATA-DATE-N")] = None,
    dry_run: Annotated[bool, _output("Show what each column is for, and stop.", name="--dry-run")] = False,
    everything: Annotated[bool, _output("Show all findings, not the five gravest.", name="--all")] = False,
    is_opened: Annotated[bool, _output("Show the report in the browser at the end.", name="--open")] = False,
    quiet: Annotated[bool, _output("Print the result only.", name="--quiet")] = False,
    as_json: Annotated[bool, _output("Print the result as one JSON object.", name="--json")] = False,
    **knobs: Any,
) -> None:
    """Find the best network for a table, save it, and say how good it is on rows it never saw."""
    given = {name: value for name, value in context.params.items() if name not in OWN_OPTIONS and value is not None}
    given |= {"drop": _columns(drop), "number": _columns(number), "category": _columns(category)}
    if target is not None:
        given["target"] = _columns([target])
    if test is not None:
        given["test"] = _share_or_file(test)
    if dry_run:
        _print_columns(data, given, everything=everything, as_json=as_json)
        return
    study = _tune(_view(is_quiet=quiet, is_json=as_json), data=data, **given)
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
        _say_page(study.report(), is_opened=is_opened)
    if not quiet:
        print_next(console, (
            ("predict", folder, "NEW.csv", "-o", "predictions.csv"), ("evaluate", folder, "KNOWN.csv"),
            ("explain", folder, "--budget", "2m"), ("report", folder, "--open"),
            ("fit", "--resume", folder, "--budget", "5m"), ("export", folder, "--python", "train.py"),
        ))  # fmt: skip


@app.command(epilog="Example: trimtab explain trimtab-runs/houses-2026-01-31-1 --budget 2m --knob loss")
def explain(
    run: Annotated[str, typer.Argument(help="The study's folder.")],
    budget: Annotated[Text, typer.Option(help="Time to measure more in: 30s, 2m. Left out: what is known.")] = None,
    knob: Annotated[Text, typer.Option(help="The only knob to look at: loss, optimizer, lr, epochs, ...")] = None,
    data: Annotated[Text, typer.Option(help="The study's data, where the file has moved.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads to train with.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Show every comparison and finding.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the result only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """What each choice of the winner was worth: its copies with one knob changed, trained beside it again."""
    from trimtab.studies.loading import load
    from trimtab.terminal.explanation import print_explanation

    study = load(run)
    with Interruption(_view(is_quiet=quiet, is_json=as_json)) as interruption:
        told = {"stop": interruption.stop, "abort": interruption.abort} if budget is not None else {}
        explanation = study.explain(knob, budget=budget, data=data, threads=threads, **told)
    if as_json:
        typer.echo(json.dumps(explanation.to_json()))
        return
    print_explanation(console_on(sys.stdout), explanation, everything=everything)


@app.command(epilog="Example: trimtab predict trimtab-runs/houses-2026-01-31-1 new.csv --keep id -o predictions.csv")
def predict(
    run: Annotated[str, typer.Argument(help="The study's folder, or the model folder in it.")],
    data: Annotated[str, typer.Argument(help="The rows to predict, in any format that fit reads.")],
    out: Annotated[Text, typer.Option("-o", "--out", help="A .csv or .parquet file; left out: CSV on stdout.")] = None,
    keep: Annotated[list[str] | None, typer.Option(help="Columns to copy from DATA, such as an id; as a,b.")] = None,
    interval: Annotated[
        float | None,
        typer.Option(
            help="Also the bounds (or classes) that hold the truth in such a share of rows: 0.9.", show_default=False
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print no notes.")] = False,
) -> None:
    """Predict each row of a file with a trained model: as many rows out as in, in the same order."""
    from trimtab.model.predictions import predict_file, predict_stream
    from trimtab.studies.loading import load_model

    notice = (Silent() if quiet else Notices(sys.stderr)).notice
    model = load_model(run)
    if out is None:
        if force:
            raise OptionError("--force has no effect without -o: predictions go to standard output. Leave it out.")
        predict_stream(model, data, sys.stdout.buffer, notice=notice, keep=_columns(keep), interval=interval)
    else:
        rows = predict_file(model, data, out, notice=notice, keep=_columns(keep), interval=interval, may_replace=force)
        notice(f"{counted(rows, 'prediction is', 'predictions are')} in {out}.")


@app.command(epilog="Example: trimtab evaluate trimtab-runs/houses-2026-01-31-1 sold.csv")
def evaluate(
    run: Annotated[str, typer.Argument(help="The study's folder, or the model folder in it.")],
    data: Annotated[str, typer.Argument(help="Rows with known targets, in any format that fit reads.")],
    threshold: Annotated[
        Text,
        typer.Option(help="For two classes: a probability, or the metric it is to be best for (f1)."),
    ] = None,
    weight: Annotated[Text, typer.Option(help="Column of row weights.", show_default="that of the study")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print no notes.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Score a trained model on rows whose answer is known: every metric with its interval, and where it errs."""
    from trimtab.evaluation.result import evaluation_in_text
    from trimtab.studies.loading import evaluate_run

    found = evaluate_run(run, data, weight=weight, threshold=threshold)
    notice = (Silent() if quiet else Notices(sys.stderr)).notice
    for text in found.notices:
        notice(text)
    console = console_on(sys.stdout)
    typer.echo(json.dumps(found.summary()) if as_json else evaluation_in_text(found, console.width))


@app.command(epilog="Example: trimtab diagnose train.log")
def diagnose(
    log: Annotated[str, typer.Argument(help="A file of any usual format, a folder of a run, or - for standard input.")],
    train: Annotated[Text, _data("Column of the training loss.", "by its name")] = None,
    valid: Annotated[Text, _data("Column of the validation loss.", "by its name")] = None,
    metric: Annotated[Text, _data("Column of the metric, or what it is called.", "by its name")] = None,
    lr: Annotated[Text, _data("Column of the learning rate.", "by its name")] = None,
    epoch: Annotated[Text, _data("Column of the epoch, or of the step.", "by its name")] = None,
    greater_is_better: Annotated[Text, _data("true or false: the direction of the metric.", "by its name")] = None,
    run: Annotated[Text, _data("Which of several trainings, by name or number.", "the last")] = None,
    everything: Annotated[bool, _output("Show all findings and every stopping rule.", name="--all")] = False,
    as_json: Annotated[bool, _output("Print the result as one JSON object.", name="--json")] = False,
    html: Annotated[Text, _output("Write it as one HTML page with pictures too.")] = None,
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
            _say_page(path, is_opened=False)
    raise typer.Exit(found.status)


@app.command(epilog="Example: trimtab report trimtab-runs/houses-2026-01-31-1 --open")
def report(
    run: Annotated[str, typer.Argument(help="The study's folder.")],
    other: Annotated[Text, typer.Argument(help="Another study, to be shown beside it.")] = None,
    out: Annotated[Text, typer.Option("-o", "--out", help="The HTML file.", show_default="RUN/report.html")] = None,
    storage: Annotated[Text, typer.Option(help="Database URL of the trials, where it has a password.")] = None,
    is_opened: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
) -> None:
    """Write a study as one HTML page with pictures, which loads nothing from anywhere."""
    from trimtab.studies.loading import load

    study = load(run, storage=storage)
    if other is None:
        _say_page(study.report(out), is_opened=is_opened)
        return
    from trimtab.report.studies_report import studies_page

    page = studies_page(study, load(other, storage=storage))
    _say_page(page.write(out or study.out / "comparison.html"), is_opened=is_opened)


def _has_time_for_a_page(budget: str | None, trials: int | None) -> bool:
    """Whether a fit ends with its page: not where trials are counted, which is how scripts and tests call it."""
    from trimtab.tuning.budget import seconds_for

    return (budget is not None or trials is None) and seconds_for(budget, trials) >= PAGE_FROM


def _say_page(path: Path, *, is_opened: bool) -> None:
    """Where a page is, and where it is asked for, the page in the browser."""
    typer.echo(f"{path} is written ({path.stat().st_size:,} bytes).")
    if is_opened and not webbrowser.open(path.resolve().as_uri()):
        typer.echo("No browser could be opened: open the file by hand.", err=True)


@app.command(epilog="Example: trimtab export trimtab-runs/houses-2026-01-31-1 --python train.py --onnx houses.onnx")
def export(
    run: Annotated[str, typer.Argument(help="The study's folder; for ONNX and PT2 also the model folder in it.")],
    python: Annotated[Text, typer.Option(help="Plain PyTorch script that trains the best configuration.")] = None,
    onnx: Annotated[Text, typer.Option(help="ONNX graph that takes the raw columns.")] = None,
    pt2: Annotated[Text, typer.Option(help="PT2 program that takes numbers and category codes.")] = None,
    interval: Annotated[
        float | None,
        typer.Option(
            help="In the ONNX graph, the bounds that hold the truth in such a share of rows: 0.9.", show_default=False
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the files as one JSON object.")] = False,
) -> None:
    """Write the result as files that need no trimtab: script, ONNX graph, PT2 program."""
    from trimtab.studies.loading import export_run

    files = export_run(run, python=python, onnx=onnx, pt2=pt2, interval=interval)
    if as_json:
        typer.echo(json.dumps({kind: str(file) for kind, file in files.items()}))
        return
    for file in files.values():
        typer.echo(f"{file} is written ({file.stat().st_size:,} bytes).")


@app.command(epilog="Example: trimtab sweep houses.csv --target price --knob lr --plot rates.png")
def sweep(
    data: Annotated[str, typer.Argument(help="The table: CSV, Parquet, Arrow, JSON lines, Excel.")],
    target: Annotated[str, _data("Column to predict; several as a,b.")],
    knob: Annotated[str, _search("The knob to turn: lr, loss, optimizer, batch_size, width, dropout, ...")],
    values: Annotated[Text, _search("The values to try, as a,b,c.", "spread over what fit tries")] = None,
    fix: Annotated[list[str] | None, _search("Another knob at a fixed value, as NAME=VALUE; may be repeated.")] = None,
    seeds: Annotated[int, _search("Runs for each value (and fold).", "1")] = 1,
    metric: Annotated[Text, _search("What values are compared by: rmse, mae, accuracy, ...", "by task")] = None,
    seed: Annotated[int, _search("The seed of all that is random.", "0")] = 0,
    threads: Annotated[int | None, _search("Threads to train with.", "all cores allowed")] = None,
    device: Annotated[str, _search("auto, cpu or cuda.", "auto")] = "auto",
    task: Annotated[str, _data("regression or classification.", "auto")] = "auto",
    split: Annotated[str, _data("random, time:COL, group:COL, or a column of train/valid/test.", "random")] = "random",
    test: Annotated[Text, _data("The test part of fit, which is left alone: a share, a file, or none.", "0.2")] = None,
    weight: Annotated[Text, _data("Column of row weights.")] = None,
    drop: Annotated[list[str] | None, _data("Columns to leave out, as a,b.")] = None,
    number: Annotated[list[str] | None, _data("Columns to take as numbers.")] = None,
    category: Annotated[list[str] | None, _data("Columns to take as categories.")] = None,
    plot: Annotated[Text, _output("Also draw the result: a .png, .svg or .pdf file.")] = None,
    as_json: Annotated[bool, _output("Print the result as one JSON object.", name="--json")] = False,
) -> None:
    """Train one network for every value of a knob, all at once: which is best, and which cannot be told apart."""
    from trimtab.cli.knob_text import knobs_in, values_in
    from trimtab.machine import keep_freed_memory
    from trimtab.sweeps.table_sweep import sweep_table

    keep_freed_memory()
    columns = {"drop": _columns(drop), "number": _columns(number), "category": _columns(category)}
    with EpochLine(sys.stderr) as line:
        result = sweep_table(
            data, _columns([target]), knob, values_in(values), seeds=seeds, metric=metric, seed=seed, device=device,
            test="auto" if test is None else _share_or_file(test), threads=threads, callbacks=line,
            data_options={"task": task, "split": split, "weight": weight, **columns}, **knobs_in(fix or ()),
        )  # fmt: skip
    if plot is not None:
        save_figure(result.plot(), plot)
    if as_json:
        typer.echo(json.dumps(result.summary(), default=str))
    else:
        print_sweep(console_on(sys.stdout), result)


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
        _view(is_quiet=quiet), data=str(table), target=TARGETS["concrete"], budget=budget, out=out,
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
        _say_page(study.report(), is_opened=False)
    print_next(console, (
        ("report", folder, "--open"), ("predict", folder, os.path.relpath(table), "-o", "predictions.csv"),
        ("fit", "--resume", folder, "--budget", "1m"), ("fit", "YOUR.csv", "--target", "COLUMN", "--budget", "5m"),
    ))  # fmt: skip


@app.command(epilog="Example: trimtab lab trimtab-runs/houses-2026-01-31-1")
def lab(
    run: Annotated[
        Text, typer.Argument(help="A study's folder, to be opened in it; also while it is searched.")
    ] = None,
    port: Annotated[
        int, typer.Option(help="The port of this machine; 0 takes any that is free.", min=0, max=65535)
    ] = 0,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address.")] = False,
) -> None:
    """Watch networks learn in the browser, turn what there is to turn, and tune on a table of your own."""
    from trimtab.packages import required

    for package in ("starlette", "uvicorn"):
        required(package, "trimtab lab", "'trimtab[lab]'")
    from trimtab.lab.server import serve

    serve(run, port=port, opens_browser=not no_browser, told=typer.echo)


@app.command(epilog="Example: trimtab walkthrough --chapter 4")
def walkthrough(
    chapter: Annotated[int | None, typer.Option(help="Only this chapter, 1 to 7.", show_default="all of them")] = None,
) -> None:
    """How a network is trained, from a straight line to real data: each idea measured as it is told."""
    from trimtab.walkthrough.source import chapter as chapter_numbered
    from trimtab.walkthrough.source import chapters
    from trimtab.walkthrough.terminal import reading_console, show, show_introduction, wait_for_reader

    told = chapters() if chapter is None else (chapter_numbered(chapter),)
    console = reading_console(sys.stdout)
    if chapter is None:
        show_introduction(console)
    show(told, console, wait_for_reader if sys.stdin.isatty() else lambda: None)


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


def _view(*, is_quiet: bool, is_json: bool = False) -> Silent:
    if is_quiet:
        return Silent()
    if is_json:
        return Notices(sys.stderr)
    return LivePanel(sys.stderr) if sys.stderr.isatty() else PlainLines(sys.stderr)


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


def _columns(texts: Sequence[str] | None) -> list[str]:
    """The names in "a,b"; a name with a comma in it stands in double quotes, as in CSV."""
    return [name for text in texts or () for name in next(csv.reader([text], skipinitialspace=True), [])]


def _share_or_file(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def _truth(text: str | None, option: str) -> bool | None:
    known = {"true": True, "yes": True, "false": False, "no": False}
    if text is not None and text.lower() not in known:
        raise OptionError(f'{option} "{text}" must be true or false.')
    return None if text is None else known[text.lower()]
