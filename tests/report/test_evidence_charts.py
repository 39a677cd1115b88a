"""What findings rest on, drawn: the sentence of each picture says what its numbers are."""

import numpy
import polars
import pytest

from trimtab.findings.finding import Effect, Finding, Remedy
from trimtab.report.evidence_charts import drift_chart, layers_chart, shares_of


def finding(name, **evidence):
    return Finding(name, "high", "", evidence, Effect(""), Remedy(""))


def test_the_layer_with_most_dead_units_is_named_beside_the_others():
    chart = layers_chart(finding("dead_units", by_layer=[0.1, 0.75, 0.3]))
    assert chart.takeaway == (
        "75 % of the units of hidden layer 2 are dead at the end of training; in the others 10 to 30 %."
    )
    assert [row[1] for row in chart.table.rows] == ["10 %", "75 %", "30 %"]
    wide, narrow = chart.pictures
    assert wide.count("<rect") == narrow.count("<rect") == 3 and "hidden layer 2: 75 %" in wide


def test_saturated_layers_are_drawn_likewise_and_nothing_else_is():
    chart = layers_chart(finding("saturated_activations", by_layer=[0.9, 0.2]))
    assert chart.takeaway.endswith("are saturated at the end of training; in the other 20 %.")
    assert layers_chart(finding("saturated_activations", by_layer=[0.9])).takeaway.endswith("end of training.")
    assert layers_chart(finding("dead_units")) is None
    assert layers_chart(finding("overfitting", by_layer=[1.0])) is None


def test_numbers_are_shared_out_over_ranges_that_hold_all_of_them():
    here, there = numpy.linspace(0, 1, 400), numpy.append(numpy.linspace(0.5, 1.5, 99), 1e9)
    shares = shares_of(polars.Series(here), polars.Series(there))
    assert shares.here.sum() == pytest.approx(1) and shares.there.sum() == pytest.approx(1)
    assert len(shares.names) == 16 and shares.names[0].startswith("0.0")
    assert shares.apart == pytest.approx(0.5, abs=0.06)


def test_labels_are_those_that_are_most_frequent_with_the_rest_and_what_is_missing():
    here = polars.Series([*"aaaaab", None, *"cdefghijklm"])
    there = polars.Series([*"bbbbbb", None, None])
    shares = shares_of(here, there)
    assert shares.names[0] == "b" and shares.names[-2:] == ["another", "missing"]
    assert shares.there[0] == 6 / 8 and shares.there[-1] == 2 / 8 and shares.here[-1] == 1 / 18


def test_numbers_that_are_few_are_drawn_one_by_one():
    shares = shares_of(polars.Series([1, 1, 2]), polars.Series([2, 2, 2]))
    assert dict(zip(shares.names, shares.here, strict=True)) == pytest.approx({"2": 1 / 3, "1": 2 / 3})


def test_the_sentence_names_the_value_that_moved_most():
    here, there = (polars.Series([*"a" * a, *"b" * b]) for a, b in ((80, 20), (30, 70)))
    chart = drift_chart("kind", here, there, "test", 1)
    assert "50 % of the test rows would have to have another kind" in chart.takeaway
    assert "80 % of the training rows and in 30 % of these" in chart.takeaway
    assert ["a", "80.0 %", "30.0 %"] in chart.table.rows
    assert all(picture.count("<rect") == 6 for picture in chart.pictures)
    assert drift_chart("kind", here, there.clear(), "test", 1) is None
