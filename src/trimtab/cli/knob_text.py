"""Knobs as they are typed on a command line: "a,b,c" and NAME=VALUE. Knows no knobs."""

from collections.abc import Sequence

from trimtab.errors import OptionError

Value = str | int | float


def value_in(text: str) -> Value:
    """The number that `text` is, or the text itself."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def values_in(text: str | None) -> list[Value] | None:
    """The values in "a,b,c"; None where nothing was typed."""
    if text is None:
        return None
    values = [value_in(part.strip()) for part in text.split(",") if part.strip()]
    if len(values) < 2 or len(set(values)) < len(values):
        raise OptionError(f'--values "{text}" must be at least two different values, as a,b,c.')
    return values


def knobs_in(texts: Sequence[str]) -> dict[str, Value]:
    """The knobs in several NAME=VALUE."""
    knobs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise OptionError(f'--fix "{text}" must be NAME=VALUE, such as --fix loss=huber.')
        knobs[name.strip().replace("-", "_")] = value_in(value.strip())
    return knobs
