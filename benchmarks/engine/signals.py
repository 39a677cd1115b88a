"""What the signals cost: lanes with them and without, in turns. Knows nothing of what the signals are."""

from benchmarks.engine.lanes import lanes_of
from benchmarks.engine.shapes import Shape
from benchmarks.page import table, verdict
from benchmarks.turns import Terms, in_turns

MOST_COST = 0.10


def page(shapes: list[Shape], terms: Terms) -> str:
    head = ["d, width, layers, batch", "with signals, us", "without, us", "cost", f"below {MOST_COST:.0%}", "lanes"]
    return table(head, [_row(shape, terms) for shape in shapes])


def _row(shape: Shape, terms: Terms) -> list[str | float | int]:
    on, off = (lanes_of(shape, terms, keeps_signals=keeps) for keeps in (True, False))
    paces = in_turns({"on": on.pace, "off": off.pace}, terms)
    cost = paces["on"] / paces["off"] - 1
    lanes = on.population.capacity
    return [shape.words, paces["on"], paces["off"], f"{cost:+.1%}", verdict(cost < MOST_COST), lanes]
