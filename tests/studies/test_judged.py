"""A study's figures can be made again from the predictions that lie in its folder, and its words from its records."""

import json

import numpy
import polars
import pytest

import trimtab as tt
from trimtab.studies.table_work import TableWork
from trimtab.table.prepare import prepare
from trimtab.text import layout
from trimtab.training.metrics import all_scores
from trimtab.tuning import baselines
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.verdicts import NEIGHBOURS

pytestmark = pytest.mark.slow
ROWS = 120


@pytest.fixture(autouse=True)
def _quick_default_mlp(monkeypatch):
    usual = baselines.default_mlp_config

    def quick(task, *, rows, epochs):
        return usual(task, rows=rows, epochs=min(epochs, 8))

    monkeypatch.setattr(baselines, "default_mlp_config", quick)


def table(rows=ROWS, seed=0):
    rng = numpy.random.default_rng(seed)
    a, b = rng.normal(size=(2, rows))
    noise = 0.3 * rng.normal(size=rows)
    return polars.DataFrame(
        {
            "a": a, "b": b, "who": [f"g{i}" for i in rng.integers(0, 12, rows)], "day": rng.integers(0, 60, rows),
            "w": rng.integers(0, 4, rows), "price": numpy.sin(2 * a) + b + noise, "size": a * b + noise,
            "kind": numpy.where(a + noise > 0.5, "yes", numpy.where(b > 0, "no", "007")),
        }
    )  # fmt: skip


def tune(frame, out, trials=2, **options):
    return tt.tune(frame, out=out, trials=trials, **{"epochs": 6, "width": 16, "depth": 1, **options})


def recomputed(predictions, part, task, names=("",)):
    """All figures of one part, from the columns of the file alone."""
    rows = predictions.filter(part=part)
    weights = rows["weight"].to_numpy() if "weight" in rows.columns else numpy.ones(len(rows))
    if task == "classification":
        columns = [name for name in rows.columns if name.startswith("probability_")]
        labels = [name.removeprefix("probability_") for name in columns]
        truth = numpy.array([labels.index(str(label)) for label in rows["truth"]])
        assert rows["prediction"].cast(str).to_list() == [labels[i] for i in rows[columns].to_numpy().argmax(1)]
        return all_scores(rows[columns].to_numpy(), truth, weights, task)
    suffixes = [f"_{name}" if name else "" for name in names]
    truth, predicted = (
        numpy.stack([rows[f"{what}{suffix}"].to_numpy() for suffix in suffixes], 1) for what in ("truth", "prediction")
    )
    return all_scores(predicted, truth, weights, task)


CASES = {
    "numbers": {"target": "price", "drop": ["w", "kind", "size"]},
    "weights and groups": {"target": "price", "split": "group:who", "weight": "w", "drop": ["kind", "size"]},
    "times": {"target": "price", "split": "time:day", "drop": ["kind", "size"], "metric": "mae"},
    "several targets": {"target": "price,size", "drop": ["kind"]},
    "classes": {"target": "kind", "drop": ["price", "size"], "weight": "w"},
    "no test part": {"target": "kind", "test": "none", "drop": ["price", "size"]},
    "one network": {"target": "price", "test": "none", "single": True, "drop": ["kind", "size"]},
}


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    usual = baselines.default_mlp_config
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(baselines, "default_mlp_config", lambda task, *, rows, epochs: usual(task, rows=rows, epochs=8))
        options = CASES[request.param]
        return options, tune(table(), tmp_path_factory.mktemp("runs") / "study", **options)


def test_the_figures_are_those_of_the_predictions_in_the_folder(case):
    options, study = case
    result, predictions = study.result, study.predictions
    names = options["target"].split(",")
    names = names if len(names) > 1 else ("",)
    for part, figures in (("validation", result["validation"]), ("test", result["test"])):
        if figures is None:
            assert part not in predictions["part"].to_list()
        else:
            assert recomputed(predictions, part, result["task"], names) == pytest.approx(figures, rel=1e-9)
    assert ("weight" in predictions.columns) == ("weight" in options)
    assert predictions.filter(part="test").height == result["rows"]["test"]
    assert predictions.filter(part="validation").height == result["judged"]
    assert predictions.columns[:2] == ["row", "part"] and not predictions.null_count().pipe(sum_of)


def sum_of(counts):
    return sum(counts.row(0))


def test_rows_are_those_of_the_table_and_of_the_split(case):
    options, study = case
    frame, predictions = table(), study.predictions
    names = options["target"].split(",")
    for name in names:
        truth = predictions["truth" if len(names) == 1 else f"truth_{name}"]
        assert frame[name].gather(predictions["row"]).to_list() == truth.to_list()
    kept = {name: options[name] for name in ("split", "weight", "drop", "test") if name in options}
    prepared = prepare(frame, target=options["target"], **kept)
    tested = predictions.filter(part="test")["row"].to_list()
    assert tested == ([] if prepared.test is None else prepared.test_rows.tolist())
    assert set(predictions.filter(part="validation")["row"]) <= set(prepared.development_rows)
    if "weight" in options:
        assert predictions["weight"].to_list() == frame["w"].gather(predictions["row"]).to_list()


def test_what_the_result_says_is_what_the_records_say(case):
    options, study = case
    result = json.loads(json.dumps(study.result, allow_nan=False))
    assert result["trials"] == len(study.trials) and result["runs"] == sum(len(each.ended) for each in study.trials)
    assert result["calls"] == 1 and result["seconds_in_all"] == result["seconds"]
    assert result["test_uses"] == (result["test"] is not None)
    by_number = {record.number: record for record in study.trials}
    for member in result["ensemble"]:
        assert member["name"] in (by_number[member["trial"]].name, NEIGHBOURS)
    record = study.winner
    assert record.epochs == tuple(
        study.curves.filter(trial=record.number).group_by("fold").agg(polars.col("epoch").max()).sort("fold")["epoch"]
    ) or record.name  # fmt: skip
    figures = result["test"] or result["nested"] or result["validation"]
    for name, gains in result["gains"].items():
        for metric, gain in gains.items():
            difference = abs(figures[metric] - result["baselines"][name][metric])
            assert abs(gain["better_by"]) == pytest.approx(difference, abs=1e-9)
    assert len(study.verdicts) == len(result["baselines"]) == 3
    retrained = options.get("single") or options.get("split", "").startswith("time")
    assert result["figures_of"] == ("folds" if retrained and result["test"] is None else "model")
    assert result["finished"] == sum(not record.name and record.state == "complete" for record in study.trials)
    low, high = result["intervals"][result["metric"]]
    assert result["interval"] == [low, high] and low <= figures[result["metric"]] <= high


def test_a_test_table_of_its_own_is_numbered_by_itself_and_three_frames_go_on(tmp_path):
    frame, test = table(80).select("a", "b", "price"), table(30, seed=1).select("a", "b", "price")
    test = test.with_columns(price=polars.when(polars.int_range(30) == 4).then(None).otherwise("price"))
    own = tune(frame, tmp_path / "own", trials=1, target="price", test=test).predictions.filter(part="test")
    assert own["row"].to_list() == [i for i in range(30) if i != 4]
    assert own["truth"].to_list() == test["price"].drop_nulls().to_list()
    three = tune((frame[:50], frame[50:], test), tmp_path / "three", trials=1, target="price").predictions
    assert three.filter(part="validation")["row"].to_list() == list(range(50, 80))
    assert three.filter(part="test")["row"].to_list() == [80 + i for i in range(30) if i != 4]


def test_a_resumed_study_says_how_often_its_test_rows_were_used_and_for_how_long_it_ran(tmp_path, monkeypatch):
    monkeypatch.setattr("trimtab.tuning.writer.KEPT_TRIALS", 3)
    frame = table().select("a", "b", "price")
    first = tune(frame, tmp_path / "s", trials=1, target="price")
    second = tt.tune(frame, resume=first.out, trials=4, budget=60)
    result = second.result
    assert result["calls"] == result["test_uses"] == 2
    assert result["seconds_in_all"] == pytest.approx(first.result["seconds"] + result["seconds"], abs=0.02)
    assert set(result["baselines"]) == set(result["gains"]) == {"mean", "linear", "default_mlp"}
    kept = {int(path.stem) for path in (first.out / "runs").glob("[0-9]*.safetensors")}
    assert kept >= {result["winner"], *(member["trial"] for member in result["ensemble"])}
    assert second.predictions.height == ROWS
    folder = StudyFolder(first.out)
    for number in kept:
        if next(record for record in second.trials if record.number == number).name:
            folder.drop_weights(number)
    third = tt.tune(frame, resume=first.out, trials=5, budget=60)
    assert set(third.result["baselines"]) == {"mean", "linear", "default_mlp"}
    assert third.result["test_uses"] == 3
    (third.out / "predictions.parquet").unlink()
    with pytest.raises(tt.TrimtabError, match=r"has no predictions\.parquet"):
        _ = third.predictions


def test_a_default_mlp_that_keeps_what_was_held_still_may_be_the_model(tmp_path, monkeypatch):
    seen = []
    candidates = TableWork._candidates
    monkeypatch.setattr(
        TableWork, "_candidates", lambda self, trials: seen.append(candidates(self, trials)) or seen[-1]
    )
    frame = table(40).select("a", "b", "price")
    kept = {"depth": 2, "width": 128, "activation": "relu", "loss": "mse"}
    tt.tune((frame[:30], frame[30:], None), "price", trials=1, out=tmp_path / "kept", inputs="scaled", **kept)
    tt.tune((frame[:30], frame[30:], None), "price", trials=1, out=tmp_path / "broken", width=8, loss="mse")
    assert [{record.name for record in each} >= {"default_mlp"} for each in seen] == [True, False]


@pytest.mark.parametrize("options", [{"refit": True, "split": "time:day"}, {"single": True, "test": "none"}], ids=str)
def test_a_baseline_without_what_is_held_is_a_yardstick_alone(options, tmp_path):
    frame = table(80).with_columns(price=2 * polars.col("a") - polars.col("b")).select("a", "b", "day", "price")
    study = tune(frame, tmp_path / "s", target="price", lr=1e-4, **options)
    more = tt.tune(frame, resume=study.out, trials=3)
    # As a study that was killed is read.
    document = StudyFolder(study.out).read("study.json")
    StudyFolder(study.out).write("study.json", document | {"result": None})
    for each in (study, more, tt.load(study.out)):
        assert not each.winner.name and each.winner.config.module_arguments["depth"] == 1
    for each in (study, more):
        assert {member["name"] for member in each.result["ensemble"]} == {""}
        assert all(member.network["depth"] == 1 for member in each.model.members)
        assert set(each.result["baselines"]) == {"mean", "linear", "default_mlp"}
        [text] = [text for text in each.notices if text.startswith("The linear model, which has none of the fixed")]
        score = layout.number(each.result["validation"]["rmse"])
        assert text.endswith(f"against {score}. Without --epochs, --width, --depth and --lr it may be the model.")
        assert any("the linear model is better" in verdict for verdict in each.verdicts)


def test_no_yardstick_is_saved_as_the_model_while_a_search_runs(tmp_path, monkeypatch):
    def killed(self, trials, unscored):
        raise KeyboardInterrupt

    monkeypatch.setattr(TableWork, "outcome", killed)
    frame = table(60).with_columns(price=2 * polars.col("a") - polars.col("b")).select("a", "b", "price")
    best = []
    view = type("View", (), {"progress": lambda self, progress: best.append(progress.best_trial)})()
    with pytest.raises(KeyboardInterrupt):
        tune(frame, tmp_path / "s", target="price", trials=1, lr=1e-4, listeners=[view])
    assert [member.network["depth"] for member in tt.load_model(tmp_path / "s").members] == [1]
    assert not any(record.name for record in best if record is not None)


def test_where_nothing_with_the_held_values_is_finished_no_yardstick_takes_its_place(tmp_path):
    frame = table(40).select("a", "b", "price")
    with pytest.raises(tt.StudyError, match=r"No trial with epochs at 6, .*lr at 100000.0 .*was finished.* diverge"):
        tune(frame, tmp_path / "s", target="price", trials=1, lr=1e5, optimizer="sgd")


def test_estimators_judge_by_choices_made_without_the_rows_and_leave_no_file(monkeypatch):
    frame = table()
    model = tt.TrimtabRegressor(trials=4, epochs=6, width=16, depth=1, random_state=0)
    monkeypatch.setattr(StudyFolder, "save_predictions", lambda *_: pytest.fail("a folder nobody reads"))
    model.fit(frame.select("a", "b"), frame["price"])
    result = model.result_
    assert result["nested"].keys() == result["validation"].keys() == {"rmse", "mae", "r2"}
    assert result["interval"][0] <= result["nested"]["rmse"] <= result["interval"][1]
    assert result["nested"]["rmse"] >= result["validation"]["rmse"]
