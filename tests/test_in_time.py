"""What has to be over in time. No other test runs beside these, so they are in a file of their own, which comes last:
the other process of tests has nothing left to do by then.
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy
import polars
import pytest
from sklearn.datasets import load_diabetes

import trimtab as tt
from trimtab.data import path as data_path
from trimtab.studies.reserve import MOST_OF_FINISH

TRIMTAB = (sys.executable, "-m", "trimtab")
pytestmark = [pytest.mark.alone, pytest.mark.slow]


def test_a_budget_of_five_seconds_is_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path))
    x, y = load_diabetes(return_X_y=True)
    model = tt.TrimtabRegressor(budget="5s", random_state=0)
    started = time.monotonic()
    model.fit(x, y)
    assert 2 < time.monotonic() - started < 1.1 * 5 + 3
    assert model.result_["trials"] > 2 and model.score(x, y) > 0.3


@pytest.mark.usefixtures("few_epochs")
def test_the_budget_is_kept_and_used(tmp_path):
    diabetes = tmp_path / "diabetes.csv"
    polars.DataFrame(load_diabetes(as_frame=True, scaled=False).frame.to_dict("list")).write_csv(diabetes)
    started = time.monotonic()
    found = tt.tune(diabetes, "target", out=tmp_path / "s", budget=6)
    seconds = time.monotonic() - started
    # What is kept for the end is guessed, never more than this share, and a quick end leaves of it.
    assert 6 * (1 - MOST_OF_FINISH) <= seconds <= 9.6 and found.summary()["trials"] > 3
    # What had not begun is no trial: it waits for a call that goes on, and is the first of it.
    assert all(each.name or max(each.epochs) > 0 for each in found.trials)
    waiting = {each["number"] for each in json.loads((found.out / "inflight.json").read_text())}
    assert waiting.isdisjoint(each.number for each in found.trials)


@pytest.mark.usefixtures("few_epochs")
def test_a_very_wide_table_ends_with_some_model_in_time(tmp_path):
    rng = numpy.random.default_rng(0)
    x = rng.normal(size=(300, 2_000)).astype(numpy.float32)
    frame = polars.DataFrame(x, schema=[f"c{i}" for i in range(2_000)]).with_columns(y=polars.Series(x[:, 0] * 2))
    started = time.monotonic()
    found = tt.tune(frame, "y", out=tmp_path / "s", budget=6)
    assert time.monotonic() - started <= 9.6 and found.model.predict(frame).shape == (300,)


TOLD = {
    "Ctrl-C once": ((signal.SIGINT,), 0, "Finishing with the best so far"),
    "Ctrl-C twice": ((signal.SIGINT, signal.SIGINT), 1, "trimtab fit --resume study"),
    "SIGTERM": ((signal.SIGTERM,), 1, "trimtab fit --resume study"),
}


@dataclass(frozen=True)
class Searching:
    """A search in a process of its own, and the file of what it says."""

    folder: Path
    process: subprocess.Popen

    @property
    def said(self) -> str:
        return (self.folder / "errors.txt").read_text()

    def waits(self, seconds: float, until: Callable[[], bool]) -> None:
        deadline = time.monotonic() + seconds
        while not until() and time.monotonic() < deadline:
            time.sleep(0.01)


@pytest.fixture(scope="module")
def searching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Searching]]:
    """Searches that have found something, each held where it is until it is its turn."""
    asked = ("fit", data_path("concrete"), "--target", "strength_mpa", "--budget", "2m", "--out", "study")
    searches = {}
    for name in TOLD:
        folder = tmp_path_factory.mktemp("searching")
        with (folder / "errors.txt").open("w") as err:
            process = subprocess.Popen([*TRIMTAB, *map(str, asked)], cwd=folder, stdout=subprocess.DEVNULL, stderr=err)
        searches[name] = Searching(folder, process)
    for search in searches.values():
        search.waits(60, lambda search=search: bool(list(search.folder.glob("study/runs/*.safetensors"))))
        search.process.send_signal(signal.SIGSTOP)
    yield searches
    for search in searches.values():
        search.process.kill()
        search.process.wait()


@pytest.mark.parametrize("name", TOLD)
def test_a_search_leaves_within_five_seconds_of_being_told(searching: dict[str, Searching], name: str) -> None:
    search, (signals, status, words) = searching[name], TOLD[name]
    search.process.send_signal(signal.SIGCONT)
    told = time.monotonic()
    for number in signals:
        search.process.send_signal(number)
        if number is signal.SIGINT:
            search.waits(10, lambda: "Finishing" in search.said)
    search.process.wait(timeout=60)
    took = time.monotonic() - told
    assert search.process.returncode == status, search.said
    assert words in search.said
    assert "Traceback" not in search.said
    if signal.SIGTERM in signals or len(signals) == 2:
        assert took < 5.5
    assert (search.folder / "study" / "model" / "model.json").exists(), "what was found so far predicts"
