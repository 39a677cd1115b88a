"""How long looking at rows may take beside the training that follows. Knows a budget and no rule."""

# Of a budget, and seconds, that looking at a table may take.
SHARE_OF_BUDGET, MOST_SECONDS = 0.05, 5.0
# Without a budget: a search of fewer trials is a look itself, beside which no trees are grown (guesses).
MANY_TRIALS, FEW_SECONDS = 20, 0.5


def seconds_for(budget: float | None, trials: int | None = None) -> float:
    """How long looking at rows may take beside a search of `budget` seconds, or one that ends after `trials`."""
    if budget is not None:
        return min(MOST_SECONDS, SHARE_OF_BUDGET * budget)
    return MOST_SECONDS if trials is None or trials >= MANY_TRIALS else FEW_SECONDS
