"""tt.Recorder in a plain loop: what is told comes back, mistakes are said, files appear whole."""

import copy
import errno
import gc
import json
import math
import os
import pickle
import subprocess
import sys
import warnings
from decimal import Decimal
from pathlib import Path

import numpy
import polars
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import trimtab as tt
from trimtab.recording import recorder as recorder_file
from trimtab.recording.recording import COLUMNS, PARTS, Measure
from trimtab.training.metrics import METRICS
from trimtab.training.run import CURVES, Curves
from trimtab.tuning.curves import curves_frame


def test_a_run_has_the_columns_of_a_fit_run_and_no_others() -> None:
    recorder = tt.Recorder()
    recorder.epoch(train_loss=0.5, validation_loss=0.6)
    assert recorder.run().curves.schema == curves_frame(Curves()).schema
    assert COLUMNS == CURVES


def test_what_is_told_comes_back_and_the_rest_is_unknown() -> None:
    recorder = tt.Recorder()
    for loss, score in ((0.9, 1.0), (0.5, 0.7), (0.3, 0.8)):
        recorder.epoch(train_loss=loss, validation_loss=score, learning_rate=0.1)
    run = recorder.run()
    assert run.curves["epoch"].to_list() == [1, 2, 3]
    assert run.curves["train_loss"].to_list() == [0.9, 0.5, 0.3]
    assert run.curves["validation_loss"].to_list() == [1.0, 0.7, 0.8]
    assert run.curves["learning_rate"].to_list() == [0.1] * 3
    assert run.curves["gradient_norm"].is_nan().all()
    assert recorder.curves["gradient_norm"].is_null().all()
    assert (run.best_epoch, run.score, run.epochs, run.metric) == (2, 0.7, 3, None)
    assert run.ended == "unknown"
    assert repr(run) == "RecordedRun(recording: validation loss 0.7 at epoch 2 of 3, unknown)"


def overfitting(path: Path | None = None, **more) -> tt.Recorder:
    recorder = tt.Recorder(path, **more)
    for epoch in range(40):
        wiggle = 0.01 * (-1) ** epoch
        recorder.epoch(
            train_loss=2 * math.exp(-epoch / 4) + 0.02, lr=0.01, glow=1.0,
            validation_loss=2 * math.exp(-epoch / 4) + 0.3 + 0.03 * max(0, epoch - 12) + wiggle,
        )  # fmt: skip
    return recorder


def test_findings_are_told_while_the_loop_runs_and_the_same_of_the_file_alone(tmp_path: Path) -> None:
    recorder = tt.Recorder()
    assert not recorder.findings.found and not recorder.findings.healthy and recorder.findings.not_checked
    recorder.epoch(train_loss=1.0, validation_loss=1.0)
    assert not recorder.findings.healthy
    path = tmp_path / "run.parquet"
    recorder = overfitting(path)
    before = recorder.findings
    assert "overfitting" in {finding.id for finding in before}
    recorder.close()
    for again in (tt.Recorder.load(path), tt.Recorder.load(path).run(), tt.diagnose(path), tt.diagnose(recorder)):
        assert again.findings == before
    recorder.rewind(12)
    assert "overfitting" not in {finding.id for finding in recorder.findings}


def test_findings_judge_by_the_metric_that_was_named() -> None:
    recorder = tt.Recorder(metric="glow", greater_is_better=True)
    for epoch in range(30):
        recorder.epoch(train_loss=math.exp(-epoch / 5), train_metric=1 - math.exp(-epoch / 5),
                       validation_metric=0.9 - 0.02 * max(0, epoch - 8) - math.exp(-epoch / 3))  # fmt: skip
    assert {"overfitting", "trained_too_long"} & {finding.id for finding in recorder.findings}
    assert recorder.run().record.greater_is_better is True
    assert tt.diagnose(recorder).findings == recorder.findings


def test_without_a_metric_the_validation_loss_is_what_a_run_is_judged_by_as_in_fit() -> None:
    recorder = tt.Recorder()
    recorder.epoch(train_loss=0.5, validation_loss=0.6)
    assert recorder.run().curves["validation_metric"].to_list() == [0.6]
    assert recorder.curves["validation_metric"].to_list() == [None]


@pytest.mark.parametrize(
    ("metric", "greater", "best"),
    [("accuracy", None, 2), ("acc", None, 2), ("rmse", None, 1), ("bleu", True, 2), ("wer", False, 1)],
)
def test_the_best_epoch_goes_by_the_named_metric(metric: str, greater: bool | None, best: int) -> None:
    recorder = tt.Recorder(metric=metric, greater_is_better=greater)
    for loss, score in ((1.0, 0.5), (3.0, 0.9), (2.0, 0.9)):
        recorder.epoch(validation_loss=loss, validation_metric=score)
    run = recorder.run()
    assert run.best_epoch == best
    assert run.score == (0.9 if best == 2 else 0.5)
    assert run.metric == ("accuracy" if metric == "acc" else metric)


def test_directions_of_known_metrics_are_those_of_the_engine() -> None:
    for metric in METRICS.values():
        assert Measure.of(metric.name, None).greater_is_better == metric.greater_is_better


def test_a_metric_nobody_knows_needs_its_direction_and_numbers_of_a_metric_need_its_name() -> None:
    with pytest.raises(tt.OptionError, match="greater_is_better"):
        tt.Recorder(metric="glow")
    with pytest.raises(tt.OptionError, match=r"Which metric is val_metric\? .*metric="):
        tt.Recorder().epoch(val_metric=0.5)


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("loss", "train_loss"),
        ("training_loss", "train_loss"),
        ("train/loss", "train_loss"),
        ("loss/train", "train_loss"),
        ("val_loss", "validation_loss"),
        ("valid_loss", "validation_loss"),
        ("eval_loss", "validation_loss"),
        ("Val-Loss", "validation_loss"),
        ("lr", "learning_rate"),
        ("grad_norm", "gradient_norm"),
        ("val_acc", "validation_metric"),
        ("valid_accuracy", "validation_metric"),
        ("acc", "train_metric"),
        ("train_metric", "train_metric"),
        ("test_loss", "test_loss"),
        ("val_f1", "val_f1"),
        ("train_loss_std", "train_loss_std"),
        ("metric", "metric"),
    ],
)
def test_usual_names_find_their_columns(name: str, column: str) -> None:
    recorder = tt.Recorder(metric="accuracy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        recorder.epoch(**{name: 0.25})
    assert recorder.curves[column].to_list() == [0.25]
    assert recorder.curves.select(c for c in COLUMNS if c not in ("epoch", column)).null_count().row(0) == (1,) * (
        len(COLUMNS) - 1 - (column in COLUMNS)
    )


def test_further_names_are_further_columns_from_when_they_were_first_told() -> None:
    recorder = tt.Recorder()
    recorder.epoch(train_loss=1.0)
    recorder.epoch(train_loss=0.5, temperature=300)
    assert recorder.curves.columns == [*COLUMNS, *PARTS, "temperature"]
    assert recorder.curves["temperature"].to_list() == [None, 300.0]


def test_a_name_that_looks_like_a_slip_is_kept_and_said() -> None:
    recorder = tt.Recorder()
    with pytest.warns(UserWarning, match='"validaton_loss" is kept.*Did you mean "validation_loss"'):
        recorder.epoch(validaton_loss=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recorder.epoch(validaton_loss=1.0, temperature=3)


@pytest.mark.parametrize(
    "value",
    [
        0.5,
        torch.tensor(0.5),
        torch.tensor([[0.5]], requires_grad=True),
        torch.tensor(0.5, dtype=torch.bfloat16),
        numpy.float32(0.5),
        numpy.array(0.5),
        numpy.array([0.5]),
        Decimal("0.5"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_scalar_will_do(value: object) -> None:
    recorder = tt.Recorder()
    recorder.epoch(train_loss=value)
    assert recorder.curves["train_loss"].to_list() == [0.5]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.ones(3), "train_loss holds 3 values"),
        (numpy.ones(0), "train_loss holds 0 values"),
        ("0.5", "train_loss is '0.5': it must be a number"),
        (True, "it must be a number"),
        (numpy.bool_(True), "it must be a number"),
        ([0.5], "it must be a number"),
        (0.5j, "it must be a number"),
        (torch.tensor(1j), "it must be a number"),
        ({"loss": 0.5}, "it must be a number"),
    ],
)
def test_what_is_not_one_number_is_refused_and_changes_nothing(value: object, message: str) -> None:
    recorder = tt.Recorder()
    recorder.epoch(train_loss=1.0)
    with pytest.raises(tt.DataError, match=message):
        recorder.epoch(other=2.0, train_loss=value)
    assert recorder.curves.columns == [*COLUMNS, *PARTS]
    assert recorder.last_epoch == 1


def test_two_names_of_one_column_are_refused() -> None:
    with pytest.raises(tt.OptionError, match='"loss" and "train_loss" both mean train_loss'):
        tt.Recorder().epoch(loss=1.0, train_loss=2.0)
    with pytest.raises(tt.OptionError, match=r"only recorder\.watch"):
        tt.Recorder().epoch(gradient_norms=1.0)


def test_epochs_rise() -> None:
    recorder = tt.Recorder()
    recorder.epoch(epoch=3, train_loss=1.0)
    recorder.epoch(train_loss=0.9)
    assert recorder.curves["epoch"].to_list() == [3, 4]
    for epoch in (4, 2):
        with pytest.raises(tt.DataError, match=rf"Epoch {epoch} was told after epoch 4.*rewind\({epoch - 1}\)"):
            recorder.epoch(epoch=epoch, train_loss=1.0)
    for epoch in (0, -1, math.nan, math.inf):
        with pytest.raises(tt.DataError, match="epochs count from 1"):
            recorder.epoch(epoch=epoch, train_loss=1.0)
    with pytest.raises(tt.DataError, match="epoch is 'two'"):
        recorder.epoch(epoch="two", train_loss=1.0)  # type: ignore[arg-type]


def test_fractions_of_epochs_are_kept_and_counting_goes_on_with_whole_ones() -> None:
    recorder = tt.Recorder()
    recorder.epoch(epoch=0.5, validation_loss=1.0)
    recorder.epoch(validation_loss=0.5)
    assert recorder.curves["epoch"].to_list() == [0.5, 1.0]
    recorder.epoch(epoch=1.5, validation_loss=0.25)
    assert recorder.run().best_epoch == 1.5
    recorder.rewind(1.0)
    assert (recorder.run().best_epoch, recorder.run().epochs) == (1, 1)


def test_rewinding_forgets_what_came_after() -> None:
    recorder = tt.Recorder()
    for loss in (3.0, 2.0, 1.0):
        recorder.epoch(validation_loss=loss)
    recorder.rewind(2)
    recorder.epoch(validation_loss=5.0)
    assert recorder.curves["validation_loss"].to_list() == [3.0, 2.0, 5.0]
    assert recorder.run().best_epoch == 2


def test_a_run_of_nothing_is_an_error() -> None:
    recorder = tt.Recorder()
    with pytest.raises(tt.DataError, match="No epoch was recorded"):
        recorder.run()
    recorder.epoch(reward=3.0)
    with pytest.raises(tt.DataError, match="Neither a loss nor a metric was recorded, only reward"):
        recorder.run()


def test_why_it_ended() -> None:
    recorder = tt.Recorder()
    recorder.epoch(train_loss=1.0)
    recorder.close("stopped early")
    assert recorder.run().ended == "stopped early"
    recorder.epoch(train_loss=math.nan)
    assert recorder.run().ended == "not finite"
    assert recorder.run().best_epoch == 0
    assert math.isnan(recorder.run().score)
    with pytest.raises(tt.OptionError, match='Unknown ending "early"'):
        recorder.close("early")


def test_leaving_the_with_block_by_an_error_is_being_stopped() -> None:
    recorder = tt.Recorder()
    recorder.epoch(train_loss=1.0)
    with pytest.raises(KeyboardInterrupt), recorder:
        raise KeyboardInterrupt
    assert recorder.run().ended == "stopped"
    with tt.Recorder() as recorder:
        recorder.epoch(train_loss=1.0)
    assert recorder.run().ended == "unknown"


def test_a_plot_marks_the_best_epoch_and_draws_validations_that_stand_apart() -> None:
    recorder = tt.Recorder()
    for epoch in range(1, 9):
        recorder.epoch(train_loss=1 / epoch, validation_loss=None if epoch % 2 else abs(epoch - 4) + 1)
    axes = recorder.run().plot().axes[0]
    lines = {str(line.get_label()): line for line in axes.lines}
    assert list(lines["training"].get_xdata()) == list(range(1, 9))
    assert list(lines["validation"].get_xdata()) == [2, 4, 6, 8]
    assert any("best: 1 at epoch 4" in text.get_text() for text in axes.texts)


def test_a_plot_of_a_metric_shows_no_loss_on_its_axis() -> None:
    recorder = tt.Recorder(metric="accuracy")
    recorder.epoch(train_loss=5.0, val_accuracy=0.5)
    recorder.epoch(train_loss=4.0, val_accuracy=0.75)
    axes = recorder.run().plot().axes[0]
    assert [line.get_label() for line in axes.lines if not str(line.get_label()).startswith("_")] == ["validation"]
    assert axes.get_ylabel() == "accuracy"


# -- files

numbers = st.none() | st.floats() | st.integers(-9, 9).map(float)


@given(rows=st.lists(st.dictionaries(st.sampled_from(["train_loss", "val_loss", "lr", "mine"]), numbers), min_size=1))
def test_a_saved_recording_is_loaded_as_it_was(tmp_path_factory: pytest.TempPathFactory, rows: list[dict]) -> None:
    path = tmp_path_factory.mktemp("recordings") / "run.parquet"
    recorder = tt.Recorder(metric="r2")
    for row in rows:
        recorder.epoch(**row)
    recorder.close("all epochs")
    recorder.save(path)
    loaded = tt.Recorder.load(path)
    assert loaded.curves.equals(recorder.curves, null_equal=True)
    assert loaded.curves.schema == recorder.curves.schema
    loaded.epoch(val_r2=1.0)
    assert loaded.run().metric == "r2"
    assert loaded.run().best_epoch == len(rows) + 1


def test_a_loaded_recording_says_why_it_ended_and_goes_on_in_its_file(tmp_path: Path) -> None:
    path = tmp_path / "run.parquet"
    with tt.Recorder(path) as recorder:
        recorder.epoch(train_loss=1.0)
        recorder.close("stopped")
    before = path.read_bytes()
    loaded = tt.Recorder.load(path)
    assert loaded.run().ended == "stopped"
    loaded.close()
    assert path.read_bytes() == before
    loaded.epoch(train_loss=0.5)
    loaded.close()
    assert polars.read_parquet(path)["train_loss"].to_list() == [1.0, 0.5]
    again = tt.Recorder.load(path)
    again.rewind(1)
    again.epoch(train_loss=0.25)
    again.close()
    assert polars.read_parquet(path)["train_loss"].to_list() == [1.0, 0.25]


def test_the_file_is_plain_parquet_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "run.parquet"
    with tt.Recorder(path) as recorder:
        recorder.epoch(train_loss=1.0, mine=2.0)
    assert [file.name for file in path.parent.iterdir()] == ["run.parquet"]
    assert polars.read_parquet(path).columns == [*COLUMNS, *PARTS, "mine"]


def test_a_file_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "run.parquet"
    with tt.Recorder(path) as recorder:
        recorder.epoch(train_loss=1.0)
    with pytest.raises(tt.OptionError, match="exists already.*Recorder.load"):
        tt.Recorder(path)


def test_files_that_are_no_recordings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(tt.DataError, match="There is no recording"):
        tt.Recorder.load(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("epoch,loss\n1,2\n")
    with pytest.raises(tt.DataError, match="cannot be read as a parquet file"):
        tt.Recorder.load(tmp_path / "text.parquet")
    polars.DataFrame({"epoch": [1]}).write_parquet(tmp_path / "other.parquet")
    with pytest.raises(tt.DataError, match="is not a recording"):
        tt.Recorder.load(tmp_path / "other.parquet")
    newer = {"trimtab": json.dumps({"kind": "trimtab recording", "format": 99})}
    polars.DataFrame({"epoch": [1]}).write_parquet(tmp_path / "newer.parquet", metadata=newer)
    with pytest.raises(tt.DataError, match="newer trimtab"):
        tt.Recorder.load(tmp_path / "newer.parquet")


def test_what_cannot_be_saved_is_an_error_when_asked_for_and_a_warning_while_training(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    recorder = tt.Recorder(tmp_path / "file" / "run.parquet")
    with pytest.warns(UserWarning, match="cannot be written.*Training goes on"):
        recorder.epoch(train_loss=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recorder.close()
    with pytest.raises(tt.DataError, match="cannot be written"):
        recorder.save(tmp_path / "file" / "run.parquet")


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.parquet"
    recorder = tt.Recorder(path)
    recorder.epoch(train_loss=1.0)
    write_bytes = Path.write_bytes

    def is_full(part: Path, content: bytes) -> int:
        write_bytes(part, content[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", is_full)
    recorder.epoch(train_loss=0.5)
    with pytest.warns(UserWarning, match="No space left on device"):
        recorder.close()
    assert [file.name for file in tmp_path.iterdir()] == ["run.parquet"]
    assert len(polars.read_parquet(path)) == 1
    monkeypatch.undo()
    recorder.close()
    assert len(polars.read_parquet(path)) == 2


def test_the_file_is_written_in_time_and_not_at_every_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(recorder_file.time, "monotonic", lambda: now[0])
    path = tmp_path / "run.parquet"
    recorder = tt.Recorder(path)
    recorder.epoch(train_loss=3.0)
    assert len(polars.read_parquet(path)) == 1
    now[0] += 1.0
    recorder.epoch(train_loss=2.0)
    assert len(polars.read_parquet(path)) == 1
    now[0] += 5.0
    recorder.epoch(train_loss=1.0)
    assert len(polars.read_parquet(path)) == 3


def test_a_recorder_that_is_dropped_leaves_all_it_was_told(tmp_path: Path) -> None:
    recorder = tt.Recorder(tmp_path / "run.parquet")
    for loss in (3.0, 2.0, 1.0):
        recorder.epoch(train_loss=loss)
    del recorder
    gc.collect()
    assert len(polars.read_parquet(tmp_path / "run.parquet")) == 3


LOOP = """
import sys, time
import trimtab as tt
recorder = tt.Recorder("run.parquet")
for epoch in range(3):
    recorder.epoch(train_loss=1 / (epoch + 1))
assert "torch" not in sys.modules, "recording needs no torch"
print("told", flush=True)
if sys.argv[1] == "wait":
    time.sleep(60)
"""


def test_a_program_that_ends_without_closing_leaves_all_of_it_and_one_that_is_killed_a_whole_file(
    tmp_path: Path,
) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", LOOP, "end"], cwd=tmp_path, env=environment, check=True)
    assert len(tt.Recorder.load(tmp_path / "run.parquet").curves) == 3
    (tmp_path / "run.parquet").unlink()
    process = subprocess.Popen(
        [sys.executable, "-c", LOOP, "wait"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdout.readline() == b"told\n"
    process.kill()
    process.wait()
    assert len(tt.Recorder.load(tmp_path / "run.parquet").curves) == 1


def test_copies_start_with_what_was_told_and_write_no_file(tmp_path: Path) -> None:
    recorder = tt.Recorder(tmp_path / "run.parquet")
    recorder.epoch(train_loss=1.0)
    pickled = pickle.dumps(recorder)
    for other in (copy.deepcopy(recorder), pickle.loads(pickled)):
        other.epoch(train_loss=0.5)
        other.close()
        assert other.last_epoch == 2
    assert recorder.last_epoch == 1
    recorder.close()
    assert len(polars.read_parquet(tmp_path / "run.parquet")) == 1
