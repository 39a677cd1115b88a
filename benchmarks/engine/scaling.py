"""How the engine scales: over lanes, rows and width, beside the plain loop; a table and a picture each.

Knows nothing of the five shapes' targets.
"""

from collections.abc import Iterable
from dataclasses import replace

from benchmarks.engine.figures import Line, Picture
from benchmarks.engine.lanes import Lanes, lanes_of
from benchmarks.engine.loop import BetterLoop
from benchmarks.engine.shapes import SHAPES, Shape
from benchmarks.page import table
from benchmarks.turns import Terms, in_turns

LANES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
ROWS = (1_000, 10_000, 100_000, 1_000_000)
WIDTHS = (16, 32, 64, 128, 256, 512, 1_024)
QUICK_LANES, QUICK_ROWS, QUICK_WIDTHS = (1, 8, 64), (1_000, 10_000), (16, 64, 256)
MOST_NUMBERS = 2e7  # parameters of all lanes together: beyond, a round of wide networks takes minutes
OF_ROWS = Shape(20, 64, 2, 256, lanes=(16,))
OF_WIDTH = Shape(20, 128, 2, 256)
Cell = str | float | int


def page(shapes: list[Shape], terms: Terms) -> str:
    parts = (_over_lanes(shapes, terms), _over_rows(terms), _over_width(terms))
    return "\n\n".join(f"{text}\n\n![{picture.title}]({_where(picture)})" for text, picture in parts)


def _where(picture: Picture) -> str:
    return f"figures/{picture.save().name}"


def _over_lanes(shapes: list[Shape], terms: Terms) -> tuple[str, Picture]:
    numbers = QUICK_LANES if terms.is_quick else LANES
    lines, rows = [], []
    for shape in [s for s in (SHAPES[0], SHAPES[1], SHAPES[2], SHAPES[4]) if s in shapes]:
        possible = [n for n in numbers if n * shape.width**2 * shape.depth <= MOST_NUMBERS]
        paces = _paces(shape, possible, terms)
        ratios = [paces["loop"] / paces[str(n)] for n in possible]
        lines.append(Line(shape.words, possible, ratios))
        figures: list[Cell] = [f"{paces[str(n)]:.3g}" if n in possible else "" for n in numbers]
        rows.append([shape.words, paces["loop"], *figures])
    head = ["d, width, layers, batch", "plain loop, us", *(f"{n} lane{'s' * (n > 1)}, us" for n in numbers)]
    picture = Picture("lanes", "How many times faster than the plain loop, by number of lanes", "lanes",
                      "times faster per step", lines, unity=True)  # fmt: skip
    return table(head, rows), picture


def _paces(shape: Shape, numbers: Iterable[int], terms: Terms) -> dict[str, float]:
    """Each number of lanes by turns with one plain loop."""
    contestants = {"loop": BetterLoop(shape, most_threads=terms.threads).pace}
    for n in numbers:
        lanes = Lanes(shape, lanes=n, threads=min(n, terms.threads), compiling=terms.compiling)
        contestants[str(n)] = lanes.pace
    return in_turns(contestants, terms)


def _over_rows(terms: Terms) -> tuple[str, Picture]:
    numbers = QUICK_ROWS if terms.is_quick else ROWS
    figures = [_beside_the_loop(replace(OF_ROWS, rows=n), terms) for n in numbers]
    picture = Picture("rows", f"Time per step, by number of training rows ({OF_ROWS.words})", "training rows",
                      "microseconds per step", _two_lines(numbers, figures))  # fmt: skip
    return _two_columns("training rows", numbers, figures), picture


def _over_width(terms: Terms) -> tuple[str, Picture]:
    numbers = QUICK_WIDTHS if terms.is_quick else WIDTHS
    figures = []
    for width in numbers:
        # As many lanes as keep the step's work near that of 16 lanes of width 128.
        lanes = max(2, min(256, round(16 * (128 / width) ** 1.5)))
        figures.append(_beside_the_loop(replace(OF_WIDTH, width=width, lanes=(lanes, 2 * lanes)), terms))
    picture = Picture("width", "Time per step, by width (20 columns, 2 hidden layers, batches of 256)",
                      "units per hidden layer", "microseconds per step", _two_lines(numbers, figures))  # fmt: skip
    return _two_columns("width", numbers, figures), picture


def _beside_the_loop(shape: Shape, terms: Terms) -> tuple[float, float, int]:
    """Microseconds per step of the loop and per lane-step, and how many lanes there were."""
    loop = BetterLoop(shape, most_threads=terms.threads)
    lanes = lanes_of(shape, terms)
    paces = in_turns({"loop": loop.pace, "lanes": lanes.pace}, terms)
    return paces["loop"], paces["lanes"], lanes.population.capacity


def _two_lines(numbers: tuple[int, ...], figures: list[tuple[float, float, int]]) -> list[Line]:
    return [
        Line("plain loop", numbers, [loop for loop, _, _ in figures]),
        Line("trimtab", numbers, [lane for _, lane, _ in figures]),
    ]


def _two_columns(name: str, numbers: tuple[int, ...], figures: list[tuple[float, float, int]]) -> str:
    rows = [
        [f"{n:,}", loop, lane, f"{loop / lane:.3g}x", lanes]
        for n, (loop, lane, lanes) in zip(numbers, figures, strict=True)
    ]
    return table([name, "plain loop, us", "lane-step, us", "ratio", "lanes"], rows)
