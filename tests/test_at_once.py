"""Calls that overlap in two threads of one process come to what they come to alone, and leave the process as it was."""

import threading

import numpy
import polars
import pytest
import torch
from torch import nn

import trimtab as tt
from process_state import in_another_thread, nothing_left

pytestmark = pytest.mark.usefixtures("few_epochs")


class Meeting:
    """A callback of the first of two calls, or of the second: the first enters and leaves before it."""

    def __init__(self, *, is_first, is_in, is_out):
        self.is_first, self.is_in, self.is_out, self.has_met = is_first, is_in, is_out, False

    def epoch_ended(self, run, values):
        self.meet()

    def meet(self):
        if not self.has_met:
            self.has_met = True
            self.is_in[0 if self.is_first else 1].set()
            (self.is_in[1] if self.is_first else self.is_out).wait(30)


@pytest.fixture(scope="module")
def rows():
    x = numpy.random.default_rng(0).normal(size=(80, 3)).astype("float32")
    return x, x[:, 0] - x[:, 1]


@pytest.fixture(scope="module")
def calls(rows, tmp_path_factory, few_epochs):
    """Public calls by name, of a listener (None: nobody listens); each gives what it came to."""
    x, y = rows
    frame = polars.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "y": y})
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))

    def out():
        return tmp_path_factory.mktemp("runs") / "study"

    def fit(listener):
        run = tt.fit(module, rows, epochs=3, callbacks=[listener] if listener else ())
        return run.score, run.module[0].weight.tolist()

    def tune(listener):
        study = tt.tune(
            frame, target="y", trials=1, epochs=3, width=32, depth=1, batch_size=32, out=out(), threads=2,
            callbacks=[listener] if listener else (),
        )  # fmt: skip
        return study.result["test"], study.result["baselines"], [trial.error for trial in study.trials]

    def tune_networks(listener):
        study = tt.tune(
            lambda width: nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, 1)), data=rows,
            space={"width": [4, 8], "lr": (1e-3, 1e-1, "log")}, trials=3, epochs=3, out=out(), threads=2,
            callbacks=[listener] if listener else (),
        )  # fmt: skip
        return [(trial.values, trial.error) for trial in study.trials]

    return {"fit": fit, "tune": tune, "tune networks": tune_networks}


@pytest.mark.parametrize(("first", "second"), [("fit", "tune"), ("tune", "tune networks"), ("tune networks", "fit")])
def test_two_calls_at_once(first, second, calls):
    alone = [calls[name](None) for name in (first, second)]
    is_in, is_out = [threading.Event(), threading.Event()], threading.Event()
    came_to, threads_after = {}, {}

    def run(number, name):
        if number:
            is_in[0].wait(30)
        came_to[number] = calls[name](Meeting(is_first=number == 0, is_in=is_in, is_out=is_out))
        if number == 0:
            is_out.set()
        threads_after[number] = torch.get_num_threads()

    before = in_another_thread(torch.get_num_threads)
    with nothing_left():
        threads = [threading.Thread(target=run, args=each) for each in enumerate((first, second))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [came_to[0], came_to[1]] == alone
    assert threads_after == {0: before, 1: before}
