"""The command line with workers of Ray: what it says, and that nothing of it outlives it."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

import trimtab as tt
from studies.test_workers import table
from thread_cluster import within

pytest.importorskip("ray", reason="Ray is not installed: pip install trimtab[ray]")
pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]
PATIENCE = 60


def processes_of(place):
    """Those of Ray that keep their files in this place."""
    every = psutil.process_iter(["cmdline"])
    return [each for each in every if any(str(place) in part for part in each.info["cmdline"] or ())]


@pytest.fixture
def command(tmp_path):
    """The command line in a process of its own, whose Ray has a place of its own."""
    with tempfile.TemporaryDirectory(prefix="r") as short:  # Ray's sockets lie in it, whose names are not to be long
        yield from _begun(tmp_path, Path(short))


def _begun(tmp_path, place):
    table(400).write_csv(tmp_path / "rooms.csv")

    def begin(*options):
        environment = {**os.environ, "RAY_TMPDIR": str(place)}
        asked = [sys.executable, "-m", "trimtab", "fit", "rooms.csv", "--target", "price", "--workers", "2", *options]
        return subprocess.Popen(
            asked, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )  # fmt: skip

    begin.place = place
    yield begin
    for left in processes_of(place):
        left.kill()


def ended_by(number, process, tmp_path):
    """What it said, and what else it printed, when it was told to end after it had found something."""
    kept = tmp_path / "s" / "runs"
    assert within(PATIENCE * 2, lambda: kept.exists() and len(list(kept.glob("*.safetensors"))) > 3)
    began = time.monotonic()
    process.send_signal(number)
    told = process.communicate(timeout=PATIENCE)
    assert time.monotonic() - began < 45
    return told


def test_ctrl_c_ends_it_with_the_best_so_far_in_the_words_of_a_search_without_workers(command, tmp_path):
    process = command("--budget", "10m", "--counterfactuals", "0", "--json", "--quiet", "--out", "s")
    said, noise = ended_by(signal.SIGINT, process, tmp_path)
    assert process.returncode == 0, noise
    assert json.loads(said)["trials"] > 3
    assert noise.strip() == "Finishing with the best so far; Ctrl-C again stops now."
    assert within(15, lambda: not processes_of(command.place)), "nothing of Ray outlives it"
    # It loads, and predicts, where nobody has heard of Ray.
    shown = subprocess.run(
        [sys.executable, "-c", "import sys; sys.modules['ray'] = None; import trimtab as tt; "
         "print(tt.load_model('s').predict(tt.load('s').predictions.head(1).select(size=0.0, kind=None)).shape)"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert shown.stdout == "(1,)\n", shown.stderr


def test_sigterm_stops_it_at_once_says_how_to_go_on_and_leaves_no_worker(command, tmp_path):
    process = command("--budget", "10m", "--counterfactuals", "0", "--quiet", "--out", "s")
    said, noise = ended_by(signal.SIGTERM, process, tmp_path)
    assert process.returncode == 1 and not said.strip()
    assert "What was finished is kept: trimtab fit --resume s goes on" in noise and "Traceback" not in noise
    assert within(15, lambda: not processes_of(command.place)), "nothing of Ray outlives it"
    assert len(tt.load(tmp_path / "s").trials) > 3


def test_a_search_that_is_killed_takes_its_workers_with_it_and_goes_on_without_them(command, tmp_path):
    ended_by(signal.SIGKILL, command("--budget", "10m", "--counterfactuals", "0", "--out", "s"), tmp_path)
    assert within(15, lambda: not processes_of(command.place))
    found = len(tt.load(tmp_path / "s").trials)
    assert found > 0
    rooms = tmp_path / "rooms.csv"
    gone_on = tt.tune(rooms, resume=tmp_path / "s", trials=found, quiet=True, counterfactuals=0)
    assert len(gone_on.trials) >= found
