"""Studies that train on workers, here threads of this process: tests/studies/test_ray.py has those of Ray."""

import threading

import numpy
import polars
import pytest
from torch import nn

import trimtab as tt
from thread_cluster import ThreadCluster, within
from trimtab.errors import OptionError
from trimtab.tuning.worker import Report, Worker
from trimtab.tuning.workers import MOST_ATTEMPTS

ASKED = {"trials": 5, "epochs": 8, "width": 16, "counterfactuals": 0, "test": "none", "threads": 1, "quiet": True}


def table(rows=80):
    rng = numpy.random.default_rng(0)
    size = rng.normal(size=rows)
    kind = [("a", "b", "c")[i % 3] for i in range(rows)]
    price = size * 2 + numpy.array([i % 3 for i in range(rows)]) + 0.1 * rng.normal(size=rows)
    return polars.DataFrame({"size": size, "kind": kind, "price": price})


@pytest.fixture(scope="module", autouse=True)
def _short(few_epochs):
    """The default MLP trains for a few epochs, too."""


@pytest.fixture
def on_threads(monkeypatch):
    """The workers of a study are those of this cluster."""

    def put(cluster):
        cluster.words = f"{cluster.asked_for} workers train."
        monkeypatch.setattr("trimtab.studies.flow.RayCluster", lambda asked, **options: cluster)
        return cluster

    return put


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The study that others are compared with: no workers train it."""
    return tt.tune(table(), "price", out=tmp_path_factory.mktemp("alone") / "s", **ASKED)


def outcome(study):
    return [(each.number, each.name, dict(each.values), each.state, each.epochs) for each in study.trials]


def is_alike(study, other):
    assert outcome(study) == outcome(other)
    assert [t.error for t in study.trials] == pytest.approx([t.error for t in other.trials], rel=1e-4)
    assert study.summary()["validation"]["rmse"] == pytest.approx(other.summary()["validation"]["rmse"], rel=1e-3)


@pytest.mark.parametrize("count", [1, 3])
def test_whatever_their_number_trials_and_model_are_those_of_one_process(count, on_threads, alone, tmp_path):
    cluster = on_threads(ThreadCluster(count))
    found = tt.tune(table(), "price", out=tmp_path / "s", workers=count, **ASKED)
    is_alike(found, alone)
    assert f"{count} workers train." in found.notices
    assert {worker for worker, _ in cluster.sent} <= set(range(1, count + 1))
    # Rows and networks are the same; who trained them stands nowhere in the model.
    assert found.model.predict(table()) == pytest.approx(alone.model.predict(table()), rel=1e-3)
    report, before = found.summary()["engine"], alone.summary()["engine"]
    assert report["lane_steps"] == before["lane_steps"] and report["structures"] == before["structures"]


class Slow(Worker):
    """Tells when it begins, and takes its time."""

    began = threading.Event()

    def work(self, orders):
        report = super().work(orders)
        if orders.trials:
            Slow.began.set()
        return report


@pytest.mark.parametrize("count", [1, 2])
def test_what_a_lost_worker_was_at_runs_elsewhere_and_counts_once(count, on_threads, alone, tmp_path):
    Slow.began.clear()
    cluster = on_threads(ThreadCluster(count, Slow))

    def take_one_away():
        assert Slow.began.wait(30)
        cluster.kill(cluster.sent[0][0])

    taking = threading.Thread(target=take_one_away)
    taking.start()
    found = tt.tune(table(), "price", out=tmp_path / "s", workers=count, **ASKED)
    taking.join()
    is_alike(found, alone)
    assert any("was lost (its node is gone)" in notice for notice in found.notices)
    if count == 1:
        assert cluster.sent[-1][0] == 2, "who takes its place has done the rest"


class Forgetful(Worker):
    """Has no memory left for the first trials that it is given."""

    failures = 1

    def work(self, orders):
        if orders.trials and type(self).failures > 0:
            type(self).failures -= 1
            self._trainer.turn = self._raise
            try:
                return super().work(orders)
            finally:
                del self._trainer.turn
        return super().work(orders)

    @staticmethod
    def _raise(*_):
        raise MemoryError("out of memory")


def test_what_a_worker_has_no_memory_for_is_said_once_and_tried_again(on_threads, alone, tmp_path):
    Forgetful.failures = 1
    on_threads(ThreadCluster(2, Forgetful))
    found = tt.tune(table(), "price", out=tmp_path / "s", workers=2, **ASKED)
    is_alike(found, alone)
    said = [notice for notice in found.notices if "could not train" in notice]
    assert len(said) == 1 and "MemoryError: out of memory" in said[0]


class Deadly(Worker):
    """Is lost by one of the trials, every time."""

    def work(self, orders):
        if any(trial.number == 4 for trial in orders.trials):
            return Report(failed="a device is gone")
        return super().work(orders)


def test_a_trial_that_nobody_can_train_counts_as_failed(on_threads, tmp_path):
    cluster = on_threads(ThreadCluster(1, Deadly))
    found = tt.tune(table(), "price", out=tmp_path / "s", workers=1, **ASKED)
    states = {trial.number: trial.state for trial in found.trials}
    assert states[4] == "failed" and set(states) == set(range(8))
    assert sum(any(t.number == 4 for t in orders.trials) for _, orders in cluster.sent) == MOST_ATTEMPTS


class Refusing(Worker):
    def work(self, orders):
        raise OptionError("a knob that cannot be.")


def test_what_a_caller_has_to_mend_is_raised_as_it_is(on_threads, tmp_path):
    on_threads(ThreadCluster(2, Refusing))
    with pytest.raises(OptionError, match="a knob that cannot be"):
        tt.tune(table(), "price", out=tmp_path / "s", workers=2, **ASKED)


def test_workers_that_others_want_are_let_go_when_they_are_through(on_threads, alone, tmp_path):
    class Shared(ThreadCluster):
        dismissed, late = (), ()

        def send(self, worker, orders):
            if worker in self.dismissed:
                self.late = (*self.late, worker)
            super().send(worker, orders)
            if len(self.sent) == 3:
                self.asked_for = 1

        def dismiss(self, worker):
            self.dismissed = (*self.dismissed, worker)
            super().dismiss(worker)

    cluster = on_threads(Shared(3))
    is_alike(tt.tune(table(), "price", out=tmp_path / "s", workers=3, **ASKED), alone)
    # Who had the last orders may be let go too, when it is through and another one still trains.
    assert 1 <= len(cluster.dismissed) <= 2 and not cluster.late


def test_a_study_goes_on_with_other_workers_or_none(on_threads, alone, tmp_path):
    on_threads(ThreadCluster(2))
    tt.tune(table(), "price", out=tmp_path / "s", workers=2, **ASKED | {"trials": 2})
    asked = {name: ASKED[name] for name in ("trials", "counterfactuals", "threads", "quiet")}
    is_alike(tt.tune(table(), resume=tmp_path / "s", **asked), alone)


def test_told_to_stop_it_ends_with_the_best_so_far(on_threads, tmp_path):
    stop = threading.Event()
    cluster = on_threads(ThreadCluster(2))

    def end():
        assert within(30, lambda: len(cluster.sent) > 6)
        stop.set()

    ending = threading.Thread(target=end)
    ending.start()
    asked = {name: value for name, value in ASKED.items() if name not in ("trials", "epochs")}
    found = tt.tune(table(400), "price", out=tmp_path / "s", workers=2, budget="10m", stop=stop, **asked)
    ending.join()
    assert found.model.predict(table()).shape == (80,)
    assert cluster.sent[-1][1].is_last


def test_callbacks_hear_of_every_run_and_may_end_it(on_threads, tmp_path):
    class Ends:
        runs, epochs = set(), []

        def started(self, run, config):
            self.runs.add(run)

        def epoch_ended(self, run, values):
            self.epochs.append((run, values["epoch"]))
            return run == "trial 3, fold 1"

        def ended(self, run, result):
            self.runs.discard(run)
            if run == "trial 3, fold 1":
                self.result = result

    hears = Ends()
    on_threads(ThreadCluster(2))
    long = ASKED | {"epochs": 4_000, "trials": 1, "patience": 4_000}
    tt.tune(table(), "price", out=tmp_path / "s", workers=2, callbacks=[hears], **long)
    assert not hears.runs and {run for run, _ in hears.epochs} >= {"trial 3, fold 1", "trial 3, fold 2"}
    assert hears.result["ended"] == "stopped"


def small(width):
    return nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, 1))


def test_networks_of_ones_own_train_on_workers_too(on_threads, tmp_path):
    x = numpy.random.default_rng(0).normal(size=(60, 2)).astype("float32")
    y = x[:, 0] - x[:, 1]
    asked = {"space": {"width": [4, 8], "lr": (1e-3, 1e-1, "log")}, "trials": 4, "epochs": 5, "threads": 1,
             "counterfactuals": 0, "quiet": True}  # fmt: skip
    alone = tt.tune(small, data=(x, y), out=tmp_path / "alone", **asked)
    on_threads(ThreadCluster(2))
    found = tt.tune(small, data=(x, y), out=tmp_path / "s", workers=2, **asked)
    assert outcome(found) == outcome(alone)
    assert [t.error for t in found.trials] == pytest.approx([t.error for t in alone.trials], rel=1e-4)


def test_estimators_take_workers(on_threads):
    on_threads(ThreadCluster(2))
    frame = table()
    made = tt.TrimtabRegressor(trials=2, epochs=5, width=8, threads=1, workers=2, random_state=0)
    made.fit(frame.drop("price"), frame["price"].to_numpy())
    alone = tt.TrimtabRegressor(trials=2, epochs=5, width=8, threads=1, random_state=0)
    alone.fit(frame.drop("price"), frame["price"].to_numpy())
    assert made.predict(frame.drop("price")) == pytest.approx(alone.predict(frame.drop("price")), rel=1e-3)


@pytest.mark.parametrize(
    "wrong", [0, "-1", "many", 2.5, True, "ray://", "ray://host", "ray://h:1?workers=x", "ray://h:1?a=2", ""]
)
def test_what_is_no_number_of_workers_is_refused(wrong, tmp_path):
    with pytest.raises(OptionError, match="workers= is"):
        tt.tune(table(), "price", out=tmp_path / "s", workers=wrong, **ASKED)
    assert not (tmp_path / "s").exists()
