"""Remedies: what to change, by knobs, in words, as flags of `trimtab fit` and as arguments of `tt.fit`.

Knows the names of knobs and the rates that are usual; it knows no finding.
"""

import shlex
from collections.abc import Mapping
from typing import Any

from trimtab.findings.finding import Remedy
from trimtab.findings.shapes import number_of, rate_of
from trimtab.findings.training_record import TrainingRecord
from trimtab.knobs.table import KNOBS, OPTIMIZERS, TABLE_KNOBS

# `stop=20` of tt.fit is a patience, which tables have as a knob of its own.
_FLAGS = {"stop": "patience"}


def by_knobs(text: str, **change: Any) -> Remedy:
    """The remedy of new values for knobs; those that `trimtab fit` does not take have no flag."""
    return Remedy(
        text, change, _flags(change), ", ".join(f"{name}={_plain(value)!r}" for name, value in change.items())
    )


def lower_rate(record: TrainingRecord, by: float) -> dict[str, float]:
    """The rate divided `by` so much, and no higher than is usual for the optimizer (see the table of knobs): one
    that is a thousand times too large is not mended by a tenth of it. Nothing where it is not known."""
    rate, optimizer = rate_of(record), record.knobs.get("optimizer")
    if rate is None:
        return {}
    usual = dict(KNOBS["optimizer"].option(optimizer).in_tables)["lr"] if optimizer in OPTIMIZERS else rate
    return {"lr": min(rate / by, float(usual))}


def larger_network(record: TrainingRecord) -> dict[str, int]:
    """Twice the units and a layer more than it has, no fewer than 128 in two layers; those where nothing is known."""
    width, depth = (number_of(record, name) for name in ("width", "depth"))
    return {"width": max(128, 2 * int(width or 0)), "depth": max(2, 1 + int(depth or 0))}


def tighter_clip(record: TrainingRecord) -> float:
    """A bound of the gradient's norm of 1, or a tenth of one that is there and did not help."""
    bound = record.knobs.get("gradient_clip")
    return min(1.0, bound / 10) if isinstance(bound, int | float) and bound else 1.0


def without(*columns: str) -> str:
    """The flags that leave columns out, each name as `--drop` and a shell read it."""
    return " ".join(f"--drop {in_shell(_in_csv(column))}" for column in columns)


def in_shell(text: str) -> str:
    """Text as one word of a command: in double quotes, unless a shell reads something else into it there."""
    return shlex.quote(text) if set(text) & set('"$`!\\') else f'"{text}"'


def _in_csv(name: str) -> str:
    """A name as one of several with commas between them."""
    is_plain = name == name.strip() and not set(name) & set(',"\n\r')
    return name if is_plain else '"' + name.replace('"', '""') + '"'


def _flags(change: Mapping[str, Any]) -> str:
    flags = [(_FLAGS.get(name, name), value) for name, value in change.items()]
    return " ".join(f"--{name.replace('_', '-')} {_plain(value)}" for name, value in flags if name in TABLE_KNOBS)


def _plain(value: Any) -> Any:
    """Numbers as one types them: three digits, no more."""
    return float(f"{value:.3g}") if isinstance(value, float) else value
