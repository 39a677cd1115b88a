"""Python's own notation: names, numbers and tables as they stand in a script. Knows nothing of what they mean."""

import json
import textwrap
from collections.abc import Iterable, Mapping

WIDTH = 116


def literal(value: object) -> str:
    """`value` as it is written in Python, text in double quotes, numbers in at most nine digits."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\x7f")
    if isinstance(value, float):
        return repr(float(f"{value:.9g}"))
    if isinstance(value, tuple):
        return f"({', '.join(map(literal, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    return repr(value)


def table(name: str, entries: Mapping[str, object] | Iterable[object]) -> str:
    """`name = {...}` (or `[...]`), on one line where it fits, else filled up to the width of a line."""
    is_mapping = isinstance(entries, Mapping)
    if isinstance(entries, Mapping):
        items = [f"{literal(key)}: {literal(value)}" for key, value in entries.items()]
    else:
        items = [literal(value) for value in entries]
    opening, closing = "{}" if is_mapping else "[]"
    whole = f"{name} = {opening}{', '.join(items)}{closing}"
    if len(whole) <= WIDTH:
        return whole
    lines, line = [], ""
    for item in items:
        if line and len(line) + len(item) + 6 > WIDTH:
            lines.append(line)
            line = ""
        line += f"{' ' if line else ''}{item},"
    return "\n".join([f"{name} = {opening}", *(f"    {each}" for each in [*lines, line]), closing])


def comment(text: str) -> str:
    """`text` as lines of a comment."""
    return "\n".join(textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ", break_long_words=False))


def indented(text: str, by: int = 4) -> str:
    return textwrap.indent(text, " " * by)
