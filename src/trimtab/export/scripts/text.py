"""A script's outward form: its imports, and empty lines where Python's style wants them."""

import re
from collections.abc import Iterable


def imported(body: str, more: Iterable[str] = ()) -> str:
    """The imports that `body` uses, and `more` that somebody asked for; the standard library's first."""
    standard = [f"import {name}" for name in ("copy", "fnmatch", "math") if re.search(rf"\b{name}\.", body)]
    others = [f"import {name}" for name in ("numpy", "polars", "torch") if re.search(rf"\b{name}\.", body)]
    others += ["from torch import nn"] if re.search(r"\bnn\.", body) else []
    asked = [line for line in dict.fromkeys(more) if line not in (*standard, *others)]
    return "\n\n".join("\n".join(group) for group in (standard, [*others, *asked]) if group)


def tidy(text: str) -> str:
    """Two empty lines around functions and classes, at most two anywhere."""
    text = re.sub(r"\n+(?=(?:def|class) )", "\n\n\n", text)
    return re.sub(r"\n{4,}", "\n\n\n", text).strip() + "\n"
