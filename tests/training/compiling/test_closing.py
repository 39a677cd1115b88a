"""An engine that is closed while it compiles: in a file of its own, which has no long test to wait for."""

import threading
import time

import pytest

from training.lanes.test_engine import config, engine_for, regression_data
from trimtab.training.compiling import compiler, libraries
from trimtab.training.lanes.population import Structure
from trimtab.training.run import Request

pytestmark = pytest.mark.skipif(not compiler.can_compile(), reason="there is no C++ compiler")


@pytest.mark.alone
def test_closing_ends_what_compiles_and_the_thread_that_waits_for_it(tmp_path, monkeypatch):
    monkeypatch.setenv(libraries.CACHE_VARIABLE, str(tmp_path))
    engine = engine_for(regression_data(), compiling="beside")
    run = config(epochs=4)
    population = engine.population(Structure.of(run))
    before = set(threading.enumerate())
    engine.admit(population, [Request(0, run, 0, 0)])
    engine.advance(population)
    assert set(threading.enumerate()) > before and engine.compiler.is_busy()
    started = time.monotonic()
    engine.close()
    assert set(threading.enumerate()) <= before and not engine.compiler.is_busy()
    assert time.monotonic() - started < 2
