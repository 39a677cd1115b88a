"""The walkthrough in a terminal: readable at 80 columns, without colour, through a pipe, a chapter at a time."""

import io
import re
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch

from trimtab import cli
from trimtab.walkthrough import Picture, Points
from trimtab.walkthrough.session import Session
from trimtab.walkthrough.source import Chapter, Code, Prose, chapters
from trimtab.walkthrough.terminal import reading_console, show

ESCAPE = "\x1b"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def chapter_of(*cells: Prose | Code, number: int = 1) -> Chapter:
    return Chapter(number, "a title", cells)


def shown(*told: Chapter, stream: io.StringIO | None = None, wait: Callable[[], object] = lambda: None) -> str:
    stream = stream or io.StringIO()
    show(told, reading_console(stream), wait)
    return stream.getvalue()


def test_prose_code_output_and_picture_come_in_order() -> None:
    code = "from trimtab.walkthrough import Line, Picture\nprint('printed')\n"
    code += "Picture([Line([0, 1], [0, 1], 'a way')], x='days', y='metres', alt='a rising line')"
    text = shown(chapter_of(Prose("## 1. Title\n\nSome **words**."), Code(code)))
    places = [text.index(word) for word in ("1. Title", "Some words.", "print('printed')", "| printed", "* a way")]
    assert places == sorted(places)


def test_the_value_of_the_last_line_is_shown_and_names_last_from_block_to_block() -> None:
    assert "| 42" in shown(chapter_of(Code("a = 40"), Code("a + 2"), Code("a = None\na")))
    assert "|" not in shown(chapter_of(Code("b = None"), Code("b")))


def test_each_chapter_begins_with_no_names() -> None:
    with pytest.raises(NameError):
        shown(chapter_of(Code("a = 1")), chapter_of(Code("a")))


def test_it_waits_between_chapters_only() -> None:
    waited = []
    told = [chapter_of(Code(f"print('chapter {i}')")) for i in (1, 2, 3)]
    stream = io.StringIO()
    shown(*told, stream=stream, wait=lambda: waited.append(stream.getvalue().count("| chapter")))
    assert waited == [1, 2]


def test_a_pipe_gets_eighty_columns_and_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    text = shown(chapter_of(Prose("word " * 100), Code("print(1)  # " + "x" * 60), Code("1 / 3")))
    assert ESCAPE not in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_terminal_gets_colour_but_no_longer_lines_than_are_good_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    text = shown(chapter_of(Prose("word " * 100), Code("print(1)")), stream=Terminal())
    assert ESCAPE in text
    assert max(len(re.sub(f"{ESCAPE}\\[[0-9;]*m", "", line)) for line in text.splitlines()) <= 100


def test_what_a_block_raises_goes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        Session().run("a = 1\na / 0")


@pytest.fixture
def replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks print that they ran and show a picture, in no time."""
    from trimtab.walkthrough.session import Output

    picture = Picture([Points([0, 1], [0, 1])], x="x", y="y", alt="two points")
    monkeypatch.setattr(Session, "run", lambda self, code: Output("ran\n", picture))


@pytest.mark.usefixtures("replayed")
def test_the_command_tells_all_chapters_and_does_not_wait_where_nobody_reads(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert cli.main(["walkthrough"]) == 0
    text = capsys.readouterr().out
    for told in chapters():
        assert f"\n{told.number}. {told.title}\n" in text
    assert text.count("| ran") == sum(isinstance(cell, Code) for told in chapters() for cell in told.cells)
    assert max(map(len, text.splitlines())) <= 80
    assert "Enter" not in text


@pytest.mark.usefixtures("replayed")
def test_the_command_waits_for_a_reader(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("\n\n"))
    assert cli.main(["walkthrough"]) == 0, "and goes on when the reader has left"
    assert capsys.readouterr().out.count("Enter goes on") == 6


@pytest.mark.usefixtures("replayed")
def test_one_chapter_comes_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["walkthrough", "--chapter", "4"]) == 0
    text = capsys.readouterr().out
    assert "4. Loss functions" in text
    assert "1. A network" not in text


@pytest.mark.slow
def test_a_chapter_runs_and_draws(capsys: pytest.CaptureFixture[str]) -> None:
    """The other chapters take longer; their blocks run in the notebook's tests."""
    with torch.random.fork_rng():
        assert cli.main(["walkthrough", "--chapter", "1"]) == 0
    text = capsys.readouterr().out
    assert "| by tt.fit:   weight 2.009, bias 0.980" in text
    assert "= after 200 steps" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_terminal_needs_no_matplotlib() -> None:
    code = "import sys; sys.modules['matplotlib'] = None; from trimtab.walkthrough import Line, Picture; "
    code += "print(Picture([Line([0, 1], [0, 1], 'a way')], x='x', y='y', alt='a line'))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "* a way" in ended.stdout, ended.stderr


@pytest.mark.parametrize(("number", "words"), [("0", "no chapter 0"), ("8", "1 to 7"), ("four", "integer")])
def test_a_chapter_that_is_not_there_is_bad_usage(capsys: pytest.CaptureFixture[str], number: str, words: str) -> None:
    assert cli.main(["walkthrough", "--chapter", number]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err
    assert len(captured.err.splitlines()) == 1


def test_its_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["walkthrough", "--help"]) == 0
    assert "Example: trimtab walkthrough --chapter 4" in " ".join(capsys.readouterr().out.split())
