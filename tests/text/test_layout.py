"""Tables fit a width with every value whole."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.text.layout import number, paragraph, table_in_text

CELL = st.text("abc 0,.-", min_size=0, max_size=30).map(lambda text: " ".join(text.split()))


@settings(max_examples=60)
@given(rows=st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=4), width=st.integers(20, 90))
def test_every_word_of_every_cell_is_there_whole_and_lines_fit_where_words_do(
    rows: list[tuple[str, str, str]], width: int
) -> None:
    headings = ("one", "two", "three")
    text = table_in_text(headings, rows, width, right=(1,))
    for cell in (cell for row in (headings, *rows) for cell in row[:2]):
        assert cell in text
    assert {word for row in rows for word in row[2].split()} <= set(text.split())
    widest = (
        max(len(row[0]) for row in (headings, *rows)) + 2 + max(len(c) for row in (headings, *rows) for c in row[1:])
    )
    assert max(map(len, text.splitlines())) <= max(width, widest)


def test_the_last_column_wraps_at_words_first() -> None:
    text = table_in_text(("name", "why"), [("size", "numbers that are read as such by everybody")], 30)
    assert text.splitlines() == [
        "name  why", "size  numbers that are read as", "      such by everybody",
    ]  # fmt: skip


def test_columns_that_do_not_fit_go_on_below_with_the_first_one_again() -> None:
    rows = [("rmse", "123,456", "[1.000, 2.000]", "123,456", "[1.000, 2.000]")]
    text = table_in_text(("metric", "a", "from", "b", "until"), rows, 34, right=(1, 2, 3, 4))
    first, second = text.split("\n\n")
    assert first.splitlines()[1] == "rmse    123,456  [1.000, 2.000]"
    assert second.splitlines()[1] == "rmse    123,456  [1.000, 2.000]"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234.56, "1,235"), (9.99996, "10.00"), (123456.7, "123,457"), (0.0123456, "0.01235"), (0.00012345, "0.000123"),
        (-0.000045, "-4.500e-05"), (3.21e-8, "3.210e-08"), (-4e-12, "-4.000e-12"), (0.5, "0.5000"), (0.0, "0"),
        (3.2e17, "3.200e+17"), (None, "-"), (float("nan"), "-"),
    ],
)  # fmt: skip
def test_a_figure_has_digits_however_small_it_is(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize("width", [10, 40])
def test_a_paragraph_breaks_between_words_alone(width: int) -> None:
    text = "see /a/very/long/path/without-any-break.csv and go on"
    lines = paragraph(text, width, indent="  ").splitlines()
    assert " ".join(line.strip() for line in lines) == text
    assert "/a/very/long/path/without-any-break.csv" in [word for line in lines for word in line.split()]
