"""The end of a study is paid for before the search begins, at what it costs on this machine."""

from dataclasses import replace
from types import SimpleNamespace

import numpy
import pytest

from trimtab.studies import reserve
from trimtab.studies.reserve import ALONE, ALONE_NOT_COMPILED, MOST_OF_FINISH, finishing_seconds, training_seconds
from trimtab.training.config import Config
from trimtab.training.metrics import METRICS
from trimtab.tuning.trial import COMPLETE, TrialRecord


def prepared(rows=4_000, test=1_000, outputs=1, columns=10, folds=5):
    tested = SimpleNamespace(height=test) if test else None
    target, encoder = SimpleNamespace(outputs=outputs), SimpleNamespace(n_numbers=columns)
    parts = numpy.array_split(numpy.arange(rows), 5)[:folds]
    return SimpleNamespace(
        targets=numpy.empty(rows), test=tested, target_encoder=target, encoder=encoder,
        folds=[(numpy.setdiff1d(numpy.arange(rows), part), part) for part in parts],
    )  # fmt: skip


def seconds(metric="rmse", budget=20.0, single=False, **table):
    return finishing_seconds(prepared(**table), METRICS[metric], budget=budget, single=single)  # type: ignore[arg-type]


def test_a_machine_half_as_fast_keeps_twice_the_time_for_what_was_tried_on_it(monkeypatch):
    kept = []
    for slowness in (0.0, 1.0, 2.0):
        speed = (1e-8 * slowness, 2e-9 * slowness)
        monkeypatch.setattr(reserve, "_seconds_of_a_number", lambda metric, outputs, speed=speed: speed)
        monkeypatch.setattr(reserve, "_seconds_of_a_choice", lambda metric, outputs, speed=speed: speed[0] / 2)
        kept.append(seconds())
    assert kept[2] - kept[0] == pytest.approx(2 * (kept[1] - kept[0])) and kept[1] > kept[0]


def test_rows_columns_classes_and_an_ensemble_take_time(monkeypatch):
    monkeypatch.setattr(reserve, "_seconds_of_a_number", lambda metric, outputs: (1e-8, 2e-9))
    monkeypatch.setattr(reserve, "_seconds_of_a_choice", lambda metric, outputs: 5e-9)
    with_neighbours = seconds()
    monkeypatch.setattr(reserve, "seconds_to_recall", lambda prepared: 0.0)
    usual = seconds()
    assert usual < with_neighbours < usual + 1
    assert seconds(test=2_000) > usual and seconds(columns=1_000) > usual and seconds(rows=8_000) > usual
    assert seconds("accuracy", outputs=40) > 1.5 * usual
    assert seconds(single=True) < usual
    # The ensemble is chosen on the rows that were predicted, a fifth of them where there is one validation part.
    assert seconds(single=True) < seconds(folds=1) < usual
    assert seconds(test=0, rows=5_000) > usual  # all rows are judged, several times


@pytest.mark.parametrize(("metric", "outputs"), [("rmse", 2), ("log_loss", 3)])
def test_trying_is_quick(metric, outputs):
    setting_up, drawing = reserve._seconds_of_a_number(METRICS[metric], outputs)
    assert 0 < setting_up < 1e-4 and 0 <= drawing < 1e-5
    assert 0 < reserve._seconds_of_a_choice(METRICS[metric], outputs) < 1e-4


def test_a_network_on_all_rows_takes_what_it_took_in_its_folds_by_rows_and_epochs():
    trial = TrialRecord(
        3, "", {}, Config(), COMPLETE, 1.0, seconds=8.0, ended=("stopped early",) * 2, best_epochs=(10, 30),
        epochs=(40, 40),
    )  # fmt: skip
    took = training_seconds(trial, rows=1_000, of_folds=(800, 800), is_compiled=False)
    assert took == pytest.approx(8.0 * 1_000 / 1_600 * 0.5 * ALONE)
    assert training_seconds(trial, rows=1_000, of_folds=(800, 800), is_compiled=True) == pytest.approx(
        took / ALONE * ALONE_NOT_COMPILED
    )
    solved = replace(trial, name="linear")
    assert training_seconds(solved, rows=800, of_folds=(800, 800), is_compiled=True) == pytest.approx(4.0)
    assert 0 < MOST_OF_FINISH < 0.5
