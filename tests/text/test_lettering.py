"""Charts as text, whatever numbers they are given."""

import warnings

import numpy
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trimtab.text.chart import Chart, Line, Points
from trimtab.text.lettering import text_of

ROWS = st.lists(st.tuples(st.floats(), st.floats()), min_size=1, max_size=8)


@pytest.mark.parametrize("log", ["", "y", "xy"])
@settings(max_examples=30)
@given(rows=ROWS)
@example(rows=[(0.0, 9007199254740996.0), (1.0, 9007199254740996.0)])
@example(rows=[(0.0, 1.0), (1.0, 1.0000000000000002)])
@example(rows=[(-1.7e308, 1.7e308), (1.7e308, -1.7e308), (0.0, 5e-324)])
def test_any_numbers_are_drawn_in_the_width_that_is_asked(rows, log) -> None:
    x, y = numpy.array(rows).T
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chart = Chart((Line(x, y, "a line"), Points(x, y)), x="x", y="y", alt="numbers", log=log)
        text = text_of(chart, 60).plain
    assert max(map(len, text.splitlines())) <= 60
    assert sum("|" in line for line in text.splitlines()) >= 16
