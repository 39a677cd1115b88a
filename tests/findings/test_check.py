import numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.findings.check import check
from trimtab.findings.replays import replayed, replayed_between, stop_of
from trimtab.findings.training_record import TrainingRecord

NUMBERS = st.one_of(st.floats(allow_nan=True, allow_infinity=True, width=64), st.sampled_from([0.0, 1.0, numpy.nan]))


@st.composite
def records(draw) -> TrainingRecord:
    """Any curves at all: of any length, constant, missing, infinite."""
    length = draw(st.integers(0, 40))

    def curve():
        one = st.lists(NUMBERS, min_size=length, max_size=length)
        same = NUMBERS.map(lambda value: [value] * length)
        return draw(st.one_of(st.none(), same, one).map(lambda v: None if v is None else numpy.array(v, dtype=float)))

    return TrainingRecord(
        numpy.cumsum(numpy.array(draw(st.lists(st.integers(1, 3), min_size=length, max_size=length)), dtype=float)),
        train_loss=curve(), validation_loss=curve(), train_metric=curve(), validation_metric=curve(),
        greater_is_better=draw(st.sampled_from([None, True, False])), metric=draw(st.sampled_from(["", "rmse"])),
        rate=curve(), kept=draw(st.sampled_from([None, 0, 3, numpy.nan])),
        ended=draw(st.sampled_from(["", "all epochs", "not finite"])),
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(records())
def test_any_curve_gives_findings_or_none(record: TrainingRecord) -> None:
    for finding in check(record):
        assert "nan" not in finding.statement.lower() and "inf" not in finding.statement.split()
    replayed(record), replayed_between(record, record), stop_of(record)
