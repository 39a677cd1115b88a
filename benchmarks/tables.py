"""The benchmark's tables: where they lie, and which rows are train and test in split i. Knows no models."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy
import polars

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"  # where they mostly lie: beside the repository
SMALL = 2_000  # below, a table counts with the mean of its splits 0 to 4
ADULT_TRAIN_ROWS = 32_561


@dataclass(frozen=True)
class Table:
    """One data set; `frame` holds every cell as the text it is in the file."""

    name: str
    target: str
    is_regression: bool
    frame: polars.DataFrame
    folder: Path

    @property
    def metric(self) -> str:
        return "rmse" if self.is_regression else "logloss"

    def labels(self, train: polars.DataFrame) -> list[str] | None:
        """The classes that training rows hold, in order; None where numbers are predicted."""
        return None if self.is_regression else sorted(train[self.target].unique())

    @property
    def splits(self) -> range:
        """The splits that count."""
        return range(5 if self.frame.height < SMALL else 1)

    def split(self, i: int) -> tuple[polars.DataFrame, polars.DataFrame]:
        """Train and test rows of split `i`: the official one where there is one, else a seeded 80 / 20."""
        train, test = self.rows(i)
        return self.frame[train], self.frame[test]

    def typed_split(self, i: int) -> tuple[polars.DataFrame, polars.DataFrame]:
        """The same rows with columns of numbers as such, by what stands in both parts."""
        train, test = self.split(i)
        rows = typed(polars.concat([train, test]))
        return rows.head(train.height), rows.tail(test.height)

    def rows(self, i: int) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Their numbers."""
        official = self.folder / f"{self.name}.splits.npz"
        if official.exists():
            rows = numpy.load(official)
            return rows[f"train_{i}"], rows[f"test_{i}"]
        height = self.frame.height
        if self.name == "adult":
            return numpy.arange(ADULT_TRAIN_ROWS), numpy.arange(ADULT_TRAIN_ROWS, height)
        order = numpy.random.default_rng(1000 + i).permutation(height)
        return order[: int(0.8 * height)], order[int(0.8 * height) :]


def read_tables(folder: Path, names: list[str] | None = None) -> list[Table]:
    """The tables of `folder`'s index, all or those named; raises SystemExit for a name that is not there."""
    index = {entry["name"]: entry for entry in json.loads((folder / "index.json").read_text())}
    if unknown := set(names or ()) - set(index):
        raise SystemExit(f"There is no table {', '.join(sorted(unknown))}. There are: {', '.join(sorted(index))}.")
    return [
        Table(
            name=name,
            target=entry["target"],
            is_regression=entry["task"] == "regression",
            frame=polars.read_csv(folder / entry["file"], infer_schema=False),
            folder=folder,
        )
        for name, entry in index.items()
        if names is None or name in names
    ]


def typed(frame: polars.DataFrame) -> polars.DataFrame:
    """Columns that are numbers wherever they are anything become numbers."""
    numbers = frame.select(polars.all().cast(polars.Float64, strict=False))
    is_number = [numbers[name].null_count() == frame[name].null_count() for name in frame.columns]
    return frame.with_columns(numbers[name] for name, keep in zip(frame.columns, is_number, strict=True) if keep)
