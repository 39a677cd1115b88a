"""Widths: how many lanes a population has, and how many of them a thread steps at once, so that what it works on stays
in the processor's cache.

Rules of structure and sizes alone: the last bits of a lane's numbers may depend on its width, so that no clock may
choose it; half, twice and four times as many were no faster on any shape (benchmarks/RESULTS.md).
"""

from trimtab.training.data import TrainingData
from trimtab.training.lanes.population import Population, Structure
from trimtab.training.programs.program import Program

# Most lanes that a population has of itself. A guess: more than ten trials of five folds share no step's price.
MAX_LANES = 64
# Multiplications and additions of one step of all lanes that are enough to be worth its overhead: some milliseconds.
OPERATIONS_AT_ONCE = 4e8
# What a thread's lanes may take of the cache: the second-level cache of current server processors holds 1 to 2 MB a
# core, and the third helps it. A guess that held on two of them.
BYTES_IN_CACHE = 3e6
# A call costs tens of microseconds whatever it holds, and a round as much again: a step is to be far longer than that.
# Half a millisecond or more at 300 GFLOP/s.
OPERATIONS_PER_CALL = 1.5e8
# Of the smallest networks, beyond which nothing is gained (benchmarks/RESULTS.md, "How it scales").
MOST = 512
# A weight takes part in three products of a step (outputs, its gradient, the gradient of its inputs), of a
# multiplication and an addition for each row of a batch.
OPERATIONS_PER_WEIGHT_AND_ROW = 6


def lanes_of_a_population(program: Program, structure: Structure, data: TrainingData, threads: int) -> int:
    """Lanes that together make a step worth its overhead, a multiple of the folds."""
    folds, batch = len(data.folds), structure.batch_size or data.most_training_rows
    operations = OPERATIONS_PER_WEIGHT_AND_ROW * batch * max(1, program.layout.size)
    return max(folds, threads, int(min(MAX_LANES, OPERATIONS_AT_ONCE // operations)) // folds * folds)


def lanes_at_once(population: Population) -> int:
    """Lanes that a thread steps at once: all whose working set fits its cache, or more of such as are tiny."""
    if population.data.device.type != "cpu":
        return population.capacity
    layout = population.program.layout
    batch = max(population.batch_size(fold) for fold in range(len(population.data.folds)))
    units = sum(shape[0] for shape in layout.shapes if len(shape) > 1)
    # Weights, two moments and a gradient; activations, what came before them and their gradient; 4 bytes each.
    in_use = 4 * (4 * layout.size + 3 * units * batch)
    worth_a_call = OPERATIONS_PER_CALL // (OPERATIONS_PER_WEIGHT_AND_ROW * layout.size * batch + 1)
    return int(min(MOST, max(BYTES_IN_CACHE // in_use, worth_a_call, 1)))


def threads_worth_it(population: Population, threads: int) -> int:
    """How many threads step the lanes in use while nothing is compiled.

    Python's lock lets one of them at a time into the overhead of a call, so that two threads with little to compute
    take twice as long as one: each is to have at least half of the lanes that make a call worth its overhead.
    """
    return max(1, min(threads, -(-2 * len(population.lanes) // lanes_at_once(population))))
