"""Logs of every format that is read: those that frameworks wrote (files/), and others as they document them."""

import gzip
import json
import math
import struct
from pathlib import Path

import numpy
import pandas
import polars
import pyarrow
import pytest

import trimtab as tt
from trimtab.findings.logs.columns import Columns, Picks, columns_of
from trimtab.findings.logs.epochs import trained
from trimtab.findings.logs.reading import read
from trimtab.findings.training_record import TrainingRecord

FILES = Path(__file__).parent / "files"
N = 12
TRAIN = [2 * math.exp(-epoch / 3) + 0.05 for epoch in range(N)]
VALID = [2 * math.exp(-epoch / 3) + 0.3 + 0.02 * epoch for epoch in range(N)]
ACCURACY = [1 - loss / 4 for loss in VALID]


def understood(log: object, run: str | None = None) -> tuple[Columns, TrainingRecord]:
    found = read(log, run)
    columns = columns_of(found)
    return columns, trained(found, columns, run).record


def at(tmp_path: Path, name: str, content: str | bytes) -> Path:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def assert_curves(record: TrainingRecord, *, has_train: bool = True, rounded: float = 1e-4) -> None:
    if has_train:
        assert record.train_loss == pytest.approx(TRAIN, abs=rounded)
    assert record.validation_loss == pytest.approx(VALID, abs=rounded)


# -- files that frameworks wrote


def test_lightning_writes_sparse_rows() -> None:
    columns, record = understood(FILES / "lightning" / "metrics.csv")
    assert (columns.train, columns.valid, columns.rate) == ("train_loss_epoch", "val_loss", "lr-SGD")
    assert record.epochs.tolist() == [0, 1, 2, 3, 4, 5]
    assert numpy.isfinite(record.train_loss).all() and numpy.isfinite(record.validation_loss).all()


def test_lightnings_event_file_holds_the_same() -> None:
    _, told = understood(FILES / "lightning" / "events.out.tfevents.1.example.1.0")
    _, record = understood(FILES / "lightning" / "metrics.csv")
    for curve in ("epochs", "train_loss", "validation_loss", "rate"):
        assert getattr(told, curve) == pytest.approx(getattr(record, curve), rel=1e-6)


def test_where_a_log_counts_steps_and_epochs_the_clock_brings_them_together() -> None:
    """add_scalar("Loss/train", loss, step) beside add_scalar("Loss/valid", loss, epoch)."""
    _, record = understood(FILES / "pytorch")
    assert record.epochs.tolist() == list(range(9, 120, 10))
    assert record.train_loss[0] == pytest.approx(numpy.mean([1 / (1 + i / 10) for i in range(10)]), rel=1e-6)
    assert record.validation_loss[1] == pytest.approx(1 / 2 + 0.02)


def test_an_offline_run_of_wandb() -> None:
    columns, record = understood(FILES / "wandb")
    assert (columns.train, columns.valid, columns.metric) == ("train/loss", "val/loss", "val/acc")
    assert record.epochs.tolist() == list(range(10))
    assert record.train_loss[0] == pytest.approx((1 + 2 / 3) / 2)
    assert record.knobs == {"lr": 0.1, "batch_size": 32}


def test_mlflow_has_a_file_for_each_metric() -> None:
    _, record = understood(FILES / "mlruns")
    assert len(record.epochs) == 12
    found = read(FILES / "mlruns")
    assert found.run == "b" and "2 trainings (a and b)" in found.notes[0]
    _, record = understood(FILES / "mlruns", "a")
    assert len(record.epochs) == 10
    _, same = understood(FILES / "mlruns" / "1" / "run2" / "metrics" / "val_loss")
    assert same.validation_loss.tolist() == record.validation_loss.tolist()


def test_mlflow_without_steps_has_its_numbers_counted(tmp_path: Path) -> None:
    for name, curve in (("train_loss", TRAIN), ("val_loss", VALID)):
        lines = "".join(f"{1795900691464 + i} {value} 0\n" for i, value in enumerate(curve))
        at(tmp_path, f"run/metrics/{name}", lines)
    _, record = understood(tmp_path / "run")
    assert record.epochs.tolist() == list(range(1, N + 1))
    assert_curves(record)


@pytest.mark.parametrize(
    ("file", "train", "valid", "rounds"),
    [
        ("xgboost.txt", "train-rmse", "valid-rmse", 30),
        ("xgboost_evals_result.json", "validation_0/rmse", "validation_1/rmse", 20),
        ("lightgbm.txt", "training's l2", "valid_1's l2", 14),
        ("catboost.txt", "learn", "test", 30),
        ("catboost_info/catboost_training.json", "learn/RMSE", "test/RMSE", 30),
        ("catboost_info/test_error.tsv", "learn/RMSE", "test/RMSE", 30),
        ("catboost_info", "learn/RMSE", "test/RMSE", 30),
    ],
)
def test_boosted_trees(file: str, train: str, valid: str, rounds: int) -> None:
    columns, record = understood(FILES / file)
    assert (columns.train, columns.valid) == (train, valid)
    assert len(record.epochs) == rounds
    assert numpy.isfinite(record.train_loss).all() and numpy.isfinite(record.validation_loss).all()


def test_lightgbm_says_which_round_it_keeps() -> None:
    _, record = understood(FILES / "lightgbm.txt")
    assert (record.kept, record.ended) == (9, "stopped early")


# -- documents


def test_a_history_of_keras(tmp_path: Path) -> None:
    history = {"loss": TRAIN, "val_loss": VALID, "accuracy": ACCURACY, "val_accuracy": ACCURACY}
    for content in (json.dumps(history), json.dumps({"history": history, "params": {"epochs": N}}), str(history)):
        columns, record = understood(at(tmp_path, "history", content))
        assert (columns.train, columns.valid, columns.metric) == ("loss", "val_loss", "val_accuracy")
        assert record.epochs.tolist() == list(range(1, N + 1))
        assert_curves(record)


def test_validation_every_second_epoch_belongs_to_that(tmp_path: Path) -> None:
    """Keras' validation_freq=2."""
    _, record = understood(at(tmp_path, "history", json.dumps({"loss": TRAIN, "val_loss": VALID[1::2]})))
    assert record.validation_loss[1::2] == pytest.approx(VALID[1::2])
    assert numpy.isnan(record.validation_loss[::2]).all()


def test_a_history_as_an_object() -> None:
    class History:
        history = {"loss": TRAIN, "val_loss": VALID}  # noqa: RUF012

    assert_curves(understood(History())[1])


def test_a_trainer_state_of_hugging_face(tmp_path: Path) -> None:
    entries = []
    for epoch in range(N):
        entries.append({"epoch": epoch + 0.5, "loss": TRAIN[epoch], "learning_rate": 1e-4, "grad_norm": 1.0, "step": 0})
        entries.append({"epoch": epoch + 1.0, "eval_loss": VALID[epoch], "eval_runtime": 2.0, "step": 1})
    entries.append({"epoch": float(N), "train_loss": 0.1, "train_runtime": 9.0, "total_flos": 1e15})
    state = {"log_history": entries, "num_train_epochs": N, "global_step": 100}
    at(tmp_path, "checkpoint-9/trainer_state.json", json.dumps({"log_history": entries[:2]}))
    at(tmp_path, "checkpoint-100/trainer_state.json", json.dumps(state))
    columns, record = understood(tmp_path)
    assert (columns.train, columns.valid, columns.rate) == ("loss", "eval_loss", "learning_rate")
    assert (record.planned, record.epochs.tolist()) == (N, list(range(1, N + 1)))
    assert record.signals["gradient_norm"].tolist() == [1.0] * N
    assert_curves(record)


# -- tables and lines of JSON


def rows(separator: str = ",") -> str:
    told = zip(range(N), TRAIN, VALID, strict=True)
    return "epoch,train_loss,val_loss\n".replace(",", separator) + "".join(
        separator.join(map(str, row)) + "\n" for row in told
    )


@pytest.mark.parametrize("separator", [",", "\t", ";"])
def test_tables(tmp_path: Path, separator: str) -> None:
    assert_curves(understood(at(tmp_path, "a_log", rows(separator)))[1])


def test_under_gzip_also_where_it_was_cut_off(tmp_path: Path) -> None:
    assert_curves(understood(at(tmp_path, "log.csv.gz", gzip.compress(rows().encode())))[1])
    _, record = understood(at(tmp_path, "cut.csv.gz", gzip.compress(rows().encode() * 20)[:-30]))
    assert len(record.epochs)


def test_a_last_line_that_is_half_written_is_left_out(tmp_path: Path) -> None:
    assert_curves(understood(at(tmp_path, "log.csv", rows() + "12,0.0"))[1])
    lines = "".join(json.dumps({"epoch": i, "loss": TRAIN[i], "val": {"loss": VALID[i]}}) + "\n" for i in range(N))
    columns, record = understood(at(tmp_path, "log", lines + '{"epoch": 12, "lo'))
    assert (columns.train, columns.valid) == ("loss", "val/loss")
    assert_curves(record)


def test_parts_in_rows_of_their_own(tmp_path: Path) -> None:
    text = "epoch,phase,loss\n" + "".join(f"{i},train,{TRAIN[i]}\n{i},val,{VALID[i]}\n" for i in range(N))
    columns, record = understood(at(tmp_path, "log.csv", text))
    assert (columns.train, columns.valid) == ("train_loss", "val_loss")
    assert_curves(record)


def test_curves_in_rows_of_their_own(tmp_path: Path) -> None:
    text = "step,metric,value\n" + "".join(f"{i},train/loss,{TRAIN[i]}\n{i},val/loss,{VALID[i]}\n" for i in range(N))
    assert_curves(understood(at(tmp_path, "log.csv", text))[1])


def test_trainings_in_a_column(tmp_path: Path) -> None:
    text = "fold,epoch,loss\n" + "".join(f"{fold},{i},{TRAIN[i] + fold}\n" for fold in range(3) for i in range(N))
    path = at(tmp_path, "log.csv", text)
    assert "3 trainings (0, 1 and 2)" in read(path).notes[0]
    assert understood(path)[1].train_loss[0] == pytest.approx(TRAIN[0] + 2)
    assert understood(path, "1")[1].train_loss[0] == pytest.approx(TRAIN[0] + 1)
    with pytest.raises(tt.OptionError, match='no run "7"'):
        read(path, "7")
    path = at(tmp_path, "log.csv", text.replace("fold,", "model,fold,", 1).replace("\n", "\na,").removesuffix("a,"))
    assert "3 trainings (0, 1 and 2)" in read(path).notes[0]
    text = path.read_text() + "".join(f"b,0,{i},{TRAIN[i]}\n" for i in range(N))
    assert "(a/0, a/1, a/2 and b/0)" in read(at(tmp_path, "log.csv", text)).notes[0]


def test_a_table_without_names_has_its_columns_counted(tmp_path: Path) -> None:
    for separator in (",", " "):
        text = "".join(separator.join(map(str, row)) + "\n" for row in zip(range(N), TRAIN, VALID, strict=True))
        found = read(at(tmp_path, "log", text))
        assert found.frame.columns == ["1", "2", "3"]
        assert_curves(trained(found, columns_of(found, Picks(train="2", valid="3", epoch="1"))).record)


def test_decimal_commas(tmp_path: Path) -> None:
    assert_curves(understood(at(tmp_path, "log", rows(";").replace(".", ",")))[1])


def test_lines_of_mmdetection_are_told_apart_by_their_mode(tmp_path: Path) -> None:
    lines = ['{"env_info": "linux", "seed": 0}']
    for i in range(N):
        lines.append(json.dumps({"mode": "train", "epoch": i + 1, "iter": 50, "lr": 0.01, "loss": TRAIN[i]}))
        lines.append(json.dumps({"mode": "val", "epoch": i + 1, "iter": 9, "lr": 0.01, "loss": VALID[i]}))
    assert_curves(understood(at(tmp_path, "log.json", "\n".join(lines)))[1])


def test_frames_of_every_library_and_a_dict() -> None:
    columns = {"epoch": list(range(N)), "loss": TRAIN, "val_loss": VALID}
    for frame in (columns, polars.DataFrame(columns), pandas.DataFrame(columns), pyarrow.table(columns)):
        assert_curves(understood(frame)[1])
    rows_of_dicts = [{"epoch": i, "loss": TRAIN[i], "val_loss": VALID[i]} for i in range(N)]
    assert_curves(understood(rows_of_dicts)[1])


def test_what_has_curves_is_a_log() -> None:
    recorder = tt.Recorder()
    for i in range(N):
        recorder.epoch(train_loss=TRAIN[i], val_loss=VALID[i])
    assert_curves(understood(recorder)[1])
    assert_curves(understood(recorder.run())[1])


def test_recordings_of_trimtab(tmp_path: Path) -> None:
    with tt.Recorder(tmp_path / "run.parquet", metric="accuracy") as recorder:
        for i in range(N):
            recorder.epoch(train_loss=TRAIN[i], val_loss=VALID[i], val_accuracy=ACCURACY[i], lr=0.1)
        recorder.close("all epochs")
    columns, record = understood(tmp_path / "run.parquet")
    assert (columns.metric, record.metric, record.greater_is_better) == ("validation_metric", "accuracy", True)
    assert record.ended == "all epochs"
    assert_curves(record)


# -- TensorBoard's newer form, and damage


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def event(step: int, tag: str, value: float) -> bytes:
    """A scalar as TensorFlow 2 writes it: a tensor of one float, its bytes in tensor_content."""
    tensor = _varint(1 << 3) + _varint(1) + _field(4, struct.pack("<f", value))
    summary = _field(1, _field(1, tag.encode()) + _field(8, tensor))
    return b"\x09" + struct.pack("<d", 1e9 + step) + b"\x10" + _varint(step) + _field(5, summary)


def record_of(message: bytes) -> bytes:
    return struct.pack("<Q", len(message)) + b"\0" * 4 + message + b"\0" * 4


def test_keras_writes_tensors_into_a_folder_for_each_part(tmp_path: Path) -> None:
    head = record_of(b"\x09" + struct.pack("<d", 1e9) + _field(3, b"brain.Event:2"))
    for part, curve in (("train", TRAIN), ("validation", VALID)):
        told = b"".join(record_of(event(i, "epoch_loss", curve[i])) for i in range(N))
        at(tmp_path, f"logs/{part}/events.out.tfevents.1.host.1.0.v2", head + told + b"\x99" * 5)
    columns, record = understood(tmp_path / "logs")
    assert (columns.train, columns.valid) == ("train/epoch_loss", "validation/epoch_loss")
    assert_curves(record)


@pytest.mark.parametrize("file", ["wandb/run-example1.wandb", "pytorch/events.out.tfevents.1.example.1.0"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.97])
def test_binary_files_are_read_as_far_as_they_are_whole(tmp_path: Path, file: str, share: float) -> None:
    data = (FILES / file).read_bytes()
    _, record = understood(at(tmp_path, "run", data[: int(len(data) * share)]))
    assert len(record.epochs) >= 1


# -- what cannot be read


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"hello, this is a letter of 2 pages\n", "no training log"),
        (bytes(range(256)) * 9, "no training log"),
        (b"\x1f\x8bnonsense", "damaged gzip"),
        (b"PAR1nonsense", "parquet"),
    ],
)
def test_what_is_no_log_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(tt.DataError, match=said):
        read(at(tmp_path, "file", content))


def test_the_text_of_a_log_is_no_path() -> None:
    with pytest.raises(tt.DataError, match=r"There is no file epoch 1 loss 0.5\.\.\."):
        read("epoch 1 loss 0.5\n" * 1000)


def test_what_is_not_there_is_refused_with_the_nearest(tmp_path: Path) -> None:
    at(tmp_path, "train.log", "x")
    with pytest.raises(tt.DataError, match='Did you mean "train.log"'):
        read(tmp_path / "trian.log")
    (tmp_path / "empty").mkdir()
    with pytest.raises(tt.DataError, match="without a training log"):
        read(tmp_path / "empty")
    with pytest.raises(tt.DataError, match="not a table"):
        read(3)
