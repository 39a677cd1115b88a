"""A study's model tells intervals, and sets of classes, that hold the truth on rows it never saw; in files as well."""

import json

import numpy
import polars
import pytest

import trimtab as tt
from export.test_parity import run_onnx
from exported import feeds
from trimtab import cli
from trimtab.errors import ModelError, OptionError
from trimtab.export.onnx import as_onnx
from trimtab.model.model import Model

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("few_epochs")]
ROWS, NEW = 300, 3_000


def table(rows, seed):
    """A target whose noise grows with it, another, and classes that overlap."""
    rng = numpy.random.default_rng(seed)
    a, b = rng.uniform(0, 2, size=(2, rows))
    noise = rng.normal(size=rows)
    kinds = numpy.array(["low", "middle", "high"])[numpy.digitize(a + 0.3 * noise, [0.7, 1.3])]
    return polars.DataFrame(
        {"a": a, "b": b, "price": 5 * a + (0.2 + a) * noise, "size": a * b + 0.1 * noise, "kind": kinds}
    )


@pytest.fixture(scope="module")
def studies(tmp_path_factory, few_epochs):
    folder, made = tmp_path_factory.mktemp("intervals"), {}
    for target in ("price", "price,size", "kind"):
        names = target.split(",")
        frame = table(ROWS, 0).select("a", "b", *names)
        knobs = {"batch_size": 32, "width": 32, "depth": 1, "lr": 0.01, "epochs": 20}
        made[target] = tt.tune(frame, target=names, out=folder / names[-1], trials=1, test="none", **knobs)
    return made


@pytest.mark.parametrize("target", ["price", "price,size"])
def test_bounds_hold_the_truth_of_new_rows(studies, target):
    new = table(NEW, 1)
    told, low, high = studies[target].model.predict(new, interval=0.9)
    numpy.testing.assert_array_equal(told, studies[target].model.predict(new))
    truth = new.select(target.split(",")).to_numpy()
    low, high = low.reshape(truth.shape), high.reshape(truth.shape)
    covered = ((low <= truth) & (truth <= high)).mean(0)
    assert (covered > 0.84).all() and (covered < 0.97).all()
    width = (high - low)[:, 0]
    assert width[new["a"].to_numpy() > 1.6].mean() > 2 * width[new["a"].to_numpy() < 0.4].mean()
    narrower = studies[target].model.predict(new, interval=0.5)
    assert (narrower.high - narrower.low <= (high - low).reshape(narrower.low.shape)).all()


def test_sets_hold_the_class_of_new_rows(studies):
    model, new = studies["kind"].model, table(NEW, 1)
    told, classes = model.predict(new, interval=0.9)
    place = numpy.array([model.target.classes.index(kind) for kind in new["kind"]])
    assert 0.85 < classes[numpy.arange(NEW), place].mean() < 0.97
    assert classes[numpy.arange(NEW), [model.target.classes.index(kind) for kind in told]].all()
    assert 1 < classes.sum(1).mean() < 2.5


@pytest.mark.parametrize("target", ["price", "price,size", "kind"])
def test_an_onnx_graph_says_the_same(studies, target, tmp_path):
    pytest.importorskip("onnxruntime")
    model, new = studies[target].model, table(200, 2)
    given = run_onnx(as_onnx(model, 0.8), feeds(model, new))
    told = model.predict(new, interval=0.8)
    if target == "kind":
        assert (given["in_set"] == told.classes).mean() > 0.999
    else:
        for end in ("low", "high"):
            numpy.testing.assert_allclose(given[end], getattr(told, end), rtol=1e-4, atol=1e-4)
    assert set(given) == {"prediction", *(("in_set", "probabilities") if target == "kind" else ("low", "high"))}
    with pytest.raises(OptionError, match="has an effect on ONNX graphs alone"):
        studies[target].export(pt2=tmp_path / "model.pt2", interval=0.8)


def test_the_command_writes_them_beside_predictions(studies, tmp_path):
    rows = tmp_path / "new.csv"
    table(20, 3).select("a", "b").write_csv(rows)
    for target, columns in (
        ("price", ["prediction", "low", "high"]),
        ("price,size", ["prediction_price", "prediction_size", "low_price", "high_price", "low_size", "high_size"]),
        (
            "kind",
            [
                "prediction",
                *(f"{what}_{kind}" for what in ("probability", "in_set") for kind in ("high", "low", "middle")),
            ],
        ),
    ):
        out = tmp_path / f"{target}.csv"
        command = ["predict", str(studies[target].out), str(rows), "-o", str(out), "--interval", "0.9"]
        assert cli.main(command) == 0
        written = polars.read_csv(out)
        assert written.columns == columns and written.height == 20
        if target == "price":
            assert (written["low"] < written["prediction"]).all() and (written["prediction"] < written["high"]).all()


def test_what_cannot_be_told_is_said(studies, tmp_path):
    model, new = studies["price"].model, table(5, 4)
    with pytest.raises(OptionError, match=r"such as 0\.9"):
        model.predict(new, interval=90)
    with pytest.raises(OptionError, match="too much"):
        model.predict(new, interval=0.9999)
    folder = tmp_path / "model"
    model.save(folder)
    loaded = Model.load(folder)
    numpy.testing.assert_array_equal(loaded.predict(new, interval=0.9), model.predict(new, interval=0.9))
    document = json.loads((folder / "model.json").read_text())
    assert document["calibration"]["rows"] == pytest.approx(ROWS)
    without = Model(model.encoder, model.target, model.members)
    without.save(folder)  # as an older trimtab saved it
    assert "calibration" not in json.loads((folder / "model.json").read_text())
    with pytest.raises(ModelError, match="does not know how far its predictions are off"):
        Model.load(folder).predict(new, interval=0.9)
    assert Model.load(folder).predict(new).shape == (5,)
