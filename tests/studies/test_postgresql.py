"""Studies whose trials are in a PostgreSQL database."""

import json
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import optuna
import pytest

import trimtab as tt
from postgresql import PASSWORD, running_server
from studies.test_going_on import SPACE, examples, make
from trimtab.tuning.database import held_by_one

pytestmark = pytest.mark.slow


def tune(trials=4, **options):
    return tt.tune(make, data=examples(), space=SPACE, trials=trials, threads=1, **{"epochs": 6, **options})


@pytest.fixture(scope="module")
def server():
    with running_server() as started:
        yield started


@pytest.fixture(scope="module")
def url(server):
    return server.database("trials")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The study that all others are compared with; its trials are in its folder."""
    return tune(out=tmp_path_factory.mktemp("alone") / "s")


@pytest.fixture(scope="module")
def two(url, tmp_path_factory):
    """Two studies that begin at once in an empty database, in folders of one name."""
    folder, studies = tmp_path_factory.mktemp("two"), {}

    def work(name):
        studies[name] = tune(out=folder / name / "houses", storage=url)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return studies["a"], studies["b"]


def outcome(study):
    return [(trial.number, dict(trial.values), trial.state) for trial in study.trials]


def asked_of(study):
    return json.loads((study.out / "study.json").read_text())


def test_two_studies_of_one_folder_name_share_a_database_and_no_trial(two, alone, url):
    assert outcome(two[0]) == outcome(two[1]) == outcome(alone)
    names = {asked_of(study)["store"]["study"] for study in two}
    assert len(names) == 2 and names <= set(optuna.get_all_study_names(url))
    assert [len(optuna.load_study(study_name=name, storage=url).trials) for name in names] == [4, 4]


def test_others_tools_read_the_trials(two, url):
    storage = optuna.storages.RDBStorage(url)
    assert len(storage.get_all_studies()) >= 2
    read = optuna.load_study(study_name=asked_of(two[0])["store"]["study"], storage=storage)
    best = min(trial.error for trial in two[0].trials if trial.state == "complete")
    assert read.best_value == pytest.approx(best) and read.best_params == dict(two[0].winner.values)
    assert all(trial.intermediate_values for trial in read.trials)


def test_no_password_is_written_down_or_said(two, url, server, tmp_path):
    written = b"".join(path.read_bytes() for path in two[0].out.rglob("*") if path.is_file())
    assert PASSWORD.encode() not in written and PASSWORD not in str(two[0].notices)
    assert asked_of(two[0])["asked"]["storage"] == url.replace(PASSWORD, "***")
    for wrong in (server.url("nowhere"), server.url(password=PASSWORD + "x")):
        with pytest.raises(tt.StudyError, match=r"cannot be opened: .*\*\*\*|\*\*\*.* cannot be opened") as refused:
            tune(out=tmp_path / "s", storage=wrong)
        assert PASSWORD not in str(refused.value) and not (tmp_path / "s").exists()


def test_a_resumed_study_finds_its_trials_with_the_password_from_outside(two, url, monkeypatch):
    with pytest.raises(tt.StudyError, match="cannot be opened"):
        tt.load(two[0].out)
    assert outcome(tt.load(two[0].out, storage=url)) == outcome(two[0])
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    assert outcome(tt.load(two[0].out)) == outcome(two[0])
    more = tune(trials=5, resume=two[0].out)
    assert outcome(more)[:4] == outcome(two[0]) and len(more.trials) == 5
    assert len(tt.load(two[1].out).trials) == 4


def test_a_database_without_the_study_is_refused(two, server):
    other = server.database("empty")
    with pytest.raises(tt.StudyError, match="has no study trimtab-.*, which holds the trials"):
        tune(trials=6, resume=two[1].out, storage=other)
    assert optuna.get_all_study_names(other) == []


def test_what_another_copy_of_the_folder_wrote_is_not_taken(url, tmp_path):
    first = tune(trials=2, out=tmp_path / "s", storage=url)
    shutil.copytree(first.out, tmp_path / "copy")
    assert len(tune(trials=3, resume=tmp_path / "copy", storage=url).trials) == 3
    assert outcome(tt.load(first.out, storage=url)) == outcome(first)
    with pytest.raises(tt.StudyError, match="Another copy of .* added 1 trial: resume that copy"):
        tune(trials=4, resume=first.out, storage=url)


CHILD = """
import json, os, pathlib, signal, sys, time
sys.path.insert(0, sys.argv[3])
import optuna
from studies import test_postgresql

class Killer:
    trials = 0

    def ended(self, run, result):
        self.trials += 1
        if self.trials > 3:
            name = json.loads((pathlib.Path(sys.argv[1]) / "study.json").read_text())["store"]["study"]
            while len(optuna.load_study(study_name=name, storage=sys.argv[2]).trials) < 3:
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGKILL)

test_postgresql.tune(trials=12, out=sys.argv[1], storage=sys.argv[2], callbacks=[Killer()])
"""


def test_a_killed_study_goes_on_to_what_it_would_have_been(url, tmp_path):
    out = tmp_path / "s"
    command = [sys.executable, "-c", CHILD, str(out), url, str(Path(__file__).parents[1])]
    ended = subprocess.run(command, stderr=subprocess.PIPE, timeout=200, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    killed = tt.load(out, storage=url)
    assert 3 <= len(killed.trials) < 12
    assert set(killed.curves["trial"]) == {trial.number for trial in killed.trials}
    whole = tune(trials=12, out=tmp_path / "whole")
    gone_on = tune(trials=12, resume=out, storage=url)
    assert outcome(gone_on) == outcome(whole)
    assert [t.error for t in gone_on.trials] == pytest.approx([t.error for t in whole.trials], rel=1e-3)


class StopsTheServer:
    """After the first run that ends."""

    def __init__(self, server):
        self.server, self.has_stopped = server, False

    def ended(self, run, result):
        if not self.has_stopped:
            self.has_stopped = True
            self.server.stop()


class RestartsTheServer(StopsTheServer):
    """And starts it again two seconds later."""

    def ended(self, run, result):
        if not self.has_stopped:
            super().ended(run, result)
            self.starting = threading.Timer(2, self.server.start)
            self.starting.start()


def test_a_search_waits_for_a_server_that_is_started_again(server, alone, tmp_path):
    url = server.database("restarted")
    restarts = RestartsTheServer(server)
    try:
        found = tune(out=tmp_path / "s", storage=url, callbacks=[restarts])
    finally:
        restarts.starting.join()
    assert outcome(found) == outcome(alone)
    assert outcome(tt.load(found.out, storage=url)) == outcome(alone), "each was stored, and none twice"


def test_where_it_stays_away_it_is_said_and_nothing_is_lost(server, alone, tmp_path, monkeypatch):
    url = server.database("away")
    monkeypatch.setattr("trimtab.tuning.writer.SECONDS_OF_PATIENCE", 1.5)
    try:
        with pytest.raises(tt.StudyError, match=r"cannot be (used|opened): ") as said:
            tune(out=tmp_path / "s", storage=url, callbacks=[StopsTheServer(server)])
        assert "resume=" in str(said.value)
    finally:
        server.start()
    waiting = json.loads((tmp_path / "s" / "inflight.json").read_text())
    assert any(each.get("so_far") for each in waiting)
    assert outcome(tune(resume=tmp_path / "s", storage=url)) == outcome(alone)


def test_one_search_at_a_time_wherever_its_folder_is(url, tmp_path):
    first = tune(trials=2, out=tmp_path / "s", storage=url)
    shutil.copytree(first.out, tmp_path / "copy")
    name = asked_of(first)["store"]["study"]
    with held_by_one(url, name), pytest.raises(tt.StudyError, match="Another search is at work on the study trimtab-"):
        tune(trials=3, resume=tmp_path / "copy", storage=url)
    assert len(tune(trials=3, resume=first.out, storage=url).trials) == 3
