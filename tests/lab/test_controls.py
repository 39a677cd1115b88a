"""What a page sends for the controls of an experiment: taken, or refused in a sentence."""

import json

import hypothesis
import pytest
from hypothesis import strategies as st

from trimtab.errors import OptionError
from trimtab.lab.controls import Cloud, Menu, Points, Slider, described, read, usual

CONTROLS = (
    Slider("rate", "Learning rate", 0.001, 1.0, 0.1, scale="log"),
    Slider("steps", "Steps", 5, 300, 80, whole=True),
    Menu("optimizer", "Optimizer", (("gd", "Gradient descent"), ("adam", "Adam")), "gd"),
    Points("points", "Points", ((0.0, 1.0), (1.0, 3.0))),
    Cloud("own", "A table", "optimizer"),
)


def test_what_is_left_out_has_its_usual_value():
    assert read(CONTROLS, "") == {
        "rate": 0.1, "steps": 80, "optimizer": "gd", "points": [(0.0, 1.0), (1.0, 3.0)], "own": [],
    }  # fmt: skip
    assert read(CONTROLS, '{"own": [[0.5, -1, 1]]}')["own"] == [(0.5, -1.0, 1)]
    assert read(CONTROLS, '{"steps": 12}')["steps"] == 12


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1]", "no JSON object"),
        ("{", "no JSON object"),
        ("[" * 100_000, "no JSON object"),
        ('{"rats": 1}', 'no control "rats"'),
        ('{"rate": 2}', "from 0.001 to 1"),
        ('{"rate": NaN}', "from 0.001 to 1"),
        ('{"rate": true}', "from 0.001 to 1"),
        ('{"rate": "0.1"}', "from 0.001 to 1"),
        ('{"optimizer": ["gd"]}', "one of gd, adam"),
        ('{"points": [[1, 2]]}', "2 to 400 points"),
        ('{"points": [[1, 2], [1, NaN]]}', "two numbers"),
        ('{"points": [[1, 2], [1, 1e9]]}', "two numbers"),
        ('{"points": [[1, 2], 5]}', "two numbers"),
        ('{"own": [[1, 2]]}', "and 0 or 1"),
        ('{"own": [[1, 2, 2]]}', "and 0 or 1"),
        ('{"own": [[1, null, 1]]}', "and 0 or 1"),
        ('{"own": 5}', "at most 400"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(text, said):
    with pytest.raises(OptionError, match=said):
        read(CONTROLS, text)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@hypothesis.given(st.dictionaries(st.sampled_from(["rate", "steps", "optimizer", "points", "own"]), JSON))
def test_anything_is_taken_or_refused(given):
    try:
        values = read(CONTROLS, json.dumps(given))
    except OptionError as error:
        assert str(error).endswith(".")
    else:
        assert set(values) == {control.name for control in CONTROLS}


def test_what_a_page_is_told_of_a_control_is_json():
    for control in CONTROLS:
        told = json.loads(json.dumps(described(control)))
        assert told["kind"] in ("slider", "menu", "points", "cloud")
        assert read([control], json.dumps({control.name: usual(control)})) == read([control], "{}")
