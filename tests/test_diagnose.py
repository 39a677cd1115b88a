"""Diagnoses of logs: what is given back, what is printed, and that no file whatever is met with another error."""

import json
import math
from pathlib import Path

import numpy
import polars
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import trimtab as tt
from trimtab.training.config import Config

N = 40
FILES = Path(__file__).parent / "findings" / "logs" / "files"


def overfitting() -> dict[str, list[float]]:
    rng = numpy.random.default_rng(0)
    epoch = numpy.arange(N)
    train = 2 * numpy.exp(-epoch / 4) + 0.02 + rng.normal(0, 0.002, N)
    valid = 2 * numpy.exp(-epoch / 4) + 0.3 + 0.03 * numpy.maximum(epoch - 12, 0) + rng.normal(0, 0.01, N)
    return {"epoch": (epoch + 1).tolist(), "train_loss": train.tolist(), "val_loss": valid.tolist()}


def healthy() -> dict[str, list[float]]:
    rng = numpy.random.default_rng(0)
    epoch = numpy.arange(N)
    train = numpy.exp(-epoch / 5) + 0.2 + rng.normal(0, 0.003, N)
    valid = numpy.exp(-epoch / 5) + 0.22 + rng.normal(0, 0.003, N)
    return {"epoch": (epoch + 1).tolist(), "train_loss": train.tolist(), "val_loss": valid.tolist()}


def test_what_is_wrong_is_found_and_where_to_stop() -> None:
    found = tt.diagnose(overfitting())
    assert found.status == 1
    assert "overfitting" in {finding.id for finding in found.findings}
    assert found.stop is not None and abs(found.stop.epoch - 13) <= 3
    assert (found.epochs, found.columns.train, found.columns.valid) == (N, "train_loss", "val_loss")


def test_a_healthy_training_is_told_so() -> None:
    found = tt.diagnose(healthy())
    assert (found.status, len(found.findings)) == (0, 0)
    assert "Nothing wrong was found" in str(found)


@pytest.mark.parametrize("epochs", [1, 2, 4])
def test_a_few_epochs_cannot_be_judged(epochs: int) -> None:
    found = tt.diagnose({name: column[:epochs] for name, column in healthy().items()})
    assert found.status == 3
    assert "Nothing could be judged" in str(found)


def test_the_checks_that_ran_are_named_and_those_that_could_not() -> None:
    found = tt.diagnose(healthy())
    assert "overfitting" in found.checked
    assert not set(found.checked) & {check.id for check in found.findings.not_checked}
    assert "Checked: underfitting, " in found.text(width=1000)
    assert "Not checked:" in str(found)


def test_a_log_whose_columns_nobody_knows_cannot_be_judged_until_they_are_pointed_at() -> None:
    columns = {"t": overfitting()["epoch"], "a": overfitting()["train_loss"], "b": overfitting()["val_loss"]}
    found = tt.diagnose(columns)
    assert found.status == 3
    assert "--train" in str(found) or "train=" in str(found)
    assert tt.diagnose(columns, train="a", valid="b", epoch="t").status == 1


def test_json_has_these_keys_and_no_nan() -> None:
    for log in (overfitting(), healthy(), {"loss": [1.0, math.nan]}, {"x": [1.0]}):
        told = json.loads(json.dumps(tt.diagnose(log).to_json(), allow_nan=False))
        assert list(told) == ["epochs", "columns", "findings", "not_checked", "stop"]
        assert list(told["columns"]) == ["train", "valid", "metric", "lr"]
        assert list(told["stop"]) == ["epoch", "gain"]
        for finding in told["findings"]:
            assert list(finding) == ["id", "severity", "statement", "evidence", "effect", "remedy"]
        for check in told["not_checked"]:
            assert list(check) == ["id", "why"]


@pytest.mark.parametrize(
    ("epochs", "count"),
    [([1, 2, 3], 3), ([0, 1, 2], 3), ([5, 10, 15], 15), ([0, 5, 10], 11), ([0.5, 1, 1.5], 2), ([7, 8, 9], 3)],
)
def test_epochs_are_counted_from_0_or_1_on_and_in_steps_of_any_size(epochs: list[float], count: int) -> None:
    assert tt.diagnose({"epoch": epochs, "val_loss": [3.0, 2.0, 1.0]}).epochs == count


def test_print_shows_what_was_understood_the_curves_and_the_findings() -> None:
    text = str(tt.diagnose(overfitting()))
    for part in ("train_loss", "val_loss", "* training", "+ validation", "Where to stop", "overfitting", "remedy"):
        assert part in text
    assert max(map(len, text.splitlines())) <= 80
    assert repr(tt.diagnose(healthy())) == "Diagnosis(dict, 40 epochs: nothing found)"


def test_all_shows_every_stopping_rule() -> None:
    found = tt.diagnose(overfitting())
    assert "patience 10" in found.text(everything=True)
    assert "patience 10" not in found.text()


def test_the_direction_of_a_metric_may_be_told() -> None:
    columns = healthy() | {"val_wibble": numpy.linspace(0, 1, N).tolist()}
    assert "val_wibble" in str(tt.diagnose(columns))
    with pytest.raises(tt.OptionError, match="greater_is_better="):
        tt.diagnose(columns, metric="val_wibble")
    found = tt.diagnose(columns, metric="val_wibble", greater_is_better=True)
    assert found.stop is not None and found.stop.epoch == N
    found = tt.diagnose(columns, metric="val_wibble", greater_is_better=False)
    assert found.stop is not None and found.stop.epoch == 1


def test_a_frame_may_hold_other_things_than_numbers() -> None:
    """As `run.curves` does."""
    columns = healthy() | {"gradient_norms": [[1.0, 2.0]] * N, "day": ["Monday"] * N, "nothing": [None] * N}
    assert tt.diagnose(polars.DataFrame(columns)).columns.valid == "val_loss"


words = st.sampled_from(
    [
        "epoch", "Epoch 3/10", "loss", "val_loss", "train", "val", "acc", "lr", ":", "=", ",", "\t", "\n", "\r", "{",
        "}", "[", "]", '"', "'", "0.5", "1", "2", "-3", "nan", "inf", "1e400", "9" * 400, "|", "%", "/", "#", " ",
        "best", "é", "1.2.3", "\x1b[1m", "\ufeff", "step", "metric,value\n", "NaN", "null", "true", "iter\t", "[12]\t",
    ]
)  # fmt: skip


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.one_of(st.text(max_size=80), st.lists(words, max_size=30).map("".join)))
def test_any_text_gives_a_diagnosis_or_says_that_it_is_no_log(text: str, tmp_path: Path) -> None:
    path = tmp_path / "any.log"
    path.write_bytes(text.encode("utf-8", errors="surrogatepass"))
    try:
        found = tt.diagnose(path)
    except (tt.DataError, tt.OptionError):
        return
    assert found.status in (0, 1, 3)
    json.dumps(found.to_json(), allow_nan=False)
    assert str(found)


names = st.sampled_from(["epoch", "loss", "val_loss", "train", "step", "history", "log_history", "iterations", "meta"])
scalars = st.one_of(st.none(), st.booleans(), st.integers(-5, 50), st.floats(), st.sampled_from(["1", "train", "x"]))
documents = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=6), st.dictionaries(names, inner, max_size=5)),
    max_leaves=20,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=documents, indent=st.sampled_from([None, 1]))
def test_any_json_too(document: object, indent: int | None, tmp_path: Path) -> None:
    path = tmp_path / "any.json"
    path.write_text(json.dumps(document, indent=indent))
    for log in (path, document):
        try:
            str(tt.diagnose(log))
        except (tt.DataError, tt.OptionError):
            continue


MARKS = (b":W&B\xe1\xbe\x00", b"\x18\0\0\0\0\0\0\0\0\0\0\0\tbrain.Event:2", b"PAR1", b"\x1f\x8b\x08", b"")


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mark=st.sampled_from(MARKS), rest=st.binary(max_size=200))
def test_any_bytes_too(mark: bytes, rest: bytes, tmp_path: Path) -> None:
    path = tmp_path / "any.log"
    path.write_bytes(mark + rest)
    try:
        str(tt.diagnose(path))
    except (tt.DataError, tt.OptionError):
        return


@pytest.mark.parametrize("file", ["pytorch/events.out.tfevents.1.example.1.0", "wandb/run-example1.wandb"])
def test_damaged_files_too(file: str, tmp_path: Path) -> None:
    data = bytearray((FILES / file).read_bytes()[:4000])
    rng = numpy.random.default_rng(0)
    for _ in range(60):
        data[rng.integers(40, len(data))] = rng.integers(0, 256)
        (tmp_path / "any").write_bytes(data)
        try:
            str(tt.diagnose(tmp_path / "any"))
        except (tt.DataError, tt.OptionError):
            continue


def test_a_study_is_judged_by_its_winner(tmp_path: Path) -> None:
    columns = polars.DataFrame(overfitting()).rename({"val_loss": "validation_loss"})
    rest = {
        "validation_metric": polars.col("validation_loss"),
        "trial": 0,
        "fold": 0,
        "ended": polars.lit("all epochs"),
    }
    for trial in (0, 1):
        rows = columns.with_columns(**(rest | {"trial": trial}))
        rows.write_parquet(tmp_path / f"part{trial}.parquet")
    polars.concat([polars.read_parquet(tmp_path / f"part{i}.parquet") for i in (0, 1)]).cast(
        {"trial": polars.Int32, "fold": polars.Int32}
    ).write_parquet(tmp_path / "curves.parquet")
    config = Config(epochs=N).to_json()
    result = {"metric": "rmse", "task": "regression", "winner": 0, "config": config, "rows": {"train": 90, "valid": 10}}
    document = {"kind": "trimtab study", "format": 2, "asked": {"greater_is_better": False}, "result": result}
    (tmp_path / "study.json").write_text(json.dumps(document))
    found = tt.diagnose(tmp_path)
    assert "trial 0, the winner" in found.notes[0]
    assert (found.record.metric, found.record.knobs["epochs"], found.record.facts["train_rows"]) == ("rmse", N, 90)
    assert "trial 1" in tt.diagnose(tmp_path, run="1").notes[0]
    with pytest.raises(tt.OptionError, match='no run "9"'):
        tt.diagnose(tmp_path, run="9")
