"""A model's figures are those of its predictions, and rows that cannot be scored are counted."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import polars
import pytest
import torch
from sklearn.metrics import confusion_matrix, f1_score, mean_absolute_error, r2_score, root_mean_squared_error

import trimtab as tt
from trimtab import cli
from trimtab.evaluation.evaluation import evaluate
from trimtab.evaluation.threshold import best_threshold
from trimtab.model.model import Member, build
from trimtab.table.encode import Encoder
from trimtab.table.target import TargetEncoder
from trimtab.training.programs.mlp_program import MLPProgram
from trimtab.tune import look

pytestmark = pytest.mark.usefixtures("few_epochs")
ROWS = 160


def houses(rows: int = ROWS, seed: int = 0) -> polars.DataFrame:
    rng = numpy.random.default_rng(seed)
    size, kind = rng.uniform(30, 200, rows).round(1), rng.choice(["flat", "house", "hut"], rows)
    price = size * 2 + (kind == "house") * 30 + rng.normal(0, 30, rows)
    return polars.DataFrame(
        {"size": size, "kind": kind, "price": price, "rent": price / 100 + rng.normal(0, 0.1, rows),
         "dear": numpy.where(price > 270, "yes", "no"), "copies": rng.integers(0, 3, rows)}
    )  # fmt: skip


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tt.Study]:
    """Small studies of one number, with weights, and of two classes."""
    folder, table = tmp_path_factory.mktemp("studies"), houses()
    options: dict[str, Any] = {"trials": 1, "epochs": 15, "width": 32, "depth": 1, "lr": 0.01, "optimizer": "adam"}
    number, two = table.select("size", "kind", "price", "copies"), table.select("size", "kind", "dear")
    return {
        "number": tt.tune(number, "price", weight="copies", out=folder / "number", **options),
        "two": tt.tune(two, "dear", out=folder / "two", **options),
    }


def untrained(target: str | list[str], *columns: str) -> tt.Model:
    """A model of these columns of the houses, with the weights it starts from."""
    prepared = look(data=houses().select(*columns), target=target)
    network: dict[str, Any] = {"width": 8, "depth": 1, "activation": "relu", "inputs": "scaled"}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = build(prepared.encoder, prepared.target_encoder, network)
    weights = MLPProgram(module).layout.flatten(dict(module.named_parameters())).detach()
    return tt.Model(prepared.encoder, prepared.target_encoder, (Member(network, weights[None], 1.0),))


NEW = houses(120, seed=1)


def test_numbers_are_scored_as_scikit_learn_does_with_the_weights_of_the_study(studies: dict[str, tt.Study]) -> None:
    study = studies["number"]
    found = study.evaluate(NEW)
    predictions, weights = study.model.predict(NEW), NEW["copies"].to_numpy()
    for name, score in (("rmse", root_mean_squared_error), ("mae", mean_absolute_error), ("r2", r2_score)):
        figure = found.figures[name]
        assert figure.value == pytest.approx(score(NEW["price"], predictions, sample_weight=weights))
        assert figure.low < figure.value < figure.high
    assert found.is_weighted and found.rows == int((weights > 0).sum())
    assert any("weight 0" in text for text in found.notices)
    assert (found.classes, found.confusion, found.threshold) == ((), (), None)
    assert repr(found).startswith(f"Evaluation({found.rows} rows: rmse ")
    assert "rmse" in str(found)


def test_without_the_column_of_weights_all_rows_count_the_same_and_that_is_said(studies: dict[str, tt.Study]) -> None:
    found = studies["number"].evaluate(NEW.drop("copies"))
    assert found.rows == NEW.height and not found.is_weighted
    assert any('"copies"' in text for text in found.notices)
    unweighted = studies["number"].model.evaluate(NEW)
    assert unweighted.figures == found.figures
    assert studies["number"].model.evaluate(NEW, weight="copies").figures == studies["number"].evaluate(NEW).figures


def test_each_of_several_targets_has_its_own_figures() -> None:
    model = untrained(["price", "rent"], "size", "kind", "price", "rent")
    found, predictions = model.evaluate(NEW), model.predict(NEW)
    for i, name in enumerate(("price", "rent")):
        assert found.targets[name]["rmse"].value == pytest.approx(root_mean_squared_error(NEW[name], predictions[:, i]))
    both = [figures["rmse"].value for figures in found.targets.values()]
    assert found.figures["rmse"].value == pytest.approx(numpy.mean(both))
    assert "rent" in str(found)


def test_three_classes_are_counted_and_confused() -> None:
    model = untrained("kind", "size", "price", "kind")
    found, predictions = model.evaluate(NEW), model.predict(NEW)
    labels = ["flat", "house", "hut"]
    assert [each.label for each in found.classes] == labels
    assert numpy.array_equal(found.confusion, confusion_matrix(NEW["kind"], predictions, labels=labels))
    scores = f1_score(NEW["kind"], predictions, labels=labels, average=None, zero_division=numpy.nan)
    for each, score, row in zip(found.classes, scores, found.confusion, strict=True):
        assert each.f1.value == pytest.approx(score, nan_ok=True)
        assert each.rows == sum(row)
    assert sum(each.predicted for each in found.classes) == NEW.height
    assert {"log_loss", "accuracy", "balanced_accuracy"} <= set(found.figures)


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.9])
def test_a_threshold_changes_decisions_and_leaves_probabilities(studies: dict[str, tt.Study], threshold: float) -> None:
    study = studies["two"]
    found, plain = study.evaluate(NEW, threshold=threshold), study.evaluate(NEW)
    decided = study.model.predict_proba(NEW)[:, 1] >= threshold
    truth = (NEW["dear"] == "yes").to_numpy()
    assert found.figures["f1"].value == pytest.approx(f1_score(truth, decided))
    assert found.figures["accuracy"].value == pytest.approx((truth == decided).mean())
    assert numpy.array_equal(found.confusion, confusion_matrix(truth, decided))
    for name in ("roc_auc", "log_loss", "average_precision", "brier"):
        assert found.figures[name] == plain.figures[name]
    if threshold == 0.5:
        assert found.figures == plain.figures
    assert f"at least {threshold}" in str(found)


def test_the_best_threshold_is_that_of_the_validation_rows(studies: dict[str, tt.Study]) -> None:
    study, table = studies["two"], houses()
    chance, truth = study.model.predict_proba(table)[:, 1], table["dear"].to_numpy()
    file = study.out / "predictions.parquet"
    before = file.read_bytes() if file.exists() else None
    polars.DataFrame(
        {"row": range(ROWS), "part": ["validation"] * ROWS, "truth": truth, "prediction": truth,
         "probability_no": 1 - chance, "probability_yes": chance}
    ).write_parquet(file)  # fmt: skip
    found = study.evaluate(NEW, threshold="f1")
    assert found.threshold is not None
    expected = best_threshold("f1", (truth == "yes").astype(int), chance, numpy.ones(ROWS))
    assert found.threshold.value == pytest.approx(expected)
    if before is not None:
        file.write_bytes(before)
    with pytest.raises(tt.StudyError, match="name the study's folder"):
        study.model.evaluate(NEW, threshold="f1")  # type: ignore[arg-type]


def test_rows_that_cannot_be_scored_are_counted(studies: dict[str, tt.Study]) -> None:
    strange = NEW.with_columns(dear=polars.Series(["maybe", None, None, *NEW["dear"][3:].to_list()]))
    found = studies["two"].evaluate(strange)
    assert found.rows == NEW.height - 3
    said = " ".join(found.notices)
    assert "2 of 120 rows have no target" in said
    assert '1 of 120 rows has a class that the model does not know ("maybe")' in said
    with pytest.raises(tt.DataError, match="Of 120 rows 0 can be scored"):
        studies["two"].evaluate(NEW.with_columns(dear=polars.lit("maybe")))
    with pytest.raises(tt.DataError, match='no column "dear"'):
        studies["two"].evaluate(NEW.drop("dear"))
    with pytest.raises(tt.DataError, match="size"):
        studies["two"].evaluate(NEW.drop("size"))


def test_rows_come_in_every_form_and_give_the_same(studies: dict[str, tt.Study], tmp_path: Path) -> None:
    study = studies["two"]
    expected = study.evaluate(NEW).figures
    NEW.write_csv(tmp_path / "new.csv")
    features = NEW.select("size", "kind")
    for data in (tmp_path / "new.csv", str(tmp_path / "new.csv"), NEW.to_pandas(), NEW.to_dict(as_series=False)):
        assert study.evaluate(data).figures == expected
    assert study.evaluate((features, NEW["dear"])).figures == expected
    assert study.model.evaluate(NEW.rename({"dear": "truth"}), target="truth").figures == expected
    with pytest.raises(tt.OptionError, match="2 targets are named"):
        study.evaluate(NEW, target=["dear", "kind"])
    with pytest.raises(tt.DataError, match="X has 120 rows and y has 119"):
        study.evaluate((features, NEW["dear"][:119]))


@dataclass(frozen=True)
class Guess:
    """A model without networks: each row has the same chances."""

    encoder: Encoder
    target: TargetEncoder

    def raw(self, frame: polars.DataFrame) -> tuple[numpy.ndarray, tuple[str, ...]]:
        return numpy.tile([0.4, 0.6], (frame.height, 1)), ()


def test_labels_that_are_numbers_are_found_in_frames_and_files(tmp_path: Path) -> None:
    table = houses().select("size", "price", dear=(polars.col("dear") == "yes").cast(polars.Int64))
    prepared = look(data=table, target="dear")
    table.write_csv(tmp_path / "table.csv")
    for data in (table, table.with_columns(polars.col("dear").cast(polars.Float64)), tmp_path / "table.csv"):
        found = evaluate(Guess(prepared.encoder, prepared.target_encoder), data)
        assert found.rows == ROWS and not found.notices
        assert [each.label for each in found.classes] == ["0", "1"]
        assert found.figures["accuracy"].value == pytest.approx(table["dear"].mean())


# -- the command


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.chdir(tmp_path)
    NEW.write_csv("new.csv")

    def call(*arguments: object) -> tuple[int, str, str]:
        status = cli.main(["evaluate", *map(str, arguments)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def test_the_command_prints_what_python_gives(studies: dict[str, tt.Study], run: Callable[..., Any]) -> None:
    study = studies["two"]
    status, out, err = run(study.out, "new.csv", "--json")
    assert (status, err) == (0, "")
    summary = json.loads(out)
    assert summary == json.loads(json.dumps(study.evaluate(NEW).summary()))
    assert summary.keys() >= {"figures", "classes", "confusion", "slices", "threshold", "rows", "notices"}
    status, out, _ = run(study.out / "model", "new.csv", "--threshold", "0.3")
    assert status == 0
    for words in ("120 rows scored", "average_precision", "brier", "true \\ predicted", 'are those of "yes"', "0.3"):
        assert words in out


def test_the_command_refuses_in_a_sentence(studies: dict[str, tt.Study], run: Callable[..., Any]) -> None:
    for arguments, words in (
        ((studies["number"].out, "new.csv", "--threshold", "0.3"), "--threshold has no effect"),
        ((studies["two"].out, "nowhere.csv"), "nowhere.csv"),
        (("nowhere", "new.csv"), "nowhere"),
        ((studies["two"].out, "new.csv", "--weight", "kind"), "kind"),
        ((studies["two"].out / "model", "new.csv", "--threshold", "f1"), "study's folder"),
    ):
        status, out, err = run(*arguments)
        assert (status, out) == (2, "")
        assert err.startswith("Error: ") and words in err and "Traceback" not in err
