"""The encoding of a table's features as code: what `table.encode` does, with only the kinds of column that occur.

Knows the encoder of the study's model; how cells are read is in `reading`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from trimtab.export.scripts.literals import center_of, literal, table
from trimtab.export.scripts.network import Inputs
from trimtab.export.scripts.reading import Reading, moment_statements
from trimtab.table.encode import Encoder, Feature
from trimtab.table.moments import Cycle
from trimtab.table.numbers import Scaling
from trimtab.table.spans import Span

_CYCLES: dict[Cycle, str] = {
    "hour of day": '(when.dt.epoch("us") % 86_400_000_000) / 86_400_000_000',
    "day of week": "(when.dt.weekday().cast(polars.Float64) - 1) / 7",
    "day of month": "(when.dt.day().cast(polars.Float64) - 1) / 31",
    "month of year": "(when.dt.month().cast(polars.Float64) - 1) / 12",
}


# A column, or the two that a span is between, the earlier one first.
Name = str | tuple[str, str]


@dataclass(frozen=True)
class Columns:
    """The features of an encoder by kind, and its spans, which are called by their columns (earlier, later)."""

    numbers: tuple[Feature, ...]
    moments: tuple[Feature, ...]
    pairs: tuple[Feature, ...]
    one_hot: tuple[Feature, ...]
    embedded: tuple[Feature, ...]
    spans: tuple[Span, ...]

    @classmethod
    def of(cls, encoder: Encoder) -> "Columns":
        features = encoder.features
        by_kind = {
            kind: tuple(f for f in features if f.labels is not None and f.labels.kind == kind)
            for kind in ("binary", "one-hot", "embedding")
        }
        return cls(
            numbers=tuple(f for f in features if f.scaling is not None),
            moments=tuple(f for f in features if f.moments is not None),
            pairs=by_kind["binary"],
            one_hot=by_kind["one-hot"],
            embedded=by_kind["embedding"],
            spans=encoder.spans,
        )

    @property
    def scalings(self) -> dict[Name, Scaling]:
        """The scaling of each continuous column that varies; those that never do are left out."""
        found: dict[Name, Scaling] = {f.name: f.encoded_by for f in (*self.numbers, *self.moments)}
        found |= {_columns_of(span): span.scaling for span in self.spans}
        return {name: scaling for name, scaling in found.items() if scaling.scale}

    @property
    def edges(self) -> dict[Name, list[float]]:
        """Those of the bins of each of these, in as many digits as float32 has."""
        found: dict[Name, tuple[float, ...]] = {f.name: f.edges for f in (*self.numbers, *self.moments)}
        found |= {_columns_of(span): span.edges for span in self.spans}
        return {name: [float(f"{edge:.7g}") for edge in found[name]] for name in self.scalings}

    @property
    def gaps(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in (*self.numbers, *self.moments) if feature.has_indicator)

    @property
    def labelled(self) -> tuple[Feature, ...]:
        return (*self.pairs, *self.one_hot, *self.embedded)

    @property
    def inputs(self) -> Inputs:
        scalings = self.scalings
        cycles = sum(2 * len(f.moments.parts) for f in self.moments if f.moments is not None)
        hot = sum(len(f.labels.column_names) for f in self.one_hot if f.labels is not None)
        return Inputs(
            numbers=len(scalings) + len(self.gaps) + cycles + len(self.pairs) + hot,
            continuous=len(scalings),
            cardinalities=tuple(f.labels.entries for f in self.embedded if f.labels is not None),
        )


def _columns_of(span: Span) -> tuple[str, str]:
    return span.earlier, span.later


def columns_code(columns: Columns, reading: Reading, *, has_weights: bool) -> str:
    """Statements that make `numbers` and `codes`, as far as there are such columns."""
    pieces = []
    if columns.moments:
        pieces.append(_moments(columns, reading))
    if columns.inputs.numbers:
        scaled = _scaled(columns) if columns.scalings else []
        pieces.append("\n".join(["columns = []", *scaled, *_appended(columns)]))
        pieces.append("numbers = torch.tensor(numpy.stack(columns, axis=1), dtype=torch.float32)\n")
    if columns.embedded:
        pieces.append("\n".join(_embedded(columns, has_weights=has_weights)))
    return "\n".join(pieces)


def _moments(columns: Columns, reading: Reading) -> str:
    """`MOMENTS`, the columns of date-times by name."""
    lines = ["MOMENTS = {}"]
    written: dict[tuple[str | None, str | None], list[str]] = {}
    for feature in columns.moments:
        written.setdefault((feature.format, feature.time_zone), []).append(feature.name)
    for (form, zone), names in written.items():
        lines.append(f"for name in {literal(names)}:")
        lines += [f"    {line}" for line in moment_statements(reading, "name", form, zone, "MOMENTS[name]")]
    return "\n".join([*lines, ""])


def _scaled(columns: Columns) -> list[str]:
    """Statements that fill `columns` with the continuous ones."""
    scalings = columns.scalings
    tails = {name: (center_of(s.log_center, s.log_scale), s.log_scale) for name, s in scalings.items() if s.is_log}
    value, lines = "number(name)", []
    if columns.moments:
        lines = ["def days(name):", '    return (MOMENTS[name].dt.epoch("us") / 86_400e6).to_numpy()', "", ""]
        value = "days(name) if name in MOMENTS else number(name)" if columns.numbers else "days(name)"
    if columns.spans:
        seconds = (f'MOMENTS[{which}].dt.epoch("s")' for which in ("later", "earlier"))
        lines += [
            "def days_between(earlier, later):",
            f"    return (({' - '.join(seconds)}) / 86_400).to_numpy()",
            "",
            "",
        ]
        value = f"days_between(*name) if isinstance(name, tuple) else {value}"
    unit = "; times in days since 1970." if columns.moments else "."
    unit = f"{unit[:-1]}, and the days between two of them." if columns.spans else unit
    lines += [f"# The middle and the spread of each column of numbers, as the study found them{unit}"]
    lines.append(table("NUMBERS", {name: (center_of(s.center, s.scale), s.scale) for name, s in scalings.items()}))
    if tails:
        lines += ["# Long tails: asinh of that, with a middle and a spread of its own.", table("LONG_TAILS", tails)]
    lines += ["for name, (middle, spread) in NUMBERS.items():", f"    x = {value}", "    z = (x - middle) / spread"]
    if tails:
        lines.append("    if name in LONG_TAILS:")
        lines.append("        z = (numpy.arcsinh(z) - LONG_TAILS[name][0]) / LONG_TAILS[name][1]")
    lines.append("    z = numpy.where(numpy.isfinite(x), z, 0.0)  # the middle stands in where one is missing")
    return [*lines, "    columns.append(z / numpy.sqrt(1 + (z / 3) ** 2))  # smoothly clipped to (-3, 3)"]


def _appended(columns: Columns) -> Iterator[str]:
    """Statements that add the other columns."""
    numbers = [name for name in columns.gaps if name not in {f.name for f in columns.moments}]
    if numbers:
        yield "# For each of these, a column that says where it is missing."
        yield table("GAPS", numbers)
        yield "columns += [~numpy.isfinite(number(name)) for name in GAPS]"
    for feature in columns.moments:
        if feature.has_indicator:
            yield f"columns.append(MOMENTS[{literal(feature.name)}].is_null().to_numpy())"
    by_parts: dict[tuple[Cycle, ...], list[str]] = {}
    for feature in columns.moments:
        if feature.moments is not None and feature.moments.parts:
            by_parts.setdefault(feature.moments.parts, []).append(feature.name)
    for parts, names in by_parts.items():
        yield from _cycles(parts, names)
    if columns.pairs:
        yield "# Columns of two labels: 1 for this one, -1 for the other."
        yield table("PAIRS", {f.name: f.labels.labels[1] for f in columns.pairs if f.labels is not None})
        yield "for name, one in PAIRS.items():"
        yield "    columns.append(numpy.where((label(name) == one).fill_null(False), 1.0, -1.0))"
    if columns.one_hot:
        yield "# Columns of a few labels: a column of 0 and 1 for each."
        yield table("ONE_HOT", {f.name: list(f.labels.column_names) for f in columns.one_hot if f.labels is not None})
        yield "for name, known in ONE_HOT.items():"
        yield '    cells = label(name).fill_null("(missing)")'
        yield '    cells = cells.set(~cells.is_in(known), "(rare)")'
        yield "    columns += [(cells == one).to_numpy() for one in known]"


def _cycles(parts: tuple[Cycle, ...], names: list[str]) -> Iterator[str]:
    yield f"for name in {literal(names)}:  # {', '.join(parts)}, as points on circles"
    yield "    when = MOMENTS[name]"
    yield "    for share in ("
    for part in parts:
        yield f"        {_CYCLES[part]},"
    yield "    ):"
    yield "        angle = 2 * numpy.pi * share.cast(polars.Float64).to_numpy()"
    yield "        columns += [numpy.nan_to_num(numpy.sin(angle)), numpy.nan_to_num(numpy.cos(angle))]"


def _embedded(columns: Columns, *, has_weights: bool) -> Iterator[str]:
    kept = {f.name: len(f.labels.labels) for f in columns.embedded if f.labels is not None}
    missing = [f.name for f in columns.embedded if f.labels is not None and f.labels.has_missing]
    yield "# Columns of many labels: the most frequent, so many, have entries of their own; the others share entry 0."
    yield table("EMBEDDED", kept)
    yield "trains = numpy.unique(numpy.concatenate([train for train, _ in folds]))"
    yield "codes = []"
    yield "for name, kept in EMBEDDED.items():"
    yield '    cells = label(name).alias("label")'
    if has_weights:
        yield '    counts = polars.DataFrame({"label": cells[trains], "count": weight[trains]}).drop_nulls("label")'
        yield '    counts = counts.group_by("label").agg(polars.col("count").sum())'
    else:
        yield "    counts = cells[trains].drop_nulls().value_counts()"
    yield '    known = counts.sort(["count", "label"], descending=[True, False])["label"].head(kept).to_list()'
    if missing:
        which = "" if len(missing) == len(kept) else f" if name in {literal(missing)} else []"
        yield f'    known += ["(missing)"]{which}'
        yield '    cells = cells.fill_null("(missing)")'
    yield "    entries = {one: entry for entry, one in enumerate(known, start=1)}"
    yield "    cells = cells.replace_strict(entries, default=0, return_dtype=polars.Int64)"
    yield "    codes.append(cells.fill_null(0).to_numpy())"
    yield "codes = torch.tensor(numpy.stack(codes, axis=1))"
    yield ""
