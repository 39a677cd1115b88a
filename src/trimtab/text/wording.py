"""Wording: numbers with their nouns, articles, lists and full stops, for every sentence that users read.

Knows nothing of what the sentences are about: everyone may import it.
"""

import re
from collections.abc import Iterable

_VOWEL = re.compile(r"(?:[aeio]|u(?!n[iu]|[rst][aeiu]|k|bi)|8|1[18](?!\d))", re.IGNORECASE)
_LETTERS_SPELT = re.compile(r"[AEFHILMNORSX](?:[A-Z]|\b)(?![a-z])")
_ENDS = (".", "!", "?", "…", ":")


def counted(number: int, one: str, many: str | None = None) -> str:
    """ "1 row" or "1,204 rows": a number with what it counts, and a verb where `one` and `many` bring it.

    `many` is `one` with an s where it is left out: `counted(n, "row has", "rows have")` needs both.
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def with_article(words: str) -> str:
    """ "a loss" or "an optimizer", by how the first letter is spoken ("an MLP", "an RMSprop", "a unit")."""
    first = words.lstrip("\"'")
    is_vowel = _LETTERS_SPELT.match(first) if first[:2].isupper() else _VOWEL.match(first)
    return f"{'an' if is_vowel else 'a'} {words}"


def listed(words: Iterable[object], last: str = "and") -> str:
    """ "a", "a and b", "a, b and c"; `last` may be "or"."""
    texts = [str(word) for word in words]
    if len(texts) < 2:
        return "".join(texts)
    return f"{', '.join(texts[:-1])} {last} {texts[-1]}"


def sentence(text: str) -> str:
    """`text` with exactly one mark at its end: a full stop unless it has one already."""
    text = text.strip()
    while text.endswith(("..", "?.", "!.", ":.", "….")) and not text.endswith("..."):
        text = text[:-1]
    closed = text.rstrip("\"')”")
    return text if closed.endswith(_ENDS) and text else f"{text}."
