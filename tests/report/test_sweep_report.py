"""The page of a sweep: names have no line between them, and what diverged is not drawn as a score."""

import math
from dataclasses import dataclass
from typing import Any

import polars

from trimtab.report.sweep_report import sweep_page


@dataclass(frozen=True)
class Swept:
    knobs: tuple[str, ...]
    table: polars.DataFrame
    place: int | None
    alike: tuple[int, ...] = ()
    metric: str | None = "rmse"
    words: str = "As it is."

    @property
    def best(self) -> dict[str, Any]:
        return {}


def swept(scores: list[float], **knobs: list[Any]) -> Swept:
    whole = [score if math.isfinite(score) else math.nan for score in scores]
    table = polars.DataFrame({
        **knobs, "best": whole, "best_low": whole, "best_high": whole, "final": whole, "best_epoch": 3.0,
        "diverged": [3 if math.isnan(score) else 0 for score in whole],
    })  # fmt: skip
    finite = [score for score in scores if math.isfinite(score)]
    return Swept(tuple(knobs), table, scores.index(min(finite)) if finite else None)


def picture(sweep: Swept) -> str:
    (chart,) = sweep_page(sweep).sections[0].charts
    return "".join(chart.pictures)


def test_names_are_not_joined_and_numbers_are_in_their_order():
    assert "curve" not in picture(swept([3.0, 1.0, 2.0], optimizer=["sgd", "adam", "lion"]))
    joined = picture(swept([3.0, 1.0, 2.0], lr=[0.3, 0.1, 0.2]))
    path = joined.split('class="curve faint"')[0].rsplit('d="M', 1)[1].split('"')[0]
    places = [float(point.split(",")[0]) for point in path.split("L")]
    assert places == sorted(places) and len(places) == 3


def test_all_rows_are_no_small_batch():
    drawn = picture(swept([1.0, 2.0, 3.0], batch_size=[8, 16, 0]))
    assert ">all rows<" in drawn and "batch_size all rows: rmse 3.000" in drawn and "curve" not in drawn


def test_what_diverged_is_marked_and_where_all_did_there_is_no_picture():
    assert picture(swept([1.0, math.inf], width=[8, 16], lr=[0.1, 9.0])).count("\N{MULTIPLICATION SIGN}<") == 2
    page = sweep_page(swept([math.inf, math.inf], lr=[1e3, 1e6]))
    assert page.sections[0].charts[0].pictures == () and "1000" in page.html()
