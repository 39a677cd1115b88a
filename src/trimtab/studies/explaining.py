"""Explaining: a finished study gone on with, not by more trials but by what each choice of its winner was worth.

Knows studies and their folders; how it is measured is told in `counterfactuals`.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from trimtab.errors import OptionError, StudyError, unknown_choice
from trimtab.findings.document import read, save
from trimtab.findings.worth.account import AT_WINNERS_RATE, Account
from trimtab.knobs.knob import CUSTOM
from trimtab.listeners.listeners import Listeners
from trimtab.machine import cores, lanes_in_threads
from trimtab.networks.fitting import Fitting
from trimtab.networks.runs import for_training
from trimtab.studies.call import Call
from trimtab.studies.counterfactuals.alternatives import KNOBS_IN_ORDER
from trimtab.studies.counterfactuals.ensemble import Ensemble, ensemble_of_table
from trimtab.studies.counterfactuals.ground import Ground
from trimtab.studies.counterfactuals.grounds import (
    ground_of_fitting,
    ground_of_networks,
    ground_of_table,
)
from trimtab.studies.counterfactuals.purse import Price, purse_within
from trimtab.studies.counterfactuals.stage import Stage, looked_at, words_of_winner
from trimtab.studies.explanation import Explanation
from trimtab.studies.network_subject import NetworkSubject
from trimtab.studies.request import TableOptions
from trimtab.studies.single_run import Run
from trimtab.studies.study import Study
from trimtab.studies.table_study import TableStudy
from trimtab.studies.table_subject import TableSubject
from trimtab.studies.training_findings import remedies, with_account
from trimtab.tuning.budget import Budget, seconds_for
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.trial import TrialRecord
from trimtab.tuning.words import config_in_words


def explained_table(study: TableStudy, *, data: Any, **options: Any) -> Account:
    """More of what each choice of a table's winner was worth, measured on the study's data within the budget.

    Where the winner is solved and not trained, its best network is looked at. Raises OptionError for a knob that there
    is not, StudyError where no network was trained or the data are others.
    """
    winner = _trained(study)

    def ground(call: Call, folder: StudyFolder) -> tuple[Ground, Ensemble | None]:
        request, _ = TableOptions(data=data).request(folder)
        subject = TableSubject.read(request, call)
        members = study.result.get("ensemble", ())
        ensemble = ensemble_of_table(subject, folder, winner, members) if winner is study.winner else None
        return ground_of_table(subject, winner, call), ensemble

    return _explained(study, winner, ground, **options)


def explained_networks(subject: NetworkSubject, study: Study, *, data: Any, **options: Any) -> Account:
    """The same of a caller's own networks, on the rows that the study was made with."""
    if data is not None:
        raise OptionError("data= has no effect: the rows are those that the study was made with. Leave it out.")

    def ground(call: Call, folder: StudyFolder) -> tuple[Ground, Ensemble | None]:
        return ground_of_networks(subject, study.winner), None

    with for_training():
        return _explained(study, study.winner, ground, **options)


def _trained(study: TableStudy) -> TrialRecord:
    """The winner, or the best network where the winner is solved."""
    network = looked_at(study.winner, study.trials)
    if network is None:
        raise StudyError(
            f"The winner is {study.words}, which is solved and not trained, and no network was trained to its end: "
            "there is nothing of a training to explain. Go on with a longer --budget first."
        )
    return network


def _explained(
    study: Study, winner: TrialRecord, ground_in: Callable[[Call, StudyFolder], tuple[Ground, Ensemble | None]], *,
    budget: str | float, knob: str | None, threads: int | None, stop: Any = None, abort: Any = None,
) -> Account:  # fmt: skip
    started = time.monotonic()
    check_knob(knob, dict(winner.config.network))
    call = Call.checked(
        budget=budget, trials=None, threads=threads, device="auto", out=None, resume=study.out, stop=stop,
        abort=abort, started=started, listeners=Listeners(), counterfactuals=0,
    )  # fmt: skip
    folder, clock = StudyFolder(study.out), call.budget
    with call.at_work():
        ground, ensemble = ground_in(call, folder)
        purse = purse_within(clock, Price.of_trial(winner, ground.data))
        found, before = read(folder), Account.load(folder)
        ground = replace(ground, remedies=tuple(remedies(found, winner.config)))
        who, only = words_of_winner(winner, study.winner), () if knob is None else (knob,)
        account = Stage(ground, folder, purse, who, only, ensemble, tries_orders=True).account()
        save(folder, with_account(found, account, before=before))
        return account.about(knob)


def explained_run(
    fitting: Fitting, run: Run, *, knobs: Sequence[str], budget: str | float, threads: int | None, seconds: float
) -> Explanation:
    """What each choice of one training was worth, on the rows that it was made with; nothing of it is kept.

    Raises OptionError for rows that are read anew, an optimizer of the caller's own and a knob that there is not.
    """
    if fitting.datasets.is_streamed:
        raise OptionError(
            f"A training is repeated on the same rows, and of these {fitting.datasets.reason}: give them as (X, y)."
        )
    if run.config.optimizer.name == CUSTOM:
        raise OptionError(
            "An optimizer of your own cannot train beside others: name one of trimtab's to explain a run."
        )
    for knob in knobs:
        check_knob(knob, dict(run.config.network))
    clock = Budget(seconds_for(budget, None))
    ground = ground_of_fitting(
        fitting, run.config, seed=run.seed, domains={}, has_dropout=not run.given.has_own_dropout
    )
    ground = replace(ground, remedies=tuple(remedies(run.findings, run.config)))
    who = {"trial": None, "words": config_in_words(run.config), "config": run.config.to_json()}
    fitting.threads = threads or cores()
    with for_training(), lanes_in_threads(), TemporaryDirectory() as place:
        purse = purse_within(clock, Price.of(run.config, ground.data.most_training_rows, seconds))
        account = Stage(ground, StudyFolder(Path(place)), purse, who, tuple(knobs)).account()
    return Explanation(account, with_account(run.findings, account))


def kept_account(folder: StudyFolder, knob: str | None) -> Account:
    """What was measured so far of one knob, or of all; StudyError where nothing was."""
    account = Account.load(folder)
    if account is None:
        raise StudyError(
            f"{folder.path} has nothing measured of what its choices were worth: give explain a budget, such as 2m."
        )
    check_knob(knob, [row.knob for row in account.rows])
    return account.about(knob)


def check_knob(knob: str | None, knobs: Iterable[str]) -> None:
    """Raise OptionError for a knob that is none of those that can be looked at."""
    named = tuple(name for name in dict.fromkeys((*KNOBS_IN_ORDER, *knobs)) if name != AT_WINNERS_RATE)
    if knob is not None and knob not in named:
        raise unknown_choice("knob to explain", str(knob), named)
