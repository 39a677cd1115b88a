"""Blocks of code in Markdown pages, and how each is run in a test. Knows no page."""

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from few_trees import grow_few_trees
from trimtab import cli

SHELL = ("sh", "console")
NOT_RUN = "no-run"
# What a shell block may call beside trimtab; it is left alone.
OTHER_COMMANDS = ("git", "make", "pip", "tensorboard")
# Searches and trainings take as long as they are given, and a page gives what a reader would.
FEW_EPOCHS, FEW_TRIALS = 3, 1
SHORT_SEARCH = {"budget": "60s", "trials": FEW_TRIALS}
SHORT_SEARCH_OF_NETWORKS = SHORT_SEARCH | {"trials": 2}
SHORT_DEMO = "2s"
_FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=indent)```[ ]*$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: `language` and `marks` stand behind the fence, `line` is that of its first line."""

    page: Path
    language: str
    marks: tuple[str, ...]
    text: str
    line: int

    @property
    def is_run(self) -> bool:
        return self.language in ("python", *SHELL) and NOT_RUN not in self.marks


def blocks(page: Path) -> Iterator[Block]:
    """All fenced blocks of a page, in order."""
    content = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(content):
        language, *marks = found["info"].split() or [""]
        indent = found["indent"]
        body = "".join(line.removeprefix(indent) for line in found["body"].splitlines(keepends=True))
        yield Block(page, language, tuple(marks), body, content.count("\n", 0, found.start()) + 2)


def run_page(page: Path, *, is_short: bool = True) -> dict:
    """Run all blocks of a page in order, in this folder; gives the namespace of its Python.

    `is_short` makes searches and trainings as short as they can be, and shorter than a user may ask for.
    """
    with pytest.MonkeyPatch.context() as patch:
        # The lab is served until somebody ends it: here that is at once.
        patch.setattr("uvicorn.Server.run", lambda self, sockets: None)
        patch.setattr("webbrowser.open", lambda address: True)
        if is_short:
            patch.setattr("trimtab.tuning.budget.SHORTEST", 1.0)
            patch.setattr("trimtab.tuning.space.natural_epochs", lambda rows: FEW_EPOCHS)
            patch.setattr("trimtab.networks.module_space.natural_epochs", lambda rows: FEW_EPOCHS)
            grow_few_trees(patch)
        return _run(page, is_short=is_short)


def _run(page: Path, *, is_short: bool) -> dict:
    namespace: dict = {"__name__": "__main__"}
    for block in blocks(page):
        if block.is_run and block.language == "python":
            _run_python(block, namespace, is_short=is_short)
        elif block.is_run:
            _run_shell(block, is_short=is_short)
    return namespace


def _run_python(block: Block, namespace: dict, *, is_short: bool) -> None:
    """A traceback shows the page and its line."""
    tree = ast.parse("\n" * (block.line - 1) + block.text, filename=str(block.page))
    tree = ast.fix_missing_locations(_Shortened().visit(tree)) if is_short else tree
    exec(compile(tree, str(block.page), "exec"), namespace)  # noqa: S102


def _run_shell(block: Block, *, is_short: bool) -> None:
    """Each call of trimtab, through the command line's own `main`; it has to succeed, or to have found something."""
    for words in _commands(block):
        if words[0] == "trimtab":
            arguments = _shortened(words[1:]) if is_short else words[1:]
            status = cli.main(arguments)
            assert status == 0 or (words[1] == "diagnose" and status == 1), (
                f"{block.page}:{block.line}: trimtab {shlex.join(arguments)} ended with {status}"
            )
        else:
            assert words[0] in OTHER_COMMANDS, f"{block.page}:{block.line}: how is {words[0]} to be run?"


def _commands(block: Block) -> Iterator[list[str]]:
    """The words of each command; in a `console` block commands stand behind "$ ", and all else is what they print."""
    lines = block.text.replace("\\\n", " ").splitlines()
    if block.language == "console":
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    for line in lines:
        if words := shlex.split(line, comments=True):
            yield words


def _shortened(arguments: list[str]) -> list[str]:
    """The same command with few epochs and a very short budget."""
    shorter = [re.sub(r"^epochs=\d+$", f"epochs={FEW_EPOCHS}", word) for word in arguments]
    if shorter[0] == "explain" and "--budget" in shorter:
        shorter[shorter.index("--budget") + 1] = SHORT_DEMO
    elif "--budget" in shorter:
        del shorter[(place := shorter.index("--budget")) : place + 2]
        return [*shorter, *(word for name, value in SHORT_SEARCH.items() for word in (f"--{name}", str(value)))]
    return [*shorter, "--budget", SHORT_DEMO] if shorter[0] == "demo" else shorter


class _Shortened(ast.NodeTransformer):
    """Calls with `budget=` make one trial; those that also have `space=`, two; `explain` has less time. `epochs=`
    becomes at most `FEW_EPOCHS`, and `trials=` without `space=` at most `FEW_TRIALS`."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        wanted: dict[str, object] = {}
        if "budget" in given and isinstance(node.func, ast.Attribute) and node.func.attr == "explain":
            wanted = {"budget": SHORT_DEMO}
        elif "budget" in given:
            wanted = dict(SHORT_SEARCH_OF_NETWORKS if "space" in given else SHORT_SEARCH)
        else:
            most = {"epochs": FEW_EPOCHS} | ({} if "space" in given else {"trials": FEW_TRIALS})
            wanted = {
                name: number for name, number in most.items()
                if isinstance(there := given.get(name), ast.Constant) and there.value > number
            }  # fmt: skip
        kept = [keyword for keyword in node.keywords if keyword.arg not in wanted]
        node.keywords = kept + [ast.keyword(name, ast.Constant(value)) for name, value in wanted.items()]
        return node
