"""What a person reads of an evaluation: figures, classes, confusions, slices. Trains and scores nothing."""

from typing import TYPE_CHECKING

from trimtab.text.layout import number, paragraph, table_in_text
from trimtab.text.wording import counted, listed

if TYPE_CHECKING:
    from trimtab.evaluation.evaluation import Evaluation
    from trimtab.evaluation.metrics import Figure

WIDTH = 80
# Figures that look at one of two classes.
OF_ONE_CLASS = ("f1", "precision", "recall", "average_precision")
SLICES_SHOWN, CLASSES_SHOWN, CONFUSIONS_SHOWN = 8, 20, 10


def evaluation_in_text(found: "Evaluation", width: int = WIDTH) -> str:
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


def interval(figure: "Figure") -> str:
    """ "[4.1, 4.9]", in one piece: the blank in it does not break."""
    if figure.low != figure.low:
        return "-"
    return f"[{number(figure.low)},\N{NO-BREAK SPACE}{number(figure.high)}]"


def _figures(found: "Evaluation", width: int) -> str:
    several = bool(found.targets)
    headings = ["metric", "all targets" if several else "value", "95 % interval"]
    rows = [[name, number(figure.value), interval(figure)] for name, figure in found.figures.items()]
    for target, own in found.targets.items():
        headings += [target, "95 % interval"]
        for row in rows:
            row += [number(own[row[0]].value), interval(own[row[0]])]
    return table_in_text(headings, rows, width, right=range(1, len(headings), 2))


def _classes(found: "Evaluation", width: int) -> str:
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


def _confusion(found: "Evaluation", width: int) -> str:
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


def _slices(found: "Evaluation", width: int) -> str:
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
