"""What an account comes to, in sentences. Knows accounts alone."""

from collections.abc import Callable, Sequence

from trimtab.findings.worth.account import (
    AT_WINNERS_RATE,
    ENSEMBLE,
    HALF_OF_THE_ROWS,
    INPUTS_UNSCALED,
    PREPARATION,
    QUARTER_OF_THE_ROWS,
    ROWS,
    SINGLE,
    TARGET_UNSCALED,
    Account,
    Row,
    Stop,
)
from trimtab.findings.worth.amount import gain_of_more, measure
from trimtab.findings.worth.intervals import ALIKE, BETTER, WORSE
from trimtab.knobs.effects import flag
from trimtab.knobs.table import KNOBS
from trimtab.text.layout import number
from trimtab.text.wording import counted, listed, sentence
from trimtab.tuning.words import figure

HINDSIGHT = "best of hindsight"
# A rule that spends more than this share of all epochs saves nothing worth a word (a guess).
LITTLE_SAVED = 0.9
# What is proposed to who has none yet: a round budget, and the seconds of training that it surely has.
_BUDGETS = (("1m", 45), ("2m", 100), ("5m", 270), ("15m", 850), ("1h", 3500))
# Stopping rules that were read off fewer folds than this say so.
FEWEST_FOLDS = 5


# Another optimizer at a rate that is not its own says how far rates lie apart, and little of the choice; nobody chooses
# to have fewer rows; and an ensemble is judged by the rows that chose it.
_UNFAIR = {
    AT_WINNERS_RATE: "another optimizer at the winner's rate",
    ROWS: "fewer rows",
    ENSEMBLE: "one trial in the ensemble's place",
}
_PARTS_OF_ROWS = {HALF_OF_THE_ROWS: "half", QUARTER_OF_THE_ROWS: "a quarter"}
_UNPREPARED = {INPUTS_UNSCALED: "inputs as they stand in the table", TARGET_UNSCALED: "the target in its own units"}
_NO_EMBEDDING = "scaled"


def instead(row: Row) -> str:
    """What a row of the table has instead of the winner's choice."""
    text = _shown(row.value)
    if row.knob == "inputs" and row.value == _NO_EMBEDDING:
        return f"{text}, no embedding"
    return text if row.rate is None else f"{text} (lr {figure(row.rate)})"


def named(knob: str, value: object) -> str:
    """A choice as a sentence speaks of it: "the learning rate 0.01", "half of the rows"."""
    text = _shown(value)
    if knob == ROWS:
        return f"{_PARTS_OF_ROWS.get(text, text)} of the rows"
    if knob == ENSEMBLE:
        return "one network alone" if value == SINGLE else f"the ensemble of {text}"
    if knob == PREPARATION:
        return _UNPREPARED.get(text, text)
    if knob == "inputs" and value == _NO_EMBEDDING:
        return "inputs that are only scaled"
    if knob == AT_WINNERS_RATE:
        return f"{text} at the same learning rate"
    title = KNOBS[knob].called.replace("_", " ") if knob in KNOBS else knob
    return f"{title} {text}"


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
    is_trained = any(row.knob != ENSEMBLE for row in reached)
    if not reached:
        return "Nothing was measured of what each choice was worth: there was no time for it."
    if account.not_reached and not is_trained:
        single = reached[0]
        worth = {WORSE: "would cost", BETTER: "would gain"}.get(single.verdict, "")
        told = f"{worth} {by(account, single)}" if worth else "cannot be told apart from it"
        return sentence(
            "Only the ensemble was measured, for which nothing has to be trained: "
            f"{named(single.knob, single.value)} {told}"
        )
    fair = _fair(reached)
    surely = [row for row in fair if row.verdict in (BETTER, WORSE) and row.difference is not None]
    lost = [row for row in fair if row.verdict == WORSE and row.difference is None]
    better = [row for row in surely if row.verdict == BETTER]
    if better:
        best = min(better, key=lambda row: row.difference or 0.0)
        return sentence(
            f"Something does better than the winner: {named(best.knob, best.value)}, by {by(account, best)}{_how(best)}"
        )
    if lost:
        rows = listed(named(row.knob, row.value) for row in lost[:3])
        return sentence(f"What mattered most: with {rows}, training diverges")
    if not surely:
        return (
            f"None of {counted(len(fair), 'other choice')} can be told apart from the winner's own: each is one of "
            "many ways to get there, or there were too few runs to tell."
        )
    worst = max(surely, key=lambda row: row.difference or 0.0)
    others = f"; {counted(len(surely) - 1, 'other choice is', 'other choices are')} surely worse too" * (
        len(surely) > 1
    )
    return sentence(f"What mattered most: {named(worst.knob, worst.value)} would cost {by(account, worst)}{others}")


def _fair(reached: Sequence[Row]) -> list[Row]:
    """Those that somebody might have chosen instead; all where there are none."""
    return [row for row in reached if row.knob not in _UNFAIR] or list(reached)


def _how(row: Row) -> str:
    """How to train so, from the command line."""
    flags = " ".join(f"{flag(knob)} {_shown(value)}" for knob, value in row.change.items() if knob in KNOBS)
    return f"; fit with {flags}" if flags else ""


def _shown(value: object) -> str:
    return figure(value) if isinstance(value, float) else str(value)


def stopping_in_words(account: Account) -> str:
    """What patience would have done, in one sentence; "" where it was not looked at."""
    rules = {stop.rule: stop for stop in account.stopping}
    whole = rules.get("no stopping")
    if whole is None or whole.epochs <= 0:
        return ""
    begin = _how_long(account)
    if whole.kept >= 0.97 * whole.epochs:
        return f"{begin} the best of {whole.epochs:.0f} epochs is one of the last, so that more of them may do better."
    enough = next((stop for stop in _patient(account.stopping) if _is_as_good(account, stop, whole)), None)
    if enough is None or enough.epochs >= whole.epochs:
        return sentence(
            f"{begin} of {whole.epochs:.0f} epochs the best is number {whole.kept:.0f}; stopping earlier would have "
            "cost something"
        )
    if enough.epochs > LITTLE_SAVED * whole.epochs:
        return (
            f"{begin} of {whole.epochs:.0f} epochs the best is number {whole.kept:.0f}; stopping earlier would have "
            "saved next to nothing."
        )
    return sentence(
        f"{begin} of {whole.epochs:.0f} epochs the best is number {whole.kept:.0f}, and {enough.rule} would have "
        f"spent {enough.epochs:.0f} for a score as good"
    )


def _how_long(account: Account) -> str:
    """The words before the answer; with the number of folds where they are fewer than a comparison takes."""
    few = 1 < account.stopping_folds < FEWEST_FOLDS
    return f"How long (by {counted(account.stopping_folds, 'fold')}):" if few else "How long:"


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
    fair = _fair(reached)
    decided = sum(row.verdict != ALIKE for row in fair)
    aside = {row.knob for row in reached if row not in fair}
    others = [words for knob, words in _UNFAIR.items() if knob in aside]
    text = (
        f"{counted(len(fair), 'other choice was', 'other choices were')} tried beside the winner, "
        f"{decided or 'none'} of them told apart from it" + (f", besides {listed(others)}" if others else "")
    )
    missing = [counted(len(left), "choice")] if left else []
    if account.lacks_path:
        missing.append("the path from the default MLP")
    if missing:
        text += f"; not reached yet: {', and '.join(missing)}. Explain with a --budget goes on"
    return sentence(text)


def solved_in_words(account: Account) -> str:
    """Who is looked at where the winner is solved; "" where it is trained."""
    winner = account.winner.get("instead_of")
    if not winner:
        return ""
    return sentence(f"The winner is {winner}, which is solved and not trained: this is about the best network instead")


def amount_in_words(account: Account) -> str:
    """What more rows would bring, in one sentence; "" where that is not known."""
    curve, more = account.learning, gain_of_more(account)
    if curve is None or more is None:
        return ""
    means = [sum(each) / len(each) for each in zip(*curve.errors, strict=True)]
    steps = [f"{number(each)} with {counted(rows, 'row')}" for rows, each in zip(curve.rows, means, strict=True)]
    gain, low, high = (f"{100 * each:.0f} %" for each in (more.gain, more.low, more.high))
    brings = f"twice the most are expected to spare {gain} of the error [{low}, {high}]"
    if more.low <= 0:
        brings = f"whether twice the most would spare anything cannot be told: {gain} of the error [{low}, {high}]"
    return sentence(f"How many rows: {measure(account)} is {listed(steps)} to train on; {brings}")


def unexplained_in_words(needed: float, how: Callable[[str], str]) -> str:
    """That nothing was compared for want of time, and in what time the first comparisons are there; `how` says how to
    ask for a budget."""
    enough = next((text for text, seconds in _BUDGETS if seconds >= needed), _BUDGETS[-1][0])
    about = f"about {max(1.0, needed):,.0f} s"
    return sentence(
        f"What each choice was worth was not measured: the first comparisons take {about} of training "
        f"beside this winner, more than was kept for them; {how(enough)} makes them"
    )


def worth_in_words(account: Account) -> tuple[str, ...]:
    """The three lines that end a fit, behind a word on who is looked at where that is not the winner."""
    lines = (solved_in_words, mattered_most, stopping_in_words, reach_in_words)
    return tuple(text for line in lines if (text := line(account)))
