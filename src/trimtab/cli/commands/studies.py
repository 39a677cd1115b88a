"""The commands that take a finished study, or the model in it: explained, asked, judged, shown, handed on.

Looking (`--help`) imports nothing heavy: a command imports what it calls when it is called.
"""

import json
import sys
from typing import Annotated

import typer

from trimtab.cli.commands.app import Text, app, columns_in, say_page, view_of
from trimtab.cli.interruption import Interruption
from trimtab.errors import OptionError
from trimtab.terminal.console import console_on
from trimtab.terminal.progress import Notices, Silent
from trimtab.text.wording import counted


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
    with Interruption(view_of(is_quiet=quiet, is_json=as_json)) as interruption:
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
        predict_stream(model, data, sys.stdout.buffer, notice=notice, keep=columns_in(keep), interval=interval)
    else:
        rows = predict_file(
            model, data, out, notice=notice, keep=columns_in(keep), interval=interval, may_replace=force
        )
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
        say_page(study.report(out), is_opened=is_opened)
        return
    from trimtab.report.studies_report import studies_page

    page = studies_page(study, load(other, storage=storage))
    say_page(page.write(out or study.out / "comparison.html"), is_opened=is_opened)


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
