"""Files become frames: whatever the separator, encoding, compression or format, the same table comes out."""

import gzip
import sys
import zipfile

import polars as pl
import pytest
import zstandard

from trimtab.errors import DataError
from trimtab.table.cells import settle_types
from trimtab.table.read import read_batches, read_table

CSV = "city,size,label\nBern,1.5,a\nZürich,2.5,b\n"
TABLE = [("Bern", 1.5, "a"), ("Zürich", 2.5, "b")]


WORKBOOK = {
    "[Content_Types].xml": """<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">
        <Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>
        <Default Extension="xml"
            ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>
        <Override PartName="/xl/worksheets/sheet1.xml"
            ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/></Types>""",
    "_rels/.rels": """<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">
        <Relationship Id="r1" Target="xl/workbook.xml"
            Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"/></Relationships>""",
    "xl/_rels/workbook.xml.rels": """<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">
        <Relationship Id="r1" Target="worksheets/sheet1.xml"
            Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet"/></Relationships>""",
    "xl/workbook.xml": """<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"
        xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">
        <sheets><sheet name="one" sheetId="1" r:id="r1"/></sheets></workbook>""",
}


def write_excel(path):
    def cell(value):
        if isinstance(value, str):
            return f'<c t="inlineStr"><is><t>{value}</t></is></c>'
        return f"<c><v>{value}</v></c>"

    rows = "".join(f"<row>{''.join(map(cell, row))}</row>" for row in [("city", "size", "label"), *TABLE])
    sheet = f'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{rows}</sheetData></worksheet>'
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (WORKBOOK | {"xl/worksheets/sheet1.xml": sheet}).items():
            archive.writestr(name, content)
    return path


def rows_of(path):
    return settle_types(read_table(path).frame)[0].rows()


def write(folder, content, name="table.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found(tmp_path, separator):
    assert rows_of(write(tmp_path, CSV.replace(",", separator))) == TABLE


@pytest.mark.parametrize("name", ["table.csv", "table.tsv", "table.txt", "table"])
def test_the_separator_is_found_in_the_text_not_in_the_name(tmp_path, name):
    assert rows_of(write(tmp_path, CSV, name)) == TABLE


def test_separators_inside_quotes_do_not_mislead(tmp_path):
    path = write(tmp_path, 'a;b\n"x,y,z";1\n"u,v,w";2\n')
    assert rows_of(path) == [("x,y,z", 1), ("u,v,w", 2)]


def test_line_breaks_and_doubled_quotes_inside_quotes_belong_to_the_cell(tmp_path):
    assert rows_of(write(tmp_path, 'a,b\n"two\nlines",1\n"a ""word""",2\n')) == [("two\nlines", 1), ('a "word"', 2)]


def test_a_quote_inside_a_cell_is_a_character(tmp_path):
    table = read_table(write(tmp_path, 'a,b\n5" pipe,1\nplain,2\n'))
    assert table.frame.rows() == [('5" pipe', "1"), ("plain", "2")]
    assert any("quotes" in notice for notice in table.notices)


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_decimal_comma_is_read_where_the_comma_separates_nothing(tmp_path, separator):
    assert rows_of(write(tmp_path, "a;b\n1,5;x\n-2,25;y\n3;z\n".replace(";", separator))) == [
        (1.5, "x"),
        (-2.25, "y"),
        (3.0, "z"),
    ]


def test_a_comma_in_quotes_of_a_comma_file_is_no_decimal(tmp_path):
    assert rows_of(write(tmp_path, 'a,b\n"1,5",1\n"2,5",2\n')) == [("1,5", 1), ("2,5", 2)]


@pytest.mark.parametrize(
    "encode", [lambda text: text.encode("utf-8-sig"), lambda text: text.replace("\n", "\r\n").encode()]
)
def test_byte_order_mark_and_windows_lines_leave_no_trace(tmp_path, encode):
    table = read_table(write(tmp_path, encode(CSV)))
    assert table.frame.columns == ["city", "size", "label"]
    assert rows_of(tmp_path / "table.csv") == TABLE
    assert not table.notices


def test_lines_of_old_macintoshes(tmp_path):
    assert rows_of(write(tmp_path, CSV.replace("\n", "\r"))) == TABLE


def test_latin_1_is_read_and_said(tmp_path):
    path = write(tmp_path, CSV.encode("latin-1"))
    assert rows_of(path) == TABLE
    assert any("Latin-1" in notice for notice in read_table(path).notices)


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_compressed_files_are_known_by_their_bytes(tmp_path, compress):
    assert rows_of(write(tmp_path, compress(CSV.encode()), "table.csv")) == TABLE


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "feather", "ipc", "jsonl", "ndjson"])
def test_typed_formats_keep_their_types(tmp_path, suffix):
    frame = pl.DataFrame(TABLE, schema=["city", "size", "label"], orient="row")
    path = tmp_path / f"table.{suffix}"
    if suffix == "parquet":
        frame.write_parquet(path)
    elif suffix in ("jsonl", "ndjson"):
        frame.write_ndjson(path)
    else:
        frame.write_ipc(path)
    assert read_table(path).frame.rows() == TABLE


def test_excel_sheets(tmp_path):
    pytest.importorskip("fastexcel")
    assert read_table(write_excel(tmp_path / "table.xlsx")).frame.rows() == TABLE


def test_without_the_reader_of_excel_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fastexcel", None)
    with pytest.raises(DataError, match=r'pip install "trimtab\[excel\]"'):
        read_table(write_excel(tmp_path / "table.xlsx"))


def test_compressed_json_lines(tmp_path):
    path = write(tmp_path, gzip.compress(b'{"a": 1}\n{"a": 2}\n'), "table.jsonl.gz")
    assert read_table(path).frame.rows() == [(1,), (2,)]


def test_parquet_is_known_by_its_bytes(tmp_path):
    pl.DataFrame({"a": [1, 2]}).write_parquet(tmp_path / "table.csv")
    assert read_table(tmp_path / "table.csv").frame.rows() == [(1,), (2,)]


def test_a_word_in_the_last_row_does_not_break_a_column_of_numbers(tmp_path):
    rows = "".join(f"{i},{i}\n" for i in range(20_000))
    frame = settle_types(read_table(write(tmp_path, f"a,b\n{rows}late,1\n")).frame)[0]
    assert frame.dtypes == [pl.String, pl.Int64]
    assert frame["a"][-1] == "late"


def test_a_dash_among_dates_is_a_missing_date_and_among_words_a_word(tmp_path):
    cells = "".join(f"{'-' if i % 3 == 0 else f'2024-01-{i + 1:02d}'},{'-' if i % 3 == 0 else 'x'}\n" for i in range(9))
    frame = settle_types(read_table(write(tmp_path, f"day,word\n{cells}")).frame)[0]
    assert frame.dtypes == [pl.Datetime("us"), pl.String]
    assert frame["day"].null_count() == 3 and frame["word"].null_count() == 0
    never = settle_types(pl.DataFrame({"day": ["-", "--"]}))[0]
    assert never["day"].to_list() == ["-", "--"]


def test_blank_lines_are_no_rows(tmp_path):
    assert rows_of(write(tmp_path, "\na,b\n\n1,2\n\n\n3,4\n\n")) == [(1, 2), (3, 4)]


def test_the_blank_line_of_a_single_column_is_a_missing_value(tmp_path):
    assert rows_of(write(tmp_path, "a\n1\n\n3\n\n")) == [(1,), (None,), (3,)]


def test_columns_without_a_name_get_one(tmp_path):
    assert read_table(write(tmp_path, ",a\n0,5\n1,6\n")).frame.columns == ["column_1", "a"]


@pytest.mark.parametrize("suffix", ["csv", "parquet", "csv.gz"])
def test_batches_hold_the_same_rows_in_the_same_order(tmp_path, suffix):
    frame = pl.DataFrame({"n": range(250_000), "text": [f'row "{i}"\n' for i in range(250_000)]})
    path = tmp_path / f"table.{suffix}"
    if suffix == "parquet":
        frame.write_parquet(path)
    else:
        content = frame.write_csv().encode()
        path.write_bytes(gzip.compress(content, 1) if suffix.endswith("gz") else content)
    batches = list(read_batches(path, rows=70_000))
    assert max(batch.height for batch in batches) <= 70_000
    together = pl.concat(batches)
    assert together["n"].cast(pl.Int64).to_list() == list(range(250_000))
    assert together["text"].to_list() == frame["text"].to_list()


def test_ragged_rows_are_told_by_their_line(tmp_path):
    path = write(tmp_path, 'a,b\n1,2\n"x\ny",3\n4,5,6\n7,8\n')
    with pytest.raises(DataError, match=r"table\.csv, line 5: 3 values where the header names 2"):
        read_table(path)


def test_ragged_rows_far_down_are_told_by_their_line(tmp_path):
    path = write(tmp_path, "a,b\n" + "1,2\n" * 3_000_000 + "1\n")
    with pytest.raises(DataError, match="line 3000002: 1 value where"):
        read_table(path)
