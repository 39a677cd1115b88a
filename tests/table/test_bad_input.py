"""Every way in which a table can be useless, each told in a sentence or two that names it and says what to do."""

import gzip
import os
import re
from typing import Any

import numpy as np
import polars as pl
import pytest

from trimtab.errors import DataError, OptionError, TrimtabError
from trimtab.table.prepare import prepare


def table(rows=60, **columns):
    generator = np.random.default_rng(0)
    return pl.DataFrame(
        {"a": generator.normal(size=rows), "b": generator.normal(size=rows), "y": generator.normal(size=rows)} | columns
    )


def refuses(match, data, kind: type[TrimtabError] = DataError, **options):
    asked: dict[str, Any] = {"target": "y", **options}
    with pytest.raises(kind, match=match) as caught:
        prepare(data, **asked)
    message = str(caught.value)
    assert len(message) < 400
    assert message.endswith((".", "?"))
    assert "Traceback" not in message


def file(folder, content, name="data.csv"):
    path = folder / name
    path.write_bytes(content)
    return path


PARQUET = table().write_parquet
CSV = table().write_csv().encode()


def test_a_missing_file_names_the_nearest(tmp_path):
    file(tmp_path, CSV, "houses.csv")
    refuses(r"no file .*house\.csv.*Did you mean .*houses\.csv", tmp_path / "house.csv")


@pytest.mark.parametrize("target", [None, "", ",", " , ", [], [""]])
def test_no_name_of_a_target(target):
    refuses("Which column is to be predicted", table(), OptionError, target=target)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf", gzip.compress(b"", mtime=0)])
def test_an_empty_file(tmp_path, content):
    refuses("data.csv is empty", file(tmp_path, content))


@pytest.mark.parametrize("content", [b"a,b,y\n", b"a,b,y", b"a,b,y\n\n\n"])
def test_a_header_without_rows(tmp_path, content):
    refuses("data.csv has a header but no rows", file(tmp_path, content))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (bytes(range(256)) * 20, "binary"),
        (b"\x7fELF\x02\x01\x01\0\0\0" * 50, "binary"),
        (b"PK\x03\x04" + os.urandom(100), "zip"),
        (b"%PDF-1.7\n%\xe2\xe3", "PDF"),
        (b"SQLite format 3\0" + bytes(100), "SQLite"),
    ],
)
def test_binary_data(tmp_path, content, what):
    refuses(what, file(tmp_path, content))


def test_a_gzip_file_that_is_cut_off(tmp_path):
    content = gzip.compress(os.urandom(3000).hex().encode())
    refuses("cut off", file(tmp_path, content[: len(content) // 2]))


def test_a_zstd_file_that_is_cut_off_or_damaged(tmp_path):
    zstandard = pytest.importorskip("zstandard")
    content = zstandard.compress(CSV)
    refuses("data.csv cannot be read", file(tmp_path, content[:4] + b"\xff" * 40))
    refuses("data.csv is damaged or cut off", file(tmp_path, content[: len(content) // 2]))


@pytest.mark.parametrize("keep", [0.5, 0.99])
def test_a_parquet_file_that_is_cut_off(tmp_path, keep):
    PARQUET(tmp_path / "data.parquet")
    content = (tmp_path / "data.parquet").read_bytes()
    refuses("damaged or cut off", file(tmp_path, content[: int(keep * len(content))], "data.parquet"))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_refused_by_name(tmp_path, encoding):
    refuses("UTF-16", file(tmp_path, CSV.decode().encode(encoding)))


def test_a_folder(tmp_path):
    refuses("is a folder", tmp_path)


def test_ragged_rows_with_their_line(tmp_path):
    refuses("line 3: 2 values where the header names 3", file(tmp_path, b"a,b,y\n1,2,3\n1,2\n1,2,3\n"))


def test_columns_of_the_same_name(tmp_path):
    refuses('columns of the same name: "a"', file(tmp_path, b"a,a,y\n1,2,3\n"))
    pandas = pytest.importorskip("pandas")
    refuses("same name: a", pandas.DataFrame([[1, 2, 3.0]], columns=["a", "a", "y"]))


def test_no_such_target_names_the_nearest():
    refuses('no column "prize".*Did you mean "price"', table(price=range(60)), target="prize")
    refuses("target=.*columns are: a, b, y", table(), OptionError, target=None)


@pytest.mark.parametrize("value", [1, 2.5])
def test_a_constant_target(value):
    refuses("one class only|one and the same value", table(y=[value] * 60))


def test_a_constant_target_asked_for_as_regression():
    refuses("one and the same value", table(y=[3] * 60), task="regression")


def test_a_target_that_is_missing_everywhere():
    refuses("missing in every row", table(y=pl.Series([None] * 60, dtype=pl.Float64)))
    refuses("missing in every row", table(y=pl.Series(["", "NA"] * 30)))


def test_a_target_that_is_infinite_everywhere():
    refuses("infinite or missing in every row", table(y=[np.inf, -np.inf] * 30))


def test_text_where_regression_is_asked_for():
    refuses(r'holds text, such as "(red|blue)"', table(y=["red", "blue"] * 30), task="regression")


def test_one_class():
    refuses('one class only "red"', table(y=["red"] * 60))


def test_a_target_that_is_no_value():
    refuses("number or a label", table(y=[[1, 2]] * 60))


def test_fewer_than_ten_usable_rows():
    refuses("Only 9 rows", table(rows=9))
    refuses("Only 5 rows", table(y=[1.5, 2.5, 3.5, 4.5, 5.5] + [None] * 55))
    assert prepare(table(rows=9), target="y", minimum_rows=2).counts.source == 9


def test_every_feature_dropped():
    refuses("nothing to learn from", table(), drop=["a", "b"])
    refuses(
        "every column was left out: a .constant., b .identifier.", table(a=[1] * 60, b=[f"name {i}" for i in range(60)])
    )


def test_nothing_but_the_target(tmp_path):
    refuses("no column besides the target", table().select("y"))
    refuses("no column besides the target", file(tmp_path, b"y\n" + b"".join(b"%d.5\n" % i for i in range(60))))


def test_a_column_named_like_a_pattern():
    refuses(r'"\^\.\*\$" is named like a pattern', table().rename({"a": "^.*$"}))


@pytest.mark.parametrize("test", [1.5, "1.5", 0, -0.2, 1, float("nan"), "0"])
def test_a_test_share_that_is_none(test):
    refuses(" is not a share .* give test= a number", table(), OptionError, test=test)


def test_a_test_file_with_other_columns(tmp_path):
    path = file(tmp_path, table().drop("b", "y").write_csv().encode(), "test.csv")
    refuses(r'test\.csv has other columns.*lacks "b", "y"', table(), test=path)
    refuses("no file", table(), test=tmp_path / "none.csv")
    refuses("no file", table(), test=str(tmp_path / "none.csv"))


def test_a_test_table_without_a_usable_row():
    refuses("No row of the test table", table(), test=table(y=[None] * 60))


def test_options_that_name_no_column():
    option: dict[str, Any]
    for option in ({"drop": ["c"]}, {"number": ["c"]}, {"category": ["c"]}, {"weight": "c"}, {"split": "time:c"}):
        refuses(r'no column "c".*columns are: a, b, y', table(), **option)
    refuses("neither random, time:COL, group:COL nor a column", table(), OptionError, split="c")
    refuses("names no column", table(), OptionError, split="time:")


def test_options_that_contradict_each_other():
    refuses('"a" cannot be', table(), OptionError, drop=["a"], number=["a"])
    refuses('"y" cannot be', table(), OptionError, drop=["y"])
    refuses('"y" cannot be', table(), OptionError, split="group:y")
    refuses("named twice", table(), OptionError, target=["y", "y"])


def test_overrides_that_cannot_be_met():
    refuses('"c" cannot be one of number=', table(c=["x", "y"] * 30), OptionError, number=["c"])
    refuses('"c" cannot be one of category=', table(c=[[1]] * 60), OptionError, category=["c"])


def test_weights_that_are_none():
    refuses("missing, negative or infinite in 1 row:", table(w=[-1.0] + [1.0] * 59), weight="w")
    refuses("missing, negative or infinite in 2 rows", table(w=[None, np.inf] + [1.0] * 58), weight="w")
    refuses('"w" is text', table(w=["heavy"] * 60), weight="w")
    refuses("0 in every row", table(w=[0] * 60), weight="w")


def test_an_unknown_task_lists_the_known():
    refuses("auto, regression, classification", table(), OptionError, task="clustering")


@pytest.mark.parametrize("data", [None, 5, "", (1,), (1, 2, 3, 4), np.zeros((2, 2, 2)), object()])
def test_what_is_no_table(data):
    refuses("table|folder|cannot be read", data)


def test_arrays_of_different_length():
    refuses("X has 5 rows and y has 4", (np.zeros((5, 2)), np.zeros(4)), target=None)


def test_part_columns_that_say_something_else():
    refuses('holds "later"', table(part=["train"] * 59 + ["later"]), split="part")
    refuses('no usable row says "train"', table(part=["valid"] * 30 + ["test"] * 30), split="part")


def test_splits_that_cannot_be_made():
    refuses("There is 1 group, and a split needs at least 2 groups", table(g=["one"] * 60), split="group:g")
    refuses("different times", table(t=[5] * 60), split="time:t")
    refuses("not times, such as .soon", table(t=["soon", "later"] * 30), split="time:t")
    refuses("different rows", pl.DataFrame({"a": [1.5] * 30 + [2.5] * 30, "y": [1.5] * 30 + [2.5] * 30}))


def test_messages_are_no_longer_than_two_or_three_sentences():
    with pytest.raises(DataError) as caught:
        prepare(pl.DataFrame({f"column {i}": [1.0] for i in range(500)}), target="y")
    assert len(re.findall(r"[.?!] ", str(caught.value))) <= 2
