"""How long lanes wait for the next trial's values, after few trials and after many; the proposer's and writer's time.

Training is played by a pause of the length of a small run. Knows no networks.
"""

import tempfile
import time
from pathlib import Path

import numpy

from benchmarks.engine.shapes import Shape
from benchmarks.page import table, verdict
from benchmarks.turns import Terms
from trimtab.tuning.ahead import Ahead, Waves
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.proposer import Proposer, distribution
from trimtab.tuning.space import SearchSpace, Space, space_for
from trimtab.tuning.trial import COMPLETE, TrialRecord
from trimtab.tuning.writer import TrialStore

SMALL_RUN = 0.03  # seconds
MOST_IDLE = 0.005
TRIALS_ASKED, STORED = 40, 20


def page(_shapes: list[Shape], terms: Terms) -> str:
    head = ["trials before", "idle per trial, ms", f"below {MOST_IDLE * 1e3:.0f} ms", "drawn without waiting",
            "proposer's own time per trial, ms", "writer's own time per trial, ms"]  # fmt: skip
    return table(head, [_row(count) for count in ((10, 1000) if terms.is_quick else (10, 1000, 10_000))])


def _row(before: int) -> list[str | float]:
    space = space_for("regression", "rmse", rows=800, columns=10, fixed={})
    own = _asked_directly(_taught(space, before))
    ahead = Ahead(Waves(_taught(space, before), lambda values: 8), seed=0)
    generator = numpy.random.default_rng(0)
    ahead.next(0)
    ahead.waited = 0.0
    for number in range(1, TRIALS_ASKED + 1):
        values = ahead.next(number)
        assert values is not None  # some of the knobs are ranges
        time.sleep(SMALL_RUN)
        ahead.tell(_record(space, number, values, float(generator.random())))
    ahead.close()
    idle = ahead.waited / TRIALS_ASKED
    return [before, idle * 1e3, verdict(idle < MOST_IDLE), f"{ahead.drawn / TRIALS_ASKED:.0%}", own * 1e3,
            _stored(space, min(before, 200)) * 1e3]  # fmt: skip


def _taught(space: Space, trials: int) -> Proposer:
    """A proposer that has learnt from so many trials."""
    proposer, generator = Proposer(space, seed=0), numpy.random.default_rng(1)
    for number in range(trials):
        proposer.tell(_record(space, -1 - number, space.draw(generator), float(generator.random())))
    return proposer


def _record(space: SearchSpace, number: int, values: dict, error: float) -> TrialRecord:
    return TrialRecord(number, "", values, space.config(values), COMPLETE, error, best_epochs=(1,), ended=("",))


def _asked_directly(proposer: Proposer) -> float:
    """Seconds to ask for one trial and tell what became of it, from the proposer itself."""
    started = time.perf_counter()
    for number in range(TRIALS_ASKED):
        values = proposer.propose(number)
        proposer.tell(_record(proposer.space, number, values, 0.5))
    return (time.perf_counter() - started) / TRIALS_ASKED


def _stored(space: Space, before: int) -> float:
    """Seconds to store one trial beside those that are there."""
    distributions = {name: distribution(domain) for name, domain in space.domains.items()}
    generator = numpy.random.default_rng(2)
    with tempfile.TemporaryDirectory() as folder:
        study = StudyFolder.create(Path(folder) / "study", {})
        store = TrialStore(study, url=None, greater_is_better=False)

        def add(numbers: range) -> None:
            for number in numbers:
                store.add(_record(space, number, space.draw(generator), 0.5), distributions, ())

        add(range(before))
        started = time.perf_counter()
        add(range(before, before + STORED))
        return (time.perf_counter() - started) / STORED
