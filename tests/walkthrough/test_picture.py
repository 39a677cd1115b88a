"""Pictures: the same data as a PNG and as text, with words for those who see neither."""

import io
from itertools import pairwise

import numpy
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from trimtab.text.lettering import text_of
from trimtab.walkthrough import Heat, Line, Mark, Picture, Points, SideBySide
from trimtab.walkthrough.painting import LABEL_GAP, figure_of, png_of, spread


def picture(*layers: Points | Line | Mark | Heat, **more: object) -> Picture:
    return Picture(layers, **({"x": "days", "y": "metres", "alt": "what there is to see"} | more))  # type: ignore[arg-type]


def plot_rows(text: str) -> list[str]:
    """What stands between the axes, from above."""
    return [line.split("|", 1)[1] for line in text.splitlines() if "|" in line]


def test_a_picture_must_have_words() -> None:
    with pytest.raises(ValueError, match="alt"):
        picture(alt=" ")


def test_x_and_y_must_be_as_many() -> None:
    with pytest.raises(ValueError, match="2 places along x and 3 along y"):
        Points([1, 2], [1, 2, 3])


def test_numbers_come_from_lists_arrays_tensors_and_columns() -> None:
    column = torch.tensor([[1.0], [2.0]], requires_grad=True)
    line = Line(column, numpy.array([[3], [4]]))
    assert line.x.tolist() == [1, 2]
    assert line.y.tolist() == [3, 4]


def test_points_stand_where_they_belong() -> None:
    rows = plot_rows(text_of(picture(Points([0, 10, 5], [0, 0, 1])), width=40).plain)
    width = 40 - len("0 |") - 1
    assert rows[0].index("o") == pytest.approx(width / 2, abs=1), "the middle one is highest"
    assert set(rows[0]) == {" ", "o"}
    assert rows[-1][0] == "o"
    assert rows[-1].rstrip()[-1] == "o"
    assert len(rows[-1].rstrip()) >= width - 1
    assert all(not row.strip() for row in rows[1:-1])


def test_a_line_has_no_gaps_and_points_lie_over_it() -> None:
    rows = plot_rows(text_of(picture(Points([5], [5], "here"), Line([0, 10], [0, 10], "the way")), width=60).plain)
    assert all(row.strip() for row in rows)
    assert sum(row.count("o") for row in rows) == 1
    columns = sorted(column for row in rows for column, letter in enumerate(row) if letter in "*o")
    assert columns == list(range(columns[0], columns[-1] + 1))


def test_series_are_told_apart_without_colour() -> None:
    text = text_of(picture(Line([0, 1], [0, 0], "low"), Line([0, 1], [1, 1], "high"), Mark([0], [1], "look")), 60).plain
    assert "* low" in text
    assert "+ high" in text
    assert "A look" in text
    rows = plot_rows(text)
    assert set(rows[0].strip()) == {"A", "+"}
    assert set(rows[-1].strip()) == {"*"}


def test_axes_bear_names_and_round_numbers() -> None:
    text = text_of(picture(Line([0, 400], [0.0, 2.0])), 70).plain
    assert text.splitlines()[0] == "metres"
    assert "days" in text
    for tick in ("0", "200", "400"):
        assert tick in text.splitlines()[-2].split()


def test_logarithmic_axes_space_powers_evenly() -> None:
    text = text_of(picture(Points([1, 10, 100], [1e-3, 1e-2, 1e-1]), log="xy"), 63).plain
    places = [(row.index("o"), i) for i, row in enumerate(plot_rows(text)) if "o" in row]
    assert len(places) == 3
    (x3, y3), (x2, y2), (x1, y1) = places
    assert x2 - x1 == pytest.approx(x3 - x2, abs=1)
    assert y1 - y2 == pytest.approx(y2 - y3, abs=1)


def test_what_is_not_finite_or_outside_is_left_out() -> None:
    text = text_of(picture(Points([0, 1, 2, 3], [0, numpy.nan, numpy.inf, 1]), Points([2], [50]), y_range=(0, 2)), 60)
    assert sum(row.count("o") for row in plot_rows(text.plain)) == 2
    assert sum(row.count(".") for row in plot_rows(text.plain)) == 0
    nothing = picture(Points([0, 1], [numpy.nan, numpy.nan]))
    assert "o" not in "".join(plot_rows(text_of(nothing).plain))
    assert png_of(nothing)


def test_lanes_bear_names() -> None:
    text = text_of(picture(Line([0, 5], [0, 0]), Line([0, 9], [1, 1]), y="", y_names=["short", "long"]), 60).plain
    lanes = {line.split("|")[0].strip(): line.split("|")[1].rstrip() for line in text.splitlines() if "|" in line}
    assert len(lanes["short"]) < len(lanes["long"])


def test_heat_is_lighter_where_low_and_crossed_out_where_not_finite() -> None:
    heat = Heat([[1, 100], [numpy.nan, 10_000]], ["a", "b"], ["1", "2"], "loss", log=True)
    text = text_of(picture(heat), 40).plain
    first, second = plot_rows(text)[:2]
    assert set(first[: len(first) // 2]) == {" "}
    assert "=" in first or "+" in first or "-" in first
    assert first.index("|") == second.index("|")
    assert "!" in second
    assert "@" in second
    assert 'loss: 1 " .:-=+*#%@" 10000   ! not finite' in text


@given(
    st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=1, max_size=30),
    st.integers(40, 120),
    st.sampled_from(["", "x", "y", "xy"]),
)
@example([(0.0, 5e-324)], 40, "y")  # the least number there is has no half
def test_text_is_ascii_and_as_wide_as_asked(places: list[tuple[float, float]], width: int, log: str) -> None:
    x, y = zip(*places, strict=True)
    text = text_of(picture(Points(x, y, "points"), Line(x, y, "line"), title="a title", log=log), width).plain
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= width


def test_parts_side_by_side_share_their_range() -> None:
    low, high = (picture(Points([0, 1], [0, top]), title=f"up to {top}", alt=f"{top}.") for top in (1, 100))
    both = SideBySide([low, high])
    assert both.alt == "1. 100."
    first, second = text_of(both, 60).plain.split("\n\n")
    assert "o" not in "".join(plot_rows(first)[:-1]), "at that scale both points of the first are as good as 0"
    assert "100 |" in first
    assert second.startswith("up to 100")
    image = Image.open(io.BytesIO(png_of(both)))
    assert image.size == Image.open(io.BytesIO(png_of(low))).size


def test_names_stand_beside_their_series_where_the_next_chart_widens_the_range() -> None:
    high, low = (picture(Line([0, 1], [value, value], "a level")) for value in (100, 0))
    left, right = (axes.texts[0].xy[1] for axes in figure_of(SideBySide([high, low])).axes)
    assert left > 0.9
    assert right < 0.1


def test_a_png_is_white_and_the_same_every_time() -> None:
    shown = picture(Points([0, 1], [0, 1], "points"), Line([0, 1], [1, 0], "line"), Mark([0.5], [0.5], "middle"))
    content = png_of(shown)
    assert content == png_of(shown)
    image = Image.open(io.BytesIO(content)).convert("RGB")
    assert image.getpixel((2, 2)) == (255, 255, 255)
    assert len(image.getcolors(1 << 20) or ()) > 50, "something is drawn"


def test_a_notebook_gets_png_text_and_words() -> None:
    shown = picture(Points([0, 1], [0, 1]))
    data, metadata = shown._repr_mimebundle_()
    assert Image.open(io.BytesIO(data["image/png"])).format == "PNG"
    assert metadata["image/png"]["alt"] == "what there is to see"
    assert data["text/plain"] == repr(shown)


def test_without_matplotlib_a_picture_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimtab.walkthrough.picture.find_spec", lambda name: None)
    data, _ = picture(Points([0, 1], [0, 1]))._repr_mimebundle_()
    assert list(data) == ["text/plain"]


@given(st.lists(st.floats(0, 300), min_size=1, max_size=15), st.floats(250, 400))
def test_names_at_the_right_never_cover_each_other(wanted: list[float], height: float) -> None:
    places = spread(wanted, LABEL_GAP, height)
    ordered = sorted(places)
    gaps = [after - before for before, after in pairwise(ordered)]
    assert all(gap >= LABEL_GAP - 1e-6 for gap in gaps)
    assert max(places) <= height
    for i, j in zip(range(len(wanted)), range(1, len(wanted)), strict=False):
        if wanted[i] < wanted[j]:
            assert places[i] < places[j], "in the order of what they name"
