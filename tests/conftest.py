"""What tests share: the real data sets, where they are here at all; and the cores, where several tests run at once."""

import fcntl
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How quick this machine is tells nothing of what is tested.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default")

# Read by scipy when it is imported first; without it scikit-learn skips some of its checks of estimators.
os.environ["SCIPY_ARRAY_API"] = "1"
# The width of whoever runs the tests: texts would break to fit it.
os.environ.pop("COLUMNS", None)
# Of several processes of tests, one for each core. Read by torch, BLAS and polars when they are imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
# Before it compiles for the first time on a machine, torch's compiler has a program for each kind of vectors compiled
# and tried, which takes as long as a step does. That g++ knows those of this processor is taken for granted here.
os.environ.setdefault("TORCHINDUCTOR_VEC_ISA_OK", "1")


FEW_EPOCHS = 12

# Begun first, since a file is never divided among processes: what takes long is not to be left to the last of them.
LONGEST = (
    "training/compiling/test_compiled.py",
    "training/compiling/test_own_modules.py",
    "test_docs.py",
    "networks/test_tensors.py",
    "test_estimators.py",
    "export/test_parity.py",
    "test_tune.py",
    "studies/test_going_on.py",
    "export/test_table_script.py",
    "test_estimator_checks.py",
)


# Begun last: no other test runs beside these, and then there is none left that would have to wait.
LAST = ("training/compiling/test_closing.py", "test_in_time.py")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[object]:
    """What is imported for the tests stays to the end: nothing of it is garbage, and looking through all of it for some
    takes a second each time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    places = {here / name: place - len(LONGEST) for place, name in enumerate(LONGEST)}
    places |= {here / name: place + 1 for place, name in enumerate(LAST)}
    items.sort(key=lambda item: places.get(item.path, 0))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Where tests run in several processes, one that is marked `alone` waits for the others, and they wait for it."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return (yield)
    shared = Path(item.config.option.basetemp).parent  # each process has a folder of its own in it
    with _in_the_room(shared, is_alone=item.get_closest_marker("alone") is not None):
        return (yield)


@contextmanager
def _in_the_room(shared: Path, *, is_alone: bool) -> Iterator[None]:
    """A room for many tests or for a single one; they queue at its door, so that none waits for ever. A process that
    dies leaves both."""
    with (shared / "room").open("w") as inside:
        with (shared / "door").open("w") as door:
            fcntl.flock(door, fcntl.LOCK_EX)
            fcntl.flock(inside, fcntl.LOCK_EX if is_alone else fcntl.LOCK_SH)
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets in or beside the repository; the test is skipped where there is none."""
    repository = Path(__file__).resolve().parents[1]
    for place in (repository, repository.parent):
        if (place / "shared" / "data" / "index.json").exists():
            return place / "shared" / "data"
    pytest.skip("the real data sets (shared/data) are not here")


@pytest.fixture(scope="module")
def few_epochs() -> Iterator[None]:
    """What is not said of a table's epochs is `FEW_EPOCHS`: the default MLP, which is one of the baselines of every
    search, trains as long as all else of a small study; and so do the trees that it is set beside."""
    from few_trees import grow_few_trees  # not before what the process's threads are said above

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trimtab.tuning.space.natural_epochs", lambda rows: FEW_EPOCHS)
        grow_few_trees(patch)
        yield
