"""The commands that teach: the page to play with in the browser, and the ideas told in the terminal.

Looking (`--help`) imports nothing heavy: a command imports what it calls when it is called.
"""

import sys
from typing import Annotated

import typer

from trimtab.cli.commands.app import Text, app


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
