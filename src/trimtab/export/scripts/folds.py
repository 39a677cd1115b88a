"""The folds of a study as code: drawn by the same rule from the same seed, so that scores can be compared.

Knows split options and counts; what a row holds is none of its business.
"""

from dataclasses import dataclass

from trimtab.export.scripts.literals import literal
from trimtab.table.folds import FOLDS, MOST_ROWS_FOR_FOLDS, MOST_VALIDATION_ROWS, SMALL_UNIT, VALIDATION_SHARE
from trimtab.table.split import SplitRule

_COPIES = '''\
# Rows that are equal in every column stay on one side: the first of them stands for all.
{first}


def dealt(rows):
    """The first row of each set of copies, as they are dealt: sorted by {strata}, shuffled within."""
    heads, copies = numpy.unique(first[rows], return_counts=True)
    {result}heads[numpy.lexsort((chance.random(len(heads)), copies, stratum[heads]))]
'''
_ROWS = '''\
def dealt(rows):
    """`rows` as they are dealt: sorted by {strata}, shuffled within."""
    {result}rows[numpy.lexsort((chance.random(len(rows)), stratum[rows]))]
'''
_SINGLE = """\
    return heads[numpy.bincount(stratum[heads])[stratum[heads]] > 1]  # a class of a single row always trains
"""
_SHARE = '''

def evenly(heads, share):
    """A `share` of `heads`, evenly spaced."""
    return heads[numpy.diff(numpy.floor(numpy.cumsum(numpy.full(len(heads), share)) + 0.5), prepend=0.0) > 0]
'''
_SHARE_OF_COPIES = '''

def evenly(heads, share):
    """A `share` of the rows of `heads`, evenly spaced; large sets of copies stay, the others make up for them."""
    copies, own = numpy.bincount(first)[heads], stratum[heads]
    wanted = share * numpy.bincount(own, weights=copies)
    gives = copies <= numpy.maximum(wanted[own], 5)
    there = numpy.bincount(own, weights=copies * gives, minlength=len(wanted))
    rate = gives * numpy.minimum(wanted / numpy.maximum(there, 1), max(share, 0.5))[own]
    return heads[numpy.diff(numpy.floor(numpy.cumsum(rate) + 0.5), prepend=0.0) > 0]
'''


@dataclass(frozen=True)
class Division:
    """How a study divided its rows.

    `test_share` is None where no row of the table was put aside by chance; `count` the number of folds;
    `most_copies` is how many rows at most are equal in every column (`counters` aside), 1 where none are;
    `has_single_classes`: some class may have a single row. `tests_labels`: the test part is balanced over the target's
    values, whatever the folds are. `has_weightless_rows`: some rows have weight 0, and are left out after the draw.
    `spells_classes_differently`: rows may be copies although their class is written otherwise.
    """

    rule: SplitRule
    seed: int
    test_share: float | None
    tests_nothing: bool
    count: int
    is_classification: bool
    most_copies: int
    has_single_classes: bool
    counters: tuple[str, ...] = ()
    tests_labels: bool = False
    has_weightless_rows: bool = False
    spells_classes_differently: bool = False

    @property
    def puts_test_aside(self) -> bool:
        return self.rule.kind == "random" and self.test_share is not None

    @property
    def has_copies(self) -> bool:
        return self.most_copies > 1

    @property
    def of_rows(self) -> str:
        """The expression for what stands for each of `rows`."""
        return "first[rows]" if self.has_copies else "rows"


def folds_code(division: Division) -> str:
    """Statements that make `folds`, a list of (train, valid) row numbers; a split by time reads `times`."""
    kind = division.rule.kind
    if kind == "time":
        return _by_time(division)
    if kind == "group":
        return _by_group(division)
    lines = []
    if kind == "column":
        named = f"label({literal(division.rule.column)})"
        lines.append(f"part = {named}.str.to_lowercase().str.head(3).to_numpy()  # train, valid or test")
        train, valid = 'part != "val"' if division.tests_nothing else 'part == "tra"', 'part == "val"'
        if division.has_weightless_rows:
            train, valid = f"({train}) & (weight > 0)", f"({valid}) & (weight > 0)"
        if division.count == 1:
            lines.append(f"folds = [(numpy.flatnonzero({train}), numpy.flatnonzero({valid}))]\n")
            return "\n".join(lines)
        lines.append(f"rows = numpy.flatnonzero({train})")
    else:
        lines.append("rows = numpy.arange(len(target))")
    return "\n".join([_drawing(division), *lines, *_random(division), ""])


def _drawing(division: Division) -> str:
    """`chance`, `stratum`, `dealt` and, where a share of rows is put aside, `evenly`."""
    strata = "class" if division.is_classification else "twentieth of the target"
    tests_labels = division.tests_labels if division.puts_test_aside else division.is_classification
    if tests_labels != division.is_classification:
        strata = "stratum"
    stratum = _stratum(division, tests_labels)
    text = _COPIES if division.has_copies else _ROWS
    result = "heads = " if division.has_single_classes else "return "
    text = text.format(strata=strata, result=result, first=_first(division))
    text += _SINGLE if division.has_single_classes else ""
    if division.puts_test_aside or division.count == 1:
        text += _SHARE_OF_COPIES if division.most_copies > SMALL_UNIT else _SHARE
    return f"chance = numpy.random.default_rng([{division.seed}, 0x7AB1E])\n{stratum}\n{text}\n"


def _stratum(division: Division, is_of_labels: bool) -> str:
    """A statement that makes `stratum`: the class, value or twentieth of the target that each row belongs to."""
    if is_of_labels and division.is_classification:
        return 'stratum = label(TARGET).rank("dense").to_numpy().astype(int) - 1'
    if is_of_labels:
        return 'stratum = polars.Series(target[:, 0]).rank("dense").to_numpy().astype(int) - 1'
    columns = "number(TARGET)[None]" if division.is_classification else "target.T"
    return (
        f'ranks = [polars.Series(column).rank("average").to_numpy() for column in {columns}]\n'
        "stratum = numpy.floor(20 * (numpy.mean(ranks, axis=0) - 0.5) / len(target)).astype(int)"
    )


def _first(division: Division) -> str:
    cells, start = "table", ""
    if division.counters or division.spells_classes_differently:
        made = f"table.drop({literal(list(division.counters))})" if division.counters else "table"
        made += ".with_columns(label(TARGET).alias(TARGET))" if division.spells_classes_differently else ""
        cells, start = "cells", f"cells = {made}\n"
    rows = f'{cells}.with_row_index("__row__").select(polars.col("__row__").min().over({cells}.columns))'
    return f"{start}first = {rows}.to_series().to_numpy()"


def _random(division: Division) -> list[str]:
    lines, of_rows = [], division.of_rows
    if division.puts_test_aside:
        heads = "dealt(rows)"
        if division.tests_labels and not division.is_classification:
            lines += ["heads = dealt(rows)", "heads = heads[numpy.bincount(stratum[heads])[stratum[heads]] > 1]"]
            heads = "heads"
        test = f"evenly({heads}, {literal(division.test_share)})"
        lines.append(f"rows = rows[~numpy.isin({of_rows}, {test})]  # the study's test rows stay out")
        if division.tests_labels != division.is_classification:
            lines += _stratum(division, division.is_classification).split("\n")
    if division.rule.kind == "random" and division.has_weightless_rows:
        lines.append("rows = rows[weight[rows] > 0]")
    if division.count == 1:
        share = f"min({literal(VALIDATION_SHARE)}, {MOST_VALIDATION_ROWS} / len(rows))"
        lines.append(f"is_valid = numpy.isin({of_rows}, evenly(dealt(rows), {share}))")
        return [*lines, "folds = [(rows[~is_valid], rows[is_valid])]"]
    return [*lines, *_cross(division)]


def _cross(division: Division) -> list[str]:
    count = division.count
    return [
        "heads = dealt(rows)",
        f"valid = [rows[numpy.isin({division.of_rows}, heads[i::{count}])] for i in range({count})]",
        "folds = [(numpy.setdiff1d(rows, part), part) for part in valid]",
    ]


def _by_time(division: Division) -> str:
    """As `table.folds.by_time`: a cut stands only where time moves on."""
    lines = [
        "times = numpy.nan_to_num(times, nan=-numpy.inf)",
        'order = numpy.argsort(times, kind="stable")',
        "cuts = numpy.flatnonzero(times[order][1:] != times[order][:-1]) + 1  # where time moves on",
        "",
        "",
        "def nearest(places, wanted):",
        "    return int(places[numpy.abs(places - wanted).argmin()])",
        "",
        "",
    ]
    if division.test_share is None:
        lines.append("end = len(order)")
    else:
        rest = literal(1 - division.test_share)
        lines.append(f"end = nearest(cuts[1:], {rest} * len(order))  # the study's test rows are later than these")
    if division.has_weightless_rows:
        lines += [
            "order = order[:end][weight[order[:end]] > 0]",
            "end = len(order)",
            "cuts = numpy.flatnonzero(times[order][1:] != times[order][:-1]) + 1",
        ]
    lines.append("cuts = cuts[cuts < end]")
    if division.count == 1:
        share = f"min({literal(VALIDATION_SHARE)}, {MOST_VALIDATION_ROWS} / end)"
        lines.append(f"wanted = [(1 - {share}) * end] if end > {MOST_ROWS_FOR_FOLDS} else "
                     f"[end * (i + 1) / {FOLDS + 1} for i in range({FOLDS})]")  # fmt: skip
    else:
        lines.append(f"wanted = [end * (i + 1) / {FOLDS + 1} for i in range({FOLDS})]")
    return "\n".join([
        *lines,
        "bounds = [*sorted({nearest(cuts, place) for place in wanted}), end]",
        "folds = [(numpy.sort(order[:a]), numpy.sort(order[a:b])) for a, b in zip(bounds, bounds[1:])]\n",
    ])  # fmt: skip


def _by_group(division: Division) -> str:
    """Whole groups; the study balances classes or quantiles over the folds, here only sizes are."""
    name = literal(division.rule.column)
    lines = [
        f'group = label({name}).fill_null("\\0missing").rank("dense").to_numpy().astype(int) - 1',
        "size = numpy.bincount(group)",
    ]
    if division.test_share is None:
        lines.append("rest = numpy.arange(len(size))")
    else:
        lines += [
            "aside, taken = [], 0  # the study's test rows stay out: whole groups, drawn by chance",
            f"for one in numpy.random.default_rng([{division.seed}, 0x7AB1E]).permutation(len(size)):",
            f"    if taken + size[one] <= {literal(division.test_share)} * len(group) or "
            "(taken == 0 and size[one] == size.min()):",
            "        aside, taken = [*aside, one], taken + size[one]",
            "rest = numpy.setdiff1d(numpy.arange(len(size)), aside)",
        ]
    lines.append("rows = numpy.flatnonzero(numpy.isin(group, rest))")
    if division.has_weightless_rows:
        lines += [
            "rows = rows[weight[rows] > 0]",
            "rest, size = numpy.unique(group[rows]), numpy.bincount(group[rows], minlength=len(size))",
        ]
    if division.count == 1:
        return "\n".join([
            *lines,
            "# Groups by chance until a fifth of the rows is reached.",
            f"order = numpy.random.default_rng({division.seed}).permutation(rest)",
            f"share = min({literal(VALIDATION_SHARE)}, {MOST_VALIDATION_ROWS} / len(rows))",
            "chosen = order[numpy.cumsum(size[order]) <= max(share * len(rows), size[order[0]])]",
            "is_valid = numpy.isin(group[rows], chosen)",
            "folds = [(rows[~is_valid], rows[is_valid])]\n",
        ])  # fmt: skip
    return "\n".join([
        *lines,
        "# Each group, the largest first, goes to the fold with the fewest rows. (The study also balances the target.)",
        f"members = [[] for _ in range({division.count})]",
        "for one in sorted(rest, key=lambda g: -size[g]):",
        "    min(members, key=lambda fold: sum(size[g] for g in fold)).append(one)",
        "valid = [rows[numpy.isin(group[rows], fold)] for fold in members]",
        "folds = [(numpy.setdiff1d(rows, part), part) for part in valid]\n",
    ])  # fmt: skip
