"""JsonLists: logs of one list per curve in a JSON document.

Keras' History.history, the evals_result of XGBoost, LightGBM and CatBoost, dicts of one's own.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import polars

from trimtab.findings.logs.content import Content
from trimtab.findings.logs.json_rows import number_in
from trimtab.findings.logs.log import Log, column_of


def read(content: Content) -> list[Log] | None:
    """The log in lists of numbers; None where the content is something else."""
    document = content.document
    if not isinstance(document, dict):
        return None
    # Keras itself keeps params and epochs beside the history.
    history = document.get("history", document)
    lists = dict(_lists(history if isinstance(history, dict) else document))
    if not lists:
        return None
    longest = max(map(len, lists.values()))
    columns = [_column(name, numbers, longest) for name, numbers in lists.items()]
    if "epoch" not in lists:
        columns = [polars.Series("epoch", range(1, longest + 1), dtype=polars.Float64), *columns]
    return [Log(_form(document, lists), polars.DataFrame(columns))]


def _form(document: Mapping[str, Any], lists: Mapping[str, Any]) -> str:
    if all(isinstance(value, dict) for value in document.values()):
        return "evaluation results"
    return "a Keras history" if "loss" in lists else "lists of numbers in JSON"


def _lists(document: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, list[Any]]]:
    for name, value in document.items():
        if isinstance(value, dict) and above.count("/") < 2:
            yield from _lists(value, f"{above}{name}/")
        elif isinstance(value, list) and any(number_in(number) is not None for number in value):
            yield above + name, value


def _column(name: str, numbers: list[Any], count: int) -> polars.Series:
    """A list that is shorter, by half or a third, is of every second or third epoch: Keras' validation_freq."""
    every = count // len(numbers)
    told = [(place, number) for place, value in enumerate(numbers) if (number := number_in(value)) is not None]
    return column_of(name, count, [(place + 1) * every - 1 for place, _ in told], [number for _, number in told])
