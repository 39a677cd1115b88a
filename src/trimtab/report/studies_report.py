"""The report of two studies side by side: which is better, what differs in them, and how each went. Trains nothing."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy
import polars

import trimtab
from trimtab.errors import DataError
from trimtab.knobs.table import label_of
from trimtab.report.chart import Chart, Table, is_narrow
from trimtab.report.drawing import Drawing, width_of
from trimtab.report.page.page import Answer, Page, Section
from trimtab.report.scales import covering
from trimtab.report.standing_chart import interval_of, score_of
from trimtab.report.study_report import StudyReport
from trimtab.studies.study import Study
from trimtab.text.layout import number
from trimtab.text.wording import counted, sentence
from trimtab.training.metrics import OF_DECISIONS, metric_for
from trimtab.tuning.space import knobs_of
from trimtab.tuning.standing import ALIKE, BETTER, Gain, JudgedRows, standing

# What the first study is called where the second is held against it.
FIRST = "first"
# What was asked of a study and can make it another.
ASKED = ("data", "target", "split", "test", "seed", "fixed", "refit", "single")


def studies_page(first: Study, second: Study) -> Page:
    """The page of two studies that are judged by the same metric; raises DataError where they are not, or where one
    was not finished."""
    for study in (first, second):
        if "config" not in study.result:
            raise DataError(
                f"The search in {study.out} was not finished, so that there is no result to compare: go on with it by "
                f"trimtab fit --resume {study.out}."
            )
    metrics = {study.result.get("metric") for study in (first, second)}
    if len(metrics) > 1:
        named = " and ".join(str(study.result.get("metric")) for study in (first, second))
        raise DataError(f"The studies are judged by {named}: only studies with one metric can be compared.")
    reports = [StudyReport(first), StudyReport(second)]
    names = _names(first, second)
    return Page(
        _answer(reports, names, _gain(reports)),
        [
            Section("differ", "What differs in them", charts=[_knobs_chart(reports, names)]),
            *(
                Section(f"study-{place}", f"{name}: {report.study.words}", charts=_charts(report, place))
                for place, (report, name) in enumerate(zip(reports, names, strict=True), 1)
            ),
        ],
        trimtab.__version__,
    )


def _names(first: Study, second: Study) -> list[str]:
    """What the two are called: their folders, as far up as they differ."""
    ones, others = first.out.resolve().parts, second.out.resolve().parts
    for depth in range(1, max(len(ones), len(others)) + 1):
        if ones[-depth:] != others[-depth:]:
            return ["/".join(ones[-depth:]), "/".join(others[-depth:])]
    return [str(first.out), f"{second.out} (again)"]


def _answer(reports: list[StudyReport], names: list[str], found: tuple[Gain, int] | None) -> Answer:
    metric = reports[0].metric
    scores = [score_of(report.result) for report in reports]
    if found is None:
        text = "The two were not judged by the same rows, so that nobody can say whether one is better by chance"
    else:
        gain, rows = found
        by, (low, high) = gain.better_by or 0.0, gain.interval or (0.0, 0.0)
        differs = f"{metric} differs by {number(abs(by))} [{number(min(low, high))}, {number(max(low, high))}]"
        if gain.verdict == ALIKE:
            text = f"The two cannot be told apart on {counted(rows, 'row')}: {differs}"
        else:
            text = f"{names[1 if gain.verdict == BETTER else 0]} is better: {differs} on {counted(rows, 'row')}"
    chart = _scores_chart(reports, names, scores)
    return Answer("studies", f"{names[0]} beside {names[1]}", [sentence(text)], charts=[chart])


def _gain(reports: list[StudyReport]) -> tuple[Gain, int] | None:
    """By how much the second is better on the rows that both are judged by, and how many these are; None where the two
    were judged by others."""
    (one, other), frames = [report.model for report in reports], [report.predictions for report in reports]
    if one is None or other is None or any(frame is None for frame in frames) or one.target.names != other.target.names:
        return None
    if reports[0].part != reports[1].part or len(one.target.names) > 1 or one.target.labels != other.target.labels:
        return None
    columns = [f"probability_{label}" for label in one.target.labels] or ["prediction"]
    left, right = (frame.select("row", "truth", *columns) for frame in frames if frame is not None)
    both = left.join(right, on="row", suffix="_other")
    if both.height < 10 or both.height < 0.9 * max(left.height, right.height) or not _is_same(both):
        return None
    metric = metric_for(reports[0].result.get("metric"), one.task, one.target.outputs)  # type: ignore[arg-type]
    if one.task == "classification":
        place = {label: i for i, label in enumerate(one.target.labels)}
        truth = numpy.array([place[label] for label in both["truth"].cast(polars.String)])
    else:
        truth = both["truth"].cast(polars.Float64).to_numpy()[:, None]
    first, second = (
        both.select([f"{name}{end}" for name in columns]).to_numpy().astype(float) for end in ("", "_other")
    )
    if metric.name in OF_DECISIONS:
        first, second = one.target.weighed(first), other.target.weighed(second)
    rows = JudgedRows(truth, numpy.ones(both.height), numpy.arange(both.height))
    gain = standing([second], {FIRST: first}, rows, metric, seed=0).gains[FIRST][metric.name]
    return None if gain.interval is None else (gain, both.height)


def _is_same(both: polars.DataFrame) -> bool:
    """Whether rows of one number are one row: they have the same truth."""
    return bool((both["truth"].cast(polars.String) == both["truth_other"].cast(polars.String)).all())


def _scores_chart(reports: list[StudyReport], names: list[str], scores: list[float | None]) -> Chart:
    metric = reports[0].metric
    ends = [interval_of(report.result) for report in reports]
    rows = [
        [name, number(score), "" if low is None or high is None else f"{number(low)} to {number(high)}",
         counted(len(report.study.trials), "trial"), f"{report.result.get('seconds_in_all', 0):.0f} s"]
        for name, score, (low, high), report in zip(names, scores, ends, reports, strict=True)
    ]  # fmt: skip
    told = [f"{name} {number(score)}" for name, score in zip(names, scores, strict=True)]
    return Chart(
        "scores", f"What {metric} has each?", sentence(" and ".join(told)),
        lambda width: _scores(metric, names, scores, ends, width),
        Table(["study", metric, "95 % interval", "trials", "time"], rows, frozenset({1, 2, 3, 4})),
    )  # fmt: skip


def _scores(
    metric: str, names: list[str], scores: list[float | None], ends: list[tuple[float | None, float | None]],
    width: float,
) -> Drawing:  # fmt: skip
    left, top, row = min(max(map(width_of, names)) + 18, 0.45 * width), 8.0, 34.0
    drawing = Drawing(width, top + 2 * row + 46, f"{metric} of both studies")
    known = [each for each in (*scores, *(end for pair in ends for end in pair)) if each is not None]
    scale = covering(known, left, width - 60, most=4 if is_narrow(width) else 6, room=0.15)
    drawing.axis_below(scale, top + 2 * row, metric, top=top)
    for i, (name, score, (low, high)) in enumerate(zip(names, scores, ends, strict=True)):
        y = top + row * (i + 0.5)
        drawing.text(left - 12, y + 4, name[-int(left / 7) :], class_="label", anchor="end")
        if low is not None and high is not None:
            drawing.bar(scale.place(low), y - 5, scale.place(high), y + 5, "unsure", f"{number(low)} to {number(high)}")
        if score is not None:
            drawing.dot(scale.place(score), y, "accent-dot", f"{name}: {metric} {number(score)}", 6)
            drawing.text(scale.place(high or score) + 11, y + 4, number(score), class_="value strong")
    return drawing


def _knobs_chart(reports: list[StudyReport], names: list[str]) -> Chart:
    """The knobs of both winners that differ, and what was asked of the studies."""
    configs = [_shown(report) for report in reports]
    every = sorted({name for config in configs for name in config})
    rows = [[name, *(config.get(name, "") for config in configs)] for name in every]
    differ = [row for row in rows if row[1] != row[2]]
    text = (
        f"{counted(len(differ), 'knob or option differs', 'knobs and options differ')}" if differ else "Nothing differs"
    )
    return Chart("knobs-apart", "What is another in the winners?", sentence(text), None, Table(["", *names], differ))


def _shown(report: StudyReport) -> dict[str, str]:
    knobs: Mapping[str, Any] = knobs_of(report.study.winner.config)
    found = {label_of(name): f"{value:g}" if isinstance(value, float) else str(value) for name, value in knobs.items()}
    asked = {name: report.asked.get(name) for name in ASKED}
    return found | {f"asked: {name}": str(value) for name, value in asked.items() if value not in (None, [], {})}


def _charts(report: StudyReport, place: int) -> list[Chart]:
    sections = (report.worth(), report.duration(), report.search())
    return [replace(chart, name=f"{chart.name}-{place}") for section in sections for chart in section.charts[:2]]
