"""NetworkWork: what a call does for a caller's own networks beside the search: the engine, and the result.

Knows the subject and its folder; it searches nothing itself.
"""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from trimtab.errors import StudyError
from trimtab.findings.data.seconds import seconds_for
from trimtab.findings.document import keep_before, save
from trimtab.findings.finding import Findings
from trimtab.networks.examples import Examples
from trimtab.networks.fitting import Fitting
from trimtab.studies.call import Call
from trimtab.studies.counterfactuals.ensemble import Ensemble
from trimtab.studies.counterfactuals.ground import Ground
from trimtab.studies.counterfactuals.grounds import ground_of_networks
from trimtab.studies.flow import Counted, SearchResult, training_report
from trimtab.studies.network_study import parts_of_network
from trimtab.studies.network_subject import NetworkSubject
from trimtab.text.wording import counted
from trimtab.training.data import TrainingData
from trimtab.training.lanes.engine import Engine
from trimtab.training.lanes.judging import Judging
from trimtab.training.metrics import all_scores
from trimtab.training.programs.program import outputs_of
from trimtab.training.run import NOT_FINITE, Request
from trimtab.training.unscored import words_of_unscored
from trimtab.tuning import calls
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.progress import Progress
from trimtab.tuning.trial import COMPLETE, TrialRecord, TrialWeights
from trimtab.tuning.worker import EngineOf

# Guesses: seconds that storing a run takes which still trains when the search ends, on a slow disk; and the share of a
# budget beyond which none is kept for it.
SECONDS_TO_STORE, MOST_RESERVED = 0.015, 0.25


@dataclass(frozen=True)
class EngineOfNetworks:
    """Makes the engine of a caller's own networks, here or on a worker."""

    fitting: Fitting
    judging: Judging

    def __call__(self, data: TrainingData, threads: int, should_stop: Callable[[], bool]) -> Engine:
        fitting = copy.copy(self.fitting)
        fitting.threads = threads
        return fitting.engine(self.judging, over=data, should_stop=should_stop)


class NetworkWork:
    """The work of one call on `subject`, in its `folder`."""

    baselines: Sequence[str] = ()
    seconds_of_trees: float = 0.0  # none are grown beside networks of one's own

    def __init__(self, subject: NetworkSubject, folder: StudyFolder, call: Call) -> None:
        self.subject, self.folder, self.call = subject, folder, call
        self._reserve(lanes=0)
        judging = Judging(subject.metric, by_loss=subject.fitting.judges_by_loss)
        self.engine_of: EngineOf = EngineOfNetworks(subject.fitting, judging)
        self.engine = subject.fitting.engine(judging, should_stop=call.budget.is_over)
        self.trained_elsewhere: Sequence[Counted] = ()
        self._findings = self._before_training()

    def _before_training(self) -> Findings:
        """What is wrong with the rows, as far as can be said now."""
        budget = self.call.budget
        seconds = seconds_for(budget.seconds if budget.is_limited else None, self.call.trials)
        found = self.subject.fitting.found_in_rows(seconds)
        keep_before(self.folder, found)
        self.call.listeners.findings(found)
        return found

    def progressed(self, progress: Progress) -> None:
        self._reserve(progress.lanes_alive)

    def found_better(self, record: TrialRecord, weights: TrialWeights) -> None:
        """The weights of every trial are in the folder already."""

    def outcome(self, trials: list[TrialRecord], unscored: set[float]) -> SearchResult:
        self._check_scores(trials, unscored)
        winner = min((record for record in trials if record.state == COMPLETE), key=lambda r: r.error, default=None)
        if winner is None:
            raise StudyError(_words_of_no_winner(trials))
        result = self._result(winner, trials) | {
            "engine": training_report([*self.engine.populations.values(), *self.trained_elsewhere])
        }
        if self.subject.test is not None:
            calls.note(self.folder, tested=True)
        save(self.folder, self._findings)
        made = self.subject.space.networks.made(winner.config.module_arguments, self.subject.seed)
        return SearchResult(winner, result, {"network": parts_of_network(made)})

    def ground(self, winner: TrialRecord) -> Ground:
        return ground_of_networks(self.subject, winner)

    def ensemble(self, winner: TrialRecord) -> Ensemble | None:
        return None

    def _reserve(self, lanes: int) -> None:
        """Keep time to store what still trains when the search ends."""
        budget = self.call.budget
        budget.reserve = min(MOST_RESERVED * budget.seconds, 1 + SECONDS_TO_STORE * lanes)

    def _check_scores(self, trials: list[TrialRecord], figures: set[float]) -> None:
        """Raise StudyError where the metric gave no number for any trial; say so where it gave none for some."""
        unscored, metric = [record for record in trials if record.is_unscored], self.subject.metric
        if not unscored or metric is None:
            return
        if len(unscored) == len(trials):
            of = f"all {len(trials)} trials" if len(trials) > 1 else ""
            raise StudyError(words_of_unscored(metric, figures or {math.nan}, of))
        self.call.listeners.notice(
            f"The metric {metric.name} gave no number in any epoch of {len(unscored)} of the "
            f"{counted(len(trials), 'trial')}: they count as failed."
        )

    def _result(self, winner: TrialRecord, trials: list[TrialRecord]) -> dict[str, Any]:
        fitting, folder, test = self.subject.fitting, self.folder, self.subject.test
        data = fitting.training_data
        judged = data.folds[0].validation
        validation: dict[str, float] = {"loss": winner.error}
        weights = folder.load_weights(winner.number)
        if fitting.metric is not None and weights is not None:
            predictions = weights.predictions[judged.numpy(force=True)]
            arguments = predictions, data.truth(judged).cpu(), data.weights[judged].cpu()
            validation = all_scores(*arguments, task=fitting.metric.task, beside=fitting.metric)
        return {
            "out": str(folder.path), "task": fitting.task, "metric": fitting.metric.name if fitting.metric else None,
            "test": None if test is None else self._test_scores(winner, test),
            "validation": validation, "trials": len(trials), "runs": sum(len(r.ended) for r in trials),
            "config": winner.config.to_json(), "winner": winner.number,
            "values": dict(winner.values), "seed": self.subject.seed,
            "rows": {"train": len(data.folds[0].train), "valid": len(judged), "test": test.rows if test else 0},
        }  # fmt: skip

    def _test_scores(self, winner: TrialRecord, test: Examples) -> dict[str, float]:
        """The scores of the winner's network on rows that nothing was chosen by."""
        fitting, folder = self.subject.fitting, self.folder
        data = fitting.data(test, torch.arange(test.rows), torch.arange(test.rows))
        weights = folder.load_weights(winner.number)
        assert weights is not None
        program = fitting.program(fitting.start(Request(0, winner.config, 0, self.subject.seed)))
        every = torch.arange(test.rows, device=fitting.device).unsqueeze(0)
        own = {name: value[:1].to(fitting.device) for name, value in weights.buffers.items()}
        outputs = outputs_of(program, weights.parameters[:1].to(fitting.device), data.gather(every), own)
        if fitting.metric is None:
            loss, _ = data.objective(
                outputs, data.targets_of(every), data.weights[every], fitting.losses(winner.config)
            )
            return {"loss": float(loss[0])}
        predictions = data.predictions(outputs)[0].cpu()
        arguments = predictions, data.truth(every)[0].cpu(), data.weights.cpu()
        return all_scores(*arguments, task=fitting.metric.task, beside=fitting.metric)


def _words_of_no_winner(trials: list[TrialRecord]) -> str:
    if trials and all(NOT_FINITE in record.ended for record in trials):
        return (
            f"No trial was finished: training diverged in all that were tried ({counted(len(trials), 'trial')}). Give "
            "a space of smaller learning rates (lr)."
        )
    return "No trial was finished: give a larger budget, or a space in which training does not diverge."
