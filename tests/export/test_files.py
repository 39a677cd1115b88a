"""Exports as files: from the command line and from Python, whole or not at all, and read where there is no trimtab."""

import builtins
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy
import onnxruntime
import polars
import pytest
import torch
from torch import nn

import trimtab as tt
from documentation import run_page
from trimtab import cli
from trimtab.export.files import export_files

pytestmark = pytest.mark.usefixtures("few_epochs")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tt.Study:
    """A study of 80 rows that took a moment."""
    folder = tmp_path_factory.mktemp("houses")
    rng = numpy.random.default_rng(0)
    size, kind = rng.uniform(30, 200, 80).round(1), rng.choice(["flat", "house", "hut"], 80)
    price = (2 * size + 30 * (kind == "house") + rng.normal(0, 5, 80)).round(2)
    polars.DataFrame({"size": size, "kind": kind, "price": price}).write_csv(folder / "houses.csv")
    return tt.tune(
        folder / "houses.csv", "price", trials=1, epochs=2, width=8, depth=1, out=folder / "study", threads=1
    )


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple]:
    """Run `trimtab export` in an empty folder: status, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = cli.main(["export", *map(str, arguments)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def test_all_three_at_once(run, study, tmp_path):
    status, out, err = run(study.out, "--python", "t.py", "--onnx", "m.onnx", "--pt2", "m.pt2")
    assert (status, err) == (0, "")
    files = ["t.py", "t.folds.parquet", "m.onnx", "m.pt2"]
    assert [line.split(" is written")[0] for line in out.splitlines()] == files
    assert {file.name for file in tmp_path.iterdir()} == set(files)
    folds = study.out / "folds.parquet"
    assert (tmp_path / "t.py").read_text() == study.code().replace(str(folds), str(tmp_path / "t.folds.parquet"))
    assert (tmp_path / "t.folds.parquet").read_bytes() == folds.read_bytes()
    table = polars.read_csv(study.out.parent / "houses.csv")
    session = onnxruntime.InferenceSession("m.onnx")
    columns = {"size": table["size"].to_numpy(), "kind": table["kind"].to_numpy().astype(object)}
    numpy.testing.assert_allclose(session.run(None, columns)[0], study.model.predict(table), rtol=1e-5)


def test_json_names_the_files(run, study):
    status, out, _ = run(study.out / "model", "--onnx", "m.onnx", "--json")
    assert status == 0
    assert json.loads(out) == {"onnx": "m.onnx"}


def test_a_file_that_is_there_is_replaced(run, study, tmp_path):
    (tmp_path / "m.onnx").write_text("old")
    assert run(study.out, "--onnx", "m.onnx")[0] == 0
    assert (tmp_path / "m.onnx").stat().st_size > 1_000


REFUSED = {
    "nothing asked": ((), ("--python", "--onnx", "--pt2")),
    "one file for two": (("--onnx", "a", "--pt2", "./a"), ("one file",)),
    "no such folder": (("--pt2", "nowhere/m.pt2"), ("nowhere/m.pt2",)),
    "a folder": (("--onnx", "."), ("folder",)),
    "unwritable": (("--onnx", "/proc/nowhere.onnx"), ("/proc/nowhere.onnx",)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_written_is_refused(run, study, tmp_path, name):
    options, words = REFUSED[name]
    status, out, err = run(study.out, *options)
    assert (status, out) == (2, "")
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    for word in words:
        assert word in err
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_study_is_refused(run, study, tmp_path):
    for arguments, word in (
        ((tmp_path / "nowhere", "--onnx", "m.onnx"), "nowhere"),
        ((tmp_path, "--python", "t.py"), "study.json"),
        ((study.out / "model", "--python", "t.py"), "study's folder"),
    ):
        status, _, err = run(*arguments)
        assert status == 2
        assert word in err
    assert list(tmp_path.iterdir()) == []


def test_without_onnx_it_says_how_to_get_it(run, study, tmp_path, monkeypatch):
    genuine = builtins.__import__

    def without(name, *arguments, **keywords):
        if name.split(".")[0] == "onnx":
            raise ImportError(name)
        return genuine(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    status, _, err = run(study.out, "--pt2", "m.pt2", "--onnx", "m.onnx")
    assert status == 2
    assert 'pip install "trimtab[onnx]"' in err
    assert list(tmp_path.iterdir()) == [], "nothing is written before everything is made"


def test_a_failed_write_leaves_the_old_file(study, tmp_path, monkeypatch):
    (tmp_path / "m.pt2").write_text("old")

    def fail(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="No space"):
        study.export(pt2=tmp_path / "m.pt2")
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"m.pt2": "old"}


def test_a_model_without_columns_names_is_refused_by_onnx_alone(tmp_path):
    rng = numpy.random.default_rng(0)
    frame = polars.DataFrame({"": rng.normal(size=40), "y": rng.normal(size=40)})
    made = tt.tune(frame, "y", trials=1, epochs=1, width=8, depth=1, out=tmp_path / "study", test="none", threads=1)
    with pytest.raises(tt.ModelError, match="name it"):
        made.export(onnx=tmp_path / "m.onnx")
    assert made.export(pt2=tmp_path / "m.pt2")["pt2"].exists()


def test_studies_of_own_networks_give_a_script_and_no_graph(tmp_path):
    rng = numpy.random.default_rng(0)
    x, y = rng.normal(size=(60, 3)).astype("float32"), rng.normal(size=60).astype("float32")
    made = tt.tune(
        lambda width: nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, 1)),
        data=(x, y), space={"width": [4, 8], "lr": (1e-3, 1e-1, "log")}, epochs=4, trials=2, out=tmp_path / "study",
    )  # fmt: skip
    names: dict = {"__name__": "script"}
    exec(made.code(), names)  # noqa: S102
    rows = torch.from_numpy(x), torch.from_numpy(y)
    _, score = names["train"](made.module, *rows, *rows)
    assert numpy.isfinite(score)
    with pytest.raises(tt.StudyError, match=r"torch\.onnx\.export"):
        made.export(onnx=tmp_path / "m.onnx")
    assert made.export(python=tmp_path / "t.py")["python"].read_text() == made.code()


def test_a_script_needs_someone_to_write_it(tmp_path):
    with pytest.raises(tt.OptionError, match="Name what to write"):
        export_files(None)


@pytest.mark.long
def test_the_pages_code_runs_as_it_stands(tmp_path, monkeypatch):
    page = Path(__file__).resolve().parents[2] / "docs" / "export.md"
    monkeypatch.chdir(tmp_path)
    names = run_page(page, is_short=False)
    predicted = names["study"].model.predict(names["new"])
    for found in (names["prediction"], names["output"][:, 0].numpy()):
        numpy.testing.assert_allclose(found, predicted, rtol=1e-5)
    printed = re.search(r"validation rmse: (\S+) \(in the study: (\S+)\)", names["ended"].stdout)
    assert printed
    assert float(printed[1]) == pytest.approx(float(printed[2]), rel=0.3)
