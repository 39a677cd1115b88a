import json
import signal
import subprocess
import sys
import threading
from collections import Counter

import numpy
import polars
import pytest
import torch
from sklearn.datasets import load_diabetes, load_iris

import trimtab as tt

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("few_epochs")]
BUDGET = 60  # the number of trials ends these studies, long before the time does


@pytest.fixture(scope="module")
def diabetes(tmp_path_factory):
    frame = polars.DataFrame(load_diabetes(as_frame=True, scaled=False).frame.to_dict("list"))
    path = tmp_path_factory.mktemp("data") / "diabetes.csv"
    frame.write_csv(path)
    return path


def tune(data, out, trials=2, **options):
    options = {"budget": BUDGET, "epochs": 12, "width": 32, **options}
    return tt.tune(data, options.pop("target", "target"), out=out, trials=trials, **options)


@pytest.fixture(scope="module")
def study(diabetes, tmp_path_factory):
    return tune(diabetes, tmp_path_factory.mktemp("runs") / "study", trials=4)


def test_a_study_beats_the_mean_and_says_what_it_found(study):
    summary = study.summary()
    assert summary["test"]["rmse"] < summary["baselines"]["mean"]["rmse"]
    assert set(summary["baselines"]) == {"mean", "linear", "default_mlp"}
    assert sum(summary["rows"].values()) == 442 and 80 <= summary["rows"]["test"] <= 95
    assert summary["interval"][0] < summary["test"]["rmse"] < summary["interval"][1]
    assert summary["trials"] == len(study.trials) == 7
    assert json.loads(json.dumps(summary)) == summary


def test_the_loaded_model_gives_the_test_score_bit_for_bit(study, diabetes):
    from trimtab.table.prepare import prepare

    prepared = prepare(str(diabetes), target="target")
    predicted = tt.load_model(study.out).predict(prepared.test)
    error = numpy.sqrt(numpy.mean((predicted - prepared.test["target"].to_numpy()) ** 2))
    assert study.summary()["test"]["rmse"] == pytest.approx(error, rel=1e-12)
    again = tt.load_model(study.out / "model").predict(prepared.test)
    assert numpy.array_equal(predicted, again)


def test_the_curves_of_every_run_are_kept(study):
    curves = study.curves
    trained = {r.number for r in study.trials if r.name not in ("mean", "linear")}
    assert set(curves["trial"]) == trained
    assert curves.group_by("trial").agg(polars.col("fold").n_unique())["fold"].to_list() == [5] * len(trained)
    assert {"train_loss", "validation_loss", "validation_metric", "learning_rate", "gradient_norm"} <= set(
        curves.columns
    )


def test_a_loaded_study_is_the_study(study):
    loaded = tt.load(study.out)
    assert loaded.summary() == study.summary()
    assert loaded.trials == study.trials and loaded.words == study.words


def test_the_same_seed_gives_the_same_trials_scores_and_model_again(diabetes, tmp_path, study):
    again = tune(diabetes, tmp_path / "again", trials=4)
    same = ("test", "validation", "interval", "baselines", "config", "ensemble", "rows")
    assert {k: again.summary()[k] for k in same} == {k: study.summary()[k] for k in same}
    for mine, theirs in zip(again.model.members, study.model.members, strict=True):
        assert torch.equal(mine.parameters, theirs.parameters)
    other = tune(diabetes, tmp_path / "other", trials=4, seed=1)
    assert other.summary()["test"] != study.summary()["test"]


def test_two_studies_at_once_do_not_meet(diabetes, tmp_path, study):
    results = {}

    def work(name):
        results[name] = tune(diabetes, tmp_path / name, trials=4).summary()["validation"]

    threads = [threading.Thread(target=work, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results["a"] == results["b"] == study.summary()["validation"]


def test_without_a_test_part_every_row_trains_and_the_figure_is_out_of_fold(diabetes, tmp_path):
    found = tune(diabetes, tmp_path / "s", test="none").summary()
    assert found["test"] is None and found["rows"]["test"] == 0
    assert found["rows"]["train"] + found["rows"]["valid"] == 442
    assert found["interval"][0] < found["validation"]["rmse"] < found["interval"][1]


def test_single_gives_one_network_and_refit_is_said(diabetes, tmp_path):
    single = tune(diabetes, tmp_path / "s", single=True)
    assert single.model.networks == 1 and single.summary()["test"]["rmse"] < 90
    before = single.model.members[0].parameters
    refit = tune(diabetes, tmp_path / "r", refit=True)
    assert any("once more" in notice for notice in refit.notices)
    assert not torch.equal(refit.model.members[0].parameters[:1], before)
    assert numpy.isfinite(refit.model.predict(polars.read_csv(diabetes))).all()


def test_classes_come_back_as_they_were_given(tmp_path):
    data = load_iris(as_frame=True)
    frame = data.frame.rename(columns={"target": "species"})
    frame["species"] = [data.target_names[i] for i in frame["species"]]
    found = tune(frame, tmp_path / "s", target="species")
    assert found.summary()["task"] == "classification" and found.summary()["test"]["accuracy"] > 0.8
    predicted, notices = found.model.predict_frame(polars.from_pandas(frame.drop(columns="species")))
    assert set(predicted["prediction"]) == set(data.target_names) and not notices
    shares = predicted.select(polars.selectors.starts_with("probability_"))
    assert shares.columns == [f"probability_{name}" for name in data.target_names]
    numpy.testing.assert_allclose(shares.to_numpy().sum(1), 1, rtol=1e-9)


def test_several_targets_are_predicted_together(tmp_path):
    rng = numpy.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    frame = polars.DataFrame(
        {"u": x[:, 0], "v": x[:, 1], "w": x[:, 2], "a": x[:, 0] * 50 + 7.5, "b": x[:, 1] - x[:, 2]}
    )
    found = tune(frame, tmp_path / "s", target="a,b", epochs=30)
    assert found.model.predict(frame).shape == (200, 2)
    predicted, _ = found.model.predict_frame(frame)
    assert predicted.columns == ["prediction_a", "prediction_b"]
    assert numpy.corrcoef(predicted["prediction_a"], frame["a"])[0, 1] > 0.9


def test_values_that_first_appear_at_prediction_are_fine(tmp_path):
    rng = numpy.random.default_rng(0)
    kind = numpy.array(["red", "green", "blue"])[rng.integers(0, 3, 150)]
    frame = polars.DataFrame(
        {"size": rng.normal(size=150), "kind": kind, "y": rng.normal(size=150) + (kind == "red") * 3}
    )
    model = tune(frame, tmp_path / "s", target="y").model
    strange = polars.DataFrame({
        "extra": [1, 2, 3, 4], "kind": ["violet", None, "red", "red"], "size": ["nan", "inf", None, "0.5"],
    })  # fmt: skip
    predicted, notices = model.predict_frame(strange)
    assert predicted.height == 4 and predicted["prediction"].is_finite().all()
    assert any("kind" in notice for notice in notices)
    with pytest.raises(tt.DataError, match="size"):
        model.predict(strange.drop("size"))


def test_the_saved_model_holds_no_training_row(tmp_path):
    rng = numpy.random.default_rng(0)
    frame = polars.DataFrame({
        "amount": rng.normal(size=200) * 1e6, "city": [f"city-{i % 4}" for i in range(200)],
        "note": [f"secret-{i}" for i in range(200)], "y": rng.normal(size=200),
    })  # fmt: skip
    found = tune(frame, tmp_path / "s", target="y")
    text = (found.out / "model" / "model.json").read_text()
    assert "secret-" not in text and "city-" in text
    kept = {round(value, 9) for value in _numbers_in(json.loads(text))}
    assert sum(round(value, 9) in kept for value in frame["y"]) == 0
    assert sum(round(value, 9) in kept for value in frame["amount"]) <= 3


def _numbers_in(document):
    if isinstance(document, dict):
        document = list(document.values())
    if isinstance(document, list):
        return [number for item in document for number in _numbers_in(item)]
    return [document] if isinstance(document, float) else []


def test_a_finished_study_goes_on_and_keeps_what_it_had(diabetes, tmp_path):
    first = tune(diabetes, tmp_path / "s", trials=2)
    second = tt.tune(diabetes, ("target",), resume=first.out, trials=4, budget=BUDGET)
    assert [r.number for r in second.trials][: len(first.trials)] == [r.number for r in first.trials]
    assert len(second.trials) == 7 and second.trials[: len(first.trials)] == first.trials
    assert second.curves.height > first.summary()["runs"]


def test_resuming_with_other_data_or_another_split_is_refused(diabetes, tmp_path):
    first = tune(diabetes, tmp_path / "s", trials=1)
    changed = polars.read_csv(diabetes).with_columns(age=polars.col("age") + 1)
    with pytest.raises(tt.StudyError, match="other data"):
        tt.tune(changed, resume=first.out, trials=3, budget=BUDGET)
    for option in ({"split": "time:age"}, {"seed": 5}, {"test": 0.4}, {"metric": "mae"}, {"drop": ["age"]}):
        with pytest.raises(tt.StudyError, match="resumed study keeps|other data"):
            tt.tune(resume=first.out, trials=3, budget=BUDGET, **option)


class AfterTrials:
    """A callback that does something once so many trials have ended in all five folds."""

    def __init__(self, trials, act):
        self.trials, self.act, self.ended_runs = trials, act, Counter()

    def ended(self, run, result):
        self.ended_runs[run.partition(",")[0]] += 1
        if sum(runs == 5 for trial, runs in self.ended_runs.items() if trial.startswith("trial")) == self.trials:
            self.act()


def test_a_stop_finishes_with_the_best_so_far_and_an_abort_leaves_at_once(diabetes, tmp_path, monkeypatch):
    monkeypatch.setattr("trimtab.tuning.pace.Pace.repays_compiling", lambda *_, **__: False)  # nothing gets so far
    stop, abort = threading.Event(), threading.Event()
    by_the_clock = {"trials": None, "budget": 300}
    stopped = tune(diabetes, tmp_path / "s", **by_the_clock, stop=stop, callbacks=[AfterTrials(2, stop.set)])
    assert len(stopped.trials) >= 5 and stopped.summary()["seconds"] < 250 and stopped.summary()["test"]["rmse"] < 90
    with pytest.raises(tt.StudyError, match="go on with resume=") as stopped:
        tune(diabetes, tmp_path / "a", **by_the_clock, abort=abort, callbacks=[AfterTrials(2, abort.set)])
    assert f"go on with --resume {tmp_path}" in stopped.value.for_terminal
    assert len(tt.load(tmp_path / "a").trials) >= 5
    assert numpy.isfinite(tt.load_model(tmp_path / "a").predict(polars.read_csv(diabetes))).all()


# By the clock, and killed by itself once four trials are stored: others are in flight then.
SCRIPT = """
import os, signal, sys, time
import trimtab as tt
import trimtab.tuning.space
from trimtab.training.compiling import compiler

data, out, number = sys.argv[1], sys.argv[2], 0

class Killer:
    runs = 0

    def ended(self, run, result):
        self.runs += run.startswith("trial")
        if self.runs == 5 * 4:
            while len(stored()) < 4:
                time.sleep(0.02)
            os.kill(os.getpid(), signal.SIGKILL)

def stored():
    try:
        return tt.load(out).trials
    except tt.StudyError:
        return ()

trimtab.tuning.space.natural_epochs = lambda rows: 12
compiler.can_compile = lambda: False  # what compiles would outlive this process
tt.tune(data, "target", out=out, budget=100, callbacks=[Killer()])
"""


def test_a_study_killed_at_once_loses_no_finished_trial(diabetes, tmp_path, monkeypatch):
    monkeypatch.setattr("trimtab.tuning.pace.Pace.repays_compiling_planned", lambda *arguments, **named: False)
    out = tmp_path / "s"
    command = [sys.executable, "-c", SCRIPT, str(diabetes), str(out)]
    ended = subprocess.run(command, stderr=subprocess.PIPE, timeout=200, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    flying = json.loads((out / "inflight.json").read_text())
    killed = tt.load(out)
    assert len(killed.trials) >= 4 and flying
    assert numpy.isfinite(killed.model.predict(polars.read_csv(diabetes))).all()
    second = tt.tune(resume=out, trials=sum(not r.name for r in killed.trials) + len(flying))
    finished = {record.number for record in killed.trials}
    assert tuple(record for record in second.trials if record.number in finished) == killed.trials
    values = [dict(r.values) for r in second.trials]
    assert all(entry["values"] in values for entry in flying)
    from trimtab.tuning.folder import StudyFolder
    from trimtab.tuning.writer import TrialStore

    store = TrialStore(StudyFolder.open(out), url=None, greater_is_better=False)
    assert not any(trial.state.name in ("RUNNING", "WAITING") for trial in store.study.trials)


def test_a_folder_killed_before_its_first_trial_starts_as_new(diabetes, tmp_path):
    first = tune(diabetes, tmp_path / "s", trials=1)
    for name in ("study.db", "inflight.json"):
        (first.out / name).unlink()
    for path in first.out.glob("runs/*"):
        path.unlink()
    document = json.loads((first.out / "study.json").read_text())
    (first.out / "study.json").write_text(json.dumps({**document, "result": None}))
    assert len(tt.tune(resume=first.out, trials=1, budget=BUDGET).trials) == 4


def test_a_full_disk_is_an_error_that_leaves_what_was_found(diabetes, tmp_path, monkeypatch):
    from trimtab.tuning.folder import StudyFolder

    real = StudyFolder.save_weights

    def full_at_the_fifth(self, number, weights):
        if number >= 5:
            raise OSError(28, "No space left on device")
        return real(self, number, weights)

    monkeypatch.setattr(StudyFolder, "save_weights", full_at_the_fifth)
    with pytest.raises(OSError, match="No space left"):
        tune(diabetes, tmp_path / "s", trials=8)
    assert 3 <= len(tt.load(tmp_path / "s").trials) <= 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trials": 0}, "trials is 0"),
        ({"threads": 0}, "threads is 0"),
        ({"device": "tpu"}, "cpu"),
        ({"metric": "rsme"}, 'Did you mean "rmse"'),
        ({"metric": "roc_auc"}, "rmse"),
        ({"learning_rte": 3}, "Unknown knob"),
        ({"budget": "1s"}, "at least 5"),
        ({"loss": "focal"}, "mse, mae"),
    ],
    ids=str,
)
def test_an_option_that_cannot_be_leaves_no_folder(diabetes, tmp_path, options, message):
    with pytest.raises(tt.OptionError) as error:
        tt.tune(diabetes, "target", out=tmp_path / "s", **{"budget": BUDGET, **options})
    assert message in str(error.value)
    assert not (tmp_path / "s").exists()


def test_the_default_mlp_is_no_model_where_knobs_are_held_still(diabetes, tmp_path):
    study = tune(diabetes, tmp_path / "s", trials=1, loss="mae", epochs=1, lr=1e-5, single=True)
    assert study.winner.name != "default_mlp"
    assert any("The default MLP, which has none of the fixed values, is better" in text for text in study.notices)
    assert "default_mlp" in study.result["baselines"]
