"""What is printed says what is so, and a terminal that went away ends nothing."""

import io
import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from trimtab.table.schema import Column, Schema
from trimtab.terminal.console import clock, console_on, print_next, say
from trimtab.terminal.panel import LivePanel
from trimtab.terminal.progress import PlainLines
from trimtab.terminal.schema import print_schema
from trimtab.terminal.summary import print_summary, summary_in_text
from trimtab.text.layout import NARROWEST, number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (4.51234, "4.512"),
        (181234.6, "181,235"),
        (0.00012345, "0.000123"),
        (0.0, "0"),
        (-12.3456, "-12.35"),
        (None, "-"),
        (float("nan"), "-"),
    ],
)
def test_figures_have_four_digits(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (-3, "0:00"), (64.2, "1:05"), (7207, "2:00:07")])
def test_durations_read_as_on_a_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def progress(trials: int = 1) -> Any:
    return SimpleNamespace(
        phase="searching", seconds_left=30.0, trials_done=trials, runs_done=5, lanes_alive=8, best_score=None,
        best_trial=None, steps_per_second=1234.5, metric="rmse", share=0.25, workers=(),
    )  # fmt: skip


def test_plain_lines_come_every_few_seconds_only() -> None:
    stream = io.StringIO()
    lines = PlainLines(stream)
    for trials in range(1000):
        lines.progress(progress(trials))
    assert stream.getvalue() == "searching, 0:30 left; 0 trials; 8 lanes; 1,234 steps/s; no trial finished yet\n"


def test_square_brackets_are_text_and_not_markup() -> None:
    stream = io.StringIO()
    PlainLines(stream).notice('"price [EUR]" is left out.')
    assert stream.getvalue() == 'Note: "price [EUR]" is left out.\n'


@pytest.mark.parametrize("view", [PlainLines, LivePanel])
def test_a_terminal_that_went_away_ends_no_search(view: type[PlainLines]) -> None:
    stream = io.StringIO()
    with view(stream) as gone:
        gone.progress(progress())
        stream.close()
        gone.notice("Nobody reads this.")
        gone.study_started(Path("study"))
        gone.progress(progress())
    assert gone.out == Path("study")


def study(test: dict | None, **news: Any) -> Any:
    figures = {"rmse": 4.5, "mae": 3.2, "r2": 0.9}
    result = {
        "out": "runs/houses", "metric": "rmse", "test": test, "validation": figures, "interval": [4.1, 4.9],
        "baselines": {"mean": {"rmse": 16.7, "mae": 13.0, "r2": 0.0}, "linear": {"rmse": 10.4, "mae": 8.0, "r2": 0.6}},
        "trials": 41, "runs": 205, "seconds": 44.6, "rows": {"train": 659, "valid": 165, "test": 206}, "winner": 3,
        "ensemble": [{"trial": 9, "share": 0.6}, {"trial": 3, "share": 0.4}], **news,
    }  # fmt: skip
    return SimpleNamespace(words="AdamW, learning rate 0.003", worth=(), summary=lambda: result)


def summary_of(test: dict | None, width: int | None = None, **news: Any) -> str:
    stream = io.StringIO()
    console = console_on(stream)
    if width:
        console.width, console.soft_wrap = width, False
    print_summary(console, study(test, **news))
    return stream.getvalue()


def test_the_summary_sets_the_test_score_beside_the_baselines() -> None:
    text = summary_of({"rmse": 4.7, "mae": 3.4, "r2": 0.88})
    (line,) = [line for line in text.splitlines() if line.startswith("rmse")]
    assert line.split() == ["rmse", "4.700", "[4.100,", "4.900]", "16.70", "10.40"]
    assert "206 test rows, used once" in text
    assert "Best config: AdamW, learning rate 0.003." in text
    assert "mean of 2 trials: trial 9 (60 %) and trial 3 (40 %). The best config is trial 3." in text
    assert "runs/houses/model" in text and "(41 trials, 205 runs in 45 s)" in text
    assert "curves.parquet" not in text  # there is none


def test_own_networks_are_told_with_the_seconds_of_all_calls() -> None:
    result = {
        "out": "runs/net", "validation": {"mse": 0.5}, "test": None, "rows": {"valid": 1}, "trials": 4, "runs": 4,
        "seconds": 2.0, "calls": 2, "seconds_in_all": 31.0,
    }  # fmt: skip
    text = summary_in_text(SimpleNamespace(words="Adam", worth=(), summary=lambda: result))  # type: ignore[arg-type]
    assert text.endswith("Study:  runs/net  (4 trials, 4 runs in 31 s, 2 calls)")
    assert "validation, 1 row" in text


def test_without_a_test_part_the_figure_is_called_out_of_fold() -> None:
    text = summary_of(None)
    assert "out of fold" in text
    assert "4.500" in text
    nested = summary_of(None, nested={"rmse": 4.6, "mae": 3.3, "r2": 0.89})
    assert "4.600" in nested and "4.500" not in nested
    assert "judged by a choice that was made without it" in " ".join(nested.split())


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_the_summary_fits_the_terminal_and_breaks_no_interval(width: int, scale: float) -> None:
    names = ("log_loss", "balanced_accuracy", "roc_auc")
    gain = {"better_by": 0.12345 * scale, "interval": [-0.0123 * scale, 0.2468 * scale], "verdict": "alike"}
    figures = dict.fromkeys(names, 123.4567 * scale)
    text = summary_of(
        figures, width, metric="log_loss", intervals={name: [98.7654 * scale, 143.2109 * scale] for name in names},
        baselines=dict.fromkeys(("mean", "linear", "default_mlp"), figures),
        gains={name: dict.fromkeys(names, gain) for name in ("mean", "linear", "default_mlp")},
    )  # fmt: skip
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert all(line.count("[") == line.count("]") for line in lines)
    assert text.count("[") == 3 + 9


# -- eighty columns


LONG = "a_column_whose_name_is_rather_long_although_it_says_very_little"


def columns(number_of_them: int) -> tuple[Column, ...]:
    reason = "whole numbers in sequence, one for each row: an identifier tells nothing of other rows"
    features = tuple(
        Column(f"{LONG if i == 3 else 'column'}_{i}", "number", "Float64", 12_345, 1_234_567, reason)
        for i in range(number_of_them)
    )
    return (*features, Column("price", "target", "Float64", 0, 10, "regression"))


def on_a_terminal(width: int = 80) -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return Console(file=stream, width=width, markup=False, highlight=False, force_terminal=True, no_color=True), stream


def words_of(text: str) -> set[str]:
    return {word for word in text.replace("│", " ").split() if len(word) > 2}


@pytest.mark.parametrize("width", [80, 60, 200])
def test_a_schema_keeps_words_and_values_whole_and_shows_the_target_first(width: int) -> None:
    console, stream = on_a_terminal(width)
    schema = Schema("regression", '"price" holds numbers with fractions', columns(6), ("price",))
    print_schema(console, schema)
    text = stream.getvalue()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= max(width, len(f"{LONG}_3") + 2 + NARROWEST)
    for word in words_of(schema.columns[0].reason) | {f"{LONG}_3", "12,345", "1,234,567"}:
        assert word in text
    assert text.splitlines()[1].startswith("price")


def test_a_dry_run_shows_all_columns_and_a_search_the_first_of_them() -> None:
    schema = Schema("regression", "as asked for", columns(60), ("price",))
    for most, expected in ((None, 61), (40, 40)):
        stream = io.StringIO()
        print_schema(console_on(stream), schema, most=most)
        lines = stream.getvalue().splitlines()
        assert sum("column_" in line or line.startswith(("price", LONG)) for line in lines) == expected
        assert ("and 21 more columns" in stream.getvalue()) is (most == 40)


def test_sentences_break_between_words_on_a_terminal_and_nowhere_in_a_pipe() -> None:
    sentence = "Note: " + " ".join(["considerably", "longer", "sentences"] * 10) + "."
    console, stream = on_a_terminal(50)
    say(console, sentence, indent="  ")
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 50
    assert " ".join(line.strip() for line in lines) == sentence
    piped = io.StringIO()
    say(console_on(piped), sentence)
    assert piped.getvalue() == sentence + "\n"


@pytest.mark.parametrize("columns", ["50", "120"])
def test_a_pipe_is_as_wide_as_its_environment_says(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    piped = io.StringIO()
    say(console_on(piped), "a word or two " * 30)
    assert int(columns) - 5 < max(map(len, piped.getvalue().splitlines())) <= int(columns)
    for odd in ("0", "wide", ""):
        monkeypatch.setenv("COLUMNS", odd)
        piped = io.StringIO()
        say(console_on(piped), "a word or two " * 30)
        assert len(piped.getvalue().splitlines()) == 1


def test_no_interval_is_broken_and_nothing_is_printed_of_nothing() -> None:
    console, stream = on_a_terminal(20)
    say(console, "better by 0.73 [0.39, 1.10] than that")
    assert "[0.39, 1.10]" in stream.getvalue()
    console, stream = on_a_terminal(20)
    say(console, "")
    assert stream.getvalue() == ""


def test_commands_to_try_can_be_copied() -> None:
    stream = io.StringIO()
    print_next(console_on(stream), [("predict", "my runs/houses", "new.csv")])
    assert stream.getvalue().splitlines() == ["", "Try next:", "  trimtab predict 'my runs/houses' new.csv"]


def best_trial() -> Any:
    from trimtab.training.config import Config
    from trimtab.tuning.trial import COMPLETE, TrialRecord

    network = (("activation", "silu"), ("depth", 2), ("inputs", "periodic"), ("width", 128))
    return TrialRecord(3, "", {}, Config(network=network), COMPLETE, 4.5, best_epochs=(7,), ended=("all epochs",))


def test_the_panel_names_the_metric_and_shows_a_bar_and_what_ctrl_c_does() -> None:
    console, stream = on_a_terminal()
    panel = LivePanel(stream)
    panel.console = console
    panel._latest = SimpleNamespace(**vars(progress(1)) | {"best_score": 4.5, "best_trial": best_trial()})
    console.print(panel._render())
    text = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())
    assert max(map(len, text.splitlines())) == 80
    assert "1 trial " in text and "1 trials" not in text
    flat = " ".join(text.replace("│", " ").split())
    for words in ("best rmse 4.500: AdamW", "25%", "━", "0:30 left", "Ctrl-C stops here and keeps the best so far."):
        assert words in flat
    panel.interrupted("Stopping.")


def test_a_search_without_a_limit_of_time_does_not_count_down() -> None:
    from trimtab.terminal.progress import progress_in_words

    endless = SimpleNamespace(**vars(progress()) | {"seconds_left": float("inf")})
    assert progress_in_words(endless)[0] == "searching"


# -- a real terminal


def test_the_keyboard_is_silent_while_the_panel_is_there_and_given_back_after_it() -> None:
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    code = (
        "import os, sys, time; from types import SimpleNamespace; from trimtab.terminal.panel import LivePanel\n"
        "p = SimpleNamespace(phase='searching', seconds_left=9.0, trials_done=1, lanes_alive=1, best_score=None,\n"
        "    best_trial=None, steps_per_second=1.0, metric='rmse', share=0.5, workers=())\n"
        "with LivePanel(sys.stderr) as panel:\n"
        "    panel.progress(p); print('there', flush=True); sys.stdin.readline(); time.sleep(0.3)\n"
        "print('gone', flush=True)"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", code])
    seen = b""
    while b"there" not in seen:
        seen += os.read(terminal, 4096)
    assert not termios.tcgetattr(terminal)[3] & termios.ECHO
    os.write(terminal, b"typed in between\n")
    while b"gone" not in seen:
        seen += os.read(terminal, 4096)
    assert termios.tcgetattr(terminal)[3] & termios.ECHO
    os.waitpid(pid, 0)
    os.close(terminal)
    assert b"typed" not in seen


def test_without_a_limit_no_time_is_told() -> None:
    stream = io.StringIO()
    PlainLines(stream).progress(SimpleNamespace(**{**vars(progress()), "seconds_left": float("inf")}))
    assert stream.getvalue().startswith("searching; 1 trial;")
