"""JsonLists: logs of one list per curve in a JSON document.

Keras' History.history, the evals_result of XGBoost, LightGBM and CatBoost, dicts of one's own.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import polars

from trimtab.findings.logs.content import Content
from trimtab.findings.logs.json_rows import number_in
from trimtab.findings.logs.log import Log, column_of
from trimtab.recording.names import PARTS, words_of


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
    is_boosted = all(isinstance(value, dict) for value in document.values())
    whose = _whose(list(document)) if is_boosted else {}
    told = {column: part for column in lists for name, part in whose.items() if column.startswith(f"{name}/")}
    form = "evaluation results" if is_boosted else "a Keras history" if "loss" in lists else "lists of numbers in JSON"
    frame = polars.DataFrame([polars.Series("epoch", range(1, longest + 1), dtype=polars.Float64), *columns])
    return (
        [Log(form, frame, whose=told)] if "epoch" not in lists else [Log(form, polars.DataFrame(columns), whose=told)]
    )


def _whose(names: list[str]) -> dict[str, str]:
    """Whose rows the sets of a boosted model are of.

    What is called validation_0 is the first set that was given: the training rows, where a second one follows.
    """
    if len(names) > 1 and names[:2] == ["validation_0", "validation_1"]:
        return {"validation_0": "train"}
    unnamed = [name for name in names if not set(words_of(name)) & set(PARTS)]
    return dict(zip(unnamed, ("train", "validation"), strict=False)) if len(unnamed) == len(names) > 1 else {}


def _lists(document: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, list[Any]]]:
    for name, value in document.items():
        if isinstance(value, dict) and above.count("/") < 2:
            yield from _lists(value, f"{above}{name}/")
        elif isinstance(value, list) and any(number_in(number) is not None for number in value):
            yield above + name, value


def _column(name: str, numbers: list[Any], count: int) -> polars.Series:
    told = [(place, number) for place, value in enumerate(numbers) if (number := number_in(value)) is not None]
    # A shorter list begins where the others do: validation every few epochs has gaps of its own.
    return column_of(name, count, [place for place, _ in told], [number for _, number in told])
