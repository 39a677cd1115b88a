"""Checkup: a network before training, what was found, the remedies that were tried. Knows a check-up by its parts
alone."""

import math
from collections.abc import Sequence
from typing import Any, Protocol

from rich.console import Console

from trimtab.findings.finding import Findings
from trimtab.findings.words import percent
from trimtab.terminal.console import printed, say
from trimtab.terminal.findings import MOST_SHOWN, print_findings
from trimtab.text.layout import number, table_in_text
from trimtab.text.wording import counted, listed


class Examined(Protocol):
    """What is asked of a `Checkup`."""

    @property
    def name(self) -> str: ...
    @property
    def findings(self) -> Findings: ...
    @property
    def notes(self) -> Sequence[str]: ...
    @property
    def parameters(self) -> int: ...
    @property
    def train_rows(self) -> int: ...
    @property
    def valid_rows(self) -> int: ...
    @property
    def loss(self) -> str: ...
    @property
    def optimizer(self) -> str: ...
    @property
    def rate(self) -> float | None: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def metric(self) -> str: ...
    @property
    def start(self) -> float | None: ...
    @property
    def steps(self) -> int: ...
    @property
    def pairs(self) -> int: ...
    @property
    def comparisons(self) -> Sequence[Any]: ...
    @property
    def swept(self) -> Sequence[Any]: ...
    @property
    def by_heart(self) -> Any: ...


def checkup_in_text(checkup: Examined, width: int = 80, *, everything: bool = False) -> str:
    """What `print_checkup` prints, as text."""
    return printed(width, lambda console: print_checkup(console, checkup, everything=everything))


def print_checkup(console: Console, checkup: Examined, *, everything: bool = False) -> None:
    """What was looked at, what was tried and what it came to, the findings, and what could not be checked.

    Of many findings the gravest, unless `everything` is asked for.
    """
    _print_subject(console, checkup)
    _print_trials(console, checkup)
    _print_rates(console, checkup)
    _print_by_heart(console, checkup)
    console.print()
    findings, what = checkup.findings, "this network before training"
    if not findings.found and not findings.healthy:
        say(console, "Nothing could be judged.")
    print_findings(
        console, findings, what=what, most=None if everything else MOST_SHOWN, more="text(everything=True) shows them",
        has_evidence=everything,
    )  # fmt: skip
    if findings.found and findings.healthy:
        console.print()
        say(console, "Healthy:")
        for reason in findings.healthy:
            say(console, f"  - {reason}", indent="    ")
    _print_not_checked(console, findings)


def _print_subject(console: Console, checkup: Examined) -> None:
    rows = f"{counted(checkup.train_rows, 'training row')}"
    rows += f", {counted(checkup.valid_rows, 'validation row')}" if checkup.valid_rows else ", which judge it too"
    rate = "a rate of its own" if checkup.rate is None else f"learning rate {checkup.rate:.3g}"
    say(console, f"{checkup.name}: {counted(checkup.parameters, 'trained number')}; {rows}.", indent="  ")
    how = f"Loss {checkup.loss}, optimizer {checkup.optimizer}, {rate}, batches of {checkup.batch_size:,}."
    say(console, how, indent="  ")
    for note in checkup.notes:
        say(console, f"  {note}", indent="  ")


def _print_trials(console: Console, checkup: Examined) -> None:
    if checkup.start is None:
        return
    console.print()
    trainings = f"short trainings of {counted(checkup.steps, 'step')}"
    many = counted(checkup.pairs, "seed")
    if not checkup.comparisons:
        figure = _figure(checkup.start)
        say(console, f"In {trainings}, {many}, it comes to {checkup.metric} {figure}.", indent="  ")
        return
    say(console, f"Tried in {trainings}, the same {many} for each ({checkup.metric}):", indent="  ")
    rows = [("as it is", "", _figure(checkup.start), "", "")]
    rows += [
        (f"with {each.change}", _figure(each.before), _figure(each.after), _interval(each), each.verdict)
        for each in checkup.comparisons
    ]
    headings = ("change", "before", "after", "after - before", "verdict")
    console.print()
    console.print(table_in_text(headings, rows, console.width, right=(1, 2)), soft_wrap=True)


def _print_rates(console: Console, checkup: Examined) -> None:
    if not checkup.swept:
        return
    rows = [
        (f"{each.rate:.3g}", _figure(each.error), f"{each.diverged} of {each.runs}" if each.diverged else "none",
         "the rate in question" if each.rate == checkup.rate else "")
        for each in checkup.swept
    ]  # fmt: skip
    console.print()
    headings = ("learning rate", checkup.metric, "diverged", "")
    console.print(table_in_text(headings, rows, console.width, right=(0, 1, 2)), soft_wrap=True)


def _print_by_heart(console: Console, checkup: Examined) -> None:
    learnt = checkup.by_heart
    if learnt is None:
        return
    beside = "" if learnt.control is None else f"; a control network of ours leaves {percent(learnt.control)}"
    console.print()
    say(
        console,
        f"{counted(learnt.rows, 'row')} by heart in {learnt.steps} steps: the network leaves {percent(learnt.left)} of "
        f"the error{beside}.",
        indent="  ",
    )


def _print_not_checked(console: Console, findings: Findings) -> None:
    """The checks that could not run, by the reason why."""
    reasons: dict[str, list[str]] = {}
    for each in findings.not_checked:
        reasons.setdefault(each.why, []).append(each.id)
    if reasons:
        console.print()
        say(console, "Not checked:")
    for why, ids in reasons.items():
        say(console, f"  - {why}: {listed(ids)}", indent="    ")


def _figure(error: float) -> str:
    return number(error) if math.isfinite(error) else "diverged"


def _interval(comparison: Any) -> str:
    ends = (comparison.low, comparison.high)
    return f"[{number(ends[0])}, {number(ends[1])}]" if all(map(math.isfinite, ends)) else "-"
