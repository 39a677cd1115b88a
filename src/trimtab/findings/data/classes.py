"""The rule class_imbalance: classes so rare, or so frequent, that what is asked for cannot be learnt or judged.

Knows classes and folds; it knows no network.
"""

import numpy

from trimtab.findings.checked import Checked
from trimtab.findings.data.table_record import TableRecord
from trimtab.findings.finding import Effect, Finding, Remedy
from trimtab.text.wording import counted, listed

# With ten rows of a class, the share of them that is found is known to plus or minus 31 percentage points (half the
# 95 % interval of ten draws at one half); with fewer nothing can be said of it.
FEWEST_OF_A_CLASS = 10
# Being right nine times in ten without having learnt anything hides all that is learnt (a guess).
MOST_OF_ONE_CLASS = 0.9
_COUNTING = ("accuracy",)
CLASSES_SHOWN = 3


def class_imbalance(record: TableRecord, *, metric: str = "") -> Checked:
    """A class has fewer rows than folds, or than ten; or accuracy is asked for and one class has nine rows in ten.

    Rule: counts alone. An uneven share of classes is no fault in itself: log loss, ROC AUC and balanced accuracy judge
    it well, and a finding is made only of what it costs.
    """
    if record.task != "classification":
        return None
    counts = numpy.bincount(record.targets, minlength=len(record.labels)) * max(1.0, record.of_rows / record.size)
    fewest = max(FEWEST_OF_A_CLASS, len(record.folds))
    rare = [i for i in numpy.argsort(counts, kind="stable") if 0 < counts[i] < fewest]
    most = int(counts.argmax())
    share = float(counts[most] / counts.sum())
    shares = {record.labels[i]: int(count) for i, count in enumerate(counts)}
    if metric in _COUNTING and share >= MOST_OF_ONE_CLASS:
        label = record.labels[most]
        return Finding(
            "class_imbalance",
            "high",
            f"{100 * share:.1f} % of the rows are of class {label}: whoever always says {label} has an accuracy of "
            f"{100 * share:.1f} %, so that accuracy hardly tells a good network from none.",
            {"rows": shares, "most": label, "share": share},
            Effect(f"All that can be learnt moves accuracy by {100 * (1 - share):.1f} percentage points at most."),
            Remedy(
                "Choose by a metric that counts every class.", flag="--metric balanced_accuracy",
                code='metric="balanced_accuracy"',
            ),
        )  # fmt: skip
    if not rare:
        return f"Every class has at least {fewest} rows, and the metric is not ruled by the most frequent one."
    named = listed(f"{record.labels[i]} ({counted(int(counts[i]), 'row')})" for i in rare[:CLASSES_SHOWN])
    more = f" and {counted(len(rare) - CLASSES_SHOWN, 'other')}" if len(rare) > CLASSES_SHOWN else ""
    is_short = counts[rare[0]] < max(2, len(record.folds))
    return Finding(
        "class_imbalance",
        "high" if is_short else "medium",
        f"{'Classes have' if len(rare) > 1 else 'A class has'} too few rows to be learnt and judged: {named}{more}.",
        {"rows": shares, "rare": [record.labels[i] for i in rare], "folds": len(record.folds)},
        Effect(
            "Some validation parts have no row of it." if is_short
            else "The share of it that is found is known to 31 percentage points at best."
        ),
        Remedy("Get more rows of it, join it with a class that is near, or leave its rows out."),
    )  # fmt: skip
