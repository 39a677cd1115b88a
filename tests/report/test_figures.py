"""Figures say what the numbers say: the best where it is, what diverged as diverged, nothing in the wrong place."""

import numpy
import polars
import pytest

from trimtab.report.figures import curves_figure
from trimtab.report.sweep_figures import pairs_figure, values_figure

NAN, INF = float("nan"), float("inf")


def table(knob, values, best, final=None, diverged=None):
    best = numpy.array(best, dtype=float)
    return polars.DataFrame(
        {
            knob: values, "best": best, "best_low": best * 0.9, "best_high": best * 1.1,
            "final": best if final is None else final, "final_low": best, "final_high": best,
            "best_epoch": [3.0] * len(best), "diverged": [0] * len(best) if diverged is None else diverged,
        }
    )  # fmt: skip


def drawn(axes):
    """Points of each labelled line."""
    return {line.get_label(): line.get_xydata().tolist() for line in axes.lines}


def words(axes):
    return [text.get_text() for text in axes.texts]


def figure_of(frame, knob, **options):
    return values_figure(frame, [knob], **{"best": None, "alike": (), "edge": None, "metric": None, **options}).axes[0]


def test_values_of_a_number_in_their_order_on_a_wide_axis():
    frame = table(
        "lr", [1.0, 1e-4, 1e-2, 10.0], [2.0, 1.5, 0.5, INF], final=[3.0, 1.5, 0.6, NAN], diverged=[0, 0, 0, 3]
    )
    axes = figure_of(frame, "lr", best=2, alike=(1, 2), edge=1.0, metric="rmse")
    assert axes.get_xscale() == "log" and axes.get_xlabel() == "lr" and axes.get_ylabel() == "rmse"
    points = drawn(axes)
    assert points["best epoch"] == [[1e-4, 1.5], [1e-2, 0.5], [1.0, 2.0]]
    assert points["last epoch"] == [[1e-4, 1.5], [1e-2, 0.6], [1.0, 3.0]]
    assert points["best"] == [[1e-2, 0.5]] and sorted(points["like the best"]) == [[1e-4, 1.5], [1e-2, 0.5]]
    assert words(axes) == ["diverges beyond"]


def test_names_stay_in_their_places_when_one_diverged():
    frame = table("optimizer", ["sgd", "adam", "lion"], [INF, 0.5, 0.7], diverged=[2, 0, 0])
    axes = figure_of(frame, "optimizer", best=1, alike=(1,))
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["sgd", "adam", "lion"]
    points = drawn(axes)
    assert points["best"] == [[1.0, 0.5]] and points["best epoch"] == [[1.0, 0.5], [2.0, 0.7]]
    assert words(axes) == ["diverged"] and axes.texts[0].xy[0] == 0
    assert axes.get_ylabel() == "validation loss"


def test_all_rows_are_no_batch_of_none():
    axes = figure_of(table("batch_size", [16, 0], [0.5, 0.7]), "batch_size", best=0, alike=(0,))
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["16", "all rows"]
    one = figure_of(table("lr", [0.01], [0.5]), "lr", best=0, alike=(0,))
    assert [tick.get_text() for tick in one.get_xticklabels()] == ["0.01"]


def test_values_that_all_diverged_are_said_to_have():
    axes = figure_of(table("lr", [1.0, 10.0], [INF, INF], final=[NAN, NAN], diverged=[2, 2]), "lr")
    assert words(axes) == ["every value diverged"]


def test_a_few_useless_values_do_not_press_the_others_flat():
    frame = table("momentum", [0.1 * i for i in range(1, 10)], [-1, -1.1, -1.2, -1.2, -1.1, -1, -0.9, -0.8, 50])
    assert figure_of(frame, "momentum", best=2, alike=(2,)).get_ylim()[1] < 5
    wide = table("lr", [0.1, 0.2, 0.3], [0.01, 0.5, 40.0])
    assert figure_of(wide, "lr").get_yscale() == "log"


@pytest.mark.parametrize("wide", [False, True])
def test_pairs_are_a_map_with_the_best_in_its_place(wide):
    widths, rates = [8, 8, 16, 16], [0.01, 0.1, 0.01, 0.1]
    scores = [0.5, 0.04 if wide else 0.4, 0.6, INF]
    frame = table("width", widths, scores, diverged=[0, 0, 0, 2]).with_columns(polars.Series("lr", rates))
    figure = pairs_figure(frame, ["width", "lr"], best=1, alike=(0, 1), edge=None, metric="rmse")
    axes = figure.axes[0]
    image = numpy.asarray(axes.images[0].get_array().filled(numpy.nan))
    numpy.testing.assert_allclose(image, [[0.5, scores[1]], [0.6, numpy.nan]])
    assert [line.get_xydata().tolist() for line in axes.lines] == [[[0, 0]], [[1, 0]]]
    assert (axes.get_xlabel(), axes.get_ylabel(), figure.axes[1].get_ylabel()) == ("lr", "width", "rmse")
    assert [t.get_text() for t in axes.get_yticklabels()] == ["8", "16"]


def test_pairs_that_all_diverged_are_an_empty_map():
    frame = table("a", [1, 2], [INF, INF], diverged=[1, 1]).with_columns(b=polars.Series([1, 1]))
    figure = pairs_figure(frame, ["a", "b"], best=None, alike=(), edge=None, metric=None)
    assert figure.axes[0].images[0].get_array().mask.all()


def curves(train, validation):
    return polars.DataFrame({
        "epoch": range(1, len(train) + 1), "train_metric": train, "train_loss": [9.0] * len(train),
        "validation_metric": validation,
    }, strict=False)  # fmt: skip


def test_the_best_epoch_is_marked_and_the_name_under_the_curve_that_is_shown():
    axes = curves_figure(curves([3.0, 2, 1], [3.0, 2.5, 2.7]), metric="rmse", best_epoch=2, title="run").axes[0]
    assert words(axes) == ["best: 2.5 at epoch 2"] and axes.get_ylabel() == "rmse" and axes.get_title() == "run"
    points = drawn(axes)
    assert points["training"] == [[1, 3], [2, 2], [3, 1]] and points["validation"][1] == [2, 2.5]
    streamed = curves_figure(curves([NAN, NAN], [1.0, 2.0]), metric=None, best_epoch=1, title="").axes[0]
    assert drawn(streamed)["training"] == [[1, 9], [2, 9]] and streamed.get_ylabel() == "loss"


@pytest.mark.parametrize("best", [1, 20, 40])
def test_what_is_said_of_the_best_epoch_lies_on_no_curve_and_within_the_picture(best):
    falling = [10.0 * 0.8**epoch for epoch in range(40)]
    frame = curves(falling, falling)
    figure = curves_figure(frame, metric="rmse", best_epoch=best, title="a run")
    figure.draw_without_rendering()
    axes = figure.axes[0]
    (label,) = axes.texts
    box = label.get_window_extent()
    assert box.y0 >= axes.bbox.y1, "above the axes"
    assert box.y1 <= axes.title.get_window_extent().y0 and figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1


def test_a_run_without_a_finite_score_says_so():
    axes = curves_figure(curves([NAN], [NAN]), metric=None, best_epoch=0, title="run").axes[0]
    assert words(axes) == ["not finite from the first evaluation on"]


def test_figures_belong_to_nobody_and_are_pictures(tmp_path):
    import matplotlib.pyplot as plt

    frame = table("lr", [0.1, 1.0], [0.5, 0.4])
    figure = values_figure(frame, ["lr"], best=1, alike=(1,), edge=None, metric=None)
    assert plt.get_fignums() == []
    figure.savefig(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 2000
