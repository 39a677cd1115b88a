"""Explaining: a finished study gone on with, not by more trials but by what each choice of its winner was worth.

Knows studies and their folders; how it is measured is told in `counterfactuals`.
"""

import time
from collections.abc import Callable
from typing import Any

from trimtab.errors import OptionError, StudyError, unknown_choice
from trimtab.findings.worth.account import Account
from trimtab.listeners.listeners import Listeners
from trimtab.studies.call import Call
from trimtab.studies.counterfactuals.alternatives import KNOBS_IN_ORDER
from trimtab.studies.counterfactuals.grounds import ensemble_of_table, ground_of_table
from trimtab.studies.counterfactuals.purse import SECONDS_TO_SAVE, Purse
from trimtab.studies.counterfactuals.stage import Stage, words_of_winner
from trimtab.studies.request import TableOptions
from trimtab.studies.table_study import TableStudy
from trimtab.studies.table_subject import TableSubject
from trimtab.tuning.baselines import FITTED_BASELINES
from trimtab.tuning.folder import StudyFolder


def explained_table(
    study: TableStudy, *, budget: str | float, knob: str | None, data: Any, threads: int | None,
    stop: Any = None, abort: Any = None,
) -> Account:  # fmt: skip
    """More of what each choice of a table's winner was worth, measured on the study's data within the budget.

    Raises OptionError for a knob that there is not, StudyError where the winner was not trained or the data are others.
    """
    started = time.monotonic()
    _check_knob(knob)
    winner = study.winner
    if winner.name in FITTED_BASELINES:
        raise StudyError(
            f"The winner is {study.words}, which is solved and not trained: there is nothing of a training to explain."
        )
    call = Call.checked(
        budget=budget, trials=None, threads=threads, device="auto", out=None, resume=study.out, stop=stop,
        abort=abort, started=started, listeners=Listeners(), counterfactuals=0,
    )  # fmt: skip
    folder = StudyFolder(study.out)
    with call.at_work():
        request, _ = TableOptions(data=data).request(folder)
        subject = TableSubject.read(request, call)
        purse = Purse(max(0.0, call.budget.left - SECONDS_TO_SAVE), None, winner.seconds, _is_told_to_stop(call))
        last = ensemble_of_table(subject, folder, winner, study.result.get("ensemble", ()))
        ground = ground_of_table(subject, winner, call)
        return Stage(ground, folder, purse, words_of_winner(winner), knob, last).account()


def kept_account(study_folder: StudyFolder) -> Account:
    """What was measured so far; StudyError where nothing was."""
    account = Account.load(study_folder)
    if account is None:
        raise StudyError(
            f"{study_folder.path} has nothing measured of what its choices were worth: give explain a budget, such as "
            "2m."
        )
    return account


def _check_knob(knob: str | None) -> None:
    knobs = tuple(name for name in KNOBS_IN_ORDER if " " not in name)
    if knob is not None and knob not in knobs:
        if not isinstance(knob, str):
            raise OptionError(f"knob is {knob!r}: give the name of one, such as loss.")
        raise unknown_choice("knob to explain", knob, knobs)


def _is_told_to_stop(call: Call) -> Callable[[], bool]:
    return lambda: call.budget.stop.is_set() or call.budget.abort.is_set()
