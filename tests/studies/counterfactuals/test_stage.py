"""The stage beside a winner: runs in pairs, what they come to, what is kept, and going on with it."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy
import polars
import pytest
import torch
from torch import nn

import trimtab as tt
from trimtab.errors import OptionError, StudyError
from trimtab.findings.worth import intervals
from trimtab.findings.worth.account import Account
from trimtab.findings.worth.intervals import OnRows
from trimtab.listeners.listeners import Listeners
from trimtab.machine import lanes_in_threads
from trimtab.studies.call import Call
from trimtab.studies.counterfactuals.ensemble import Ensemble, ensemble_of_table
from trimtab.studies.counterfactuals.ground import FOLDS_ENOUGH, MOST_OF_FOLDS
from trimtab.studies.counterfactuals.grounds import ground_of_table
from trimtab.studies.counterfactuals.paired_runs import PairedRuns
from trimtab.studies.counterfactuals.purse import Purse
from trimtab.studies.counterfactuals.run_book import RunBook
from trimtab.studies.counterfactuals.stage import Stage, words_of_winner
from trimtab.studies.counterfactuals.stopping import folds_to_read
from trimtab.studies.counterfactuals.walking import Walking, key_of_way
from trimtab.studies.request import TableOptions
from trimtab.studies.table_subject import TableSubject
from trimtab.studies.table_work import TableWork
from trimtab.terminal.summary import summary_in_text
from trimtab.training.lanes.population import Structure
from trimtab.tuning.folder import StudyFolder

pytestmark = pytest.mark.usefixtures("few_epochs")
KNOBS = {"epochs": 4, "width": 8, "depth": 1, "batch_size": 32, "inputs": "scaled", "optimizer": "adam"}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    rng = numpy.random.default_rng(0)
    x = rng.normal(size=(150, 3))
    path = tmp_path_factory.mktemp("table") / "rows.csv"
    frame = polars.DataFrame(x, schema=["a", "b", "c"])
    frame.with_columns(y=polars.Series(x[:, 0] - 2 * x[:, 1] + 0.1 * rng.normal(size=150))).write_csv(path)
    return path


@pytest.fixture(scope="module")
def searched(table, tmp_path_factory, few_epochs):
    out = tmp_path_factory.mktemp("studies") / "rows"
    options = {"counterfactuals": 0, "neighbours": False, "quiet": True}
    return tt.tune(table, "y", trials=2, threads=1, out=out, **options, **KNOBS)


@pytest.fixture
def study(searched, tmp_path):
    shutil.copytree(searched.out, tmp_path / "study")
    return tt.load(tmp_path / "study")


def ground_of(study):
    """What the best tuned trial was trained on, its ensemble's step, and the folder."""
    folder = StudyFolder(study.out)
    call = Call.checked(
        budget="1h", trials=None, threads=1, device="cpu", out=None, resume=study.out, stop=None, abort=None,
        started=None, listeners=Listeners(),
    )  # fmt: skip
    request, _ = TableOptions().request(folder)
    subject = TableSubject.read(request, call)
    winner = next(record for record in study.trials if not record.name)
    last = ensemble_of_table(subject, folder, winner, study.result["ensemble"])
    return ground_of_table(subject, winner, call), winner, last


def stage(study, purse, **options):
    ground, winner, last = ground_of(study)
    with lanes_in_threads():
        return Stage(
            ground, StudyFolder(study.out), purse, words_of_winner(winner, winner), ensemble=last, **options
        ).account()


def test_runs_come_in_pairs_and_give_the_figures_that_are_shown(study):
    account = stage(study, Purse(None, 24.0))
    runs = polars.read_parquet(study.out / "counterfactuals.parquet")
    winner = runs.filter(polars.col("knob") == "winner").sort("seed", "fold")
    assert len(account.reached) >= 3
    for row in account.reached:
        own = runs.filter((polars.col("knob") == row.knob) & (polars.col("value") == str(row.value))).sort(
            "seed", "fold"
        )
        assert own.select("seed", "fold").rows() == winner.head(len(own)).select("seed", "fold").rows()
        assert row.difference == pytest.approx((own["error"] - winner.head(len(own))["error"]).mean())
        assert row.pairs == len(own)
        assert row.low < row.difference < row.high
    assert account.winner["score"] == pytest.approx(winner["error"].mean())
    curves = polars.read_parquet(study.out / "counterfactual_curves.parquet")
    assert curves.select("stage", "knob", "value", "fold", "seed").n_unique() == len(runs)


def test_it_is_no_part_of_the_search(study):
    before = [record.number for record in study.trials]
    stage(study, Purse(None, 8.0))
    after = tt.load(study.out)
    assert [record.number for record in after.trials] == before
    assert set(after.curves["trial"].unique()) <= set(before)
    assert after.result == study.result


def test_what_was_not_reached_says_so(study):
    account = stage(study, Purse(None, 5.0))
    assert account.not_reached
    printed = account.to_json()
    assert len(printed["not_reached"]) == len(account.not_reached)
    assert {row["verdict"] for row in printed["rows"]} <= {"better", "worse", "alike"}


def test_stopping_rules_are_read_off_one_training(study):
    stops = {stop.rule: stop for stop in stage(study, Purse(None, 5.0)).stopping}
    assert stops["no stopping"].epochs == 4
    assert stops["best of hindsight"].score <= stops["no stopping"].score
    assert stops["patience 5"].kept <= stops["patience 5"].epochs


def test_stopping_rules_are_read_off_fewer_folds_where_time_is_short_and_off_all_later(study):
    few = stage(study, Purse(None, 0.4), only=("epochs",))
    assert few.stopping and few.stopping_folds == 2
    again = stage(study, Purse(None, 0.4), only=("epochs",))
    assert again.stopping == few.stopping
    every = stage(study, Purse(None, 5.0), only=("epochs",))
    assert every.stopping_folds == 5 and every.stopping != few.stopping


def test_five_of_ten_folds_are_chosen_by_chance_in_each_repetition(study):
    """Those that a rare class is dealt into have the same numbers in every drawing."""
    ground, _, _ = ground_of(study)
    folds = ground.data.folds
    places = {id(fold): place for place, fold in enumerate(folds)}
    chosen = [[places[id(fold)] for fold in ground.some(folds, repetition)] for repetition in range(MOST_OF_FOLDS)]
    assert all(len(set(each)) == ground.folds == FOLDS_ENOUGH for each in chosen)
    assert len({tuple(each) for each in chosen}) == MOST_OF_FOLDS


def test_two_folds_of_few_rows_are_read_as_one(study):
    ground, _, _ = ground_of(study)
    read = folds_to_read(ground)
    assert len(ground.data.folds) == 10 and len(read) == 5
    for fold in read:
        assert not torch.isin(fold.train, fold.validation).any() and len(fold.train) + len(fold.validation) == 120
    assert torch.cat([fold.validation for fold in read]).sort().values.tolist() == list(range(120))
    small = replace(ground, data=replace(ground.data, folds=ground.data.folds[:9]))
    assert folds_to_read(small) == ()  # four of two folds each would be too few
    assert folds_to_read(replace(ground, metric=None)) == ()


def test_a_later_call_goes_on_and_looks_once_more(study):
    first = stage(study, Purse(None, 12.0))
    later = stage(study, Purse(None, 12.0))
    assert (first.looks, later.looks) == (1, 2)
    assert len(later.reached) > len(first.reached)
    old = {row.name: row for row in first.reached}
    again = {row.name: row for row in later.reached}
    assert old.keys() <= again.keys()
    assert Account.load(StudyFolder(study.out)) == later


def test_what_was_begun_is_repeated_as_often_as_it_pays(study):
    stage(study, Purse(None, 40.0), only=("lr",))
    runs = polars.read_parquet(study.out / "counterfactuals.parquet").filter(polars.col("knob").is_in(["lr", "winner"]))
    assert set(runs.group_by("knob", "value").len()["len"]) == {MOST_OF_FOLDS * FOLDS_ENOUGH}
    assert not runs.select("knob", "value", "seed", "fold").is_duplicated().any()


def test_a_later_call_knows_rows_as_well_as_the_first(study, monkeypatch):
    """On one validation part others are compared with what the winner predicted, which is not kept."""

    def called(only, trainings=14.0):
        ground, winner, _ = ground_of(study)
        ground = replace(ground, data=replace(ground.data, folds=ground.data.folds[:1]), redrawn=lambda seed: None)
        with lanes_in_threads():
            purse = Purse(None, trainings)
            return Stage(ground, StudyFolder(study.out), purse, words_of_winner(winner, winner), only).account()

    looked_at = []
    known = intervals.row_variance_of

    def noted(winner, other, *rest, **options):
        looked_at.append((len(winner), len(other)))
        return known(winner, other, *rest, **options)

    monkeypatch.setattr(intervals, "row_variance_of", noted)
    first = called(("lr",))
    assert looked_at
    # As a kill leaves it before the look has ended: what rows tell is known without training again.
    document = json.loads((study.out / "findings.json").read_text())
    for row in document["counterfactuals"]["rows"]:
        row.update(is_open=row["verdict"] != "not reached", looks=0)
    document["counterfactuals"]["looks"] = 0
    (study.out / "findings.json").write_text(json.dumps(document))
    assert called(("lr",), trainings=0.0).rows == first.rows
    looked_at.clear()
    later = called(("epochs",))
    assert looked_at
    assert {row.knob for row in first.reached} == {"lr"}
    assert {row.knob for row in later.reached} == {"lr", "epochs"}
    runs = polars.read_parquet(study.out / "counterfactuals.parquet")
    assert not runs.select("stage", "knob", "value", "seed", "fold").is_duplicated().any()


def test_another_winner_begins_anew(study):
    account = stage(study, Purse(None, 8.0))
    document = json.loads((study.out / "findings.json").read_text())
    document["counterfactuals"]["winner"]["config"] = {"epochs": 99}
    (study.out / "findings.json").write_text(json.dumps(document))
    assert stage(study, Purse(None, 8.0)).looks == account.looks == 1


def test_one_knob_alone(study):
    account = stage(study, Purse(None, 30.0), only=("lr",))
    assert {row.knob for row in account.reached} == {"lr"}
    assert not account.path


def test_the_path_adds_up(study):
    ground, winner, last = ground_of(study)
    ground = replace(ground, beginner=replace(ground.beginner, epochs=4, network=winner.config.network))
    runs, book = PairedRuns(ground, lambda: False), RunBook(ground)
    walking = Walking(ground, runs, book, Purse(None, 1e9), lambda account: account, last)
    account = walking.walked(Account(words_of_winner(winner, winner), "rmse", False))
    runs.close()
    path = account.path
    assert path[0].knob == "beginner"
    assert len(path) > 3
    falls = sum(step.gain for step in path[1:])
    assert path[0].score - falls == pytest.approx(path[-1].score)
    # Its order is that of other seeds than those that tell it.
    frame = book.frame().filter(polars.col("stage") == "path")
    whole = {step.knob for step in path if step.knob not in ("beginner", "ensemble")}
    told = frame.filter(polars.col("knob") == ", ".join(sorted(whole)))
    assert set(told["seed"]) == {1001, 1002}
    assert set(frame.filter(polars.col("knob").is_in(list(whole)))["seed"]) == {1000, 1001, 1002}


def test_each_step_of_the_path_is_the_best_of_all_that_were_left(study):
    ground, winner, last = ground_of(study)
    ground = replace(ground, beginner=replace(ground.beginner, epochs=4, network=winner.config.network))
    runs, book = PairedRuns(ground, lambda: False), RunBook(ground)
    kept = []
    walking = Walking(ground, runs, book, Purse(None, 1e9), lambda account: kept.append(1) or account, last)
    first = walking.walked(Account(words_of_winner(winner, winner), "rmse", False))
    account = walking.best_ordered(first)
    assert first.best_steps == 1
    names = [step.knob for step in account.path if step.knob not in ("beginner", "ensemble")]
    assert account.best_steps == len(names)
    by_knob = {step.knob: step for step in walking.steps}
    order = [by_knob[name] for name in names]
    for place in range(len(order) - 1):
        tried = {step.knob: book.mean(key_of_way([*order[:place], step]), (0,)) for step in order[place:]}
        assert min(tried, key=lambda name: tried[name]) == names[place]
    assert account.path[0].score - sum(step.gain for step in account.path[1:]) == pytest.approx(account.path[-1].score)
    before = len(book.frame())
    assert walking.best_ordered(account) == account
    assert len(book.frame()) == before, "what is known is not trained again"
    # Half of nothing reaches nowhere.
    walking.purse = Purse(None, 0.0)
    walking.book = RunBook(ground)
    assert walking.best_ordered(replace(first, best_steps=0)).path == first.path
    runs.close()


def test_fewer_rows_are_a_learning_curve_of_nested_rows(study):
    ground, _, _ = ground_of(study)
    folds = ground.laid_out.folds
    for repetition in (0, 1):
        whole, half, quarter = (
            set(folds[ground.fold(repetition, 2, rows)].train.tolist()) for rows in ("all", "half", "quarter")
        )
        assert quarter < half < whole
        assert len(quarter) == pytest.approx(len(whole) / 4, abs=1)
    account = stage(study, Purse(None, 12.0), only=("rows",))
    curve = account.learning
    assert curve.rows[2] == pytest.approx(2 * curve.rows[1], abs=2) == pytest.approx(4 * curve.rows[0], abs=4)
    assert len(curve.errors) == next(row.pairs for row in account.reached if row.value == "quarter")
    runs = polars.read_parquet(study.out / "counterfactuals.parquet").filter(polars.col("value") == "half")
    assert [line[1] for line in curve.errors] == runs.sort("seed", "fold")["error"].to_list()[: len(curve.errors)]
    assert Account.load(StudyFolder(study.out)).learning == curve


def test_what_more_rows_would_bring_is_a_finding_of_the_study(study):
    explanation = study.explain("rows", budget="1h", threads=1)
    assert "How many rows" in str(explanation)
    found = tt.load(study.out).findings
    is_said = [each for each in found.healthy if each.startswith("Twice the rows")]
    assert len(is_said) + sum(each.id == "too_little_data" for each in found) == 1
    assert not any(each.id == "too_little_data" for each in found.not_checked)
    again = study.explain("rows", budget="1h", threads=1).findings
    assert sum("Twice the rows" in each for each in again.healthy) == len(is_said)


def test_rows_without_a_step_of_their_preparation(study):
    ground, _, _ = ground_of(study)
    plain, other = ground.data, ground.laid_out_otherwise("inputs unscaled")
    table = polars.read_csv(study_data(study))
    names = ("a", "b", "c")
    assert numpy.isin(other.inputs[0].numpy(), table.select(names).to_numpy().astype("float32")).all()
    assert (other.targets == plain.targets).all()
    units = ground.laid_out_otherwise("target unscaled")
    rows = plain.folds[0].validation
    assert numpy.allclose(units.truth(rows), plain.truth(rows), rtol=1e-6)
    assert units.targets.std() != pytest.approx(float(plain.targets.std()), rel=0.01)
    account = stage(study, Purse(None, 12.0), only=("preparation",))
    assert {row.value for row in account.reached} == {"inputs unscaled", "target unscaled"}


def test_an_ensemble_is_judged_by_the_rows_out_of_fold(study):
    ground, winner, _ = ground_of(study)
    folder, truth = StudyFolder(study.out), ground.data.truth(torch.arange(ground.data.rows)).numpy()
    pair = [record.number for record in study.trials if not record.name]
    one, other = (folder.load_weights(number).predictions.astype("float64") for number in pair)
    call = Call.checked(
        budget="1h", trials=None, threads=1, device="cpu", out=None, resume=study.out, stop=None, abort=None,
        started=None, listeners=Listeners(),
    )  # fmt: skip
    subject = TableSubject.read(TableOptions().request(folder)[0], call)
    members = [{"trial": number, "share": 0.5} for number in pair]
    found = ensemble_of_table(subject, folder, winner, members)
    alone, mixed = (numpy.sqrt(((each - truth) ** 2).mean()) for each in (one, (one + other) / 2))
    assert found.beside.value == pytest.approx(alone - mixed)
    assert found.beside.units == len(truth)
    assert found.words == "2 trials"
    assert ensemble_of_table(subject, folder, winner, members[:1]) is None


def test_the_ensemble_is_compared_with_its_best_network(study):
    ground, winner, _ = ground_of(study)
    ensemble = Ensemble(3, False, OnRows(0.2, 0.01**2, 100))
    with lanes_in_threads():
        who = words_of_winner(winner, winner)
        told = Stage(ground, StudyFolder(study.out), Purse(None, 6.0), who, ensemble=ensemble).account()
    row = next(row for row in told.reached if row.knob == "ensemble")
    assert (row.value, row.difference, row.verdict, row.pairs) == ("single network", 0.2, "worse", 100)
    # Its interval is as wide as all others taken together ask for.
    assert row.high - row.low > 2 * 2.5 * 0.01
    assert row.looks == 1


@pytest.mark.parametrize(
    ("trials", "remembers", "words"),
    [
        (3, False, "3 trials"), (1, True, "a trial and the nearest training rows"),
        (0, True, "the nearest training rows"),
        (2, True, "2 trials and the nearest training rows"),
    ],
)  # fmt: skip
def test_an_ensemble_is_called_by_its_parts(trials, remembers, words):
    assert Ensemble(trials, remembers, OnRows(0.2, 1e-4, 100)).words == words


def test_who_is_stopped_keeps_what_was_finished(study):
    folder = StudyFolder(study.out)

    def something_is_kept():
        kept = Account.load(folder)
        return kept is not None and len(kept.reached) > 0

    account = stage(study, Purse(None, 30.0, told_to_stop=something_is_kept))
    assert account.reached
    assert Account.load(StudyFolder(study.out)).to_json() == account.to_json()
    assert account.not_reached


def test_a_study_explains_itself(study):
    with pytest.raises(StudyError, match="nothing measured"):
        study.explain()
    assert study.counterfactuals.is_empty()
    assert study.worth == ()
    explanation = study.explain(budget="6s", threads=1)
    assert study.counterfactuals.columns == ["knob", "value", "difference", "low", "high", "verdict", "pairs"]
    assert set(explanation.to_json()) == {"winner", "rows", "path", "stopping", "not_reached", "findings"}
    assert json.loads(json.dumps(explanation.to_json(), allow_nan=False))
    assert "better │ worse" in str(explanation)
    assert explanation.words in study.worth
    with pytest.raises(OptionError, match="knob to explain"):
        study.explain("los")
    assert {row.knob for row in study.explain("lr").account.rows} == {"lr"}


def test_other_data_are_refused(study, tmp_path):
    other = tmp_path / "other.csv"
    polars.read_csv(study_data(study)).with_columns(polars.col("y") + 1).write_csv(other)
    with pytest.raises(StudyError, match="other data"):
        study.explain(budget="5s", data=other)


def study_data(study):
    return json.loads((study.out / "study.json").read_text())["asked"]["data"]


def test_trials_that_are_counted_have_their_share_counted(table, tmp_path):
    study = tt.tune(
        table, "y", trials=12, threads=1, out=tmp_path / "study", counterfactuals="50%", quiet=True, **KNOBS
    )
    assert study.worth
    assert len(study.counterfactuals.filter(polars.col("verdict") != "not reached")) >= 1


@pytest.mark.parametrize("share", ["60%", "-1", "a lot", 0.7, True])
def test_a_share_that_cannot_be_is_refused(table, share):
    with pytest.raises(OptionError, match="counterfactuals= is"):
        tt.tune(table, "y", trials=1, counterfactuals=share)


@pytest.mark.parametrize(
    ("seconds", "threads", "width", "how"),
    [(100.0, 2, 8, "beside"), (50.0, 2, 8, "found"), (100.0, 1, 8, "found"), (100.0, 2, 16, "found")],
    ids=["the winner's", "little time", "one core", "another network"],
)
def test_the_winners_step_is_compiled_beside_where_there_is_time_to_use_it(study, seconds, threads, width, how):
    ground, _, _ = ground_of(study)
    runs = PairedRuns(ground, lambda: False, lambda: seconds)
    engine, config = runs.engine, ground.winner
    try:
        engine.threads, engine.compiler.usual_seconds = threads, lambda otherwise: 40.0
        other = replace(config, network=tuple((k, width if k == "width" else v) for k, v in config.network))
        population = SimpleNamespace(structure=Structure.of(replace(other, batch_size=7)))
        assert engine.compilation.how(population) == how
    finally:
        runs.close()
    purse = Purse(100.0, None)
    assert 99 < purse.seconds_left <= 100 and Purse(None, 5.0).seconds_left == 0.0


def test_where_there_is_too_little_time_it_is_said_how_much_it_takes(table, tmp_path, monkeypatch):
    monkeypatch.setattr("trimtab.studies.call.LEAST_TO_EXPLAIN", 1.0)
    monkeypatch.setattr("trimtab.studies.counterfactuals.purse.SECONDS_OF_A_STEP", 1.0)
    study = tt.tune(table, "y", budget=20, trials=2, threads=1, out=tmp_path / "study", quiet=True, **KNOBS)
    assert study.result["unexplained_seconds"] > 10
    (said,) = study.worth
    assert "was not measured" in said and f"trimtab explain {study.out} --budget" in said
    assert said in " ".join(summary_in_text(study, 1000).split("\n"))
    assert tt.load(study.out).worth == study.worth
    monkeypatch.undo()
    study.explain(budget="6s", threads=1)
    assert "was not measured" not in study.worth[0]


def test_networks_of_ones_own_are_explained_too(tmp_path):
    rng = numpy.random.default_rng(0)
    x = rng.normal(size=(120, 3)).astype("float32")

    def make(hidden):
        return nn.Sequential(nn.Linear(3, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    study = tt.tune(
        make, data=(x, x[:, :1] - x[:, 1:2]), space={"hidden": [2, 8], "lr": [1e-2, 3e-2]}, trials=2, epochs=4,
        threads=1, out=tmp_path / "study", quiet=True,
    )  # fmt: skip
    explanation = study.explain(budget="6s", threads=1)
    assert {"hidden", "lr", "epochs"} <= {row.knob for row in explanation.account.rows}
    assert explanation.account.reached
    with pytest.raises(StudyError, match="resume="):
        tt.load(study.out, make).explain(budget="5s")


def test_where_the_winner_is_solved_its_best_network_is_looked_at(study):
    solved = replace(study, winner=next(record for record in study.trials if record.name == "linear"))
    account = solved.explain("lr", budget="5s", threads=1).account
    looked_at = {record.number: record for record in study.trials}[account.winner["trial"]]
    assert looked_at.name not in ("mean", "linear")


def test_where_the_winner_is_solved_a_fit_says_so(table, tmp_path, monkeypatch):
    found = TableWork.outcome

    def solved(work, trials, unscored):
        linear = next(record for record in trials if record.name == "linear")
        return replace(found(work, trials, unscored), winner=linear)

    monkeypatch.setattr(TableWork, "outcome", solved)
    study = tt.tune(
        table, "y", trials=12, threads=1, out=tmp_path / "study", counterfactuals="50%", quiet=True, **KNOBS
    )
    assert study.winner.name == "linear"
    assert study.worth[0].startswith("The winner is a linear model")
    looked_at = Account.load(StudyFolder(study.out)).winner["trial"]
    networks = [each for each in study.trials if each.name not in ("mean", "linear")]
    assert looked_at == min(networks, key=lambda each: each.error).number


def test_a_run_of_its_own_is_explained():
    rng = numpy.random.default_rng(0)
    x = rng.normal(size=(120, 3)).astype("float32")
    module = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))
    run = tt.fit(module, (x, x[:, :1] - x[:, 1:2]), epochs=4, lr=0.003, metric="rmse")
    explanation = run.explain(["lr", "epochs"], budget="6s", threads=1)
    assert {row.knob for row in explanation.account.rows if row.verdict != "not reached"} <= {"lr", "epochs"}
    assert explanation.account.reached
    with pytest.raises(OptionError, match="knob to explain"):
        run.explain("los", budget="5s")
    with pytest.raises(OptionError, match="has just made"):
        replace(run, explained=None).explain()
