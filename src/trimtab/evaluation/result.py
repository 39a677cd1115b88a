"""Result: what an evaluation found, as records and as a person reads it: figures, classes, confusions, slices.

Trains and scores nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trimtab.evaluation.metrics import Figure
from trimtab.evaluation.slices import Slice
from trimtab.evaluation.threshold import Threshold
from trimtab.text.layout import number, paragraph, table_in_text
from trimtab.text.wording import counted, listed

WIDTH = 80  # characters, where no terminal says how wide it is
# Figures that look at one of two classes.
OF_ONE_CLASS = ("f1", "precision", "recall", "average_precision")
SLICES_SHOWN, CLASSES_SHOWN, CONFUSIONS_SHOWN = 8, 20, 10  # together about a screen (guesses)


@dataclass(frozen=True)
class ClassFigures:
    """One class: how many rows have it, how many are predicted to, and how well both agree."""

    label: str
    rows: int
    predicted: int
    precision: Figure
    recall: Figure
    f1: Figure

    def to_json(self) -> dict[str, Any]:
        figures = {"precision": self.precision, "recall": self.recall, "f1": self.f1}
        counts: dict[str, Any] = {"label": self.label, "rows": self.rows, "predicted": self.predicted}
        return counts | {name: figure.to_json() for name, figure in figures.items()}


@dataclass(frozen=True, repr=False)
class Evaluation:
    """How good a model is on some rows. Print it for the tables; `summary()` is all of it as one plain dict.

    Attributes:
        task: "regression" or "classification".
        metric: the metric that the model was chosen by, or the task's default.
        rows: how many rows were scored.
        figures: every metric of the task by name, each a `Figure` with value, low and high (the 95 % interval).
        targets: the same for each target, where there are several.
        classes: for each class its rows and predictions, precision, recall and F1.
        confusion: rows by true class and, across, by predicted class, in the order of `classes`.
        threshold: from which probability on rows count as the second of two classes, where one was asked for; else the
            more probable class is predicted.
        slices: rows that are alike in one column, those where the model is worse beyond noise first.
        slice_metric: what slices are measured by.
        is_weighted: whether rows have weights of their own.
        notices: what a user ought to know about the rows.
    """

    task: str
    metric: str
    rows: int
    figures: Mapping[str, Figure]
    targets: Mapping[str, Mapping[str, Figure]]
    classes: tuple[ClassFigures, ...]
    confusion: tuple[tuple[int, ...], ...]
    threshold: Threshold | None
    slices: tuple[Slice, ...]
    slice_metric: str
    is_weighted: bool = False
    notices: tuple[str, ...] = ()

    def summary(self) -> dict[str, Any]:
        """The object that `trimtab evaluate --json` prints; None stands for what is not defined."""
        threshold = self.threshold
        return {
            "task": self.task, "metric": self.metric, "rows": self.rows, "weighted": self.is_weighted,
            "figures": {name: figure.to_json() for name, figure in self.figures.items()},
            "targets": {
                target: {name: figure.to_json() for name, figure in own.items()} for target, own in self.targets.items()
            },
            "classes": [each.to_json() for each in self.classes],
            "confusion": [list(row) for row in self.confusion],
            "threshold": None if threshold is None else vars(threshold),
            "slice_metric": self.slice_metric, "slices": [each.to_json() for each in self.slices],
            "notices": list(self.notices),
        }  # fmt: skip

    def __repr__(self) -> str:
        figure = self.figures[self.metric]
        return (
            f"Evaluation({counted(self.rows, 'row')}: {self.metric} {figure.value:.4g} "
            f"[{figure.low:.4g}, {figure.high:.4g}])"
        )

    def __str__(self) -> str:
        return evaluation_in_text(self)


def evaluation_in_text(found: Evaluation, width: int = WIDTH) -> str:
    """All that is read at a glance, on lines of at most `width`."""
    weighted = ", weighted" if found.is_weighted else ""
    blocks = [f"{counted(found.rows, 'row')} scored{weighted}", _figures(found, width)]
    if len(found.classes) == 2:
        of_one = [name for name in found.figures if name in OF_ONE_CLASS]
        blocks.append(paragraph(f'{listed(of_one)} are those of "{found.classes[1].label}".', width))
    if found.threshold is not None:
        threshold = found.threshold
        blocks.append(paragraph(
            f'"{threshold.positive}" is predicted where its probability is at least {threshold.value:.4g}: '
            f"{threshold.reason}.", width,
        ))  # fmt: skip
    if found.classes:
        blocks += [_classes(found, width), _confusion(found, width)]
    blocks.append(_slices(found, width))
    return "\n\n".join(block for block in blocks if block)


def interval(figure: Figure) -> str:
    """ "[4.1, 4.9]", in one piece: the blank in it does not break."""
    if figure.low != figure.low:
        return "-"
    return f"[{number(figure.low)},\N{NO-BREAK SPACE}{number(figure.high)}]"


def _figures(found: Evaluation, width: int) -> str:
    several = bool(found.targets)
    headings = ["metric", "all targets" if several else "value", "95 % interval"]
    rows = [[name, number(figure.value), interval(figure)] for name, figure in found.figures.items()]
    for target, own in found.targets.items():
        headings += [target, "95 % interval"]
        for row in rows:
            row += [number(own[row[0]].value), interval(own[row[0]])]
    return table_in_text(headings, rows, width, right=range(1, len(headings), 2))


def _classes(found: Evaluation, width: int) -> str:
    headings = ["class", "rows", "predicted", "precision", "recall", "F1", "95 % interval of F1"]
    shown = sorted(found.classes, key=lambda each: -each.rows)[:CLASSES_SHOWN]
    shown = [each for each in found.classes if each in shown]
    rows = [
        [each.label, f"{each.rows:,}", f"{each.predicted:,}",
         *(number(figure.value) for figure in (each.precision, each.recall, each.f1)), interval(each.f1)]
        for each in shown
    ]  # fmt: skip
    more = len(found.classes) - len(shown)
    text = table_in_text(headings, rows, width, right=range(1, 6))
    return text + (f"\n... and {counted(more, 'rarer class', 'rarer classes')}: --json has all" if more else "")


def _confusion(found: Evaluation, width: int) -> str:
    """The matrix where it fits, else the confusions that happen most."""
    labels = [each.label for each in found.classes]
    headings = ["true \\ predicted", *labels]
    rows = [[label, *(f"{count:,}" for count in row)] for label, row in zip(labels, found.confusion, strict=True)]
    natural = sum(max(map(len, column)) + 2 for column in zip(headings, *rows, strict=True))
    if natural <= width:
        return table_in_text(headings, rows, width, right=range(1, len(headings)))
    matrix = [(i, j, count) for i, row in enumerate(found.confusion) for j, count in enumerate(row)]
    pairs = sorted(((n, labels[i], labels[j]) for i, j, n in matrix if i != j), key=lambda pair: -pair[0])
    often = [[f"{count:,}", true, predicted] for count, true, predicted in pairs[:CONFUSIONS_SHOWN] if count]
    return table_in_text(["rows", "true class", "predicted instead"], often, width, right=(0,)) if often else ""


def _slices(found: Evaluation, width: int) -> str:
    worse = [each for each in found.slices if each.is_worse]
    if not found.slices:
        return ""
    if not worse:
        return paragraph(
            f"In no part of a column is {found.slice_metric} worse than elsewhere by more than noise "
            f"({counted(len(found.slices), 'slice')} looked at).", width,
        )  # fmt: skip
    rows = [
        [number(each.figure.value), interval(each.figure), f"{each.rows:,}", f"{each.column}: {each.values}"]
        for each in worse[:SLICES_SHOWN]
    ]
    more = f" The {SLICES_SHOWN} worst of {len(worse)}:" if len(worse) > SLICES_SHOWN else ""
    table = table_in_text([found.slice_metric, "95 % interval", "rows", "where"], rows, width, right=(0, 2))
    return f"Worse than elsewhere, by more than noise:{more}\n{table}"
