"""What is printed says what is so, and a terminal that went away ends nothing."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trimtab.terminal import LivePanel, PlainLines, clock, console_on, number, print_summary


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
        best_trial=None, steps_per_second=1234.5,
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
        gone.started(Path("study"))
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
    return SimpleNamespace(words="AdamW, learning rate 0.003", summary=lambda: result)


def summary_of(test: dict | None, width: int | None = None, **news: Any) -> str:
    stream = io.StringIO()
    console = console_on(stream)
    if width:
        console.width = width
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


def test_without_a_limit_no_time_is_told() -> None:
    stream = io.StringIO()
    PlainLines(stream).progress(SimpleNamespace(**{**vars(progress()), "seconds_left": float("inf")}))
    assert stream.getvalue().startswith("searching; 1 trials;")
