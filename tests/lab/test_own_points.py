"""Points of two classes out of a table: which columns are taken, and what is refused in a sentence."""

import polars
import pytest

from trimtab.errors import DataError
from trimtab.lab.own_points import MOST_ROWS, points_of

ROWS = 40
NUMBERS = {"a": [f"{i}" for i in range(ROWS)], "b": [f"{-2.5 * i}" for i in range(ROWS)]}
ANSWER = {"answer": ["yes" if i > 20 else "no" for i in range(ROWS)]}


def test_the_first_two_columns_of_numbers_and_the_last_one_of_two_values_are_taken():
    other = {"sex": ["f" if i % 3 else "m" for i in range(ROWS)], "name": [f"n{i}" for i in range(ROWS)]}
    found = points_of(polars.DataFrame(other | NUMBERS | {"c": [0.1 * i for i in range(ROWS)]} | ANSWER))
    assert len(found.points) == ROWS and found.columns == ["a", "b"]
    assert min(found.points) == (-1.0, 1.0, 0) and max(found.points) == (1.0, -1.0, 1)
    assert sum(label for *_, label in found.points) == 19
    assert found.said == (
        '40 rows: across "a", up "b", each from its lowest to its highest; blue is answer "no", orange "yes".'
    )


def test_rows_with_gaps_are_left_out_and_of_many_some_are_drawn():
    frame = polars.DataFrame({name: values * 20 for name, values in (NUMBERS | ANSWER).items()})
    gaps = frame.with_columns(a=polars.when(polars.int_range(polars.len()) < 100).then(None).otherwise("a"))
    found = points_of(gaps)
    assert len(found.points) == MOST_ROWS and found.said.startswith("300 of 700 rows")
    assert found == points_of(gaps), "the same each time"


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (NUMBERS, "No column has just two values"),
        ({"a": NUMBERS["a"]} | ANSWER, "two columns of numbers"),
        ({"a": NUMBERS["a"], "b": ["x", *NUMBERS["b"][1:20], *"y" * 20]} | ANSWER, "two columns of numbers"),
        ({name: values[18:24] for name, values in (NUMBERS | ANSWER).items()}, "ten are needed"),
        (NUMBERS | {"answer": ["yes", *["no"] * (ROWS - 1)]}, "two of each class"),
        ({"a": ["3"] * ROWS, "b": NUMBERS["b"]} | ANSWER, "the same in all rows"),
    ],
    ids=["no classes", "one of numbers", "words", "few", "a class of one", "constant"],
)
def test_what_is_no_such_table_is_refused(columns, said):
    with pytest.raises(DataError, match=said):
        points_of(polars.DataFrame(columns))
