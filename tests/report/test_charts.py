"""Charts: each says in a sentence what its numbers say, and draws all of them at both widths."""

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy
import polars
import pytest

from made_accounts import ROWS, account
from made_curves import healthy
from trimtab.evaluation.metrics import Figure
from trimtab.evaluation.slices import Slice
from trimtab.report.chart import NARROW, WIDE, Chart
from trimtab.report.class_charts import calibration_chart, confusion_chart
from trimtab.report.column_charts import dependence_chart, importance_chart, slices_chart
from trimtab.report.columns import Dependence, Importance, dependence, importances
from trimtab.report.drawing import Drawing, width_of
from trimtab.report.duration_chart import Curves, curves_by_epoch, duration_chart, losses_chart_of
from trimtab.report.record_report import curves_of_record
from trimtab.report.residual_charts import losses_chart, predicted_chart, residuals_chart
from trimtab.report.standing_chart import standing_chart
from trimtab.report.worth_charts import choices_chart, path_chart, stopping_chart

SVG = "{http://www.w3.org/2000/svg}"


def marks_of(chart: Chart | None, kind: str) -> list[str]:
    """What marks of a class say when they are pointed at, in the wide picture; both pictures must be well formed."""
    assert chart is not None
    wide, narrow = (ElementTree.fromstring(picture) for picture in chart.pictures)
    assert float(narrow.attrib["width"]) < 400 < float(wide.attrib["width"])
    return [
        (mark.findtext(f"{SVG}title") or "") for mark in wide.iter() if kind in mark.attrib.get("class", "").split()
    ]


# -- what choices were worth


def test_the_way_to_the_result_names_what_surely_helped():
    chart = path_chart(account())
    assert chart is not None
    assert chart.takeaway == (
        "From 4.450 to 4.030 rmse: inputs periodic (−0.21), the ensemble of 4 trials (−0.17) and loss huber (−0.06); 1 "
        "step of 4 cannot be told from noise."
    )
    assert [text.split(":")[0] for text in marks_of(chart, "good")] == [
        "inputs periodic",
        "loss huber",
        "the ensemble of 4 trials",
    ]
    assert [text.split(":")[0] for text in marks_of(chart, "unsure")] == ["dropout 0.1"]
    assert path_chart(account(path=())) is None


def test_choices_are_drawn_by_their_verdict_and_none_is_left_out():
    chart = choices_chart(account())
    assert chart is not None and chart.table is not None
    assert "width 256" in chart.takeaway and "0.2100 rmse" in chart.takeaway
    assert len(marks_of(chart, "bad-dot")) == 4 and len(marks_of(chart, "good-dot")) == 1
    assert len(marks_of(chart, "open")) == 2, "what cannot be told apart is hollow"
    assert (
        len(chart.table.rows) == len(ROWS) - 1 and "learning rate 0.1" in chart.note and "1 more choice" in chart.note
    )
    assert choices_chart(account(rows=())) is None


def test_a_difference_beyond_the_picture_stands_at_its_edge_with_its_number():
    chart = choices_chart(account())
    assert chart is not None
    (text,) = [text for text in marks_of(chart, "bad-dot") if text.startswith("optimizer, same rate")]
    assert "9.500 rmse" in text
    assert "+9.5<" in chart.pictures[0]


def test_stopping_rules_are_points():
    chart = stopping_chart(account())
    assert len(marks_of(chart, "accent-dot")) == 4 and len(marks_of(chart, "hindsight")) == 1
    assert chart is not None and "patience 20 would have spent 103" in chart.takeaway
    assert stopping_chart(account(stopping=())) is None


# -- how long


def curves(validation, train=None) -> Curves:
    values = numpy.array(validation, dtype=float)
    train = numpy.full(len(values), numpy.nan) if train is None else numpy.array(train, dtype=float)
    epochs = numpy.arange(1.0, len(values) + 1)
    return Curves(epochs, train, values, train[None], values[None], "rmse", greater_is_better=False)


def test_the_best_epoch_and_what_came_after_are_told():
    chart = duration_chart(curves([9, 6, 5, 4, 3, 2, 3, 4, 5, 6, 7, 8], train=[9, 6, 5, 4, 3, 1, 1, 1, 1, 1, 1, 1]))
    assert chart.takeaway == (
        "rmse on validation rows is best at epoch 6: 2.000, with 1.000 on training rows. By epoch 12 it is 8.000."
    )
    assert marks_of(chart, "hindsight") == ["best epoch 6: 2.000"]
    assert marks_of(chart, "under") and marks_of(chart, "over")


def test_a_curve_that_falls_to_its_end_has_no_overfitting_in_it():
    chart = duration_chart(curves([5, 4.5, 4, 3.5, 3, 2.5, 2, 1.5]))
    assert marks_of(chart, "under") and not marks_of(chart, "over")


def test_folds_are_drawn_apart_and_compared_as_far_as_all_go():
    rows = [(0, epoch, 10.0 / epoch) for epoch in range(1, 7)] + [(1, epoch, 20.0 / epoch) for epoch in range(1, 5)]
    frame = polars.DataFrame(rows, schema=["fold", "epoch", "validation_metric"], orient="row").with_columns(
        polars.lit(numpy.nan).alias("train_metric")
    )
    found = curves_by_epoch(frame, "rmse", greater_is_better=False)
    assert found is not None and found.validation_folds.shape == (2, 6)
    assert found.validation[:4] == pytest.approx([15, 7.5, 5, 3.75]) and numpy.isnan(found.validation[4:]).all()
    assert found.epochs[found.best] == 4
    assert len(marks_of(duration_chart(found), "fold")) == 2
    best, other = (_heights(path) for path in _paths(duration_chart(found).pictures[0], "fold"))
    assert len(best) == 6 and 290 < best[-1] < 308, "to its end, far below the mean"
    assert min(other) == 44, "what begins above the mean comes in at the edge"


def _paths(picture: str, kind: str) -> list[str]:
    paths = ElementTree.fromstring(picture).iter(f"{SVG}path")
    return [path.attrib["d"] for path in paths if kind in path.attrib["class"].split()]


def _heights(path: str) -> list[float]:
    """Of the points of a path, in pixels from above."""
    return [float(point.partition(",")[2]) for point in re.split("[ML]", path)[1:]]


@pytest.mark.parametrize(
    ("points", "drawn"),
    [
        ([(0, 5), (10, 5)], "M0.0,5.0L10.0,5.0"),
        ([(0, -10), (10, 10)], "M5.0,0.0L10.0,10.0"),
        ([(0, 5), (10, 25), (20, 5)], "M0.0,5.0L2.5,10.0M17.5,10.0L20.0,5.0"),
        ([(0, -10), (10, 20)], "M3.3,0.0L6.7,10.0"),
        ([(0, 10), (10, 10), (20, 12)], "M0.0,10.0L10.0,10.0"),
        ([(0, -1), (10, -1), (20, 11), (30, 11)], "M10.8,0.0L19.2,10.0"),
        ([(0, 11), (10, 12)], ""),
        ([(0, 1), (1, numpy.nan), (2, 3), (3, 4)], "M2.0,3.0L3.0,4.0"),
        ([(0, numpy.inf), (1, 5), (2, 6)], "M1.0,5.0L2.0,6.0"),
        ([(0, -1e40), (10, 5)], "M10.0,0.0L10.0,5.0"),
        ([(0, 5)], ""),
        ([], ""),
    ],
)
def test_a_curve_is_drawn_as_far_as_it_is_in_the_picture(points, drawn):
    drawing = Drawing(30, 30, "")
    drawing.curve(points, "valid", within=(0, 10))
    assert _paths(drawing.svg(), "valid") == ([drawn] if drawn else [])


def test_what_is_shaded_ends_where_the_mean_of_all_folds_does():
    rows = [(0, epoch, 5 + abs(epoch - 10)) for epoch in range(1, 21)] + [
        (1, epoch, 5 + abs(epoch - 10)) for epoch in range(1, 41)
    ]
    frame = polars.DataFrame(rows, schema=["fold", "epoch", "validation_metric"], orient="row").with_columns(
        polars.lit(numpy.nan).alias("train_metric"), polars.col("validation_metric").cast(polars.Float64)
    )
    found = curves_by_epoch(frame, "rmse", greater_is_better=False)
    assert found is not None
    wide = ElementTree.fromstring(duration_chart(found).pictures[0])
    (over,) = (each for each in wide.iter(f"{SVG}rect") if "over" in each.attrib["class"].split())
    axis = next(each for each in wide.iter(f"{SVG}line") if "axis" in each.attrib["class"].split())
    left, right = float(axis.attrib["x1"]), float(axis.attrib["x2"])
    end = float(over.attrib["x"]) + float(over.attrib["width"])
    assert end == pytest.approx(left + (right - left) * 19 / 39, abs=1)


@pytest.mark.parametrize("best", [0.5, 0.0, 1e-9])
def test_one_fold_that_comes_to_nothing_leaves_room_for_the_others(best):
    found = curves([1000.0, 10.0, 1.0])
    folds = numpy.array([[1000.0, 10.0, best], [1000.0, 10.0, 2.0 - best]])
    drawn = duration_chart(replace(found, validation_folds=folds)).pictures[0]
    assert ">1,000<" in drawn and ">10<" in drawn and ">1e-9<" not in drawn


def test_where_nothing_was_evaluated_there_are_no_curves():
    frame = polars.DataFrame(
        {"fold": [0], "epoch": [1], "validation_metric": [None], "train_metric": [None]},
        schema_overrides={"validation_metric": polars.Float64, "train_metric": polars.Float64},
    )
    assert curves_by_epoch(frame, "rmse", greater_is_better=False) is None


def test_what_is_learnt_by_heart_is_a_ratio():
    chart = losses_chart_of(curves([4, 2, 3], train=[4, 2, 1]))
    assert chart.takeaway == (
        "At the last epoch the loss on validation rows is 3 times that on training rows, at its best epoch (2) 1 times."
    )


def test_the_record_of_a_training_is_drawn():
    found = curves_of_record(healthy())
    assert found is not None
    assert marks_of(duration_chart(found), "valid")


# -- errors


def test_predictions_are_told_by_their_middle_and_their_worst():
    truth, prediction = numpy.array([1.0, 2, 3, 4, 5]), numpy.array([1.1, 2.1, 3.1, 4.1, 9.0])
    chart = predicted_chart(truth, prediction, "price", numpy.array([7, 8, 9, 10, 11]), frozenset({11}))
    assert chart.takeaway == (
        "Half of the rows are predicted within 0.1000 of the truth; the largest error is 4.000, in row 11 (true 5.000, "
        "predicted 9.000)."
    )
    assert len(marks_of(chart, "point")) == 4 and len(marks_of(chart, "odd")) == 1
    assert chart.table is not None and chart.table.rows[0] == ["11", "5.000", "9.000", "4.000"]


def test_intervals_are_drawn_and_what_they_hold_of_new_rows_is_told():
    truth = numpy.linspace(0, 10, 50)
    prediction = truth + numpy.where(numpy.arange(50) < 4, 3.0, 0.5)

    def bounds(told):
        return told - 1, told + 1

    chart = predicted_chart(truth, prediction, "price", numpy.arange(50), frozenset(), bounds, are_new=True)
    assert "Intervals that are to hold the truth in 90 % of rows hold it in 92 % of these" in chart.takeaway
    assert len(marks_of(chart, "bound")) == 2 and "90 % of rows" in chart.note
    own = predicted_chart(truth, prediction, "price", numpy.arange(50), frozenset(), bounds)
    assert "Intervals" not in own.takeaway and len(marks_of(own, "bound")) == 2


def test_the_distribution_counts_every_row():
    generator = numpy.random.default_rng(0)
    chart = residuals_chart(numpy.zeros(500), generator.normal(2.0, 1.0, 500), "price")
    assert chart.takeaway.startswith("Errors are 2.") or chart.takeaway.startswith("Errors are 1.9")
    assert sum(int(text.split(": ")[1].split(" ")[0]) for text in marks_of(chart, "accent-bar")) == 500


def test_one_wild_row_rules_the_squared_loss_and_hardly_the_absolute_one():
    error = numpy.r_[numpy.ones(99), 100.0]
    chart = losses_chart(numpy.zeros(100), error)
    assert chart is not None and chart.table is not None
    assert chart.table.rows[0] == ["1 %", "99 %", "56 %", "50 %"] or chart.table.rows[0][1] == "99 %"
    assert chart.takeaway.startswith("The twentieth of the rows with the largest errors makes up 99 % of the MSE")
    assert losses_chart(numpy.ones(3), numpy.ones(3)) is None


def test_classes_that_are_mistaken_are_named():
    chart = confusion_chart(["a", "a", "b", "b", "b"], ["a", "b", "b", "b", "b"], ["a", "b"])
    assert chart.takeaway == "80.0 % of 5 rows are predicted right; what is mistaken most often: a for b, 1 row."
    assert "1 row of a predicted as b (50 %)" in marks_of(chart, "cell")


def test_probabilities_that_are_right_are_hardly_off_and_wrong_ones_are():
    generator = numpy.random.default_rng(0)
    probability = generator.random(4000)
    is_so = generator.random(4000) < probability
    off = [
        float(re.findall(r"[\d.]+ percentage", chart.takeaway)[0].split()[0])
        for chart in (calibration_chart(probability, is_so, "yes"), calibration_chart(probability**3, is_so, "yes"))
        if chart
    ]
    assert off[0] < 3 < 15 < off[1]
    assert calibration_chart(probability[:20], is_so[:20], "yes") is None


def test_what_is_off_by_chance_is_told_beside_what_is_off():
    is_so = numpy.arange(60) % 2 == 0
    chart = calibration_chart(numpy.full(60, 0.5), is_so, "yes")
    assert chart is not None and "; 16.3 would be chance alone on 60 rows." in chart.takeaway


def test_classes_without_room_above_their_columns_are_numbered():
    labels = [f"class number {i}" for i in range(14)]
    chart = confusion_chart(labels, labels, labels)
    assert ">1: class num" in chart.pictures[0] and ">14<" in chart.pictures[1]


# -- columns


class Linear:
    """A model of two columns of which one counts."""

    def raw(self, frame):
        return frame.select(polars.col("used").cast(polars.Float64)).to_numpy() / 1e6, ()


def test_columns_that_are_worth_nothing_are_told_from_worthless_together():
    generator = numpy.random.default_rng(0)
    frame = polars.DataFrame({"used": generator.normal(size=200) * 1e6, "idle": generator.normal(size=200)})
    truth = Linear().raw(frame)[0] + 0.1
    one, _ = importances(Linear(), frame, truth, ["used"], is_classes=False)
    both, _ = importances(Linear(), frame, truth, ["used", "idle"], is_classes=False)
    assert both[0].column == "used" and both[0].low > 0 and both[1].low == both[1].high == 0
    assert both[0].high - both[0].low > one[0].high - one[0].low, "more intervals that hold together are wider"


def test_what_a_column_is_worth_is_told_by_the_rows_that_count():
    generator = numpy.random.default_rng(0)
    used = generator.normal(size=300) * 1e6
    frame = polars.DataFrame({"used": used})
    truth = Linear().raw(frame)[0]
    truth[100:] = 0  # two thirds of the rows have nothing to do with it
    weights = (numpy.arange(300) < 100).astype(float)
    some, _ = importances(Linear(), frame, truth, ["used"], is_classes=False, weights=weights)
    own, _ = importances(Linear(), frame.head(100), truth[:100], ["used"], is_classes=False)
    every, _ = importances(Linear(), frame, truth, ["used"], is_classes=False)
    assert some[0].grows == pytest.approx(own[0].grows, rel=0.2) and some[0].grows > 3 * abs(every[0].grows)
    nothing, left = importances(Linear(), frame, truth, ["used"], is_classes=False, weights=numpy.zeros(300))
    assert nothing == [] and left == ["used"]


def test_dates_are_looked_at_from_the_first_to_the_last():
    days = polars.datetime_range(polars.datetime(2020, 1, 1), polars.datetime(2020, 12, 30), "1d", eager=True)
    found = dependence(Linear(), polars.DataFrame({"used": days}), "used", 0)
    assert found is not None and not found.is_number
    assert (found.values[0], found.values[-1], len(found.values)) == ("2020-01-01", "2020-12-30", 8)
    assert (numpy.diff(found.mean) > 0).all()


def test_names_that_are_too_long_for_a_picture_are_cut_and_stand_whole_in_the_words_of_their_mark():
    name = "a rather long name of a column " * 3
    chart = slices_chart([Slice(name, "above 3", 40, Figure(9.0, 8.0, 10.0), is_worse=True)], 5.0, "rmse")
    assert any(text.startswith(f"{name}: above 3") for text in marks_of(chart, "bad-dot"))
    assert chart is not None
    for picture, width in zip(chart.pictures, (WIDE, NARROW), strict=True):
        written = [text.text or "" for text in ElementTree.fromstring(picture).iter(f"{SVG}text")]
        assert max(map(width_of, written)) < width and any(text.endswith("…") for text in written)


def test_columns_are_ranked_and_what_cannot_be_told_from_worthless_is_named():
    found = [Importance("age", 3.0, 2.0, 4.0), Importance("fee", 0.1, -0.1, 0.3)]
    chart = importance_chart(found, ["last"], "rmse", "test rows")
    assert chart is not None
    assert chart.takeaway == ("Without age, rmse would grow by 3.000. 1 column cannot be told from worthless: fee.")
    assert len(marks_of(chart, "accent-bar")) == 1 and len(marks_of(chart, "plain-bar")) == 1
    assert "1 more column" in chart.note and importance_chart([], [], "rmse", "rows") is None


@pytest.mark.parametrize("values", [(1.0, 2.0, 3.0), ("a", "b", "c")])
def test_the_course_of_a_column_has_its_ends(values):
    found = Dependence("age", values, numpy.array([1.0, 5.0, 3.0]), numpy.ones((2, 3)), isinstance(values[0], float))
    chart = dependence_chart(found, "price", 1)
    assert "(1.000) and highest at" in chart.takeaway and "(5.000)" in chart.takeaway
    assert len(marks_of(chart, "faint")) == 2 and len(marks_of(chart, "accent-dot")) == 3


def test_parts_that_are_worse_come_first():
    figure = Figure(9.0, 8.0, 10.0)
    slices = [
        Slice("city", "Rome", 40, figure, is_worse=True),
        Slice("city", "Oslo", 40, replace(figure, value=4.0), is_worse=False),
    ]
    chart = slices_chart(slices, 5.0, "rmse")
    assert chart is not None
    assert chart.takeaway == "Worst where city is Rome: rmse 9.000 on 40 rows, against 5.000 on all."
    assert len(marks_of(chart, "bad-dot")) == 1
    assert slices_chart([], 5.0, "rmse") is None


# -- beside simpler models


def test_the_model_stands_beside_its_baselines():
    gain = {"rmse": {"better_by": 2.0, "interval": [1.5, 2.5], "verdict": "better"}}
    result = {
        "metric": "rmse",
        "test": {"rmse": 4.0},
        "interval": [3.5, 4.5],
        "baselines": {"mean": {"rmse": 6.0}},
        "gains": {"mean": gain},
        "rows": {"test": 100},
    }
    chart = standing_chart(result)
    assert chart is not None and chart.takeaway == "Better than the mean by 2.000 [1.500, 2.500] in rmse."
    assert marks_of(chart, "accent-dot") == ["this model: rmse 4.000"]
    assert standing_chart({"metric": "rmse", "baselines": {}}) is None
