"""What each choice was worth, in the terminal: the path, the ranked table with its whiskers, and stopping rules.

Knows explanations; it trains nothing.
"""

import statistics
from collections.abc import Sequence
from typing import Protocol

from rich.console import Console

from trimtab.findings.finding import Findings
from trimtab.findings.worth import words
from trimtab.findings.worth.account import Account, Row
from trimtab.terminal.console import printed, say
from trimtab.terminal.findings import MOST_SHOWN, print_findings
from trimtab.text.layout import number, table_in_text

# Characters of a picture of an interval, with the winner in the middle; and how many medians of an interval's end it
# reaches, so that one choice that ruins all does not flatten the others.
PICTURE, REACH = 31, 2.5
SHOWN = 15


class Explained(Protocol):
    """What is asked of an `Explanation`."""

    @property
    def account(self) -> Account: ...

    @property
    def findings(self) -> Findings: ...


def explanation_in_text(explanation: Explained, width: int = 118) -> str:
    """What `print_explanation` prints, as text."""
    return printed(width, lambda console: print_explanation(console, explanation))


def print_explanation(console: Console, explanation: Explained, *, everything: bool = False) -> None:
    """All of it; of many comparisons and findings the most telling ones, unless `everything` is asked for."""
    account = explanation.account
    say(console, f"Looked at: {account.winner['words']}.")
    console.print()
    _print_path(console, account)
    _print_rows(console, account, None if everything else SHOWN)
    _print_stopping(console, account)
    for text in (*words.worth_in_words(account), words.amount_in_words(account)):
        if text:
            say(console, text)
    if explanation.findings.found:
        console.print()
        print_findings(console, explanation.findings, what="this study", most=None if everything else MOST_SHOWN)


def whiskers(row: Row, reach: float) -> str:
    """An interval as text: the winner is the bar in the middle, the circle the difference, the line its interval; an
    arrow where it leaves the picture."""
    if row.difference is None or row.low is None or row.high is None or reach <= 0:
        return ""
    middle = PICTURE // 2
    cells = [" "] * PICTURE

    def place(value: float) -> int:
        return max(0, min(PICTURE - 1, middle + round(value / reach * middle)))

    low, high = place(row.low), place(row.high)
    for at in range(low, high + 1):
        cells[at] = "─"
    cells[middle] = "┼" if low <= middle <= high else "│"
    cells[place(row.difference)] = "●"
    if row.low < -reach:
        cells[0] = "◂"
    if row.high > reach:
        cells[-1] = "▸"
    return "".join(cells)


def reach_of(rows: Sequence[Row]) -> float:
    """How far a picture of all of them reaches to either side."""
    ends = [max(abs(row.low), abs(row.high)) for row in rows if row.low is not None and row.high is not None]
    return REACH * statistics.median(ends) if ends else 0.0


def _print_rows(console: Console, account: Account, most: int | None) -> None:
    rows = account.reached
    if not rows:
        return
    score = account.winner.get("score")
    again = "" if score is None else f"; trained again it comes to {number(score)} {account.metric}".rstrip()
    say(
        console,
        f"Other choices beside the winner's, in {words.measure(account)} (above 0: worse than the winner{again})",
    )
    reach = reach_of(rows)
    table = [
        [
            "its rate" if row.knob == words.AT_WINNERS_RATE else row.knob, words.instead(row), _figure(row.difference),
            _ends(row.low, row.high), "" if row.difference is None else words.per_cent(account, row.difference),
            row.verdict, whiskers(row, reach),
        ]
        for row in rows[:most]
    ]  # fmt: skip
    headings = ["knob", "instead", "difference", "95 % interval", "share", "verdict", "better │ worse".center(PICTURE)]
    console.print(table_in_text(headings, table, max(console.width, 1), right={2, 4}), soft_wrap=True)
    if most is not None and len(rows) > most:
        say(console, f"{len(rows) - most} more cannot be told apart or are smaller: --all shows them.")
    console.print()


def _print_path(console: Console, account: Account) -> None:
    if not account.path:
        return
    say(
        console,
        f"From a careful beginner's network to the result, one choice after the other ({account.metric}); "
        f"{_order_in_words(account)}",
    )
    rows = [[number(account.path[0].score), "the default MLP", "", ""]]
    for step in account.path[1:]:
        change = None if step.gain is None else -step.gain
        low, high = (None, None) if step.low is None or step.high is None else (-step.high, -step.low)
        unsure = "cannot be told from noise" if low is None or high is None or low <= 0 <= high else ""
        ends = f"{_ends(low, high)}  {unsure}".strip()
        rows.append([number(step.score), words.named(step.knob, step.value), _figure(change), ends])
    headings = ["score", "with", "change", "95 % interval"]
    console.print(table_in_text(headings, rows, console.width, right={0, 2}), soft_wrap=True)
    console.print()


def _order_in_words(account: Account) -> str:
    choices = sum(step.knob not in ("beginner", words.ENSEMBLE) for step in account.path)
    if account.best_steps >= choices:
        return "each is the best of all that were left, tried one by one"
    behind = "what gains most alone comes first"
    if account.best_steps > 1:
        behind = f"the first {account.best_steps} are each the best of all that were left, tried one by one"
    return behind


def _print_stopping(console: Console, account: Account) -> None:
    if not account.stopping:
        return
    say(console, "Stopping rules, read off one training of the winner to its end, under its own schedule")
    rows = [[stop.rule, f"{stop.epochs:.0f}", f"{stop.kept:.0f}", number(stop.score)] for stop in account.stopping]
    headings = ["rule", "epochs spent", "epoch kept", account.metric or "validation loss"]
    console.print(table_in_text(headings, rows, console.width, right={1, 2, 3}), soft_wrap=True)
    console.print()


def _figure(value: float | None) -> str:
    return "diverged" if value is None else f"{'+' if value > 0 else ''}{number(value)}"


def _ends(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"[{number(low)}, {number(high)}]"
