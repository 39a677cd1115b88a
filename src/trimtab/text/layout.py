"""Figures and tables as text, for a width in characters: no value is cut, and nothing breaks inside a word.

Knows texts and widths; it knows nothing of what the tables show.
"""

import math
import textwrap
from collections.abc import Collection, Sequence

from rich.cells import cell_len

GAP = 2
# A column of words is not made narrower than this: two words a line are no text any more.
NARROWEST = 16
# From here on nobody counts the thousands any more.
HUGE = 1e12


def number(value: float | None) -> str:
    """A figure for people: four significant digits, thousands separated; "3.000e-08" where it is tiny, or huge."""
    if value is None or not math.isfinite(value):
        return "-"
    rounded = abs(float(f"{value:.3e}"))  # 9.9999 has as many digits before the point as 10
    digits = 0 if rounded == 0 else max(0, 3 - math.floor(math.log10(rounded)))
    # Of what is smaller, 6 places behind the point would show less than three digits, or none.
    return f"{value:,.{min(digits, 6)}f}" if digits <= 7 and rounded < HUGE else f"{value:.3e}"


def table_in_text(
    headings: Sequence[str], rows: Sequence[Sequence[str]], width: int, *, right: Collection[int] = (), gap: int = GAP
) -> str:
    """The lines of a table that fits `width`; the columns in `right` stand to the right.

    What is too wide has the words of its last column on several lines; where that does not do, its columns go on below,
    each part with the first column again. A single word wider than all there is stays whole.
    """
    cells = [list(map(str, row)) for row in (headings, *rows)]
    widths = [max(cell_len(row[i]) for row in cells) for i in range(len(headings))]
    last = len(headings) - 1
    needed = list(widths)
    if last not in right:
        longest = max((cell_len(word) for row in cells for word in row[last].split()), default=0)
        needed[last] = min(widths[last], max(NARROWEST, longest))
    blocks = []
    for part in _parts(needed, width, gap):
        used = sum(needed[i] for i in part[:-1]) + gap * (len(part) - 1)
        room = min(widths[part[-1]], max(needed[part[-1]], width - used))
        sizes = [*(widths[i] for i in part[:-1]), room]
        sides = [i in right for i in part]
        blocks.append("\n".join(line for row in cells for line in _lines([row[i] for i in part], sizes, sides, gap)))
    return "\n\n".join(blocks)


def paragraph(text: str, width: int, *, indent: str = "") -> str:
    """`text` on lines of at most `width`, broken between words alone; those after the first begin with `indent`."""
    return textwrap.fill(
        text, max(width, len(indent) + 1), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _parts(widths: Sequence[int], width: int, gap: int) -> list[list[int]]:
    """Which columns stand side by side, the first one always among them."""
    parts, used = [[0]], widths[0]
    for i in range(1, len(widths)):
        if used + gap + widths[i] > width and len(parts[-1]) > 1:
            parts.append([0])
            used = widths[0]
        parts[-1].append(i)
        used += gap + widths[i]
    return parts


def _lines(row: Sequence[str], widths: Sequence[int], is_right: Sequence[bool], gap: int) -> list[str]:
    """One row: a line, or several where its last cell has more words than fit."""
    *cells, last = [
        " " * (width - cell_len(cell)) * right + cell + " " * (width - cell_len(cell)) * (not right)
        for cell, width, right in zip(row, widths, is_right, strict=True)
    ]
    begun = (" " * gap).join([*cells, ""])
    pieces = textwrap.wrap(last, widths[-1], break_long_words=False, break_on_hyphens=False) if not is_right[-1] else []
    pieces = pieces or [last]
    return [(begun + pieces[0]).rstrip(), *((" " * cell_len(begun) + piece).rstrip() for piece in pieces[1:])]
