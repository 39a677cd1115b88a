"""How the model stands beside simpler ones: one line each, the model's with its interval.

Knows a study's result, the plain dict.
"""

from collections.abc import Mapping
from typing import Any

from trimtab.report.chart import Chart, Table, is_narrow
from trimtab.report.drawing import Drawing, width_of
from trimtab.report.scales import covering
from trimtab.text.layout import number
from trimtab.tuning.verdicts import BASELINES, verdicts

ROW = 34.0
MODEL = "this model"


def standing_chart(result: Mapping[str, Any]) -> Chart | None:
    """The model's score and each baseline's on the same rows; None where there are no baselines."""
    metric, baselines = result["metric"], result.get("baselines") or {}
    figures: list[tuple[str, float]] = [
        (BASELINES.get(str(name), str(name)), float(scores[metric]))
        for name, scores in baselines.items()
        if scores.get(metric) is not None
    ]
    own = score_of(result)
    if not figures or own is None:
        return None
    low, high = interval_of(result)
    rows = [[MODEL, number(own), "" if low is None or high is None else f"{number(low)} to {number(high)}"]]
    rows += [[name, number(value), ""] for name, value in figures]
    return Chart(
        "standing",
        "Is it better than something simple?",
        " ".join(verdicts(of_metric(result, metric))),
        lambda width: _drawn(metric, own, (low, high), figures, width),
        Table(["model", metric, "95 % interval"], rows, frozenset({1, 2})),
    )


def score_of(result: Mapping[str, Any]) -> float | None:
    """The figure the study reports: on test rows where there are some, else out of fold."""
    scores = result.get("test") or result.get("nested") or result.get("validation") or {}
    return scores.get(result["metric"])


def interval_of(result: Mapping[str, Any]) -> tuple[float | None, float | None]:
    low, high = result.get("interval") or (None, None)
    return low, high


def of_metric(result: Mapping[str, Any], metric: str) -> dict[str, Any]:
    """The same result with gains in one metric."""
    gains = {name: {metric: each[metric]} for name, each in result.get("gains", {}).items() if metric in each}
    return {**result, "gains": gains}


def _drawn(
    metric: str, own: float, ends: tuple[float | None, float | None], figures: list[tuple[str, float]], width: float
) -> Drawing:
    names = [MODEL, *(name for name, _ in figures)]
    left, top = max(map(width_of, names)) + 18, 8.0
    bottom = top + ROW * len(names)
    drawing = Drawing(width, bottom + 46, f"{metric} of the model and of {', '.join(names[1:])}")
    low, high = ends
    scale = covering(
        [0.0, own, *(value for _, value in figures), *(end for end in ends if end is not None)],
        left,
        width - 60,
        most=4 if is_narrow(width) else 6,
    )
    drawing.axis_below(scale, bottom, metric, top=top)
    for i, (name, value) in enumerate([(MODEL, own), *figures]):
        y, at = top + ROW * (i + 0.5), scale.place(value)
        drawing.text(left - 12, y + 4, name, class_="label strong" if i == 0 else "label", anchor="end")
        drawing.line(scale.place(0.0), y, at, y, "grid")
        if i == 0 and low is not None and high is not None:
            drawing.bar(
                scale.place(low),
                y - 5,
                scale.place(high),
                y + 5,
                "unsure",
                f"95 % interval: {number(low)} to {number(high)}",
            )
        drawing.dot(
            at, y, "accent-dot" if i == 0 else "unsure-dot", f"{name}: {metric} {number(value)}", 6 if i == 0 else 5
        )
        drawing.text(
            max(at, scale.place(high) if i == 0 and high is not None else at) + 11,
            y + 4,
            number(value),
            class_="value strong" if i == 0 else "value",
        )
    return drawing
