"""Charts of a search: they say which trial is meant, and stay small however many there are."""

from dataclasses import replace

import numpy
import polars

from trimtab.report.run_charts import curves_chart, knobs_chart
from trimtab.report.search_charts import Search, progress_chart, rates_chart, structures_chart
from trimtab.tuning.space import space_for
from trimtab.tuning.trial import COMPLETE, TrialRecord

SPACE = space_for("regression", "rmse", rows=500, columns=5, fixed={})


def made(count: int, *, solved: bool = False) -> Search:
    generator = numpy.random.default_rng(0)
    trials = []
    for number in range(count):
        values = SPACE.draw(generator)
        trials.append(TrialRecord(number, "", values, SPACE.config(values), COMPLETE, 1.0 + generator.random()))
    if solved:
        trials.append(replace(trials[0], number=count, name="linear", values={}, error=0.5))
    best = min(trials, key=lambda each: each.error)
    return Search(trials, "rmse", greater_is_better=False, winner=best.number)


def curves(numbers: range, epochs: int = 60) -> polars.DataFrame:
    rows = [(number, 0, epoch, 2.0 + 1 / epoch) for number in numbers for epoch in range(1, epochs + 1)]
    return polars.DataFrame(rows, schema=["trial", "fold", "epoch", "validation_metric"], orient="row")


def test_what_trained_networks_yielded_is_not_said_of_a_winner_that_was_solved():
    search = made(8, solved=True)
    for chart in (rates_chart(search), structures_chart(search)):
        assert chart is not None and chart.takeaway.startswith("The best of those that were trained ")
    chart = curves_chart(search, curves(range(8)))
    assert chart is not None and chart.takeaway == "8 trials; the winner was solved, and has no curve."
    (chart,) = filter(None, [rates_chart(made(8))])
    assert chart.takeaway.startswith("The best ran ")


def test_two_thousand_trials_leave_room_for_the_rest_of_three_megabytes():
    search = made(2000)
    charts = [progress_chart(search), rates_chart(search), structures_chart(search), knobs_chart(search)]
    charts.append(curves_chart(search, curves(range(2000))))
    assert all(charts)
    sizes = [len("".join(chart.pictures)) for chart in charts if chart]
    assert sum(sizes) < 2e6
    assert search.said(search.trials[search.winner]).endswith("s") and "learning rate" in search.said(
        search.trials[search.winner]
    )
