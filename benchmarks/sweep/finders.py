"""The finders of a learning rate, each as its user calls it: the rate it suggests and the seconds that took.

Knows the finders by name; it judges none of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median, median_low
from time import perf_counter, process_time

import trimtab
from benchmarks.sweep import lightning_finder
from benchmarks.sweep.loop import network
from benchmarks.sweep.ramps import Ramp
from benchmarks.sweep.rows import BATCH, Rows
from benchmarks.sweep.terms import SEEDS, Terms
from benchmarks.turns import torch_set_to

OURS, NO_FINDER = "trimtab", "no finder: 0.001"
ADAMS_OWN_RATE = 1e-3
Ask = Callable[[int], float | None]


@dataclass(frozen=True)
class Suggestion:
    """What a finder suggests, None where it gave up, and then why; the seconds that asking once takes, and those of
    them, over all cores, that were spent computing (whatever else the machine does makes the first longer).

    `drawn` holds what each seed gave where a finder was asked once for each, the middle one being its suggestion;
    `alike` the rates that the sweep could not tell apart from its own.
    """

    finder: str
    rate: float | None
    seconds: float
    computing: float
    failure: str = ""
    drawn: tuple[float, ...] = ()
    alike: tuple[float, ...] = ()


def suggestions(rows: Rows, terms: Terms) -> list[Suggestion]:
    """One for each finder, and the rate of someone who does not look.

    The sweep compares seeds. A range test has one; of three such tests the middle suggestion counts, so that one
    unlucky draw decides nothing. They have one torch thread, with which steps as small as these are quickest.
    """
    others: dict[str, Ask] = {
        "Lightning": lambda seed: lightning_finder.suggested_rate(rows, seed),
        "Lightning before 2.5.3": lambda seed: lightning_finder.rate_by_steps(rows, seed),
        "fastai, steep": lambda seed: Ramp.of(rows, seed).steep,
        "fastai, valley": lambda seed: Ramp.of(rows, seed).valley,
    }
    with torch_set_to(threads=1):
        asked = [_asked(name, ask) for name, ask in others.items()]
    return [_ours(rows, terms), *asked, Suggestion(NO_FINDER, ADAMS_OWN_RATE, 0.0, 0.0)]


def _ours(rows: Rows, terms: Terms) -> Suggestion:
    worked = process_time()
    found = trimtab.sweep(
        lambda: network(rows.inputs), (rows.x, rows.y), (rows.x_validation, rows.y_validation), lr=terms.rates,
        seeds=SEEDS, epochs=terms.epochs, batch_size=BATCH, threads=terms.threads,
    )  # fmt: skip
    worked, failure = process_time() - worked, "" if found.best else found.words
    return Suggestion(OURS, found.best.get("lr"), found.seconds, worked, failure, alike=found.like_best)


def _asked(finder: str, ask: Ask) -> Suggestion:
    drawn, seconds, computing, failure = [], [], [], "failed to compute suggestion"
    for seed in range(SEEDS):
        started, worked = perf_counter(), process_time()
        try:
            drawn.append(ask(seed))
        except Exception as error:  # whatever stops another tool is its result here
            drawn.append(None)
            failure = f"{type(error).__name__}: {error}"
        seconds.append(perf_counter() - started)
        computing.append(process_time() - worked)
    rates = tuple(rate for rate in drawn if rate is not None)
    if 2 * len(rates) <= SEEDS:
        return Suggestion(finder, None, median(seconds), median(computing), failure, rates)
    return Suggestion(finder, median_low(rates), median(seconds), median(computing), drawn=rates)
