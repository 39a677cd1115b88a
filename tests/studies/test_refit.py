"""Training on all rows: what it follows, when it stops, and when what came of it may be the model."""

import threading
from dataclasses import replace
from itertools import pairwise

import numpy
import polars
import pytest
import torch

import trimtab as tt
from trimtab.knobs.table import COURSES, SCHEDULES
from trimtab.model.model import build
from trimtab.model.tensors import training_data
from trimtab.studies import refit
from trimtab.studies.choice import best_fold
from trimtab.studies.refit import Refit
from trimtab.table.prepare import prepare
from trimtab.training.config import Config, Loss, Optimizer, Schedule, Stopping
from trimtab.training.lanes.engine import Engine
from trimtab.training.lanes.judging import Judging
from trimtab.training.lanes.modules import Modules
from trimtab.training.lanes.plans import steps_ahead
from trimtab.training.lanes.population import Structure
from trimtab.training.metrics import METRICS, metrics_for
from trimtab.training.run import ALL_EPOCHS, Request
from trimtab.tuning.baselines import FITTED_BASELINES, LINEAR
from trimtab.tuning.course import factors, until
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.space import MIDDLE
from trimtab.tuning.trial import COMPLETE, TrialRecord, TrialWeights, out_of_fold, rate_cuts

pytestmark = pytest.mark.usefixtures("few_epochs")

ROWS = 80
TINY = {
    "epochs": 15, "width": 8, "depth": 1, "activation": "relu", "inputs": "scaled", "batch_size": 32,
    "optimizer": "adamw", "lr": 0.05, "dropout": 0.0,
}  # fmt: skip


def table(task="regression", rows=ROWS):
    rng = numpy.random.default_rng(0)
    x = rng.normal(size=(rows, 3))
    level = 0.3 * x[:, 0] - x[:, 1] ** 2 + 0.1 * rng.normal(size=rows)  # nothing that a linear model is good at
    bounds = {"regression": (), "two": (-0.5,), "three": (-1.0, -0.2)}[task]
    y = level if task == "regression" else numpy.array(list("abc"))[numpy.digitize(level, bounds)]
    return polars.DataFrame({"t": numpy.arange(rows), "a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "y": y})


def tune(frame, out, **options):
    return tt.tune(frame, "y", out=out / "study", **{"trials": 1, "budget": 60, "threads": 1, **TINY, **options})


@pytest.fixture(autouse=True)
def without_default_mlp(monkeypatch):
    """Which takes longer than all the rest."""
    monkeypatch.setattr("trimtab.studies.table_work.BASELINES", FITTED_BASELINES)


@pytest.fixture
def runs(monkeypatch):
    """Every run that a training on all rows makes."""
    made, real = [], Refit._trained

    def noted(self, by_structure):
        made.extend(found := real(self, by_structure))
        return found

    monkeypatch.setattr(Refit, "_trained", noted)
    return made


@pytest.fixture
def diverging(monkeypatch):
    """Trainings on all rows take steps far too long; gives what sets their length."""
    real, rate = Refit._request, [1e4]

    def wild(self, record, seed):
        request = real(self, record, seed)
        optimizer = Optimizer("sgd", learning_rate=rate[0])
        schedule = Schedule("constant")
        return replace(request, config=replace(request.config, optimizer=optimizer, schedule=schedule))

    monkeypatch.setattr(Refit, "_request", wild)
    return rate


# -- judged by the training loss alone


@pytest.mark.parametrize(
    ("task", "metric"),
    [
        *(("regression", metric.name) for metric in METRICS.values() if metric.task == "regression"),
        *(("two", metric.name) for metric in metrics_for("classification", 2)),
        ("three", "log_loss"),
    ],
)
def test_no_metric_ends_a_training_on_all_rows(task, metric, tmp_path, runs):
    study = tune(table(task), tmp_path, metric=metric, single=True, refit=True)
    single, refitted = runs
    for run, rows in ((single, 64), (refitted, ROWS)):
        assert run.ended == ALL_EPOCHS and run.epochs == study.winner.best_epoch
        assert run.steps == run.epochs * -(-rows // 32)
        assert numpy.isfinite(run.curves.train_loss).all() and numpy.isnan(run.curves.validation_metric).all()
    assert torch.equal(study.model.members[0].parameters, refitted.weights[None])
    assert study.model.networks == 1 and any("once more" in notice for notice in study.notices)
    assert not any(thread.name.startswith("trimtab-lanes") for thread in threading.enumerate())


def test_a_stopping_rule_has_nothing_to_listen_to(tmp_path):
    study = tune(table(), tmp_path, patience=1, single=True, epochs=40)
    engine, data, folder, record, _ = scored(config(stopping=Stopping("patience", 1)), tmp_path / "trial")
    trainer = Refit(engine, data, folder, seed=0)
    assert trainer._request(record, 0).config.stopping == Stopping("none")
    assert not any("all rows" in notice for notice in study.notices)


def test_without_a_test_part_the_notice_speaks_of_none(tmp_path):
    study = tune(table(), tmp_path, test="none", refit=True)
    assert any(notice.startswith("After its validation score the") for notice in study.notices)
    assert study.summary()["networks"] == study.model.networks == 1


@pytest.mark.parametrize("rate", [10.0, 1e4, 1e30])
def test_a_network_that_diverged_on_all_rows_replaces_nothing(rate, tmp_path, diverging):
    diverging[0] = rate
    study = tune(table(), tmp_path, single=True, refit=True)
    kept = StudyFolder(study.out).load_weights(study.winner.number).parameters
    place = best_fold(study.winner, study.trials)
    assert torch.equal(study.model.members[0].parameters, kept[place : place + 1])
    failed = [notice for notice in study.notices if notice.startswith("Trained on all rows, the winner")]
    assert len(failed) == 2 and "what was scored is kept" in failed[1]
    assert not any("once more" in notice for notice in study.notices)


def test_of_several_networks_those_that_went_well_remain(tmp_path, monkeypatch):
    engine, data, folder, record, _ = scored(config(stopping=Stopping("none")), tmp_path)
    trainer, real = Refit(engine, data, folder, seed=0, networks=4), Refit._trained

    def spoilt(self, by_structure):
        first, second, third, fourth = real(self, by_structure)
        second, third = (replace(run, weights=run.weights * by) for run, by in ((second, 1e3), (third, torch.nan)))
        return [first, second, third, fourth]

    monkeypatch.setattr(Refit, "_trained", spoilt)
    [made] = trainer.of([(record, 1.0)])
    assert made.ended == refit.TRAINED and len(made.member.parameters) == 2
    assert bool(made.member.parameters.isfinite().all()) and float(made.member.parameters.abs().max()) < 100


def test_of_an_ensemble_the_trials_that_failed_stay_as_they_were_scored(tmp_path, monkeypatch):
    from trimtab.studies import choice

    real, of = choice.choose, Refit.of

    def two(trials, *arguments, **options):
        chosen = real(trials, *arguments, **options)
        best = [record for record in trials if not record.name]
        return replace(chosen, members=((best[0], 0.6), (best[1], 0.4)), recalled=())

    def second_fails(self, members):
        first, second, *rest = of(self, members)
        return [first, refit.Refitted(second.record, refit.DIVERGED), *rest]

    monkeypatch.setattr(choice, "choose", two)
    monkeypatch.setattr(Refit, "of", second_fails)
    study = tune(table(), tmp_path, trials=2, refit=True, lr=None, batch_size=None)
    first, second = study.model.members
    assert len(first.parameters) == 1 and first.share == pytest.approx(0.6)
    trial = next(
        r for r in study.trials if not r.name and r.number != min(t.number for t in study.trials if not t.name)
    )
    assert torch.equal(second.parameters, StudyFolder(study.out).load_weights(trial.number).parameters)
    assert "Trained on all rows, 1 of the model's 2 trials diverged: what was scored is kept." in study.notices
    assert any(
        notice.startswith("After the test score 1 of the model's 2 trials was trained") for notice in study.notices
    )


def test_what_time_cuts_off_in_its_first_round_is_not_taken_for_whole(tmp_path):
    engine, data, folder, record, _ = scored(config(stopping=Stopping("none")), tmp_path)
    record, asked = replace(record, best_epochs=(1,) * len(data.folds)), []

    def is_over():
        asked.append(1)
        return len(asked) > 2

    engine.should_stop = is_over
    [made] = Refit(engine, data, folder, seed=0).of([(record, 1.0)])
    assert made.ended == refit.NO_TIME and made.member is None


def test_what_predicts_after_a_refit_is_said_of_all_members():
    assert refit.words_of_all_rows(1, "a", is_tested=True) == (
        "After the test score the winner was trained once more, on all rows; the model is made of that."
    )
    assert refit.words_of_all_rows(2, "abc", is_tested=False) == (
        "After its validation score 2 of the model's 3 trials were trained once more, on all rows; the model is made "
        "of that, and of the others as they were scored."
    )


def test_without_time_the_model_is_the_one_that_was_scored(tmp_path, monkeypatch):
    monkeypatch.setattr(Refit, "_trained", lambda self, by_structure: [])
    study = tune(table(), tmp_path, refit=True)
    assert torch.equal(
        study.model.members[0].parameters, StudyFolder(study.out).load_weights(study.winner.number).parameters
    )
    assert any(notice.startswith("No time was left to train the winner on all rows: ") for notice in study.notices)


def test_the_penalty_of_a_logistic_regression_is_that_of_its_folds(tmp_path, monkeypatch):
    """One validation row would choose another."""
    from sklearn.linear_model import LogisticRegression

    frame = table("two")
    # Of what is held the linear model has all, and the one trial beside it learns next to nothing.
    guesses = ({**MIDDLE, "lr": 1e-5, "epochs": 84},)
    monkeypatch.setattr("trimtab.tuning.space.first_guesses", lambda case: guesses)
    options = {"single": True, "trials": 1, "test": "none", "depth": 0, "loss": "cross_entropy"}
    study = tt.tune(frame, "y", out=tmp_path / "study", threads=1, **options)
    assert study.winner.name == LINEAR
    prepared = prepare(frame, target="y", test="none")
    data = training_data(prepared, torch.device("cpu"))
    scores = {}
    for penalty in (0.03, 0.3, 3.0):
        found = numpy.empty((ROWS, 2))
        for train, valid in prepared.folds:
            model = LogisticRegression(C=penalty, max_iter=200).fit(data.inputs[0][train], data.targets[train])
            found[valid] = model.predict_proba(data.inputs[0][valid])
        scores[penalty] = -numpy.log(found[numpy.arange(ROWS), data.targets]).mean()
    best = LogisticRegression(C=min(scores, key=scores.get), max_iter=200).fit(data.inputs[0], data.targets)
    numpy.testing.assert_allclose(study.model.predict_proba(frame), best.predict_proba(data.inputs[0]), atol=1e-3)


# -- of rows of which one part has judged


def test_where_one_part_has_judged_the_model_has_learnt_from_it_too(tmp_path, monkeypatch):
    monkeypatch.setattr("trimtab.table.folds.MOST_ROWS_FOR_FOLDS", 40)
    frame = table(rows=200)
    study = tune(frame, tmp_path, epochs=40, lr=0.02, neighbours=False)
    weights = StudyFolder(study.out).load_weights(study.winner.number)
    (member,) = study.model.members
    scored, of_all_rows = member.parameters
    assert torch.equal(scored, weights.parameters[0]) and not torch.equal(of_all_rows, scored)
    assert study.result["of_all_rows"] == [study.winner.number]
    assert study.result["figures_of"] == "model" and not any("all rows" in notice for notice in study.notices)
    # What was tested is what is saved; the validation score and the predictions are of the network that was scored.
    prepared = prepare(frame, target="y")
    predicted = study.model.predict(prepared.test)
    rmse = float(numpy.sqrt(numpy.mean((predicted - prepared.target_encoder.truth(prepared.test)[:, 0]) ** 2)))
    assert study.result["test"]["rmse"] == pytest.approx(rmse, rel=1e-4)
    kept = polars.read_parquet(study.out / "predictions.parquet").filter(polars.col("part") == "validation")
    own = weights.predictions[~numpy.isnan(weights.predictions[:, 0]), 0]
    numpy.testing.assert_allclose(kept["prediction"], own, rtol=1e-5)


def test_without_a_test_part_it_is_said_whose_figures_these_are(tmp_path, monkeypatch):
    monkeypatch.setattr("trimtab.table.folds.MOST_ROWS_FOR_FOLDS", 40)
    assert tune(table(), tmp_path, test="none").result["figures_of"] == "folds"


# -- along the course of the runs that were scored

EPOCHS = 20


def scored(config, tmp_path, frame=None, metric="rmse", **options):
    """A trial of `config` on the folds of a table, as a search leaves it, with its engine, data and folder."""
    prepared = prepare(table() if frame is None else frame, target="y", test="none", **options)
    data = training_data(prepared, torch.device("cpu"))
    modules = Modules(lambda **network: build(prepared.encoder, prepared.target_encoder, network))
    engine = Engine(data, modules, Judging(METRICS[metric]))
    population = engine.population(Structure.of(config), lanes=len(data.folds))
    engine.admit(population, [Request(0, config, fold, 0) for fold in range(len(data.folds))])
    found = []
    while population.lanes:
        engine.advance(population)
        found += engine.retire(population)
    found.sort(key=lambda run: run.request.fold)
    record = TrialRecord(
        0, "", {}, config, COMPLETE, 1.0, tuple(run.error for run in found), tuple(run.best_epoch for run in found),
        tuple(run.ended for run in found), cuts=tuple(rate_cuts(run.curves) for run in found),
    )  # fmt: skip
    folder = StudyFolder.create(tmp_path / "study", {})
    predictions = out_of_fold(data, [run.predictions for run in found])
    folder.save_weights(0, TrialWeights(torch.stack([run.weights for run in found]), predictions))
    return engine, data, folder, record, found


def config(schedule="cosine", **rest):
    values = {"schedule": Schedule(schedule, patience=1), "epochs": EPOCHS, "stopping": Stopping("patience", 4), **rest}
    return Config(
        network=(("activation", "relu"), ("depth", 1), ("inputs", "scaled"), ("width", 8)),
        initial=(("sigma", 0.1),), loss=Loss("mse"), optimizer=Optimizer("adamw", 0.02), batch_size=16, **values,
    )  # fmt: skip


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_rate_at_the_end_is_what_the_folds_had_when_they_were_best(schedule, tmp_path, runs):
    ours = config(schedule, stopping=Stopping("none"))
    engine, data, folder, record, found = scored(ours, tmp_path)
    # As if all folds had been best in the middle, where a course over fewer epochs would have ended already.
    middle = found[0].curves.epoch[len(found[0].curves.epoch) // 2 - 1]
    record = replace(record, best_epochs=(middle,) * len(found))
    [made] = Refit(engine, data, folder, seed=0).of([(record, 1.0)])
    assert made.ended == refit.TRAINED and runs[0].epochs == middle < EPOCHS
    rates = [run.curves.learning_rate[run.curves.epoch.index(middle)] for run in found]
    expected = numpy.exp(numpy.mean(numpy.log(rates)))
    assert runs[0].curves.learning_rate[-1] == pytest.approx(expected, rel=0.1)
    # A course squeezed into those epochs would have come to its end.
    if schedule in ("cosine", "one_cycle", "warmup_cosine"):
        assert expected > 0.4 * ours.optimizer.learning_rate


def test_the_cuts_of_a_plateau_come_at_the_same_share_of_the_way():
    cuts = ((4,), (8, 12))
    record = TrialRecord(0, "", {}, config("plateau"), COMPLETE, 1.0, best_epochs=(8, 16), ended=("", ""), cuts=cuts)
    assert until(record, [50, 50]) == 12
    found = factors(record, [50, 50])
    cut = Schedule("plateau").factor
    assert len(found) == 12
    assert found[5] == 1.0 and found[6] == pytest.approx(cut) and found[-1] == pytest.approx(cut**1.5)
    assert all(after <= before for before, after in pairwise(found))
    assert until(record, [10, 90]) == 15
    assert factors(replace(record, config=config("cosine")), [50, 50]) == ()


@pytest.mark.parametrize("course", COURSES)
def test_dropout_and_decay_stand_where_they_stood(course, tmp_path):
    ours = config(dropout=0.4, dropout_course=course, decay_course=course, stopping=Stopping("none"))
    ours = replace(ours, optimizer=replace(ours.optimizer, weight_decay=0.1), averaging=0.9)
    engine, data, folder, record, _ = scored(ours, tmp_path)
    record = replace(record, best_epochs=(6,) * len(data.folds))
    trainer = Refit(engine, data, folder, seed=0)
    whole = trainer.engine.population(Structure.of(ours), lanes=1)
    trainer.engine.admit(whole, [trainer._request(record, 0)])
    folds = engine.population(Structure.of(ours))
    engine.admit(folds, [Request(0, ours, 0, 0)])
    plans = []
    for population in (whole, folds):
        lane = population.lanes[0]
        lane.step = lane.evaluated_step = lane.batches * 6 - 1
        optimizers = population.coefficients(0, 1).optimizers
        plans.append(steps_ahead(lane, optimizers, 1, data.device, 1)[0].rates[0, 0])
    # The columns of the plan: rates and decays, dropout, the average's weight.
    numpy.testing.assert_allclose(plans[0], plans[1], rtol=0.15, atol=0.02)


def test_a_resumed_study_still_knows_when_a_plateau_cut_its_rates(tmp_path, runs):
    frame = table()
    options = {**TINY, "epochs": 150, "patience": 150, "lr": 0.3, "schedule": "plateau"}
    first = tune(frame, tmp_path, **options)
    trial = next(record for record in first.trials if not record.name)
    assert len(trial.cuts) == 10 and any(trial.cuts)
    assert tt.load(first.out).trials == first.trials
    # Curves may be lost in a crash; what a training on all rows needs is not.
    (first.out / "curves.parquet").unlink()
    tt.tune(frame, "y", resume=first.out, trials=1, budget=60, single=True, refit=True)
    expected = factors(trial, [len(train) for train, _ in prepare(frame, target="y").folds])
    assert all(run.request.factors == expected for run in runs if run.request.trial == trial.number)


def test_what_an_older_study_did_not_note_is_not_made_up(tmp_path):
    engine, data, folder, record, _ = scored(config("plateau"), tmp_path)
    [made] = Refit(engine, data, folder, seed=0).of([(replace(record, cuts=()), 1.0)])
    assert made.ended == refit.UNKNOWN and made.member is None
    assert "older version" in refit.failures([made], "what was scored is kept")[0]


# -- folds that go forward in time


@pytest.fixture(scope="module")
def forward(tmp_path_factory):
    """A study of a time split, and the runs of its training on all rows."""
    made, real = [], Refit._trained

    def noted(self, by_structure):
        made.extend(found := real(self, by_structure))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trimtab.studies.table_work.BASELINES", FITTED_BASELINES)
        patch.setattr(Refit, "_trained", noted)
        return tune(table(rows=300), tmp_path_factory.mktemp("forward"), split="time:t", epochs=40), made


@pytest.fixture
def without_baselines(monkeypatch):
    """Which a network of a few rows may not beat."""
    for name in ("BASELINES", "FITTED_BASELINES"):
        monkeypatch.setattr(f"trimtab.studies.table_work.{name}", ())


def test_a_model_for_later_times_is_trained_on_all_rows_but_the_test_ones(forward):
    study, made = forward
    assert len(made) == study.model.networks == refit.NETWORKS
    assert len({run.request.seed for run in made}) == refit.NETWORKS
    assert all(run.steps == run.epochs * 8 and run.ended == ALL_EPOCHS for run in made)  # of 240 rows in batches of 32
    for kept, run in zip(study.model.members[0].parameters, made, strict=True):
        assert torch.equal(kept, run.weights)
    frame = table(rows=300)[240:]
    error = numpy.sqrt(numpy.mean((study.model.predict(frame) - frame["y"].to_numpy()) ** 2))
    assert study.summary()["test"]["rmse"] == pytest.approx(error)
    assert not study.notices or not any("all rows" in notice for notice in study.notices)


def test_rows_of_another_law_are_no_sign_of_divergence(tmp_path):
    """Windows before a break learn one law to the end; no network can learn two that contradict each other so well."""
    frame = table(rows=200).with_columns(y=polars.when(polars.col("t") < 180).then("y").otherwise(-polars.col("y")))
    engine, data, folder, record, _ = scored(config(stopping=Stopping("none")), tmp_path, frame, split="time:t")
    bounds = [Refit(engine, data, folder, seed=0, goes_forward=forward)._bound(record) for forward in (False, True)]
    assert bounds[1] > 2 * bounds[0]
    [made] = Refit(engine, data, folder, seed=0, goes_forward=True).of([(record, 1.0)])
    assert made.ended == refit.TRAINED


def test_what_it_is_compared_with_has_seen_the_same_rows(forward):
    from sklearn.linear_model import RidgeCV

    study, _ = forward
    prepared = prepare(table(rows=300), target="y", split="time:t")
    ridge = RidgeCV(alphas=numpy.logspace(-3, 4, 15)).fit(prepared.numbers, prepared.targets[:, 0])
    predicted = ridge.predict(prepared.encoder.encode(prepared.test).numbers)
    wrong = (
        prepared.target_encoder.scale[0] * predicted + prepared.target_encoder.mean[0] - prepared.test["y"].to_numpy()
    )
    assert study.summary()["baselines"]["linear"]["rmse"] == pytest.approx(numpy.sqrt((wrong**2).mean()), rel=1e-3)


def test_the_rows_of_growing_folds_are_those_of_the_largest(forward):
    rows = forward[0].summary()["rows"]
    assert rows == {"train": 200, "valid": 40, "test": 60}


@pytest.mark.parametrize("single", [False, True])
def test_without_time_for_it_the_latest_window_is_kept(single, tmp_path, monkeypatch, without_baselines):
    monkeypatch.setattr(Refit, "_trained", lambda self, by_structure: [])
    study = tune(table(), tmp_path, split="time:t", single=single)
    kept = StudyFolder(study.out).load_weights(study.winner.number).parameters
    assert torch.equal(study.model.members[0].parameters, kept[-1:]) and study.model.networks == 1
    assert any("the latest window's network is kept" in notice for notice in study.notices)


def test_a_killed_study_of_a_time_split_predicts_by_its_latest_window(tmp_path, monkeypatch, without_baselines):
    from trimtab.studies.table_work import TableWork

    def killed(self, trials, unscored):
        raise KeyboardInterrupt

    monkeypatch.setattr(TableWork, "outcome", killed)
    with pytest.raises(KeyboardInterrupt):
        tune(table(), tmp_path, split="time:t")
    assert tt.load_model(tmp_path / "study").networks == 1


def test_folds_that_an_estimator_is_given_may_go_forward_too(without_baselines):
    from sklearn.model_selection import KFold, TimeSeriesSplit

    frame = table(rows=200)
    x, y = frame.select("a", "b", "c").to_numpy(), frame["y"].to_numpy()
    options = {**TINY, "epochs": 30, "trials": 1, "budget": 60, "threads": 1}
    for cv, networks in ((TimeSeriesSplit(3), range(2, refit.NETWORKS + 1)), (KFold(3), [3])):
        model = tt.TrimtabRegressor(cv=cv, **options).fit(x, y).model_
        assert all(len(member.parameters) in networks for member in model.members)
