"""The application that commands join, and what several of them share: kinds of options, views, and pages that are said.

Knows no command.
"""

import csv
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

import trimtab
from trimtab.terminal.panel import LivePanel
from trimtab.terminal.progress import Notices, PlainLines, Silent

app = typer.Typer(
    name="trimtab",
    help="Finds how to train a neural network for your table: a whole population of configurations at once.",
    epilog="Example: trimtab fit houses.csv --target price --budget 5m. Nothing ever leaves this machine.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def options_in(panel: str) -> Any:
    def option(text: str = "", default: str | bool = False, name: str = "") -> Any:
        return typer.Option(*([name] if name else []), help=text, show_default=default, rich_help_panel=panel)

    return option


in_data, in_search, in_output = options_in("Data"), options_in("Search"), options_in("Output")
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


def view_of(*, is_quiet: bool, is_json: bool = False) -> Silent:
    if is_quiet:
        return Silent()
    if is_json:
        return Notices(sys.stderr)
    return LivePanel(sys.stderr) if sys.stderr.isatty() else PlainLines(sys.stderr)


def say_page(path: Path, *, is_opened: bool) -> None:
    """Where a page is, and where it is asked for, the page in the browser."""
    typer.echo(f"{path} is written ({path.stat().st_size:,} bytes).")
    if is_opened and not webbrowser.open(path.resolve().as_uri()):
        typer.echo("No browser could be opened: open the file by hand.", err=True)


def columns_in(texts: Sequence[str] | None) -> list[str]:
    """The names in "a,b"; a name with a comma in it stands in double quotes, as in CSV."""
    return [name for text in texts or () for name in next(csv.reader([text], skipinitialspace=True), [])]


def share_or_file(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text
