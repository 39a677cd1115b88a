"""The source of the walkthrough: chapters of prose and code, in a form that all readers can take."""

import ast

import pytest

from trimtab.errors import OptionError
from trimtab.walkthrough.source import Chapter, Code, Prose, cells_of, chapter, chapters, introduction

# What stands in a terminal of 80 columns, indented by two.
LONGEST_LINE = 78
PICTURES = {"Picture", "SideBySide"}


def codes(told: Chapter) -> list[str]:
    return [cell.text for cell in told.cells if isinstance(cell, Code)]


def calls_of(code: str) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]


def name_of(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""


def test_prose_and_code_come_apart_in_order() -> None:
    text = "# Title\n\nwords\n\n```python\na = 1\n\nb = 2\n```\n\nmore\n\n```text\nnot code\n```\n"
    assert cells_of(text) == (
        Prose("# Title\n\nwords"),
        Code("a = 1\n\nb = 2"),
        Prose("more\n\n```text\nnot code\n```"),
    )


def test_there_are_seven_chapters_each_with_its_title() -> None:
    told = chapters()
    assert [each.number for each in told] == [1, 2, 3, 4, 5, 6, 7]
    for each in told:
        heading = each.cells[0].text.splitlines()[0]
        assert heading == f"## {each.number}. {each.title}"
        assert f"{each.number}. **{each.title}**" in introduction()


@pytest.mark.parametrize("number", [0, 8, -1])
def test_a_chapter_that_is_not_there_is_refused(number: int) -> None:
    with pytest.raises(OptionError, match="1 to 7"):
        chapter(number)


@pytest.mark.parametrize("told", chapters(), ids=lambda told: told.title)
def test_every_block_is_explained_before_it_runs(told: Chapter) -> None:
    assert isinstance(told.cells[0], Prose)
    for before, cell in zip(told.cells, told.cells[1:], strict=False):
        assert not (isinstance(before, Code) and isinstance(cell, Code)), cell.text
    for code in codes(told):
        lines = [line for line in code.splitlines() if len(line) > LONGEST_LINE]
        assert lines == []


@pytest.mark.parametrize("told", chapters(), ids=lambda told: told.title)
def test_every_chapter_has_a_picture_and_every_picture_words(told: Chapter) -> None:
    """A picture is shown by being the last line of its block; its alt text stands beside it."""
    shown = 0
    for code in codes(told):
        last = ast.parse(code).body[-1]
        if isinstance(last, ast.Expr) and isinstance(last.value, ast.Call):
            shown += name_of(last.value) in PICTURES
        for call in calls_of(code):
            if name_of(call) == "Picture":
                given = {keyword.arg for keyword in call.keywords}
                assert {"alt", "x", "y"} <= given
    assert shown >= 1


@pytest.mark.parametrize("told", chapters(), ids=lambda told: told.title)
def test_a_chapter_runs_by_itself(told: Chapter) -> None:
    """Every name is made or imported in the chapter: `--chapter N` runs nothing before it."""
    made = set(dir(__builtins__)) | set(__builtins__ if isinstance(__builtins__, dict) else ())
    for code in codes(told):
        tree = ast.parse(code)
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                made.add(node.id)
            elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                made.add(node.name)
            elif isinstance(node, ast.arg):
                made.add(node.arg)
            elif isinstance(node, ast.alias):
                made.add((node.asname or node.name).split(".")[0])
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
        assert used <= made, used - made


def test_it_is_short_enough_to_read_in_twenty_five_minutes() -> None:
    """Twenty minutes of prose at 230 words a minute; the rest for blocks and pictures, most of them at a glance."""
    prose = [introduction()] + [cell.text for told in chapters() for cell in told.cells if isinstance(cell, Prose)]
    assert sum(len(text.split()) for text in prose) <= 20 * 230
    assert sum(len(code.splitlines()) for told in chapters() for code in codes(told)) <= 900
