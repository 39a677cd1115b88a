"""A study in several calls: it is the study that one call would have made, wherever its folder lies by now."""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy
import optuna
import polars
import pytest
from torch import nn

import trimtab as tt
from trimtab.table.prepare import prepare
from trimtab.training.compiling import compiler
from trimtab.training.lanes.engine import Engine
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.going_on import words_of_a_cut, words_of_held_knobs
from trimtab.tuning.store import TrialStore

SPACE = {"width": [4, 16], "lr": (1e-3, 1e-1, "log"), "loss": ["mse", "huber"]}
# More trials than train at once, so that later ones know of earlier ones and some are pruned.
TRIALS, AT_ONCE = 12, 4
# Runs are judged, and told of, every fourth epoch.
FIRST_TOLD = 4


def make(width):
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 1))


def examples():
    rng = numpy.random.default_rng(0)
    x = rng.normal(size=(120, 4)).astype("float32")
    return x, x[:, 0] * x[:, 1]


def tune(trials=TRIALS, **options):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trimtab.tuning.search.MOST_IN_FLIGHT", AT_ONCE)
        patch.setattr("trimtab.tuning.search.FEWEST_IN_FLIGHT", AT_ONCE)
        return tt.tune(make, data=examples(), space=SPACE, trials=trials, threads=1, **{"epochs": 10, **options})


class Listener:
    """Hears what is said, and does something once so many trials are done."""

    def __init__(self, trials=None, act=lambda: None):
        self.trials, self.act, self.notices = trials, act, []

    def notice(self, text):
        self.notices.append(text)

    def progress(self, progress):
        if self.trials is not None and progress.trials_done >= self.trials:
            self.act()


class InEpoch:
    """A callback that does something at an epoch of a trial's run: what trains then is the same on every machine."""

    def __init__(self, trial, epoch, act):
        self.run, self.epoch, self.act = f"trial {trial}", epoch, act

    def epoch_ended(self, run, values):
        if run == self.run and values["epoch"] == self.epoch:
            self.act()


class AfterRuns:
    """A callback that does something once so many runs have ended."""

    def __init__(self, runs, act):
        self.left, self.act = runs, act

    def ended(self, run, result):
        self.left -= 1
        if self.left == 0:
            self.act()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The study in one call."""
    return tune(out=tmp_path_factory.mktemp("whole") / "s")


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """A study of three trials, to be copied."""
    return tune(3, out=tmp_path_factory.mktemp("few") / "s")


def outcome(study):
    return [(trial.number, dict(trial.values), trial.state) for trial in study.trials]


def is_the_same(study, whole):
    assert [(t.number, t.values, t.state) for t in study.trials] == [
        (t.number, t.values, t.state) for t in whole.trials
    ]
    ours, theirs = ([t.error for t in each.trials if numpy.isfinite(t.error)] for each in (study, whole))
    assert ours == pytest.approx(theirs, rel=1e-3)
    assert study.winner.number == whole.winner.number
    assert (
        study.curves.select("trial", "epoch")
        .sort("trial", "epoch")
        .equals(whole.curves.select("trial", "epoch").sort("trial", "epoch"))
    )
    return True


# -- the same study


def test_several_calls_make_the_study_that_one_makes(whole, tmp_path):
    assert {"pruned", "complete"} <= {trial.state for trial in whole.trials}
    out = tmp_path / "s"
    tune(2, out=out)
    tune(7, resume=out)
    tune(8, resume=out)
    study = tune(resume=out)
    assert is_the_same(study, whole) and is_the_same(tt.load(out, make), whole)
    assert len({tuple(trial.values.items()) for trial in study.trials}) == TRIALS


def test_a_study_keeps_its_seed(tmp_path):
    whole = tune(6, seed=3, out=tmp_path / "whole")
    tune(2, seed=3, out=tmp_path / "s")
    assert is_the_same(tune(6, resume=tmp_path / "s"), whole)
    with pytest.raises(tt.StudyError, match="was made with seed 3, not 5: leave seed= out"):
        tune(7, resume=tmp_path / "s", seed=5)


def test_a_study_by_the_clock_tries_nothing_twice_in_many_calls(tmp_path, monkeypatch):
    monkeypatch.setattr(compiler, "can_compile", lambda: False)  # no call goes on for long enough
    options = {"trials": None, "budget": "30s"}
    for call in range(3):
        stop = threading.Event()
        place = {"resume": tmp_path / "s"} if call else {"out": tmp_path / "s"}
        study = tune(**options, **place, stop=stop, callbacks=[AfterRuns(4, stop.set)])
    values = [tuple(trial.values.items()) for trial in study.trials]
    assert len(set(values)) == len(values) >= 12
    assert [trial.number for trial in study.trials] == list(range(len(values)))


def test_a_study_that_was_told_to_stop_counts_no_trial_that_it_cut_short(whole, tmp_path):
    stop = threading.Event()
    last = [trial.number for trial in whole.trials if trial.state == "complete"][-1]
    stopped = tune(out=tmp_path / "s", stop=stop, callbacks=[InEpoch(last, FIRST_TOLD, stop.set)])
    cut = [trial for trial in stopped.trials if "out of budget" in trial.ended]
    assert cut and len(stopped.trials) - len(cut) < TRIALS
    assert tt.load(tmp_path / "s").trials == stopped.trials
    assert not any(trial.state == "failed" for trial in stopped.trials)
    study = tune(resume=tmp_path / "s")
    assert is_the_same(study, whole) and json.loads((study.out / "inflight.json").read_text()) == []
    stored = TrialStore(StudyFolder.open(study.out), url=None, greater_is_better=False).study.trials
    assert len(stored) == TRIALS


KILLS = (("save_weights", 2, "before"), ("save_curves", 2, "before"), ("add", 2, "before"), ("stored", 2, "before"),
         ("join_curves", 1, "after"))  # fmt: skip
# Each call is a fork of one process that has imported everything and started no thread.
CHILD = """
import os, shutil, signal, sys
sys.path.insert(0, sys.argv[2])
from dying import die_at
from studies import test_going_on
import trimtab.tuning.writer
from trimtab.tuning.flight import Flight
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.store import TrialStore

OWNERS = {"add": TrialStore, "stored": Flight}
trimtab.tuning.writer.PARTS_AT_ONCE = 3

out = sys.argv[1]
for number, (step, count, when) in enumerate(test_going_on.KILLS):
    if (child := os.fork()) == 0:
        die_at(OWNERS.get(step, StudyFolder), step, count, when)
        test_going_on.tune(**({"resume": out} if number else {"out": out}))
        os._exit(1)
    if os.waitpid(child, 0)[1] != signal.SIGKILL:
        sys.exit(f"not killed at {step}")
    shutil.copytree(out, f"{out}-{number}")
"""


@pytest.mark.slow
def test_a_kill_at_any_step_of_storing_loses_no_trial_and_no_curve(whole, tmp_path):
    out = tmp_path / "s"
    command = [sys.executable, "-c", CHILD, str(out), str(Path(__file__).parents[1])]
    ended = subprocess.run(command, stderr=subprocess.PIPE, timeout=250, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
    before = 0
    for number, kill in enumerate(KILLS):
        killed = tt.load(left := tmp_path / f"s-{number}")
        stored = {trial.number for trial in killed.trials}
        flying = {each["number"] for each in json.loads((left / "inflight.json").read_text())}
        assert set(killed.curves["trial"]) == stored, kill
        assert set(StudyFolder(left).read_curves()["trial"]) >= stored, kill
        assert stored | flying >= set(range(max(stored) + 1)), kill
        weights = {int(path.stem) for path in (left / "runs").glob("*.safetensors")}
        assert {trial.number for trial in killed.trials if numpy.isfinite(trial.error)} <= weights, kill
        assert len(stored) >= before, kill
        before = len(stored)
    assert is_the_same(tune(resume=out), whole)


# -- where the folder lies


@pytest.mark.parametrize("how", ["copied", "moved", "linked", "relative", "with a slash", "an odd name"])
def test_a_study_is_the_same_wherever_its_folder_lies(few, tmp_path, monkeypatch, how):
    place = tmp_path / ("what? 50% #1 {x}" if how == "an odd name" else "b")
    shutil.copytree(few.out, tmp_path / "a" if how in ("linked", "moved", "relative", "with a slash") else place)
    if how == "moved":
        (tmp_path / "a").rename(place)
    if how == "linked":
        place.symlink_to(tmp_path / "a")
    if how == "relative":
        monkeypatch.chdir(tmp_path)
        place = Path("a")
    if how == "with a slash":
        place = f"{tmp_path / 'a'}{os.sep}"
    loaded = tt.load(place, make)
    assert loaded.trials == few.trials and loaded.curves.equals(few.curves)
    assert loaded.result["out"] == str(loaded.out) == str(Path(place))
    assert loaded.module is not None
    more = tune(4, resume=place)
    assert more.trials[:3] == few.trials and len(more.trials) == 4
    assert tt.load(place).trials == more.trials


def as_an_older_trimtab_left_it(folder, name):
    """The study's name was that of its folder, and nothing was noted of it."""
    document = json.loads((folder / "study.json").read_text())
    new = document.pop("store")["study"]
    document["format"] = 1
    del document["asked"]["trials"]
    (folder / "study.json").write_text(json.dumps(document))
    (folder / "inflight.json").write_text(json.dumps([{"values": {"width": 4, "lr": 0.05, "loss": "mse"}}]))
    url = f"sqlite:///{folder / 'study.db'}"
    study = optuna.load_study(study_name=new, storage=url)
    older = optuna.create_study(study_name=name, storage=url, direction="minimize")
    for trial in study.trials:
        about = json.loads(trial.user_attrs["trimtab"])
        for what in ("call", "rung_errors", "cuts"):
            about.pop(what, None)
        trial.user_attrs = {"trimtab": json.dumps(about)}
        older.add_trial(trial)
    optuna.delete_study(study_name=new, storage=url)


def test_a_folder_of_an_older_trimtab_goes_on_after_it_was_moved(few, tmp_path):
    shutil.copytree(few.out, tmp_path / "moved")
    as_an_older_trimtab_left_it(tmp_path / "moved", "houses")
    loaded = tt.load(tmp_path / "moved")
    assert [(t.number, t.values, t.error) for t in loaded.trials] == [(t.number, t.values, t.error) for t in few.trials]
    more = tune(5, resume=tmp_path / "moved")
    assert more.trials[:3] == loaded.trials and len(more.trials) == 5
    assert more.trials[3].values == {"width": 4, "lr": 0.05, "loss": "mse"}
    assert len({tuple(trial.values.items()) for trial in more.trials}) == 5


def test_reading_a_folder_writes_nothing_into_it(few, tmp_path):
    shutil.copytree(few.out, tmp_path / "s")
    for name in ("study.db", "runs"):
        path = tmp_path / "s" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    document = json.loads((tmp_path / "s" / "study.json").read_text())
    (tmp_path / "s" / "study.json").write_text(json.dumps({**document, "result": None}))
    with pytest.raises(tt.StudyError, match="no finished trial yet"):
        tt.load(tmp_path / "s")
    assert not (tmp_path / "s" / "runs").exists()


# -- one at a time


def test_a_second_call_in_a_folder_gets_one_sentence_and_the_first_goes_on(few, tmp_path):
    shutil.copytree(few.out, tmp_path / "s")
    said, read = [], []

    def second():
        read.append(len(tt.load(tmp_path / "s").trials))
        for options in ({"resume": tmp_path / "s"}, {"out": tmp_path / "s"}):
            with pytest.raises(tt.StudyError) as refused:
                tune(9, **options)
            said.append(str(refused.value))

    first = SimpleNamespace(started=lambda run, config: said or second())
    assert len(tune(5, resume=tmp_path / "s", callbacks=[first]).trials) == 5
    assert said[0].startswith(f"Another search is at work in {tmp_path / 's'}: wait until it has ended")
    assert "not empty" in said[1] and read == [3]
    assert len(tune(6, resume=tmp_path / "s").trials) == 6


def test_a_lock_is_given_back_when_a_call_fails_or_its_process_dies(few, tmp_path):
    shutil.copytree(few.out, tmp_path / "s")

    def fail():
        raise RuntimeError("of the caller's own")

    with pytest.raises(RuntimeError, match="of the caller's own"):
        tune(9, resume=tmp_path / "s", listeners=[Listener(3, fail)])
    child = "import os, pathlib, sys\nfrom trimtab.tuning.folder import locked\n"
    child += "with locked(pathlib.Path(sys.argv[1])): os._exit(3)"
    ended = subprocess.run([sys.executable, "-c", child, str(tmp_path / "s")], check=False)
    assert ended.returncode == 3
    assert len(tune(4, resume=tmp_path / "s").trials) == 4


def test_two_folders_that_trimtab_names_are_two(tmp_path, monkeypatch):
    from trimtab.studies.flow import new_folder

    monkeypatch.chdir(tmp_path)
    made = [new_folder("houses") for _ in range(3)]
    assert len(set(made)) == 3 and all(path.is_dir() for path in made)


# -- how long


def test_trials_alone_have_no_limit_of_time(few):
    asked = json.loads((few.out / "study.json").read_text())["asked"]
    assert asked["trials"] == 3
    from trimtab.tuning.budget import NO_LIMIT, parse_duration, seconds_for

    assert seconds_for(None, 3) == NO_LIMIT and seconds_for("10s", 3) == 10 and seconds_for(None, None) == 300
    assert seconds_for(None, None, "60s") == parse_duration("60s")


def test_trials_that_the_time_cuts_are_said_and_made_up_for(whole, tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("trimtab.tuning.budget.time", SimpleNamespace(monotonic=lambda: now[0]))
    last = [trial.number for trial in whole.trials if trial.state == "complete"][-1]
    late = InEpoch(last, FIRST_TOLD, lambda: now.append(now.pop() + 59.9))
    cut = tune(5000, out=tmp_path / "s", callbacks=[late], budget=60, started=now[0])
    said = [text for text in cut.notices if "The time was over" in text]
    done = sum("out of budget" not in trial.ended for trial in cut.trials)
    assert said == [
        f"The time was over after {done:,} of 5,000 trials: --resume {tmp_path / 's'} --trials 5000 does the others."
    ]
    assert 0 < done < TRIALS and is_the_same(tune(resume=tmp_path / "s"), whole)


def test_a_resumed_study_does_what_it_was_asked_for_and_says_where_it_goes_on(few, whole, tmp_path):
    shutil.copytree(few.out, tmp_path / "s")
    StudyFolder(tmp_path / "s").write(
        "study.json",
        {**(document := json.loads((tmp_path / "s" / "study.json").read_text())),
         "asked": {**document["asked"], "trials": 5}},
    )  # fmt: skip
    listener = Listener()
    more = tune(None, resume=tmp_path / "s", listeners=[listener])
    assert len(more.trials) == 5 and listener.notices == ["Going on from 3 trials."]
    listener = Listener()
    assert len(tune(4, resume=tmp_path / "s", listeners=[listener]).trials) == 5
    assert listener.notices == [
        "Going on from 5 trials.",
        "There are 5 trials already, and --trials 4 counts those of earlier calls: give a larger number, or --budget "
        "alone, to train more.",
    ]
    assert len(tune(None, resume=tmp_path / "s").trials) == 5  # all that it was asked for is done
    assert polars.read_parquet(tmp_path / "s" / "curves.parquet")["trial"].n_unique() == 5


# -- what is asked of a table's study later


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A study of a table that has tried one configuration, to be copied."""
    folder = tmp_path_factory.mktemp("table")
    rng = numpy.random.default_rng(0)
    x = rng.normal(size=(60, 2)).round(3)
    frame = polars.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": (x[:, 0] + x[:, 1]).round(3)})
    frame.write_csv(folder / "t.csv")
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr("trimtab.tuning.space.natural_epochs", lambda rows: 8)  # of the default network
    yield tt.tune(folder / "t.csv", "y", trials=1, epochs=2, width=32, threads=1, out=folder / "s")
    monkeypatch.undo()


def every_file(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"loss": "nonsense"}, "nonsense"),
        ({"lr": -1.0}, "lr"),
        ({"learning_rate": 0.1}, "lr"),
        ({"seed": 3}, "seed"),
        ({"storage": "sqlite:///other.db"}, "its study.db"),
        ({"storage": "no address"}, "not the URL of a database"),
        ({"out": "elsewhere"}, "new study"),
    ],
    ids=str,
)
def test_what_is_refused_trains_nothing_and_leaves_the_folder_as_it_was(table, given, words):
    before = every_file(table.out)
    with pytest.raises(tt.TrimtabError, match=words):
        tt.tune(resume=table.out, trials=4, **given)
    assert every_file(table.out) == before


def test_a_knob_held_from_now_on_is_held_and_said(table, tmp_path):
    shutil.copytree(table.out, tmp_path / "s")
    flying = {**table.trials[-1].values, "lr": 0.004}
    (tmp_path / "s" / "inflight.json").write_text(json.dumps([{"number": 4, "values": flying}]))
    more = tt.tune(resume=tmp_path / "s", trials=3, epochs=3, lr=0.02, threads=1)
    assert more.trials[:4] == table.trials and [trial.number for trial in more.trials[4:]] == [4, 5]
    for trial in more.trials[4:]:
        assert trial.config.optimizer.learning_rate == 0.02 and trial.config.epochs == 3 and "lr" not in trial.values
    assert more.trials[4].values == {name: value for name, value in flying.items() if name != "lr"}
    assert more.notices[0].startswith("From now on trials hold epochs at 3 and lr at 0.02. Trials of earlier calls")
    assert "Going on from 1 trial and 3 baselines." in more.notices
    again = tt.tune(resume=tmp_path / "s", trials=4, threads=1)
    assert again.trials[-1].config.optimizer.learning_rate == 0.02


def test_what_is_held_and_what_no_longer_is_are_told_apart():
    before = {"lr": 0.02, "depth": 1, "loss": None}
    assert words_of_held_knobs(before, {"lr": 0.02, "depth": None}) == []
    assert words_of_held_knobs(before, {"loss": "auto", "depth": "auto"}) == ["From now on depth is searched again."]
    freed, held = words_of_held_knobs(before, {"lr": "auto", "depth": "auto", "width": 8})
    assert freed == "From now on lr and depth are searched again." and held.startswith(
        "From now on trials hold width at 8."
    )


def test_where_nothing_is_kept_nothing_can_be_gone_on_with():
    assert words_of_a_cut(3, 20, None) == (
        "The time was over after 3 of 20 trials: give a larger --budget, or --trials alone."
    )
    assert "--resume runs/a --trials 20" in words_of_a_cut(3, 20, Path("runs/a"))


def test_a_study_keeps_its_precision_unless_another_is_asked_for(table, tmp_path, monkeypatch):
    shutil.copytree(table.out, tmp_path / "s")
    document = json.loads((tmp_path / "s" / "study.json").read_text())
    assert document["asked"]["precision"] == "high"
    document["asked"]["precision"] = "auto"
    (tmp_path / "s" / "study.json").write_text(json.dumps(document))
    used = []

    def noting(*arguments, precision, **options):
        used.append(precision.name)
        return Engine(*arguments, precision=precision, **options)

    monkeypatch.setattr("trimtab.studies.table_work.Engine", noting)
    same = tt.tune(resume=tmp_path / "s", trials=1, threads=1)
    assert not any("precision" in notice for notice in same.notices)
    other = tt.tune(resume=tmp_path / "s", trials=1, threads=1, precision="high")
    assert used == ["auto", "high"]
    assert other.notices[0] == 'From now on runs multiply in precision "high"; those of earlier calls did in "auto".'


def test_a_configuration_of_other_held_knobs_is_another_one(table, tmp_path):
    """With every knob but one held, and that one tried, nothing would be left to train."""
    held = {
        "loss": "huber", "optimizer": "adam", "schedule": "constant", "batch_size": 32, "depth": 1,
        "activation": "relu", "inputs": "periodic", "sigma": 0.1, "dropout": 0.0, "weight_decay": 0.0, "delta": 1.0,
        "patience": 2,
    }  # fmt: skip
    shutil.copytree(table.out, tmp_path / "s")
    for trials, lr in ((2, 0.01), (3, 0.02)):
        study = tt.tune(resume=tmp_path / "s", trials=trials, threads=1, **held, lr=lr)
        assert study.trials[-1].config.optimizer.learning_rate == lr and len(study.trials) == 3 + trials


def test_a_study_from_before_times_between_moments_were_inputs_goes_on_without(tmp_path):
    rng = numpy.random.default_rng(0)
    start = polars.Series(1_700_000_000_000_000 + rng.integers(0, 10**13, 120)).cast(polars.Datetime("us"))
    took = rng.integers(60, 3_600, 120)
    end = start + polars.Series(took * 1_000_000).cast(polars.Duration("us"))
    frame = polars.DataFrame({"start": start, "end": end, "fare": took / 60})
    options = {"out": tmp_path / "study", "epochs": 3, "width": 16, "depth": 1, "batch_size": 64, "test": "none"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trimtab.table.encode.spans_between", lambda *_: ())
        before = tt.tune(frame, target="fare", trials=1, **options)
    about = tmp_path / "study" / "study.json"
    document = json.loads(about.read_text())
    assert document["asked"].pop("spans") is True
    about.write_text(json.dumps(document))
    after = tt.tune(frame, resume=tmp_path / "study", trials=2)
    assert after.model.encoder == before.model.encoder and after.result["trials"] > before.result["trials"]
    new = tt.tune(frame, target="fare", trials=1, **{**options, "out": tmp_path / "new"})
    assert tt.tune(frame, resume=tmp_path / "new", trials=2).model.encoder.spans == new.model.encoder.spans != ()


def test_a_study_of_few_rows_from_before_there_were_ten_folds_goes_on_with_five(tmp_path):
    frame = polars.DataFrame({"x": range(120), "y": [(i % 17) ** 1.5 for i in range(120)]})
    options = {"out": tmp_path / "study", "epochs": 3, "width": 16, "depth": 1, "batch_size": 64, "neighbours": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trimtab.studies.request.prepare", lambda *a, **k: prepare(*a, **{**k, "folds_of_few": 5}))
        tt.tune(frame, target="y", trials=1, **options)
    about = tmp_path / "study" / "study.json"
    document = json.loads(about.read_text())
    assert document["asked"].pop("folds_of_few") == 10
    about.write_text(json.dumps(document))
    after = tt.tune(frame, resume=tmp_path / "study", trials=2)
    new = tt.tune(frame, target="y", trials=1, **{**options, "out": tmp_path / "new"})
    assert [len(trial.epochs) for trial in after.trials[-2:]] == [5, 5] and len(new.trials[-1].epochs) == 10
