"""Points of two classes out of a table of one's own, for the network with two inputs.

Knows tables; it knows no experiment and no addresses.
"""

from dataclasses import dataclass

import numpy
import polars

from trimtab.errors import DataError
from trimtab.table.cells import as_text, settle_types
from trimtab.text.wording import sentence

# As many as a chapter's own points: they travel in an address, and are drawn one by one.
MOST_ROWS = 300


@dataclass(frozen=True)
class OwnPoints:
    """`points` as x, y and class (0 or 1), both columns from -1 to 1, the names of both, and a sentence on what
    they are."""

    points: list[tuple[float, float, int]]
    columns: list[str]
    said: str


def points_of(frame: polars.DataFrame) -> OwnPoints:
    """The first two columns of numbers and the last one with two values; at most 300 rows, by chance.

    Raises DataError where there are no such columns, or too few rows in which all three are filled.
    """
    frame, _ = settle_types(frame)
    classes = [name for name in frame.columns if frame[name].drop_nulls().n_unique() == 2]
    if not classes:
        raise DataError("No column has just two values: one has to say the class of each row, as yes or no do.")
    target = classes[-1]
    inputs = [name for name in frame.columns if name not in classes and frame[name].dtype.is_numeric()][:2]
    if len(inputs) < 2:
        raise DataError(f'Beside "{target}", which has two values, there must be two columns of numbers.')
    x = frame.select(polars.col(inputs).cast(polars.Float64).fill_null(float("nan"))).to_numpy()
    text = as_text(frame[target])
    names, labels = text.drop_nulls().unique().sort().to_list(), text.to_numpy()
    whole = numpy.flatnonzero(numpy.isfinite(x).all(1) & text.is_not_null().to_numpy())
    if len(whole) < 10 or any((labels[whole] == name).sum() < 2 for name in names):
        raise DataError(
            f'Too few rows have "{inputs[0]}", "{inputs[1]}" and "{target}": ten are needed, two of each class.'
        )
    low, high = x[whole].min(0), x[whole].max(0)
    if not (high > low).all():
        raise DataError("One of the two columns of numbers is the same in all rows.")
    drawn = numpy.random.default_rng(0).permutation(whole)[:MOST_ROWS]
    scaled = (2 * (x[drawn] - low) / (high - low) - 1).round(3)
    points = [(float(a), float(b), names.index(each)) for (a, b), each in zip(scaled, labels[drawn], strict=True)]
    some = f"{len(drawn):,} of {len(whole):,} rows" if len(drawn) < len(whole) else f"{len(drawn):,} rows"
    told = f'{some}: across "{inputs[0]}", up "{inputs[1]}", each from its lowest to its highest'
    return OwnPoints(points, inputs, sentence(f'{told}; blue is {target} "{names[0]}", orange "{names[1]}"'))
