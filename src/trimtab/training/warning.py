"""Warning: what a caller ought to know of how their runs are trained, said once. Knows loggers and sentences."""

import logging


def say_once(log: logging.Logger, told: dict[str, object], sentence: str) -> None:
    """Log `sentence` unless it is in `told` already, which all that work on one call share."""
    mine = object()
    if told.setdefault(sentence, mine) is mine:  # in one act, for threads come here together
        log.warning("%s", sentence)
