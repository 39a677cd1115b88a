"""Studies on a cluster of Ray: nodes and workers that are killed, and cores that others have."""

import contextlib
import os
import signal
import threading

import psutil
import pytest

import trimtab as tt
from studies.test_workers import ASKED, is_alike, table
from thread_cluster import within
from trimtab.errors import OptionError
from trimtab.tuning.ray_cluster import RayCluster, WorkersAsked

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install trimtab[ray]")
from ray.cluster_utils import Cluster  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
LONG = {**ASKED, "trials": 12, "epochs": 60}
PATIENCE = 60


@pytest.fixture(scope="module", autouse=True)
def _short(few_epochs):
    """The default MLP trains for a few epochs, too."""


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return tt.tune(table(), "price", out=tmp_path_factory.mktemp("alone") / "s", **LONG)


@pytest.fixture(scope="module")
def cluster():
    """A head without room for workers, and two nodes of one core each; this process is connected to it."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    made.nodes = [made.add_node(num_cpus=1) for _ in range(2)]
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    ray.init(address=made.address, log_to_driver=False)
    for number, handler in handlers.items():
        signal.signal(number, handler)
    yield made
    ray.shutdown()
    made.shutdown()


def workers_there(called="ray::Actor"):
    """Ray calls a process by what it is at."""
    return [each for each in psutil.process_iter(["pid", "cmdline"]) if called in " ".join(each.info["cmdline"] or ())]


class After:
    """Does something when so many runs have begun."""

    def __init__(self, runs, act):
        self.left, self.act = runs, act

    def started(self, run, config):
        self.left -= 1
        if self.left == 0:
            threading.Thread(target=self.act).start()


def test_a_worker_and_a_node_that_are_killed_are_not_missed(cluster, alone, tmp_path):
    def kill_a_worker():
        """One that trains: of an idle one nothing is lost, and nothing is said."""
        at_work = []
        within(PATIENCE, lambda: at_work.extend(workers_there("ray::Actor.work")) or at_work)
        with contextlib.suppress(psutil.NoSuchProcess):
            at_work[0].kill()

    taking = [After(12, kill_a_worker), After(45, lambda: cluster.remove_node(cluster.nodes.pop()))]
    found = tt.tune(table(), "price", out=tmp_path / "s", workers="ray", callbacks=taking, **LONG)
    is_alike(found, alone)
    assert any("its process has ended" in notice for notice in found.notices), "while it trained, or began"
    assert within(PATIENCE, lambda: not workers_there())
    assert len(cluster.nodes) == 1


def test_a_cluster_whose_cores_are_promised_to_others_is_not_overloaded(cluster, tmp_path):
    @ray.remote(num_cpus=1)
    class Taken:
        def is_there(self):
            return True

    others = [Taken.remote() for _ in cluster.nodes]
    ray.get([other.is_there.remote() for other in others])
    assert within(10, lambda: ray.available_resources().get("CPU", 0) < 1)
    with pytest.raises(OptionError, match=r"has \d+ cores?, and all but 0 are promised to others"):
        tt.tune(table(), "price", out=tmp_path / "s", workers="ray", **ASKED)
    for other in others:
        ray.kill(other)
    assert ray.is_initialized(), "what the caller has connected stays so"


def test_studies_on_one_cluster_share_it(cluster):
    assert within(20, lambda: ray.available_resources().get("CPU", 0) >= 1)
    with RayCluster(WorkersAsked(None)) as one:
        assert one._studies_there() == 1
        with RayCluster(WorkersAsked(None)) as other:
            assert one._studies_there() == other._studies_there() == 2
            assert one.asked_for >= 1 and other.asked_for >= 1, "each has a worker, however many there are"
        assert one._studies_there() == 1
