"""What is printed of an evaluation fits 80 columns, whole."""

from typing import Any

import pytest

from trimtab.evaluation.metrics import Figure
from trimtab.evaluation.result import ClassFigures, Evaluation, evaluation_in_text
from trimtab.evaluation.slices import Slice
from trimtab.evaluation.threshold import Threshold

NONE = float("nan")
LONG = [f"a rather long label, number {i}" for i in range(6)]


def evaluation(labels: list[str], targets: tuple[str, ...] = (), **changes: Any) -> Evaluation:
    figure = Figure(123456.789, 111111.1, 234567.8)
    classes = tuple(ClassFigures(label, 1200, 7, figure, Figure(NONE, NONE, NONE), figure) for label in labels)
    confusion = tuple(tuple(10 * i + j for j in range(len(labels))) for i in range(len(labels)))
    names = ("log_loss", "balanced_accuracy") if labels else ("rmse", "mae")
    given = {
        "task": "classification", "metric": names[0], "rows": 1, "figures": dict.fromkeys(names, figure),
        "targets": {target: dict.fromkeys(names, figure) for target in targets}, "classes": classes,
        "confusion": confusion, "threshold": None, "slice_metric": names[0],
        "slices": tuple(Slice(f"column {i}", " ".join(["many words"] * 9), 12, figure, i < 9) for i in range(12)),
    }  # fmt: skip
    return Evaluation(**given | changes)


@pytest.mark.parametrize(
    "found",
    [
        evaluation(["no", "yes"], threshold=Threshold(0.25, "yes", "the best for f1 on 1,204 validation rows")),
        evaluation(LONG),
        evaluation([f"label {i}" for i in range(40)]),
        evaluation([], targets=("price in thousands", "rent", "tax", "depth")),
        evaluation([], slices=()),
    ],
    ids=["two classes", "long labels", "many classes", "targets", "no slices"],
)
@pytest.mark.parametrize("width", [80, 120])
def test_it_fits_the_width_and_nothing_is_cut(found: Evaluation, width: int) -> None:
    text = evaluation_in_text(found, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert text.startswith("1 row scored")
    assert "[111,111,\N{NO-BREAK SPACE}234,568]" in text
    shown = [each.label for each in found.classes][: 6 if found.classes else 0]
    for whole in (*shown, *found.targets):
        assert whole in text
    if found.slices:
        assert "The 8 worst of 9" in text


def test_a_matrix_that_does_not_fit_becomes_the_confusions_that_happen_most() -> None:
    wide, narrow = evaluation_in_text(evaluation(LONG), 80), evaluation_in_text(evaluation(["no", "yes"]), 80)
    assert "true \\ predicted" in narrow
    assert "predicted instead" in wide and "true \\ predicted" not in wide
    assert "  54  a rather long label, number 5  a rather long label, number 4" in wide


def test_nothing_beyond_noise_is_said_so() -> None:
    calm = evaluation(["no", "yes"], slices=(Slice("size", "1 to 2", 50, Figure(1, 0, 2), is_worse=False),))
    assert "In no part of a column" in evaluation_in_text(calm)
