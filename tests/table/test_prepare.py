"""prepare: from what the user has to what the engine trains on, with everything counted that was left out."""

import numpy as np
import polars as pl
import pytest

from trimtab.errors import DataError
from trimtab.table.prepare import prepare

ROWS = 120


def frame_of(rows=ROWS, **columns):
    generator = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "a": generator.normal(size=rows),
            "b": [("red", "green", "blue")[i % 3] for i in range(rows)],
            "y": generator.normal(size=rows),
            **columns,
        }
    )


def test_a_file_becomes_tensors(tmp_path):
    frame_of().write_csv(tmp_path / "houses.csv")
    prepared = prepare(tmp_path / "houses.csv", target="y")
    rows = ROWS - prepared.counts.test
    assert prepared.source_name == "houses"
    assert prepared.numbers.shape == (rows, 4)
    assert prepared.codes.shape == (rows, 0)
    assert prepared.targets.shape == (rows, 1)
    assert prepared.weights.tolist() == [1] * rows
    assert prepared.test is not None
    assert prepared.test.height == len(prepared.test_weights) == prepared.counts.test
    assert prepared.estimated_bytes() == rows * (4 * 4 + 4 + 4)


def test_the_rows_of_the_source_are_known():
    frame = frame_of().with_columns(y=pl.when(pl.int_range(ROWS) % 5 > 0).then("y"))
    prepared = prepare(frame, target="y")
    assert prepared.test is not None
    assert frame["a"].gather(prepared.development_rows).to_list() == prepared.development["a"].to_list()
    assert not set(frame["a"].gather(prepared.development_rows)) & set(prepared.test["a"])
    assert prepared.counts.without_target == ROWS // 5
    assert any(f"{ROWS // 5} of {ROWS} rows have no target" in notice for notice in prepared.notices)


def test_infinite_targets_count_as_missing():
    prepared = prepare(frame_of(y=[float("inf"), -1.5] + [0.5 * i for i in range(ROWS - 2)]), target="y")
    assert prepared.counts.without_target == 1
    assert any("1 value of the target" in notice and "infinite" in notice for notice in prepared.notices)


def test_targets_come_back_in_original_units():
    prepared = prepare(frame_of(y=np.arange(ROWS) * 100.5), target="y")
    target = prepared.target_encoder
    values = prepared.targets * np.array(target.scale) + np.array(target.mean)
    np.testing.assert_allclose(values[:, 0], prepared.development["y"], atol=0.01)


def test_several_targets():
    frame = frame_of(z=np.arange(ROWS) / 7)
    for target in ("y,z", ("y", "z"), ["y", " z ".strip()]):
        prepared = prepare(frame, target=target)
        assert prepared.target_encoder.names == ("y", "z")
        assert prepared.targets.shape[1] == 2
        assert prepared.encoder.names == ("a", "b")


def test_a_column_whose_name_holds_a_comma_is_one_target():
    assert prepare(frame_of().rename({"y": "a,b"}), target="a,b").target_encoder.names == ("a,b",)


def test_arrays():
    generator = np.random.default_rng(0)
    x = np.column_stack([np.arange(100), generator.normal(size=100)])
    prepared = prepare((x.astype(int), x[:, 1] * 0.5), target=None)
    assert prepared.encoder.names == ("x0", "x1")
    assert prepared.target_encoder.names == ("target",)
    assert prepare((x, x), target=None).targets.shape[1] == 2
    labels = np.array(["one", "two"] * 50)
    assert prepare((x, labels), target=None).target_encoder.classes == ("one", "two")


def test_frames_of_pandas_and_arrow_are_read_as_they_are():
    frame = frame_of()
    expected = prepare(frame, target="y")
    for other in (frame.to_pandas(), frame.to_arrow(), frame.lazy(), frame.to_dict(as_series=False)):
        prepared = prepare(other, target="y")
        np.testing.assert_array_equal(prepared.numbers, expected.numbers)
        assert [part.tolist() for part in prepared.folds[0]] == [part.tolist() for part in expected.folds[0]]


def test_pandas_columns_of_every_kind():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "nullable": pandas.array([1, None] * 50, dtype="Int64"),
            "kind": pandas.Categorical(["a", "b"] * 50),
            "mixed": ["1", 2] * 50,
            "when": pandas.date_range("2024-01-01", periods=100, tz="Europe/Zurich"),
            "truth": pandas.array([True, None] * 50, dtype="boolean"),
            "half": np.arange(100, dtype=np.float16) / 7,
            "y": np.arange(100) / 3,
        },
        index=[7] * 100,
    )
    prepared = prepare(frame, target="y")
    roles = {column.name: column.role for column in prepared.schema.columns}
    assert roles == {
        "nullable": "number", "kind": "category", "mixed": "number", "when": "date-time",
        "truth": "boolean", "half": "number", "y": "target",
    }  # fmt: skip


def test_a_test_file_is_read_like_the_training_file(tmp_path):
    frame_of().write_csv(tmp_path / "train.csv")
    frame_of(40).select("y", pl.lit("more").alias("more"), "b", "a").write_csv(tmp_path / "test.csv")
    prepared = prepare(tmp_path / "train.csv", target="y", test=str(tmp_path / "test.csv"))
    assert prepared.counts.test == 40
    assert len(prepared.numbers) == ROWS
    assert prepared.test is not None
    assert len(prepared.target_encoder.encode(prepared.test)) == 40


def test_test_rows_that_cannot_be_scored_are_left_out_and_counted():
    train = frame_of(y=["u", "v"] * 60)
    test = frame_of(6, y=["u", "v", None, "never seen", "u", "u"])
    prepared = prepare(train, target="y", test=test)
    assert prepared.counts.test == 4
    assert any("1 of 6 test rows has no target" in notice for notice in prepared.notices)
    assert any("1 test row is of a class that no training row has" in notice for notice in prepared.notices)


def test_without_a_test_every_row_trains():
    prepared = prepare(frame_of(), target="y", test="none")
    assert prepared.test is None
    assert len(prepared.numbers) == ROWS
    assert sorted(np.concatenate([valid for _, valid in prepared.folds])) == list(range(ROWS))


def test_weights_reach_the_tensors_and_rows_of_weight_zero_are_left_out():
    frame = frame_of(w=[i % 4 for i in range(ROWS)])
    prepared = prepare(frame, target="y", weight="w")
    assert set(prepared.weights.tolist()) == {1, 2, 3}
    assert set(prepared.test_weights.tolist()) <= {1, 2, 3}
    assert "w" not in prepared.encoder.names
    assert any("30 rows have weight 0" in notice for notice in prepared.notices)


def test_the_encoding_does_not_know_the_test_rows():
    frame = frame_of()
    first = prepare(frame, target="y")
    assert first.test is not None
    in_test = frame["a"].is_in(first.test["a"].implode())
    changed = frame.with_columns(a=pl.when(in_test).then(pl.col("a") * 1e6).otherwise("a"))
    assert prepare(changed, target="y").encoder == first.encoder


def test_infinite_features_count_as_missing_and_are_said():
    prepared = prepare(frame_of(c=[float("inf"), -float("inf")] + [1.5, 2.5] * 59), target="y", test="none")
    assert '"c": 2 values are infinite, and count as missing.' in prepared.notices
    assert "c: missing" in prepared.encoder.column_names


def test_the_fingerprint_is_of_data_and_options():
    frame = frame_of(c=["x", None] * 60)
    same = {prepare(frame, target="y").fingerprint for _ in range(2)}
    other = [
        prepare(frame.with_columns(a=pl.col("a") + 1), target="y"),
        prepare(frame.with_columns(c=pl.lit("x")), target="y"),
        prepare(frame.with_columns(c=pl.col("c").shift(1)), target="y"),
        prepare(frame.rename({"a": "A"}), target="y"),
        prepare(frame, target="a"),
        prepare(frame, target="y", seed=1),
        prepare(frame, target="y", drop=["c"]),
        prepare(frame, target="y", test=0.3),
        prepare(frame, target="y", test="none"),
        prepare(frame, target="y", test=frame.head(5)),
        prepare(frame, target="y", test=frame.head(6)),
        prepare(frame, target="y", split="time:a"),
        prepare(frame, target="y", category=["a"]),
    ]
    assert len(same | {prepared.fingerprint for prepared in other}) == len(other) + 1


def test_nothing_the_caller_holds_is_changed():
    frame = frame_of()
    before = frame.clone()
    state = str(np.random.get_state())
    prepare(frame, target="y")
    assert frame.equals(before)
    assert str(np.random.get_state()) == state


def test_a_test_table_may_have_several_date_columns_written_as_text(tmp_path):
    days = [f"2024-0{1 + i % 9}-1{i % 9}" for i in range(40)]
    frame = pl.DataFrame({"from": days, "to": days[::-1], "y": [i * 1.5 for i in range(40)]})
    frame.head(30).write_csv(tmp_path / "train.csv")
    late = frame.tail(10).with_columns(pl.lit(None, dtype=pl.String).alias("to"))
    frame.tail(10).with_columns(pl.col("from") + " 08:00", pl.col("to") + " 09:30").write_csv(tmp_path / "test.csv")
    prepared = prepare(tmp_path / "train.csv", target="y", test=tmp_path / "test.csv")
    assert prepared.test is not None and prepared.test.columns == ["from", "to", "y"]
    assert prepared.encoder.encode(late.drop("y")).numbers.shape[0] == 10


@pytest.mark.parametrize("seed", range(4))
def test_a_class_is_called_in_one_way_by_the_notice_the_classes_and_the_rows(seed):
    """Spellings as frequent as each other: the rows that are left for training alone would decide otherwise."""
    cells = ["yes", " yes", "no"] * (ROWS // 3)
    prepared = prepare(frame_of(y=cells), target="y", seed=seed)
    assert prepared.target_encoder.labels == ("no", "yes")
    assert '"y": " yes" and "yes" are one label, written "yes".' in prepared.notices
    assert prepared.test is not None
    for frame in (prepared.development, prepared.test):
        assert set(frame["y"]) == {"no", "yes"}


def test_a_spelling_that_only_test_rows_have_is_said_and_found():
    parts = ["train", "train", "test"] * (ROWS // 3)
    cells = ["b", "a", "b "] * (ROWS // 3)
    prepared = prepare(frame_of(y=cells, part=parts), target="y", split="part")
    assert '"y": "b " and "b" are one label, written "b".' in prepared.notices
    assert prepared.target_encoder.labels == ("a", "b")
    assert prepared.test is not None
    assert set(prepared.target_encoder.encode(prepared.test)) == {1}


@pytest.mark.parametrize("header", ["a, b, y", "a , b , y "])
def test_columns_are_found_as_the_header_of_the_file_writes_them(tmp_path, header):
    path = tmp_path / "table.csv"
    path.write_text("\n".join([header, *(f"{i % 7}.5,{i % 3},{i % 5}.25" for i in range(ROWS))]))
    a, b, y = header.split(",")
    for target in (y, y.strip()):
        prepared = prepare(path, target=target, category=[b], number=[a], test="none")
        assert (prepared.schema.targets, prepared.encoder.names) == (("y",), ("a", "b"))
    assert prepare(path, target=f"{a},{y}").schema.targets == ("a", "y")
    assert prepare(path, target=y, weight=a).schema.weight == "a"
    assert prepare(path, target=y, split=f"time:{b}").split.kind == "time"


def test_names_that_only_blanks_tell_apart_are_refused_in_a_file(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("a, a,y\n1,2,3\n")
    with pytest.raises(DataError, match=r'of the same name: "a" \(blanks around a name are no part of it\)\. Give'):
        prepare(path, target="y")
