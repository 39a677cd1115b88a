"""Python's own notation: names, numbers and tables as they stand in a script. Knows nothing of what they mean."""

import json
import textwrap
from collections.abc import Iterable, Mapping

WIDTH = 116


class Measured(float):
    """A number that is written in as many digits as tell it from others that are `within` of it."""

    def __new__(cls, value: float, within: float) -> "Measured":
        digits = range(1, 18)  # seventeen tell every float64 apart
        return super().__new__(cls, next(f for d in digits if abs((f := float(f"{value:.{d}g}")) - value) <= within))


def center_of(center: float, scale: float) -> Measured:
    """What is taken off a column before it is divided by `scale`: a moment in milliseconds needs thirteen digits."""
    return Measured(center, within=1e-9 * scale)


def literal(value: object) -> str:
    """`value` as it is written in Python, text in double quotes, numbers in at most nine digits if not `Measured`."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\x7f")
    if isinstance(value, Measured):
        return repr(float(value))
    if isinstance(value, float):
        return repr(float(f"{value:.9g}"))
    if isinstance(value, tuple):
        return f"({', '.join(map(literal, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    return repr(value)


def table(name: str, entries: Mapping[str, object] | Iterable[object]) -> str:
    """`name = {...}` (or `[...]`), on one line where it fits, else filled up to the width of a line."""
    return _filled(f"{name} = ", entries, "")


def _filled(start: str, entries: Mapping[str, object] | Iterable[object], indent: str) -> str:
    entries = entries if isinstance(entries, Mapping) else list(entries)
    pairs = entries.items() if isinstance(entries, Mapping) else [(None, value) for value in entries]
    opening, closing = "{}" if isinstance(entries, Mapping) else "[]"
    keys = ["" if key is None else f"{literal(key)}: " for key, _ in pairs]
    items = [key + literal(value) for key, (_, value) in zip(keys, pairs, strict=True)]
    whole = f"{indent}{start}{opening}{', '.join(items)}{closing}"
    if len(whole) <= WIDTH or not items:
        return whole
    inner = indent + "    "
    lines, line = [], ""
    for key, item, (_, value) in zip(keys, items, pairs, strict=True):
        is_long = isinstance(value, list) and len(inner) + len(item) + 1 > WIDTH
        if line and (is_long or len(inner) + len(line) + len(item) + 2 > WIDTH):
            lines.append(inner + line)
            line = ""
        if is_long:
            lines.append(_filled(key, value, inner) + ",")  # type: ignore[arg-type]
        else:
            line += f"{' ' if line else ''}{item},"
    lines += [inner + line] if line else []
    return "\n".join([f"{indent}{start}{opening}", *lines, f"{indent}{closing}"])


def comment(text: str) -> str:
    """`text` as lines of a comment."""
    return "\n".join(textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ", break_long_words=False))


def indented(text: str, by: int = 4) -> str:
    return textwrap.indent(text, " " * by)
