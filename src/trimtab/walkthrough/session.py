"""Runs the cells of a chapter one after the other, as a notebook does. Knows nothing of how they are shown."""

import ast
import io
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Output:
    """What a cell printed, and the value of its last line (None where that has none)."""

    printed: str
    value: Any = None


class Session:
    """The names that a chapter's cells have made so far."""

    def __init__(self) -> None:
        # What a notebook calls its cells' module; classes made in a cell ask for it.
        self.names: dict[str, Any] = {"__name__": "__main__"}

    def run(self, code: str) -> Output:
        """Run a cell; whatever it raises goes through."""
        tree = ast.parse(code)
        shown = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        printed = io.StringIO()
        # The cells come with the package, as every other line of it does.
        with redirect_stdout(printed):
            exec(compile(tree, "<cell>", "exec"), self.names)  # noqa: S102
            value = None
            if isinstance(shown, ast.Expr):
                value = eval(compile(ast.Expression(shown.value), "<cell>", "eval"), self.names)  # noqa: S307
        return Output(printed.getvalue(), value)
