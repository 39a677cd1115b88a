"""Widths: how many lanes a thread steps at once, so that what they work on stays in the processor's cache.

A rule: the last bits of a lane's numbers may depend on its width, so that no clock may choose it. Knows sizes alone.
"""

from trimtab.training.lanes.population import Population

BYTES_IN_CACHE = 3e6
# A call costs tens of microseconds whatever it holds, and a round as much again: a step is to be far longer than that.
OPERATIONS_PER_CALL = 1.5e8
MOST = 512


def lanes_at_once(population: Population) -> int:
    """A rule, so that the same study always works in the same order."""
    if population.data.device.type != "cpu":
        return population.capacity
    size, batch = (
        population.program.layout.size,
        max(population.batch_size(f) for f in range(len(population.data.folds))),
    )
    units = sum(shape[0] for shape in population.program.layout.shapes if len(shape) > 1)
    # Weights, two moments and a gradient; activations, what came before them and their gradient.
    in_use = 4 * (4 * size + 3 * units * batch)
    return int(min(MOST, max(BYTES_IN_CACHE // in_use, OPERATIONS_PER_CALL // (6 * size * batch + 1), 1)))


def threads_worth_it(population: Population, threads: int) -> int:
    """How many threads step the lanes in use while nothing is compiled, a rule too.

    Python's lock lets one of them at a time into the overhead of a call, so that two threads with little to compute
    take twice as long as one: each is to have at least half of the lanes that make a call worth its overhead.
    """
    return max(1, min(threads, -(-2 * len(population.lanes) // lanes_at_once(population))))
