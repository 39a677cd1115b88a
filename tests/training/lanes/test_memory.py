"""Memory: what thousands of runs leave behind, in a process of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
import psutil, torch
sys.path.insert(0, {tests!r})
from training.lanes.test_engine import config, engine_for, regression_data
from trimtab.training.lanes import plans
from trimtab.training.lanes.population import Structure
from trimtab.training.run import Request

plans.BYTES_OF_ORDERS = 1 << 16  # what is kept to be used again has an end: it is reached here before anything is noted
torch.set_num_threads(1)
engine = engine_for(regression_data(rows=60), threads=2)
population = engine.population(Structure.of(config(epochs=1)), 64)
process, admitted, done, after_500 = psutil.Process(), 0, 0, 0
while done < {runs}:
    count = min(population.free, {runs} - admitted)
    engine.admit(population, [Request(k, config(epochs=1), k % 3, k) for k in range(admitted, admitted + count)])
    admitted += count
    engine.advance(population)
    done += len(engine.retire(population))
    if not after_500 and done >= 500:
        after_500 = process.memory_info().rss
print(process.memory_info().rss / after_500)
"""


@pytest.mark.slow
def test_three_thousand_runs_leave_memory_where_it_was_after_the_first_five_hundred():
    tests = str(Path(__file__).parents[2])
    script = SCRIPT.format(tests=tests, runs=3_000)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1.01  # of some 300 MB: about a kilobyte for each run
