"""Moments, times of day and spans of time as labels: what two texts are compared by when they are written otherwise.

"2024-01-01T00:00", the day "2024-01-01" and "2024-01-01 01:00+01:00" are one moment. Knows columns of text only.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import polars as pl

from trimtab.table.cells import LOOKS_LIKE_MOMENT, parse_moments, read_moments, text_of_reals

_CLOCKS = ("%H:%M:%S%.f", "%H:%M")
# Those that can be read in one way only, whatever the other cells are.
_ISO = (
    "%Y-%m-%d",
    *(f"%Y-%m-%d{gap}{clock}{zone}" for zone in ("", "%#z") for gap in (" ", "T") for clock in _CLOCKS),
)
_FRACTIONS = ("", "%.3f", "%.6f", "%.9f")
_ZONE = r"([0-9:.]{5,}) ?(?:Z|[+-]\d{2}(?::?\d{2})?)$"
_BELOW_MICROSECONDS = r"\.\d{6}\d*[1-9]"
_TIME_OF_DAY = r"^\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?$"
_SPAN = r"^(?P<days>-?\d+) days?(?:,? \+?(?P<hours>\d+):(?P<minutes>\d{2}):(?P<seconds>\d{2}(?:\.\d+)?))?$"
_SPAN_OF_CLOCK = r"^(?P<hours>\d+):(?P<minutes>\d{2}):(?P<seconds>\d{2}(?:\.\d+)?)$"
_SPAN_OF_ISO = (
    r"^(?P<sign>-?)P(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?$"
)
_SECONDS = {"days": 86_400, "hours": 3600, "minutes": 60, "seconds": 1}
_Reading = Callable[[pl.Series], pl.Series]


def readings_of_moments(known: pl.Series) -> Iterator[tuple[_Reading, _Reading]]:
    """By what cells (the first of a pair) and `known` labels (the second) are compared, the strictest first; none where
    no label is of that kind. Each gives int64 or text, null for what it cannot read."""
    known = known.str.strip_chars()
    if known.str.contains(LOOKS_LIKE_MOMENT).any():
        forms = _forms(known)
        yield partial(_instants, forms=forms), partial(_instants, forms=forms)
        # Where one side names no zone, its clock is that of the other.
        yield partial(_instants, forms=forms, zoned=False), partial(_clocks, forms=forms)
        yield partial(_clocks, forms=forms), partial(_instants, forms=forms, zoned=False)
    if known.str.contains(_TIME_OF_DAY).any():
        yield _times_of_day, _times_of_day
    if _spans(known).is_not_null().any():
        yield _spans, _spans


def meanings_of_moments(distinct: pl.Series) -> pl.Series | None:
    """What each text means, where all are moments of one clock, or all are times of day; None where they are not."""
    text = distinct.str.strip_chars()
    if text.str.contains(LOOKS_LIKE_MOMENT).all() and text.str.contains(_ZONE).n_unique() == 1:
        found = _instants(text, forms=_forms(text))
    elif text.str.contains(_TIME_OF_DAY).all():
        found = _times_of_day(text)
    else:
        return None
    return None if found.null_count() else found


def texts_of_moments(labels: Sequence[str]) -> list[str]:
    """Usual ways to write the moments and times of day among `labels`, for who has to look them up as text."""
    known = pl.Series(list(labels), dtype=pl.String).str.strip_chars()
    forms = _forms(known)
    moments, clocks = _instants(known, forms=forms), _clocks(known, forms=forms)
    texts = _written(moments) + _written(clocks)
    if clocks.is_not_null().any():
        texts += [f"{text}{zone}" for text in _written(moments) if ":" in text for zone in ("Z", "+00:00")]
    times = _times_of_day(known).drop_nulls().cast(pl.Time)
    texts += [text for rest in _FRACTIONS for text in times.dt.to_string(f"%H:%M:%S{rest}")]
    minutes = times.filter(times.dt.second() == 0)
    return texts + [text for hour in ("%H", "%-H") for text in minutes.dt.to_string(f"{hour}:%M")]


def _written(moments: pl.Series) -> list[str]:
    days = moments.drop_nulls().cast(pl.Datetime("us"))
    whole = [f"%Y-%m-%d{gap}%H:%M:%S{rest}" for gap in " T" for rest in _FRACTIONS]
    midnights = days.filter(days == days.dt.truncate("1d")).dt.to_string("%Y-%m-%d").to_list()
    return [text for form in whole for text in days.dt.to_string(form)] + midnights


def _forms(known: pl.Series) -> tuple[str, ...]:
    """The formats in which moments are read: that of all `known` labels first, where they have one."""
    form = read_moments(known)[1] if known.str.contains(LOOKS_LIKE_MOMENT).all() and len(known) else None
    return _ISO if form is None else (form, *_ISO)


def _instants(text: pl.Series, *, forms: Sequence[str], zoned: bool = True) -> pl.Series:
    """Microseconds since 1970, of UTC where a zone is named; null for what is no moment, or has a zone and is not to be
    `zoned`."""
    text = text.str.strip_chars()
    is_read = text.str.contains(LOOKS_LIKE_MOMENT) & ~text.str.contains(_BELOW_MICROSECONDS)
    if not zoned:
        is_read &= ~text.str.contains(_ZONE)
    rest = text.set(~is_read.fill_null(False), None)
    moments = pl.Series(text.name, [None] * len(text), dtype=pl.Datetime("us"))
    for form in (*forms, None):
        if rest.null_count() == len(rest):
            break
        # What is left is read in a format of its own, where there is one for all of it.
        form = form or read_moments(rest)[1]
        if form is not None:
            found = parse_moments(rest, form)
            moments = moments.zip_with(moments.is_not_null(), found)
            rest = rest.set(found.is_not_null(), None)
    return moments.dt.epoch("us")


def _clocks(text: pl.Series, *, forms: Sequence[str]) -> pl.Series:
    """What the clock of its zone shows at a moment, as `_instants`; null where no zone is named."""
    text = text.str.strip_chars()
    naive = text.set(~text.str.contains(_ZONE).fill_null(False), None).str.replace(_ZONE, "$1")
    return _instants(naive, forms=forms)


def _times_of_day(text: pl.Series) -> pl.Series:
    """Nanoseconds since midnight."""
    text = text.str.strip_chars()
    text = text.set(~text.str.contains(_TIME_OF_DAY).fill_null(False), None)
    to_minutes = text.str.to_time("%H:%M", strict=False)
    times = text.str.to_time("%H:%M:%S%.f", strict=False)
    return times.zip_with(times.is_not_null(), to_minutes).cast(pl.Int64)


def _spans(text: pl.Series) -> pl.Series:
    """The seconds of a span of time, in the text that `cells.as_text` has for spans; numbers are seconds."""
    text = text.str.strip_chars()
    seconds = text.cast(pl.Float64, strict=False)
    for pattern in (_SPAN, _SPAN_OF_CLOCK, _SPAN_OF_ISO):
        if text.str.contains(pattern).any():
            seconds = seconds.zip_with(seconds.is_not_null(), _seconds_of(text, pattern))
    return text_of_reals(seconds.set(seconds.is_nan() | seconds.is_infinite(), None))


def _seconds_of(text: pl.Series, pattern: str) -> pl.Series:
    parts = text.str.extract_groups(pattern).struct.unnest()
    counted = [parts[name].cast(pl.Float64).fill_null(0) * _SECONDS[name] for name in parts.columns if name != "sign"]
    total = sum(counted[1:], counted[0])
    if "sign" in parts.columns:
        total = (-total).zip_with((parts["sign"] == "-").fill_null(False), total)
    return total.set(~text.str.contains(pattern).fill_null(False), None)
