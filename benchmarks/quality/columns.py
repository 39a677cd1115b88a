"""What columns made from others would add: one network with and without them, trained on a table's first fold.

Means of the target by category out of fold [Micci-Barreca 2001], the same of pairs of categories, and ratios (or, where
something is not positive, differences) of the numbers that tell most of the target. Nothing of this is in trimtab: the
columns are made beside it, of training rows alone.

python -m benchmarks.quality.columns --seeds 4
"""

import argparse
from collections.abc import Callable, Mapping
from itertools import combinations
from pathlib import Path

import numpy
import polars
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.preprocessing import TargetEncoder

from benchmarks.page import table as markdown
from benchmarks.quality.recipe import test_errors
from benchmarks.tables import SHARED, Table, read_tables

FEWEST_LABELS = 5  # a column of fewer is told as well by its indicators
CROSSES = 3
STRONGEST = 6  # of so many numbers every pair is taken
FEWEST_VALUES = 10  # a number of fewer is a code

Frames = tuple[polars.DataFrame, polars.DataFrame]


def target_means(table: Table, train: polars.DataFrame, test: polars.DataFrame) -> Frames:
    """A column (for several classes one of each) more for each category of several labels."""
    columns = [column for column in _categories(table, train) if train[column].n_unique() >= FEWEST_LABELS]
    return _with_means(table, train, test, {column: [column] for column in columns})


def crosses(table: Table, train: polars.DataFrame, test: polars.DataFrame) -> Frames:
    """The same of the pairs of categories that tell most beyond the better of both."""
    pairs = {f"{a} x {b}": [a, b] for a, b in combinations(_categories(table, train), 2)}
    told = {name: _told(table, train, columns) for name, columns in pairs.items()}
    alone = {column: _told(table, train, [column]) for column in _categories(table, train)}
    gain = {name: told[name] - max(alone[each] for each in columns) for name, columns in pairs.items()}
    best = sorted((name for name in pairs if gain[name] > 0), key=gain.__getitem__, reverse=True)[:CROSSES]
    return _with_means(table, train, test, {name: pairs[name] for name in best})


def ratios(table: Table, train: polars.DataFrame, test: polars.DataFrame) -> Frames:
    """A column more for each pair of the strongest numbers."""
    numbers = [
        column
        for column, dtype in train.schema.items()
        if dtype.is_numeric() and column != table.target and train[column].n_unique() >= FEWEST_VALUES
    ]
    if len(numbers) < 2:
        return train, test
    filled = train.select(polars.col(numbers).fill_null(strategy="mean")).to_numpy()
    measure = mutual_info_regression if table.is_regression else mutual_info_classif
    told = measure(filled, train[table.target].to_numpy(), random_state=0)
    strongest = [numbers[i] for i in numpy.argsort(-told)[:STRONGEST]]
    made = [_pair(train, a, b) for a, b in combinations(strongest, 2)]
    return train.with_columns(made), test.with_columns(made)


MADE: Mapping[str, Callable[[Table, polars.DataFrame, polars.DataFrame], Frames]] = {
    "target means": target_means,
    "crosses": crosses,
    "ratios": ratios,
}


def _categories(table: Table, train: polars.DataFrame) -> list[str]:
    return [
        column
        for column, dtype in train.schema.items()
        if dtype == polars.String and column != table.target and train[column].n_unique() <= train.height / 4
    ]


def _pair(train: polars.DataFrame, a: str, b: str) -> polars.Expr:
    if (train.select(polars.min_horizontal(polars.col(a).min(), polars.col(b).min())).item() or 0) > 0:
        return (polars.col(a).log() - polars.col(b).log()).alias(f"{a} / {b}")
    scale = train[a].std() or 1, train[b].std() or 1
    return (polars.col(a) / scale[0] - polars.col(b) / scale[1]).alias(f"{a} - {b}")


def _joined(frame: polars.DataFrame, columns: list[str]) -> numpy.ndarray:
    text = frame.select(polars.concat_str(polars.col(columns).fill_null("none"), separator=" | ")).to_series()
    return text.to_numpy().reshape(-1, 1)


def _encoder(table: Table) -> TargetEncoder:
    if table.is_regression:
        return TargetEncoder(target_type="continuous", cv=KFold(5, shuffle=True, random_state=0))
    return TargetEncoder(cv=StratifiedKFold(5, shuffle=True, random_state=0))


def _told(table: Table, train: polars.DataFrame, columns: list[str]) -> float:
    """The share of the target's variance (of several classes the first one's) that out-of-fold means tell."""
    truth = train[table.target].to_numpy()
    means = _encoder(table).fit_transform(_joined(train, columns), truth)[:, 0]
    number = truth if table.is_regression else truth == sorted(set(truth))[-1 if len(set(truth)) == 2 else 0]
    correlation = numpy.corrcoef(means, number.astype(float))[0, 1]
    return float(numpy.nan_to_num(max(correlation, 0.0) ** 2))


def _with_means(table: Table, train: polars.DataFrame, test: polars.DataFrame, made: Mapping[str, list[str]]) -> Frames:
    truth = train[table.target].to_numpy()
    for name, columns in made.items():
        encoder = _encoder(table)
        of_train = encoder.fit_transform(_joined(train, columns), truth)
        of_test = encoder.transform(_joined(test, columns))
        names = [f"mean by {name} {i}" for i in range(of_train.shape[1])]
        train = train.with_columns(polars.from_numpy(of_train, schema=names))
        test = test.with_columns(polars.from_numpy(of_test, schema=names))
    return train, test


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, default=SHARED, help="folder of the development sets")
    parser.add_argument("--names", help="only these, as a,b")
    parser.add_argument("--made", default=",".join(MADE), help="only these, as a,b")
    parser.add_argument("--seeds", type=int, default=4)
    asked = parser.parse_args()
    columns = asked.made.split(",")
    lines: list[list[str]] = []
    logs: dict[str, list[float]] = {name: [] for name in columns}
    for table in read_tables(asked.data, asked.names.split(",") if asked.names else None):
        train, test = table.typed_split(0)
        plain = test_errors(table, train, test, seeds=asked.seeds)
        cells = []
        for name in columns:
            made = MADE[name](table, train, test)
            more = made[0].width - train.width
            if not more:
                cells.append("")
                continue
            ratio = test_errors(table, *made, seeds=asked.seeds) / plain
            logs[name].append(float(numpy.log(ratio)))
            cells.append(f"{ratio - 1:+.1%} ({more})")
        lines.append([table.name, f"{plain:.4g}", *cells])
        print(*lines[-1], flush=True)
    means = [f"{numpy.expm1(numpy.mean(logs[name])):+.1%}" if logs[name] else "" for name in columns]
    print(markdown(["table", "as they are", *columns], [*lines, ["geometric mean", "", *means]]))


if __name__ == "__main__":
    main()
