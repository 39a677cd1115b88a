"""The page of a study: what stands on it is what the study's files say, and it loads nothing."""

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import numpy
import polars as pl
import pytest
from sklearn.datasets import load_iris

import trimtab as tt
from made_accounts import account
from trimtab.errors import DataError
from trimtab.findings.document import document_of
from trimtab.report.studies_report import studies_page
from trimtab.text.layout import number
from trimtab.tuning.folder import StudyFolder

pytestmark = pytest.mark.usefixtures("few_epochs")
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Reader(HTMLParser):
    """The text of a page, its ids, the places it would load from, and whether its elements close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.ids, self.loads, self.words, self.inline = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids += [given["id"]] if "id" in given else []
        self.loads += [given[name] for name in ("src", "srcset", "data") if name in given and tag != "iframe"]
        self.loads += [given["href"]] if tag == "link" else []
        self.inline += [name for name in given if name.startswith("on") or name == "style"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(data)


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    assert reader.open == [], "every element is closed"
    assert len(set(reader.ids)) == len(reader.ids), "an id names one place"
    return reader


@pytest.fixture(scope="module")
def numbers(tmp_path_factory, few_epochs):
    folder = tmp_path_factory.mktemp("numbers")
    table = pl.DataFrame({"size": [i % 17 for i in range(120)], "city": ["Rome", "Oslo", "Bonn"] * 40}).with_columns(
        ((pl.col("size") - 8) ** 2 * 2.13 + pl.int_range(pl.len()) * 0.011).alias("price & co")
    )
    table.write_csv(folder / "houses <new>.csv")
    return tt.tune(folder / "houses <new>.csv", target="price & co", trials=3, out=folder / "study")


@pytest.fixture(scope="module")
def classes(tmp_path_factory, few_epochs):
    frame = load_iris(as_frame=True).frame
    return tt.tune(frame, target="target", trials=2, test="none", out=tmp_path_factory.mktemp("classes") / "study")


def test_the_page_says_what_the_study_says(numbers):
    path = numbers.report()
    assert path == numbers.out / "report.html"
    page = read(path.read_text(encoding="utf-8"))
    text = " ".join(" ".join(page.words).split())
    assert number(numbers.result["test"]["rmse"]) in text and "price & co" in text
    assert "predicts price & co from houses <new>.csv" in text, "names are text, never markup"
    assert {"answer", "duration", "findings", "search", "errors", "columns", "parts", "made"} <= set(page.ids)
    assert {"standing", "curves", "trials", "predicted", "residuals", "columns-worth"} <= set(page.ids)
    assert "trimtab explain" in text, "what each choice was worth was not measured, and the page says how it is"
    for finding in numbers.findings:
        assert finding.statement in text


def test_it_loads_nothing_and_its_policy_lets_nothing_in(numbers):
    html = numbers.report().read_text(encoding="utf-8")
    page = read(html)
    assert page.loads == [] and page.inline == []
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)
    assert policy is not None
    assert policy[1].startswith("default-src &#39;none&#39;") and "unsafe" not in policy[1]
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", html)


def test_what_was_measured_stands_on_it(numbers):
    folder = StudyFolder(numbers.out)
    before = document_of(folder)
    frame = pl.DataFrame({"stage": ["counterfactual"]})
    account().save(folder, frame, frame)
    try:
        page = read(tt.load(numbers.out).report(numbers.out / "other.html").read_text(encoding="utf-8"))
    finally:
        folder.write("findings.json", before)
    assert {"choices", "path", "stopping"} <= set(page.ids)
    text = " ".join(" ".join(page.words).split())
    assert "Something does better than the winner: width 256" in text and "From 4.450 to 4.030 rmse" in text


def test_classes_have_their_confusion_and_rows_that_are_gone_are_told(classes):
    page = read(classes.report().read_text(encoding="utf-8"))
    assert {"confusion", "calibration"} <= set(page.ids) and "columns-worth" not in page.ids
    assert "was made from a frame" in " ".join(page.words), "why no column is judged"


def test_a_table_that_has_changed_is_not_looked_at(numbers):
    data = numbers.out.parent / "houses <new>.csv"
    kept = data.read_bytes()
    data.write_bytes(kept.replace(b"Rome", b"Pisa"))
    try:
        page = read(numbers.report(numbers.out / "changed.html").read_text(encoding="utf-8"))
    finally:
        data.write_bytes(kept)
    assert "columns-worth" not in page.ids and "other rows than those" in " ".join(page.words)


def test_a_study_that_was_not_finished_shows_what_stands_of_it(numbers, tmp_path):
    out = shutil.copytree(numbers.out, tmp_path / "killed")
    shutil.rmtree(out / "model")
    for name in ("findings.json", "predictions.parquet"):
        (out / name).unlink()
    folder = StudyFolder(out)
    folder.write("study.json", folder.read("study.json") | {"result": None})
    page = read(tt.load(out).report().read_text(encoding="utf-8"))
    text = " ".join(" ".join(page.words).split())
    assert "The search was not finished" in text and "rmse on validation rows, the best so far" in text
    assert "Prepared(" not in text and "no model in the study's folder" in text and "model.predict" not in text
    with pytest.raises(DataError, match="killed was not finished"):
        studies_page(numbers, tt.load(out))


def test_several_targets_have_their_own_pictures(tmp_path):
    table = pl.DataFrame({"x": range(60)}).with_columns((pl.col("x") * 2.0).alias("a"), (pl.col("x") - 3.0).alias("b"))
    study = tt.tune(table, target=["a", "b"], trials=1, out=tmp_path / "study")
    page = read(study.report().read_text(encoding="utf-8"))
    assert {"predicted-1", "predicted-2", "residuals-2", "losses-2"} <= set(page.ids)
    assert "How well a network predicts a and b from study" in page.words


def test_columns_for_which_there_is_no_time_are_told(numbers, monkeypatch):
    monkeypatch.setattr("trimtab.report.columns.SECONDS", -1.0)
    page = read(numbers.report(numbers.out / "hurried.html").read_text(encoding="utf-8"))
    assert "columns-worth" not in page.ids
    assert "There was no time to look at any of 2 columns." in " ".join(page.words)


def test_the_first_page_of_a_process_says_what_columns_are_worth(numbers):
    command = f"import trimtab as tt; tt.load({str(numbers.out)!r}).report({str(numbers.out / 'first.html')!r})"
    subprocess.run([sys.executable, "-c", command], check=True)
    assert "columns-worth" in read((numbers.out / "first.html").read_text(encoding="utf-8")).ids


def test_a_notebook_shows_the_study_in_a_frame_of_its_own(numbers):
    html = numbers._repr_html_()
    assert html.startswith("<iframe sandbox") and number(numbers.result["test"]["rmse"]) in html


def test_a_place_that_cannot_be_written_is_told(numbers, tmp_path):
    with pytest.raises(DataError, match="cannot be written"):
        numbers.report(tmp_path / "missing" / "report.html")


def test_a_training_a_sweep_and_a_log_are_pages_too(tmp_path):
    import torch

    module = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    x = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    rows = {"train": (x[:40], x[:40].sum(1, keepdim=True)), "valid": (x[40:], x[40:].sum(1, keepdim=True))}
    given = {"loss": "mse", "optimizer": "adam", "epochs": 12, **rows}
    run = tt.fit(module, lr=0.01, **given)
    page = read(run.report(tmp_path / "run.html").read_text(encoding="utf-8"))
    assert {"curves", "rules", "gradient-norm", "findings"} <= set(page.ids)
    assert number(run.score) in " ".join(page.words)
    lost = tt.fit(module, lr=1e6, **{**given, "optimizer": "sgd"})
    text = " ".join(read(lost.report(tmp_path / "lost.html").read_text(encoding="utf-8")).words)
    assert "Training diverged: after no epoch was the validation loss a number." in text and "nobody can say" in text
    sweep = tt.sweep(module, lr=[1e-4, 1e-2, 0.1], **given)
    page = read(sweep.report(tmp_path / "sweep.html").read_text(encoding="utf-8"))
    assert "by-value" in page.ids and sweep.words in " ".join(page.words)
    pairs = tt.sweep(module, lr=[1e-3, 1e-2], batch_size=[8, 16], **given)
    assert "by-pair" in read(pairs.report(tmp_path / "pairs.html").read_text(encoding="utf-8")).ids
    assert all("<iframe" in each._repr_html_() for each in (run, sweep))
    log = tt.diagnose({"epoch": list(range(9)), "loss": [1 / (i + 1) for i in range(9)]})
    assert "findings" in read(log.report(tmp_path / "log.html").read_text(encoding="utf-8")).ids


def test_two_studies_stand_side_by_side(numbers, classes, tmp_path):
    other = tt.tune(
        numbers.out.parent / "houses <new>.csv", target="price & co", trials=1, loss="mae", out=tmp_path / "two"
    )
    page = read(studies_page(numbers, other).html())
    text = " ".join(" ".join(page.words).split())
    assert "study beside two" in text and "asked: fixed" in text
    assert "cannot be told apart on 24 rows" in text or "is better: rmse differs by" in text
    assert number(numbers.result["test"]["rmse"]) in text and number(other.result["test"]["rmse"]) in text
    with pytest.raises(DataError, match="only studies with one metric"):
        studies_page(numbers, classes)


def test_a_column_that_drifts_between_the_parts_is_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr("trimtab.studies.table_findings.FEW_SECONDS", 60.0)
    rng = numpy.random.default_rng(0)
    for name, rows, age in (("rows", 300, 40), ("new", 200, 60)):
        frame = pl.DataFrame({"age": rng.normal(age, 9, rows).round(), "b": rng.normal(size=rows)})
        frame.with_columns(y=pl.col("b") * 2 + rng.normal(size=rows)).write_csv(tmp_path / f"{name}.csv")
    study = tt.tune(tmp_path / "rows.csv", target="y", test=tmp_path / "new.csv", trials=1, out=tmp_path / "study")
    (found,) = [each for each in study.findings if each.id == "not_representative"]
    assert found.evidence["part"] == "test" and "age" in found.evidence["columns"]
    page = read(study.report().read_text(encoding="utf-8"))
    assert "drift-1" in page.ids and "drift-2" not in page.ids
    text = " ".join(" ".join(page.words).split())
    assert "Is age the same on both parts?" in text and "of the test rows would have to have another age" in text
    (tmp_path / "rows.csv").unlink()
    assert "drift-1" not in read(study.report().read_text(encoding="utf-8")).ids, "the rows are no longer there"
