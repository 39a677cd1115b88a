"""Chart: one question with its picture, what the picture says in a sentence, and the table behind it.

Knows drawings and texts; it knows no study.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trimtab.report.drawing import Drawing

# Pixels: what a picture has on a wide page, and on a telephone.
WIDE, NARROW = 760.0, 350.0


def is_narrow(width: float) -> bool:
    """Whether a picture is so narrow that labels stand above what they belong to, and fewer of them."""
    return width < 500.0


@dataclass(frozen=True)
class Table:
    """Headings and rows, as text; columns of numbers stand to the right."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Chart:
    """A picture that answers one question.

    Attributes:
        name: its place on the page, as an address knows it.
        question: its title.
        takeaway: the answer, in a sentence.
        draw: the picture for so many pixels of width.
        table: the numbers behind it.
        note: how it was measured, or how to read it; "" where that is plain.
    """

    name: str
    question: str
    takeaway: str
    draw: Callable[[float], Drawing] | None = None
    table: Table | None = None
    note: str = ""

    @property
    def pictures(self) -> tuple[str, ...]:
        """The picture for a wide page and for a telephone; the page shows one of them."""
        if self.draw is None:
            return ()
        return self.draw(WIDE).svg("wide"), self.draw(NARROW).svg("narrow")
