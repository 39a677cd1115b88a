"""What is exported predicts what the model predicts: tables of our own with everything in them, and the real ones."""

import io
import json
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import numpy
import onnx
import onnxruntime
import polars
import pytest
import torch

import exported
from exported import LINEAR, PLAIN, WAVES, feeds, spoiled, tensors, trained
from trimtab.export.onnx import as_onnx
from trimtab.export.predictor import Predictor
from trimtab.export.pt2 import VOCABULARY_FILE, as_pt2
from trimtab.export.vocabulary import vocabulary
from trimtab.model.model import Model, build
from trimtab.model.tensors import training_data
from trimtab.nets.mlp import ACTIVATIONS
from trimtab.studies.remembering import member_that_remembers
from trimtab.table.encode import Encoder
from trimtab.table.prepare import prepare
from trimtab.training.programs.mlp_program import MLPProgram

TOLERANCE = 1e-5
ROWS = 240
READ_BACK = ("adult", "titanic")  # of the real tables, those whose PT2 file is read back: a second for each


def everything(rows: int = ROWS, seed: int = 0) -> polars.DataFrame:
    """Numbers, long tails, mostly zeros, gaps, labels few and many, truths, dates with a clock, in one table."""
    rng = numpy.random.default_rng(seed)
    places = [f"street {int(i)}" for i in rng.integers(0, 40, rows) ** 2 // 40]

    def with_gaps(values: numpy.ndarray) -> polars.Series:
        return polars.Series(values).set(polars.Series(rng.random(rows) < 0.2), None)

    start = datetime(1968, 1, 1, tzinfo=UTC)
    moments = [start + timedelta(days=int(d), seconds=int(s)) for d, s in rng.integers(0, 20_000, (rows, 2)).tolist()]
    return polars.DataFrame(
        {
            "size": rng.normal(100, 30, rows).round(2),
            "tail": numpy.exp(rng.normal(0, 6, rows)),
            "mostly zero": numpy.where(rng.random(rows) < 0.8, 0.0, rng.exponential(1e4, rows)),
            "gaps": with_gaps(rng.normal(size=rows)),
            "kind": rng.choice(["flat", "house", "hut"], rows),
            "state": with_gaps(rng.choice(["new", "old", "odd"], rows)),
            "rooms": rng.choice([1.0, 2.0, 3.0], rows),
            "place": places,
            "garden": rng.random(rows) < 0.5,
            "when": polars.Series(moments).dt.convert_time_zone("Europe/Paris"),
            "day": [f"{1 + i % 28:02d}.{1 + i % 12:02d}.{1990 + i % 30}" for i in range(rows)],
        }
    )


def with_target(frame: polars.DataFrame, kind: str) -> tuple[polars.DataFrame, str]:
    size, garden = frame["size"].to_numpy(), frame["garden"].to_numpy()
    price = 3e5 + 1e3 * size + 2e4 * garden
    if kind == "number":
        return frame.with_columns(price=price), "price"
    if kind == "two numbers":
        return frame.with_columns(price=price, area=size * 1e-3 + 7), "price,area"
    place = numpy.searchsorted(numpy.quantile(price, [0.3, 0.6]), price)
    labels = {
        "strings": [("dear", 'very "dear"', "that's cheap")[i] for i in place],
        "whole numbers": [(3, -1, 20)[i] for i in place],
        "fractions": [(0.5, 1.0, 2.25)[i] for i in place],
        "truths": [i > 0 for i in place],
    }[kind]
    return frame.with_columns(label=polars.Series(labels)), "label"


def model_of(frame: polars.DataFrame, target: str, **options) -> Model:
    kept = {"category": ["place", "rooms"], **options.pop("prepare", {})}
    task = "classification" if target == "label" else "auto"
    return trained(prepare(frame, target=target, test="none", task=task, **kept), **options)


def run_onnx(content: bytes, columns: dict) -> dict[str, numpy.ndarray]:
    session = onnxruntime.InferenceSession(content)
    return dict(zip([output.name for output in session.get_outputs()], session.run(None, columns), strict=True))


def run_pt2(content: bytes, *rows: dict) -> list[numpy.ndarray]:
    extra = {VOCABULARY_FILE: ""}
    program = torch.export.load(io.BytesIO(content), extra_files=extra).module()
    document = json.loads(extra[VOCABULARY_FILE])
    return [program(*tensors(document, columns)).numpy() for columns in rows]


def assert_parity(model: Model, frame: polars.DataFrame, *, saved: bool = True) -> None:
    """ONNX and PT2 give the model's predictions within 1e-5 of the target's standard deviation, or of probability.

    Without `saved` the module that PT2 is made of stands in for the program read back, which takes seconds more.
    """
    columns = feeds(model, frame)
    if saved:
        (from_pt2,) = run_pt2(as_pt2(model), columns)
    else:
        from_pt2 = Predictor(model)(*tensors(vocabulary(model), columns)).numpy()
    assert_same(model, frame, from_pt2, run_onnx(as_onnx(model), columns))


def assert_same(
    model: Model, frame: polars.DataFrame, from_pt2: numpy.ndarray, outputs: dict[str, numpy.ndarray]
) -> None:
    """What a PT2 program and an ONNX graph gave for `frame` is what the model predicts."""
    expected, _ = model.raw(frame)
    unit = numpy.array(model.target.scale) if model.task == "regression" else 1.0
    assert from_pt2.shape == expected.shape
    assert numpy.abs((from_pt2 - expected) / unit).max() < TOLERANCE
    from_onnx = outputs["probabilities" if model.task == "classification" else "prediction"]
    assert numpy.abs((from_onnx.reshape(expected.shape) - expected) / unit).max() < TOLERANCE
    if model.task == "classification":
        sure = numpy.diff(numpy.sort(expected, axis=1)[:, -2:])[:, 0] > 2 * TOLERANCE
        assert (outputs["prediction"] == model.target.decode(expected))[sure].all()
    else:
        assert from_onnx.shape == model.target.decode(expected).shape


KINDS = ("number", "two numbers", "strings", "whole numbers", "fractions", "truths")


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_with_everything_in_it(kind):
    frame, target = with_target(everything(), kind)
    model = model_of(frame, target, epochs=5)
    kinds = {feature.labels.kind for feature in model.encoder.features if feature.labels is not None}
    assert kinds == {"binary", "one-hot", "embedding"}
    assert any(feature.scaling is not None and feature.scaling.is_log for feature in model.encoder.features)
    assert_parity(model, spoiled(frame, model), saved=False)  # two of the kinds are read back below


@pytest.mark.parametrize(("kind", "is_alone"), [("number", False), ("two numbers", True), ("strings", False)])
def test_a_model_that_asks_the_nearest_training_rows(kind, is_alone):
    frame, target = with_target(everything(), kind)
    prepared = prepare(
        frame, target=target, test="none", task="classification" if target == "label" else "auto",
        category=["place", "rooms"],
    )  # fmt: skip
    model = trained(prepared, networks=(WAVES, PLAIN), epochs=5)
    first, data = model.members[0], training_data(prepared, torch.device("cpu"))
    program = MLPProgram(build(model.encoder, model.target, first.network))
    rows = torch.arange(data.rows)
    own = member_that_remembers(replace(first, share=0.4), data, program, (rows[::2], rows[1::2]), (0.1, 0.1))
    others = () if is_alone else tuple(replace(member, share=0.3) for member in model.members)
    model = replace(model, members=(*others, replace(own, share=1.0) if is_alone else own))
    assert_parity(model, spoiled(frame, model), saved=kind == "number")


@pytest.mark.parametrize("kind", ["number", "two numbers"])
def test_predictions_have_bounds(kind):
    frame, target = with_target(everything(), kind)
    model = model_of(frame, target)
    assert len(model.target.low) == len(model.target.names)
    raw = model.raw(frame)[0]
    middle = tuple(numpy.median(raw, axis=0).tolist())
    bounded = replace(model, target=model.target.model_copy(update={"high": middle}))
    said = bounded.raw(frame)[0]
    assert (said <= numpy.array(middle) * (1 + 1e-12)).all() and (said < raw - 1e-9).any()
    assert_parity(bounded, frame, saved=kind == "number")


def test_the_time_between_two_moments():
    frame, target = with_target(everything(), "number")
    seconds = polars.Series(numpy.random.default_rng(1).integers(0, 90_000, frame.height))
    left = frame["when"] + polars.Series(seconds * 1_000_000).cast(polars.Duration("us"))
    frame = frame.with_columns(left=left)
    model = model_of(frame, target, epochs=5)
    assert [(span.earlier, span.later) for span in model.encoder.spans] == [("when", "left")]
    assert_parity(model, spoiled(frame, model), saved=False)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_each_activation(activation):
    frame, target = with_target(everything(60), "number")
    model = model_of(frame, target, networks=({**WAVES, "activation": activation},), epochs=5)
    columns = feeds(model, frame)
    onnx_output = run_onnx(as_onnx(model), columns)["prediction"]
    numpy.testing.assert_allclose(onnx_output, model.predict(frame), atol=TOLERANCE * model.target.scale[0])


@pytest.mark.parametrize("name", ["size", "garden", "place"])
def test_tables_of_a_single_column(name):
    frame, target = with_target(everything(), "number")
    frame = frame.select(name, target)
    kept = {"category": [name] if name == "place" else []}
    model = model_of(frame, target, networks=(WAVES, LINEAR), prepare=kept)
    assert_parity(model, spoiled(frame, model))


def test_any_number_of_rows_whatever_is_in_them():
    frame, target = with_target(everything(), "strings")
    model = model_of(frame, target, epochs=5)
    pieces = [polars.concat([frame] * (1 + rows // ROWS)).head(rows) for rows in (0, 1, 2, 5_000)]
    pieces.append(spoiled(frame, model))
    columns = [feeds(model, piece) for piece in pieces]
    content = as_onnx(model)
    for piece, given, from_pt2 in zip(pieces, columns, run_pt2(as_pt2(model), *columns), strict=True):
        outputs = run_onnx(content, given)
        assert outputs["prediction"].shape == (piece.height,)
        for found in (from_pt2, outputs["probabilities"]):
            assert found.shape == (piece.height, 3)
            numpy.testing.assert_allclose(found, model.predict_proba(piece), atol=TOLERANCE)
    assert_same(model, piece, from_pt2, outputs)


def test_numbers_beyond_all_bounds():
    frame, target = with_target(everything(), "number")
    model = model_of(frame, target)
    extremes = [0.0, -0.0, 1e-320, 1e300, -1e300, 1.7e308, float("inf"), float("-inf"), float("nan")]
    rows = frame.head(len(extremes)).with_columns(size=polars.Series(extremes), tail=polars.Series(extremes))
    assert_parity(model, rows, saved=False)


def test_every_day_of_the_calendar():
    """Parts of dates far back and far ahead, leap years and ends of centuries among them."""
    frame, target = with_target(everything(), "number")
    model = model_of(frame.select("when", target), target, prepare={"category": []})
    assert len(model.encoder.features[0].moments.parts) == 4
    days = range(-200_000, 200_000, 997)
    moments = polars.Series("when", [datetime(1970, 1, 1) + timedelta(days=d, seconds=7 * d % 86_400) for d in days])
    assert_parity(model, moments.to_frame(), saved=False)


@pytest.mark.parametrize(
    ("name", "label", "spelling"),
    [
        ("zone", "1", "1.0"), ("zone", "2.0", "2"), ("code", "007", "007"), ("code", "1e3", "1e3"),
        ("word", "True", "TRUE"), ("word", "False", "0"), ("state", "", "NA"), ("state", "", "?"),
        ("blank", " x", "x"), ("part", "NA", ""),
    ],
)  # fmt: skip
def test_labels_may_be_written_as_in_a_file(tmp_path, name, label, spelling):
    """A column of text takes text, in every spelling that trimtab itself would take for the label."""
    frame, target = with_target(everything(), "number")
    rows = range(frame.height)
    columns = {
        "zone": [("1", "2.0", "b")[i % 3] for i in rows],
        "code": [("007", "042", "1e3")[i % 3] for i in rows],
        "word": [("True", "False")[i % 2] for i in rows],
        "blank": [(" x", "y", "z")[i % 3] for i in rows],
        "part": [("NA", "EU", "AS")[i % 3] for i in rows],
    }
    frame = frame.select("size", "state", target, *(polars.Series(key, cells) for key, cells in columns.items()))
    frame.write_csv(tmp_path / "rooms.csv")
    model = trained(prepare(tmp_path / "rooms.csv", target=target, test="none"), (LINEAR,))
    model = replace(model, encoder=_without_types(model.encoder)) if name == "word" else model
    row, content = feeds(model, frame.head(1)), as_onnx(model)

    def predicted(text: str) -> numpy.ndarray:
        return run_onnx(content, row | {name: numpy.array([text], dtype=object)})["prediction"]

    first, second, third = predicted(label), predicted(spelling), predicted("palace")
    assert first == second != third
    assert_parity(model, frame, saved=False)


def _without_types(encoder: Encoder) -> Encoder:
    """As a model that was saved before it knew the types of its cells: every category is text."""
    features = [f.model_copy(update={"type": "string"}) if f.labels else f for f in encoder.features]
    return encoder.model_copy(update={"features": tuple(features)})


def numbered(gaps: bool) -> polars.DataFrame:
    """Categories that are numbers and truths, in types that all differ; with `gaps`, some cells are missing."""
    rows = numpy.arange(ROWS)
    columns = {
        "floor": polars.Series((-1, 0, 3)[i % 3] for i in rows),
        "small": polars.Series(rows % 2, dtype=polars.UInt8),
        "long": polars.Series(2**53 + i % 3 for i in rows),
        "share": polars.Series((1e-07, 0.1, 3.0, 1e16)[i % 4] for i in rows),
        "single": polars.Series((0.1 + 0.2 * (i % 3) for i in rows), dtype=polars.Float32),
        "money": polars.Series((1.5 + i % 3 for i in rows), dtype=polars.Decimal(10, 2)),
        "many": polars.Series(int(i) ** 2 // 40 for i in numpy.random.default_rng(3).integers(0, 40, ROWS)),
        "open": polars.Series(rows % 2 == 0),
    }
    frame = polars.DataFrame(columns)
    if gaps:
        every = [polars.when(polars.int_range(ROWS) % 7 != i).then(name).alias(name) for i, name in enumerate(columns)]
        frame = frame.select([*every[:7], polars.when(polars.int_range(ROWS) % 5 > 0).then("open").alias("open")])
    size = numpy.random.default_rng(1).normal(100, 30, ROWS)
    return frame.with_columns(
        count=polars.Series(rows // 2), size=polars.Series(size), price=polars.Series(size + rows)
    )


@pytest.mark.parametrize("gaps", [False, True])
def test_numbers_that_are_categories_are_taken_by_their_value(gaps):
    frame = numbered(gaps)
    categories = frame.columns[:7]
    model = trained(prepare(frame, target="price", test="none", category=categories), (PLAIN,))
    content = as_onnx(model)
    kinds = {i.name: i.type for i in onnxruntime.InferenceSession(content).get_inputs()}
    whole, real, truth = "tensor(int64)", "tensor(double)", "tensor(double)" if gaps else "tensor(bool)"
    assert [kinds[name] for name in categories] == [whole] * 3 + [real] * 3 + [whole]
    assert (kinds["open"], kinds["count"], kinds["size"]) == (truth, whole, real)
    assert_parity(model, spoiled(frame, model), saved=False)


DAYS = [datetime(2024, 1, day) for day in (1, 2, 3)]
SPANS = [timedelta(seconds=90), timedelta(days=1), timedelta(milliseconds=5)]
FRACTIONS = polars.Series([0.1, 0.1 + 0.2, 2.0])
# By name: a column as it trains, and as it may come later.
LABELS = {
    "single": (FRACTIONS.cast(polars.Float32), [FRACTIONS, FRACTIONS.cast(polars.Float32).cast(polars.Float64)]),
    "double": (FRACTIONS, [FRACTIONS.cast(polars.Float32), FRACTIONS.cast(polars.Float32).cast(polars.Float64)]),
    "half": (FRACTIONS.cast(polars.Float16), [FRACTIONS, FRACTIONS.cast(polars.Float32)]),
    "long": (polars.Series([1, 2**63, 2**63 + 1], dtype=polars.UInt64), []),
    "signed": (polars.Series([1, 2**62, 2**62 + 1], dtype=polars.UInt64), []),
    "day": (
        polars.Series(DAYS).cast(polars.Date),
        [polars.Series(DAYS), polars.Series(DAYS).cast(polars.Datetime("ns"))],
    ),
    "written": (polars.Series([f"{day:%Y-%m-%d}T00:00" for day in DAYS]), [polars.Series(DAYS)]),
    "zone": (polars.Series(DAYS).dt.replace_time_zone("Europe/Paris"), [polars.Series(DAYS).cast(polars.Date)]),
    "hour": (polars.Series(["08:00", "9:30", "10:00"]), [polars.Series([time(8), time(9, 30), time(10)])]),
    "span": (polars.Series(SPANS), [polars.Series(SPANS, dtype=polars.Duration("ms"))]),
}


def tiled(column: polars.Series) -> polars.Series:
    return column.gather([i % 3 for i in range(ROWS)])


def test_labels_of_every_type_and_precision_are_found_in_what_is_exported():
    size = numpy.random.default_rng(1).normal(100, 30, ROWS)
    frame = polars.DataFrame({name: tiled(column) for name, (column, _) in LABELS.items()})
    frame = frame.with_columns(size=polars.Series(size), price=polars.Series(size * 3 + numpy.arange(ROWS) % 3))
    model = trained(prepare(frame, target="price", test="none", category=list(LABELS)), (LINEAR,))
    session = onnxruntime.InferenceSession(as_onnx(model))
    kinds = {i.name: i.type.removeprefix("tensor(").rstrip(")") for i in session.get_inputs()}
    assert [kinds[name] for name in LABELS] == ["double"] * 3 + ["string", "int64"] + ["string"] * 4 + ["double"]
    document = vocabulary(model)
    for name, (column, others) in LABELS.items():
        for other in (column, *others):
            rows = frame.with_columns(tiled(other).alias(name))
            expected, notices = model.raw(rows)
            # Hours that are not those of training are no error of the exports.
            assert notices == () or name == "hour"
            columns = feeds(model, rows)
            found = dict(zip([o.name for o in session.get_outputs()], session.run(None, columns), strict=True))
            numpy.testing.assert_allclose(found["prediction"], expected[:, 0], rtol=1e-5)
            numpy.testing.assert_allclose(
                Predictor(model)(*tensors(document, columns))[:, 0], expected[:, 0], rtol=1e-5
            )


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (polars.Series([0.1, 0.2, 0.3], dtype=polars.Float32), "float"),
        (polars.Series([0.1, 0.2, 0.3]).cast(polars.Float16), "float16"),
        (polars.Series([0.1, 0.2, 0.3]), "double"),
        (polars.Series([1, 2**63, 2**63 + 1], dtype=polars.UInt64), "uint64"),
        (polars.Series(DAYS), "string"),
    ],
    ids=str,
)
def test_classes_come_out_in_the_type_of_the_target(column, kind):
    frame = polars.DataFrame({"size": numpy.arange(ROWS) % 7.0, "label": tiled(column)})
    prepared = prepare(frame, target="label", task="classification", test="none")
    model = model_of(frame, "label", networks=(LINEAR,), epochs=1, prepare={"category": []})
    session = onnxruntime.InferenceSession(as_onnx(model))
    assert session.get_outputs()[0].type == f"tensor({kind})"
    found = session.run(["prediction"], feeds(model, frame))[0]
    assert found.tolist() == model.predict(frame).tolist()
    assert prepared.target_encoder.classes == model.target.classes
    text = model.predict_frame(frame)[0].write_csv()
    assert {line.split(",")[0] for line in text.splitlines()[1:]} <= {str(label) for label in model.target.classes}


def test_numbers_of_a_text_file_are_taken_by_their_value_however_they_are_written(tmp_path):
    """Exponents, zeros at the end, true and false: in the file they are labels, for a caller what they stand for."""
    cells = {"e": ["1e3", "2e3", "500"], "z": ["1.10", "1.20", "1.30"], "t": ["True", "False", "True"]}
    size = numpy.random.default_rng(1).normal(size=90).round(3)
    columns = {name: [written[i % 3] for i in range(90)] for name, written in cells.items()}
    frame = polars.DataFrame({**columns, "size": size, "price": size * 3 + numpy.arange(90) % 3})
    frame.write_csv(tmp_path / "table.csv")
    model = trained(prepare(tmp_path / "table.csv", target="price", test="none", category=["e", "z"]), (LINEAR,))
    given = {"e": numpy.tile([1000.0, 2000.0, 500.0], 30), "z": numpy.tile([1.1, 1.2, 1.3], 30)}
    given |= {"t": numpy.tile([True, False, True], 30), "size": size}
    found = run_onnx(as_onnx(model), given)["prediction"]
    numpy.testing.assert_allclose(found, model.predict(frame), rtol=1e-4)
    assert len(numpy.unique(model.encoder.encode(frame).numbers, axis=0)) > 3


def test_odd_names_of_columns():
    frame, target = with_target(everything(), "two numbers")
    names = {"size": 'say "size"', "kind": "it's\n", "gaps": "class", "rooms": "größe m²", "garden": "prediction"}
    names |= {"tail": "Add_3", "place": "rows", "mostly zero": "constant_0"}
    named = frame.rename(names)
    model = model_of(named, target, epochs=5, prepare={"category": ["rows", "größe m²"]})
    rows = spoiled(named, model)
    columns = feeds(model, rows)
    outputs = run_onnx(as_onnx(model), columns)
    assert set(outputs) == {"prediction_"}
    assert_same(model, rows, run_pt2(as_pt2(model), columns)[0], {"prediction": outputs["prediction_"]})


def test_the_graph_is_valid_and_says_what_it_takes():
    frame, target = with_target(everything(), "truths")
    content = as_onnx(model_of(frame, target))
    graph = onnx.load_from_string(content)
    onnx.checker.check_model(graph, full_check=True)
    session = onnxruntime.InferenceSession(content)
    kinds = {i.name: i.type for i in session.get_inputs()}
    assert list(kinds) == frame.columns[:-1]
    assert (kinds["size"], kinds["garden"], kinds["when"]) == ("tensor(double)", "tensor(bool)", "tensor(int64)")
    assert all(i.shape == ["rows"] for i in session.get_inputs())
    assert {o.name: o.type for o in session.get_outputs()} == {
        "prediction": "tensor(bool)", "probabilities": "tensor(double)",
    }  # fmt: skip
    about = json.loads(session.get_modelmeta().custom_metadata_map["trimtab"])
    assert about["classes"] == [False, True]
    assert {c["name"]: c["kind"] for c in about["numbers"]}["when"] == "date-time"


def test_equal_models_give_equal_bytes():
    frame, target = with_target(everything(60), "number")
    model = model_of(frame, target)
    assert as_onnx(model) == as_onnx(model)


@pytest.mark.slow
@pytest.mark.parametrize("name", exported.DATA_SETS)
def test_the_real_tables(name, shared_data):
    entry = {e["name"]: e for e in json.loads((shared_data / "index.json").read_text())}[name]
    frame = polars.read_csv(shared_data / entry["file"], infer_schema=False)
    model = trained(prepare(frame.head(4_000), target=entry["target"], test="none"))
    others = frame.sample(min(4_000, frame.height), seed=0)  # whatever training has not seen among them
    assert_parity(model, spoiled(others, model), saved=name in READ_BACK)
