"""Tasks drawn by a seed: functions of some columns of several kinds, with noise, or classes by them."""

from collections.abc import Callable

import numpy

Numbers = numpy.ndarray
_TERMS: tuple[Callable[[Numbers, Numbers], Numbers], ...] = (
    lambda a, b: numpy.sin(2.5 * a),
    lambda a, b: a * b,
    lambda a, b: numpy.abs(a + 0.5 * b),
    lambda a, b: numpy.tanh(3 * a),
    lambda a, b: a**2 - b,
    lambda a, b: numpy.where(a > 0.3, b, 0.5 * a),
    lambda a, b: numpy.cos(a + 2 * b),
    lambda a, b: a,
)


def drawn_numbers(seed: int, rows: int) -> tuple[Numbers, Numbers]:
    """Inputs `[rows, columns]` and a target `[rows]` of which noise is 2 to 25 %."""
    rng = numpy.random.default_rng(seed)
    x = _inputs(rng, rows)
    noise = float(rng.uniform(0.02, 0.25))
    return x, numpy.sqrt(1 - noise) * _law(rng, x) + numpy.sqrt(noise) * _noise(rng, rows)


def drawn_classes(seed: int, rows: int) -> tuple[Numbers, Numbers]:
    """Inputs `[rows, columns]` and two to four classes `[rows]`: the law that is largest, of 0 to 10 % any other."""
    rng = numpy.random.default_rng(seed)
    x = _inputs(rng, rows)
    classes = int(rng.integers(2, 5))
    laws = numpy.stack([_law(rng, x) for _ in range(classes)])
    y = laws.argmax(0)
    other = rng.random(rows) < rng.uniform(0.0, 0.1)
    return x, numpy.where(other, rng.integers(0, classes, rows), y)


def _inputs(rng: numpy.random.Generator, rows: int) -> Numbers:
    x = rng.normal(size=(rows, int(rng.integers(4, 13))))
    return x @ (numpy.eye(x.shape[1]) + 0.15 * rng.normal(size=(x.shape[1],) * 2))


def _law(rng: numpy.random.Generator, x: Numbers) -> Numbers:
    """The sum of three to six terms of pairs of columns, made standard."""
    made = numpy.zeros(len(x))
    for _ in range(int(rng.integers(3, 7))):
        a, b = rng.choice(x.shape[1], 2, replace=False)
        term = _TERMS[rng.integers(len(_TERMS))](x[:, a], x[:, b])
        made += rng.uniform(0.5, 1.5) * rng.choice([-1.0, 1.0]) * (term - term.mean()) / term.std()
    return (made - made.mean()) / made.std()


def _noise(rng: numpy.random.Generator, rows: int) -> Numbers:
    return rng.laplace(0, numpy.sqrt(0.5), rows) if rng.random() < 0.5 else rng.normal(size=rows)
