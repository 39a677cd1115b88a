"""The options of a command that fix knobs: one for each knob of tables, explained as the table of knobs has it."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from trimtab.knobs.knob import Knob
from trimtab.knobs.table import KNOBS, TABLE_KNOBS

PANEL = "Knobs (fix any; the others are searched)"


def takes_knobs(*, before: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator for a command with `**knobs`: the command line has an option for each of them, shown in front of the
    option called `before`."""

    def with_options(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command)
        own = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        place = [each.name for each in own].index(before)
        options = [_option(KNOBS[name]) for name in TABLE_KNOBS]
        command.__signature__ = signature.replace(parameters=[*own[:place], *options, *own[place:]])  # type: ignore[attr-defined]
        return command

    return with_options


def _option(knob: Knob) -> inspect.Parameter:
    about = typer.Option(help=f"{knob.meaning} ({knob.range_text})", show_default=False, rich_help_panel=PANEL)
    kind = str if knob.bounds is None else int if knob.bounds.is_whole else float
    annotation: Any = Annotated[kind | None, about]  # type: ignore[valid-type]
    return inspect.Parameter(knob.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=annotation)
