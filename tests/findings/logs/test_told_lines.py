"""JSON lines that begin with how the training was made."""

import json
from pathlib import Path

import pytest

import trimtab as tt

ABOUT = {
    "task": "regression", "metric": "rmse", "greater_is_better": False, "planned": 30, "kept": 30,
    "ended": "all epochs",
    "knobs": {"lr": 0.01, "batch_size": 2}, "facts": {"train_rows": 256, "inputs": "8", "outputs": "many"},
}  # fmt: skip


def lines(about: object, count: int = 30, **more: object) -> str:
    rows = [{"epoch": i, "train_loss": 1 / i, "validation_metric": 1 / i, **more} for i in range(1, count + 1)]
    return "\n".join(json.dumps(row) for row in ({"training": about}, *rows))


def test_what_the_first_line_says_is_known(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(lines(ABOUT, dead_by_layer=[0.1, 0.9], gradient_norm=1.0))
    found = tt.diagnose(path)
    record = found.record
    assert (record.task, record.planned, record.kept, record.ended) == ("regression", 30, 30, "all epochs")
    assert record.knobs == ABOUT["knobs"] and record.facts == {"train_rows": 256, "inputs": 8}
    assert found.columns.metric == "validation_metric" and record.metric == "rmse" and not record.greater_is_better
    assert record.by_layer["dead_by_layer"].shape == (30, 2) and len(record.signals["gradient_norm"]) == 30
    assert "dead_units" in {finding.id for finding in found.findings}


@pytest.mark.parametrize("about", [{}, {"knobs": 3, "facts": [1], "kept": "never", "metric": None, "task": 5}])
def test_what_it_says_of_another_kind_is_left_out(tmp_path: Path, about: object) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(lines(about, dead_by_layer="0.5"))
    record = tt.diagnose(path).record
    assert record.knobs == {} and record.facts == {} and record.kept is None and not record.by_layer


def test_a_first_line_that_is_something_else_is_a_row(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(lines(ABOUT).replace('{"training": ', '{"epoch": 0, "training": ', 1))
    assert not tt.diagnose(path).record.knobs
