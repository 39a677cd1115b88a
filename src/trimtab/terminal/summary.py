"""Summary: what a study has found, its figures beside those of the baselines. Knows a study by its result alone."""

from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from trimtab.terminal.console import printed, say
from trimtab.terminal.progress import MODELS
from trimtab.text.layout import number, paragraph, table_in_text
from trimtab.text.wording import counted
from trimtab.tuning.verdicts import effort_in_words, ensemble_in_words, rows_in_words, verdicts

PARTS = {"validation": "valid", "test": "test"}
COLUMNS = MODELS | {"linear": "linear"}


class Summarised(Protocol):
    """What is asked of a `Study`."""

    @property
    def words(self) -> str: ...

    @property
    def worth(self) -> tuple[str, ...]: ...

    def summary(self) -> dict[str, Any]: ...


def summary_in_text(study: Summarised, width: int = 80) -> str:
    """What `print_summary` prints, as text."""
    if "baselines" not in study.summary():
        return _networks_in_text(study, width)
    return printed(width, lambda console: print_summary(console, study))


def _networks_in_text(study: Summarised, width: int) -> str:
    """The same of a study of the caller's own networks, which has no baselines."""
    result = study.summary()
    parts = [("validation", result["validation"]), *([("test", result["test"])] if result["test"] else [])]
    headings = ["metric", *(f"{part}, {counted(result['rows'][PARTS[part]], 'row')}" for part, _ in parts)]
    rows = [[name, *(number(scores.get(name)) for _, scores in parts)] for name in result["validation"]]
    blocks = [
        paragraph(f"Best config: {study.words}.", width),
        table_in_text(headings, rows, width, right=range(1, len(headings))),
        *(paragraph(text, width, indent="  ") for text in study.worth),
        f"Study:  {result['out']}  ({effort_in_words(result)})",
    ]
    return "\n\n".join(blocks)


def print_summary(console: Console, study: Summarised) -> None:
    """The best config in words, its figures beside each baseline's, and where everything is."""
    result = study.summary()
    console.print()
    say(console, f"Best config: {study.words}.")
    say(console, ensemble_in_words(result))
    _print_figures(console, result)
    for text in verdicts(result):
        say(console, text, indent="  ")
    console.print()
    for text in study.worth:
        say(console, text, indent="  ")
    if study.worth:
        console.print()
    out = Path(result["out"])
    say(console, f"Model:  {out / 'model'}")
    for name, file in (("Curves", out / "curves.parquet"), ("Rows", out / "predictions.parquet")):
        if file.exists():
            say(console, f"{name + ':':8}{file}")
    say(console, f"Study:  {out}  ({effort_in_words(result)})")


def _print_figures(console: Console, result: dict[str, Any]) -> None:
    """The model's figures with their intervals, and those of the baselines on the same rows."""
    scores = result["test"] or result.get("nested") or result["validation"]
    intervals = result.get("intervals") or {result["metric"]: result["interval"]}
    names = result["baselines"]
    headings = ["metric", "trimtab", "95 % interval", *(COLUMNS.get(name, name) for name in names)]
    rows = []
    for metric, score in scores.items():
        ends = intervals.get(metric)
        interval = f"[{number(ends[0])}, {number(ends[1])}]" if ends else ""
        rows.append([metric, number(score), interval, *(number(names[name].get(metric)) for name in names)])
    right = {1, *range(3, len(headings))}
    console.print()
    say(console, rows_in_words(result))
    console.print(table_in_text(headings, rows, console.width, right=right), soft_wrap=True)
    console.print()
