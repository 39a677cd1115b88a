"""What an account comes to, in sentences. Knows accounts alone."""

from collections.abc import Sequence

from trimtab.findings.worth.account import AT_WINNERS_RATE, HALF_OF_THE_ROWS, Account, Row, Stop
from trimtab.findings.worth.intervals import ALIKE, BETTER, WORSE
from trimtab.knobs.effects import flag
from trimtab.knobs.table import KNOBS
from trimtab.text.layout import number
from trimtab.text.wording import counted, listed, sentence
from trimtab.tuning.words import figure

HINDSIGHT = "best of hindsight"


def named(knob: str, value: object) -> str:
    """A choice as a sentence speaks of it: "the learning rate 0.01", "half of the rows"."""
    text = _shown(value)
    if value == HALF_OF_THE_ROWS:
        return "half of the rows"
    if knob == AT_WINNERS_RATE:
        return f"{text} at the same learning rate"
    title = KNOBS[knob].called if knob in KNOBS else knob
    return f"{title} {text}"


def measure(account: Account) -> str:
    """What differences are in: "rmse", "validation loss", or for what is better when greater "1 - accuracy"."""
    if not account.metric:
        return "validation loss"
    return f"1 - {account.metric}" if account.greater_is_better else account.metric


def by(account: Account, row: Row) -> str:
    """ "0.53 rmse (+13 %) [0.21, 0.85]": how far a row lies from the winner."""
    if row.difference is None or row.low is None or row.high is None:
        return "its training diverged"
    share = per_cent(account, row.difference)
    size, ends = number(abs(row.difference)), sorted((abs(row.low), abs(row.high)))
    return f"{size} {measure(account)}{f' ({share})' if share else ''} [{number(ends[0])}, {number(ends[1])}]"


def per_cent(account: Account, difference: float) -> str:
    """A difference as a share of the winner's error; "" where that is nought."""
    error = account.winner.get("error")
    return f"{difference / error:+.0%}".replace("%", " %") if error else ""


def mattered_most(account: Account) -> str:
    """What mattered most, in one sentence: the choice that is surely worth most, or that none is."""
    reached = account.reached
    if not reached:
        return "Nothing was measured of what each choice was worth: there was no time for it."
    # Another optimizer at a rate that is not its own says how far rates lie apart, and little of the choice.
    fair = [row for row in reached if row.knob != AT_WINNERS_RATE]
    surely = [row for row in fair if row.verdict in (BETTER, WORSE) and row.difference is not None]
    lost = [row for row in fair if row.verdict == WORSE and row.difference is None]
    better = [row for row in surely if row.verdict == BETTER]
    if better:
        best = min(better, key=lambda row: row.difference or 0.0)
        return sentence(
            f"Something does better than the winner: {named(best.knob, best.value)}, by {by(account, best)}"
        )
    if lost:
        rows = listed(named(row.knob, row.value) for row in lost[:3])
        return sentence(f"What mattered most: with {rows}, training diverges")
    if not surely:
        return (
            f"None of {counted(len(reached), 'other choice')} can be told apart from the winner's own: each is one of "
            "many ways to get there, or there were too few runs to tell."
        )
    worst = max(surely, key=lambda row: row.difference or 0.0)
    others = f"; {counted(len(surely) - 1, 'other choice is', 'other choices are')} surely worse too" * (
        len(surely) > 1
    )
    return sentence(f"What mattered most: {named(worst.knob, worst.value)} costs {by(account, worst)}{others}")


def _how(row: Row) -> str:
    """How to train so, from the command line."""
    flags = " ".join(f"{flag(knob)} {_shown(value)}" for knob, value in row.change.items() if knob in KNOBS)
    return f": fit with {flags}" if flags else ""


def _shown(value: object) -> str:
    return figure(value) if isinstance(value, float) else str(value)


def stopping_in_words(account: Account) -> str:
    """What patience would have done, in one sentence; "" where it was not looked at."""
    rules = {stop.rule: stop for stop in account.stopping}
    whole = rules.get("no stopping")
    if whole is None or whole.epochs <= 0:
        return ""
    if whole.kept >= 0.97 * whole.epochs:
        return (
            f"How long: the best of {whole.epochs:.0f} epochs is one of the last, so that more of them may do better."
        )
    enough = next((stop for stop in _patient(account.stopping) if _is_as_good(account, stop, whole)), None)
    if enough is None or enough.epochs >= whole.epochs:
        return sentence(
            f"How long: of {whole.epochs:.0f} epochs the best is number {whole.kept:.0f}; stopping earlier would have "
            "cost something"
        )
    return sentence(
        f"How long: of {whole.epochs:.0f} epochs the best is number {whole.kept:.0f}, and {enough.rule} would have "
        f"spent {enough.epochs:.0f} for a score as good"
    )


def _patient(stops: Sequence[Stop]) -> list[Stop]:
    """Rules of patience, the least patient first."""
    return sorted((s for s in stops if s.rule.startswith("patience")), key=lambda stop: stop.epochs)


def _is_as_good(account: Account, stop: Stop, whole: Stop) -> bool:
    worse = whole.score - stop.score if account.greater_is_better else stop.score - whole.score
    # Half a per cent is far less than scores of two seeds differ by (a guess).
    return worse <= 0.005 * abs(whole.score)


def reach_in_words(account: Account) -> str:
    """How many comparisons there were, how many could be decided, and what was not reached."""
    reached, left = account.reached, account.not_reached
    decided = sum(row.verdict != ALIKE for row in reached)
    text = f"{counted(len(reached), 'choice was', 'choices were')} tried beside the winner, {decided} of them decided"
    if left:
        text += f"; {len(left)} were not reached: explain with a --budget goes on from here"
    return sentence(text)


def worth_in_words(account: Account) -> tuple[str, ...]:
    """The three lines that end a fit."""
    return tuple(text for text in (mattered_most(account), stopping_in_words(account), reach_in_words(account)) if text)
