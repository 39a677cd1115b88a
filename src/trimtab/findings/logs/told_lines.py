"""ToldLines: JSON lines of which the first says how the training was made, and each other what an epoch came to.

    {"training": {"task": "regression", "planned": 60, "kept": 41, "knobs": {"lr": 0.003}, "facts": {"inputs": 8}}}
    {"epoch": 1, "train_loss": 0.91, "validation_loss": 0.83, "dead_by_layer": [0.1, 0.2]}

What the first line may say is what `TrainingRecord` has beside curves; lists in the others are an entry for each layer.
"""

from collections.abc import Mapping
from typing import Any

from trimtab.findings.logs.content import Content
from trimtab.findings.logs.json_rows import number_in, object_in, rows_as_logs
from trimtab.findings.logs.log import Log
from trimtab.findings.logs.recordings import by_layer

MARK = "training"
_TEXTS, _NUMBERS = ("ended", "metric", "task"), ("planned", "kept")
_BY_LAYER = ("gradient_norms", "dead_by_layer", "saturated_by_layer")


def read(content: Content) -> list[Log] | None:
    """The log, with what its first line says; None where the content is something else."""
    first, _, others = content.text.lstrip().partition("\n")
    about = object_in(first)
    if about is None or set(about) != {MARK} or not isinstance(about[MARK], dict):
        return None
    rows = [row for row in map(object_in, others.splitlines()) if row is not None]
    logs = rows_as_logs(rows, "JSON lines") if rows else None
    if not logs:
        return None
    known = _known(about[MARK])
    lists = {name: [row.get(name) for row in rows] for name in _BY_LAYER}
    known["by_layer"] = by_layer({name: each for name, each in lists.items() if all(_is_list(one) for one in each)})
    return [Log(log.format, log.frame, log.run, log.notes, {**log.known, **known}) for log in logs]


def _known(about: Mapping[str, Any]) -> dict[str, Any]:
    """What is of the kind that it should be; the rest is left out."""
    known: dict[str, Any] = {name: about[name] for name in _TEXTS if isinstance(about.get(name), str)}
    known |= {name: int(value) for name in _NUMBERS if (value := number_in(about.get(name))) is not None}
    if isinstance(about.get("greater_is_better"), bool):
        known["greater_is_better"] = about["greater_is_better"]
    knobs, facts = about.get("knobs"), about.get("facts")
    known["knobs"] = dict(knobs) if isinstance(knobs, dict) else {}
    told = {name: number_in(value) for name, value in facts.items()} if isinstance(facts, dict) else {}
    known["facts"] = {name: value for name, value in told.items() if value is not None}
    return known


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, (int, float)) for each in value)
