"""Halves: rows divided in two at random, so that what is chosen on one half can be judged on the other.

Knows units and strata only: what is chosen, and how it is judged, is their user's business.
"""

import numpy
from jaxtyping import Bool, Int, Shaped

# Choices on half of the rows vary: several divisions are averaged where a choice looks at no more than so many
# predictions, and costs little (guesses).
DIVISIONS, CHEAP = 4, 2_000_000


def divisions(numbers: int) -> int:
    """How many divisions are worth their time where a choice looks at so many numbers."""
    return DIVISIONS if numbers <= CHEAP else 1


def halves(
    units: Int[numpy.ndarray, " rows"], strata: Shaped[numpy.ndarray, " rows"], *, times: int, seed: int
) -> list[Bool[numpy.ndarray, " rows"]]:
    """`times` divisions of the rows: True for those of the first half.

    Rows of one number in `units` are on one side. Units that are neighbours in the order of `strata` (classes, values
    of the target) are on opposite sides, so that both halves are alike.
    """
    generator = numpy.random.default_rng([seed, 0xA1F])
    _, first, place = numpy.unique(units, return_index=True, return_inverse=True)
    result = []
    for _ in range(times):
        order = numpy.lexsort((generator.random(len(first)), strata[first]))
        pairs = numpy.repeat(generator.integers(0, 2, (len(order) + 1) // 2), 2)[: len(order)]
        side = numpy.zeros(len(first), dtype=bool)
        side[order] = (pairs + numpy.arange(len(order))) % 2 == 0
        result.append(side[place])
    return result
