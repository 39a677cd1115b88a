"""Whether there are rows enough, by the learning curve of an account. Knows accounts and the rule alone."""

from trimtab.findings.checked import Checked
from trimtab.findings.data.amount import Extrapolation, extrapolated, too_little_data
from trimtab.findings.finding import NotChecked
from trimtab.findings.worth.account import ROWS, Account

AMOUNT = "too_little_data"


def amount_of(account: Account) -> Checked:
    """What the winner's learning curve says of more rows; nothing where nobody thought of one."""
    curve = account.learning
    if curve is None:
        is_wanted = any(row.knob == ROWS for row in account.rows)
        why = "the winner was not trained on fewer rows yet: explain with a budget does so"
        return NotChecked(AMOUNT, why) if is_wanted else None
    return too_little_data(curve.rows, curve.errors, metric=measure(account), overlap=curve.overlap)


def gain_of_more(account: Account) -> Extrapolation | None:
    """What twice the rows would spare of the error; None where that is not known."""
    curve = account.learning
    return None if curve is None else extrapolated(curve.rows, curve.errors, overlap=curve.overlap)


def measure(account: Account) -> str:
    """What differences are in: "rmse", "validation loss", or for what is better when greater "1 - accuracy"."""
    if not account.metric:
        return "validation loss"
    return f"1 - {account.metric}" if account.greater_is_better else account.metric
