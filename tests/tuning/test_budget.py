from types import SimpleNamespace

import pytest

from trimtab.errors import OptionError
from trimtab.tuning.budget import Budget, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("45s", 45), ("5m", 300), ("2h", 7200), ("1h30m", 5400), ("90", 90), (7.5, 7.5), (" 10 S ", 10), ("0.5m", 30)],
)
def test_durations_are_read_as_people_write_them(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "5x", "-5s", "5m later", "nan", "inf", "1e400s", "4s", 0, -1, True, "m5"])
def test_what_is_no_duration_or_too_short_says_what_to_write(text):
    with pytest.raises(OptionError, match="45s|at least 5"):
        parse_duration(text)


def test_a_budget_keeps_its_reserve_for_finishing(monkeypatch):
    monkeypatch.setattr("trimtab.tuning.budget.time", SimpleNamespace(monotonic=lambda: 1000.0))
    budget = Budget(60, started=945.0, reserve=2)
    assert not budget.is_over() and budget.search_left == 3 and budget.left == 5
    assert Budget(60, started=941.5, reserve=2).is_over()


def test_a_stop_ends_the_search_at_once():
    budget = Budget(60)
    budget.stop.set()
    assert budget.is_over()
