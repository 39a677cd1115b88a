"""Which class is predicted where the metric counts decisions: factors that help on rows that did not choose them."""

import shutil
from dataclasses import replace

import numpy
import onnxruntime
import polars
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

import trimtab as tt
from trimtab.export.onnx import as_onnx
from trimtab.model.model import Model
from trimtab.report.studies_report import _gain
from trimtab.report.study_report import StudyReport
from trimtab.studies.deciding import Decision, decision_for, log_factors, words_of_factors
from trimtab.training.metrics import METRICS
from trimtab.tuning.ensemble import Half

RARE = 0.12


def rare(rows, *, seed=0, spread=1.5):
    """Probabilities [rows, 2] that are right, of a class that is rare, and what came of them."""
    rng = numpy.random.default_rng(seed)
    odds = numpy.log(RARE / (1 - RARE)) + spread * rng.normal(size=rows)
    chance = 1 / (1 + numpy.exp(-odds))
    return numpy.stack([1 - chance, chance], axis=1), (rng.random(rows) < chance).astype(numpy.int64)


def decided(metric, probabilities, truth):
    """The decision of one candidate, whose rows are divided twice."""
    rows, halves = numpy.arange(len(truth)), []
    for place in range(2):
        first = numpy.random.default_rng(place).permutation(len(truth)) % 2 == 0
        halves += [Half(rows[~first], ((0, 1.0),), 0), Half(rows[first], ((0, 1.0),), 0)]
    nested = [probabilities.copy() for _ in range(2)]
    return decision_for(METRICS[metric], halves, nested, lambda half: probabilities, truth, numpy.ones(len(truth)))


def score(name, probabilities, truth):
    return (f1_score if name == "f1" else balanced_accuracy_score)(truth, probabilities.argmax(1))


@pytest.mark.parametrize("name", ["f1", "balanced_accuracy"])
def test_a_rare_class_is_predicted_from_lower_probabilities_on(name):
    probabilities, truth = rare(3_000)
    decision = decided(name, probabilities, truth)
    threshold = decision.factors[0] / sum(decision.factors)
    # Of right probabilities F1 is best from half of the best F1 on [Lipton et al. 2014], the other from their share on.
    new, of_new = rare(50_000, seed=1)
    best = max(f1_score(of_new, new[:, 1] > t) for t in numpy.linspace(0.02, 0.6, 30))
    assert threshold == pytest.approx(best / 2 if name == "f1" else RARE * 1.7, abs=0.08)
    gained = score(name, new * numpy.array(decision.factors), of_new) - score(name, new, of_new)
    assert gained > 0.05
    # Each row's factors were chosen without it: those of a division's halves differ.
    for whole in decision.nested:
        assert len(numpy.unique((whole / probabilities)[:, 1].round(9))) == 2


@pytest.mark.parametrize("name", ["accuracy", "log_loss", "roc_auc"])
def test_other_metrics_leave_probabilities_as_they_are(name):
    assert decided(name, *rare(500)) == Decision()


def test_where_nothing_is_gained_on_other_rows_there_are_no_factors():
    """Two classes that are equally frequent, on few rows: what helps on one half harms on the other."""
    found = 0
    for seed in range(12):
        rng = numpy.random.default_rng(seed)
        chance = rng.uniform(0.02, 0.98, 60)
        probabilities, truth = numpy.stack([1 - chance, chance], axis=1), (rng.random(60) < chance).astype(numpy.int64)
        found += bool(decided("balanced_accuracy", probabilities, truth).factors)
    assert found <= 6


def test_each_of_several_classes_has_a_factor():
    rng = numpy.random.default_rng(0)
    shares = numpy.array([0.85, 0.1, 0.05])

    def drawn(rows):
        logits = numpy.log(shares) + rng.normal(size=(rows, 3)) * 1.2
        probabilities = numpy.exp(logits) / numpy.exp(logits).sum(1, keepdims=True)
        return probabilities, (probabilities.cumsum(1) < rng.random((rows, 1))).sum(1)

    probabilities, truth = drawn(3_000)
    logs = log_factors(METRICS["balanced_accuracy"], probabilities, truth, numpy.ones(3_000))
    assert logs.sum() == pytest.approx(0) and logs[0] < logs[1] < logs[2] + 0.5
    new, of_new = drawn(20_000)
    gained = score("balanced_accuracy", new * numpy.exp(logs), of_new) - score("balanced_accuracy", new, of_new)
    assert gained > 0.1
    told = words_of_factors(["a", "b", "c"], numpy.exp(logs).tolist(), METRICS["balanced_accuracy"])
    assert 'the largest for "c"' in told and "balanced_accuracy" in told


# -- in a study


def table(rows=400):
    rng = numpy.random.default_rng(2)
    x = rng.normal(size=(rows, 2))
    chance = 1 / (1 + numpy.exp(2.2 - 1.3 * x[:, 0]))
    return polars.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": numpy.where(rng.random(rows) < chance, "rare", "common")})


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    out = tmp_path_factory.mktemp("decided") / "study"
    return tt.tune(
        table(), "y", out=out, metric="f1", trials=3, budget=60, threads=1, width=8, depth=1, epochs=20, lr=0.01,
        inputs="scaled", batch_size=64,
    )  # fmt: skip


def test_what_is_told_is_what_the_model_decides(study):
    model, test = (
        study.model,
        polars.read_parquet(study.out / "predictions.parquet").filter(polars.col("part") == "test"),
    )
    assert model.target.factors and any('predicted to be "rare" from' in notice for notice in study.notices)
    assert study.result["test"]["f1"] == pytest.approx(f1_score(test["truth"], test["prediction"], pos_label="rare"))
    assert study.result["test"]["accuracy"] == pytest.approx((test["truth"] == test["prediction"]).mean())
    threshold = model.target.factors[0] / sum(model.target.factors)
    assert threshold < 0.5
    assert ((test["probability_rare"] > threshold) == (test["prediction"] == "rare")).all()
    # Probabilities are those of the networks.
    assert study.result["test"]["log_loss"] == pytest.approx(
        -numpy.log(numpy.where(test["truth"] == "rare", test["probability_rare"], test["probability_common"])).mean(),
        rel=1e-3,
    )


def test_every_way_to_the_model_decides_alike(study, tmp_path):
    frame = table()
    study.model.save(tmp_path / "model")
    model = Model.load(tmp_path / "model")
    labels = model.predict(frame)
    plain = replace(model, target=model.target.model_copy(update={"factors": ()})).predict(frame)
    assert (labels != plain).any() and (labels == "rare").sum() > (plain == "rare").sum()
    columns = {name: frame[name].to_numpy() for name in "ab"}
    session = onnxruntime.InferenceSession(as_onnx(model, interval=0.9))
    wanted = [each.name for each in session.get_outputs()]
    shapes = {each.name: each.shape for each in session.get_inputs()}
    given = {name: columns[name].reshape([-1, 1] if len(shapes[name]) == 2 else [-1]) for name in columns}
    found = dict(zip(wanted, session.run(wanted, given), strict=True))
    assert (found["prediction"] == labels).all()
    numpy.testing.assert_allclose(found["probabilities"], model.predict_proba(frame), atol=1e-5)
    sets = model.predict(frame, interval=0.9)
    number = numpy.array([list(model.target.classes).index(label) for label in labels])
    assert sets.classes[numpy.arange(len(labels)), number].all()
    assert found["in_set"][numpy.arange(len(labels)), number].all()
    evaluation = model.evaluate(frame)
    assert evaluation.figures["f1"].value == pytest.approx(f1_score(frame["y"], labels, pos_label="rare"))


def test_an_estimator_predicts_by_them():
    frame = table()
    estimator = tt.TrimtabClassifier(trials=3, metric="f1", random_state=0)
    estimator.fit(frame.select("a", "b").to_numpy(), frame["y"].to_numpy())
    probabilities = estimator.predict_proba(frame.select("a", "b").to_numpy())
    factors = estimator.model_.target.factors
    expected = (probabilities * numpy.array(factors) if factors else probabilities).argmax(1)
    assert (estimator.predict(frame.select("a", "b").to_numpy()) == estimator.classes_[expected]).all()


def test_two_studies_are_set_side_by_side_by_what_their_models_decide(study, tmp_path):
    shutil.copytree(study.out, tmp_path / "plain")
    model = replace(study.model, target=study.model.target.model_copy(update={"factors": ()}))
    model.save(tmp_path / "plain" / "model")
    gain, rows = _gain([StudyReport(tt.load(place)) for place in (study.out, tmp_path / "plain")])
    judged = study.predictions.filter(polars.col("part") == "test")
    plain = numpy.where(judged["probability_rare"] > 0.5, "rare", "common")
    expected = f1_score(judged["truth"], plain, pos_label="rare") - study.result["test"]["f1"]
    assert rows == judged.height and expected < 0 and gain.better_by == pytest.approx(expected)
