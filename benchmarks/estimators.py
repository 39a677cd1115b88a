"""How long the estimators take on small tables: a fit of two trials on 50 rows, and all of scikit-learn's checks.

    python -m benchmarks.estimators            # on a machine that does nothing else

Each figure is the median of a few fits; no compiler takes part in fits as small as these.
"""

import os
import sys
import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any, cast
from unittest import SkipTest

os.environ["SCIPY_ARRAY_API"] = "1"  # read by scipy when it is imported; without it a check is skipped

from sklearn import datasets
from sklearn.utils.estimator_checks import estimator_checks_generator

import trimtab as tt

ROWS, SEEDS, MOST_SECONDS = 50, 5, 1.0
MOST_SECONDS_OF_CHECKS = 180.0
SMALL: dict[str, Any] = {"trials": 2, "epochs": 30, "width": 16}  # the tests have one trial fewer in most checks


def small_tables():
    """A name, an estimator's class, and 50 rows."""
    for name, load in (
        ("diabetes", datasets.load_diabetes),
        ("iris", datasets.load_iris),
        ("wine", datasets.load_wine),
    ):
        x, y = load(return_X_y=True)
        step = len(x) // ROWS
        make = tt.TrimtabRegressor if name == "diabetes" else tt.TrimtabClassifier
        yield name, make, x[::step][:ROWS], y[::step][:ROWS]
    yield "friedman1", tt.TrimtabRegressor, *datasets.make_friedman1(ROWS, random_state=0)


def seconds_of_a_fit(make, x, y) -> float:
    times = []
    for seed in range(SEEDS):
        started = time.perf_counter()
        make(trials=2, random_state=seed).fit(x, y)
        times.append(time.perf_counter() - started)
    return median(times)


def seconds_of_checks() -> tuple[float, int, int]:
    """Seconds of all checks of both estimators, how many there are, and how many of them did not pass."""
    started, count, bad = time.perf_counter(), 0, 0
    for estimator in (tt.TrimtabRegressor(**SMALL), tt.TrimtabClassifier(**SMALL)):
        for each in estimator_checks_generator(estimator):
            instance, check = cast(tuple[Any, Callable[[Any], None]], each)
            count += 1
            try:
                check(instance)
            except (Exception, SkipTest) as error:
                bad += 1
                print(f"  {check}: {error}")
    return time.perf_counter() - started, count, bad


def main() -> int:
    warnings.simplefilter("ignore")
    misses = 0
    started = time.perf_counter()
    tt.TrimtabRegressor(trials=2, random_state=0).fit(*datasets.make_friedman1(ROWS, random_state=0))
    print(f"the first fit of a process: {time.perf_counter() - started:.2f} s")
    for name, make, x, y in small_tables():
        seconds = seconds_of_a_fit(make, x, y)
        misses += seconds > MOST_SECONDS
        print(f"two trials on {len(x)} rows of {name}: {seconds:.2f} s (at most {MOST_SECONDS:g} s)")
    seconds, count, bad = seconds_of_checks()
    misses += bad + (seconds > MOST_SECONDS_OF_CHECKS)
    print(f"all {count} checks of both estimators: {seconds:.0f} s (at most {MOST_SECONDS_OF_CHECKS:g} s)")
    return int(misses > 0)


if __name__ == "__main__":
    sys.exit(main())
