"""Recordings: the parquet files that tt.Recorder keeps, and other parquet files with curves in their columns."""

import io

import numpy
import polars

from trimtab.errors import DataError
from trimtab.findings.logs.columns import columns_of
from trimtab.findings.logs.content import Content
from trimtab.findings.logs.epochs import trained
from trimtab.findings.logs.log import Log
from trimtab.findings.logs.table import logs_of
from trimtab.findings.training_record import TrainingRecord
from trimtab.recording.recording import PARTS, UNKNOWN, Recording

_MARK = b"PAR1"


def read(content: Content) -> list[Log] | None:
    """What a recording or another parquet file holds; None where it is something else."""
    if not content.data.startswith(_MARK):
        return None
    try:
        about = polars.read_parquet_metadata(io.BytesIO(content.data)).get("trimtab", "")
        frame = polars.read_parquet(io.BytesIO(content.data))
    except (OSError, polars.exceptions.PolarsError, polars.exceptions.PanicException) as error:
        raise DataError(f"{content.name} cannot be read as a parquet file: {error}.") from None
    if "recording" in about and content.path is not None:
        return [log_of(Recording.load(content.path))]
    return logs_of(frame, "a parquet file")


def training_of(recording: Recording) -> TrainingRecord:
    """What was recorded so far, as the rules read it: the same as of the file that it is kept in."""
    log = log_of(recording)
    return trained(log, columns_of(log)).record


def log_of(recording: Recording) -> Log:
    """What was recorded so far, as a log."""
    measure = recording.measure
    known = {"ended": "" if recording.ended == UNKNOWN else recording.ended, "by_layer": by_layer(recording.parts)}
    if measure is not None:
        known |= {"metric": measure.name, "greater_is_better": measure.greater_is_better}
    return Log("a recording of trimtab", recording.frame().drop(PARTS).cast(polars.Float64), known=known)


def by_layer(parts: dict) -> dict[str, numpy.ndarray]:
    """Lists per epoch as arrays `[evaluations, layers]`; those that are empty or ragged are left out."""
    found = {}
    for name, lists in parts.items():
        widths = {len(each or ()) for each in lists}
        if len(widths) == 1 and 0 not in widths:
            found[name] = numpy.array(lists, dtype=float)
    return found
