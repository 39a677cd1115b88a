"""Refit: chosen trials trained once more, on all rows, along the courses of the runs that were scored; and whether what
came of it may stand in the place of what was scored.

Knows trials, folds and engines; it saves nothing and tells nobody.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from trimtab.model.model import Member
from trimtab.text.wording import counted, sentence
from trimtab.training.config import Stopping
from trimtab.training.data import Fold, TrainingData
from trimtab.training.lanes.engine import Engine
from trimtab.training.lanes.judging import Judging
from trimtab.training.lanes.population import Structure
from trimtab.training.lanes.signals import Signals
from trimtab.training.programs.program import outputs_of
from trimtab.training.rules.losses import LossCoefficients
from trimtab.training.run import ALL_EPOCHS, Request, RunRecord
from trimtab.tuning import baselines
from trimtab.tuning.course import factors, is_replayable, until
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.trial import TrialRecord

TRAINED, NO_TIME, DIVERGED, WORSE, UNKNOWN = "trained", "no time", "diverged", "worse", "unknown"
# Of a trial whose folds are windows of time, so that one that begins badly does little harm; five are no better on any
# series of benchmarks/quality/time_windows.py.
NETWORKS = 3
# A training loss on all rows beyond this many times the largest of the folds' is no training like theirs. In 118
# trainings of the trials of seven real tables (numbers and classes, pruned trials too) the ratio lay between 0.21 and
# 1.21, in 115 of them below 0.98.
WORST_RATIO = 1.5
# A linear model that takes no longer is fitted even when the time is over.
SECONDS_AT_ANY_TIME = 0.2
# Rows, evenly chosen, on which a training loss is looked at: their mean is known to a percent of its spread. So many go
# through a network at once, which bounds the memory (a guess).
JUDGED_ROWS, ROWS_AT_ONCE = 20_000, 4_096


@dataclass(frozen=True)
class Refitted:
    """What became of one trial: `member` holds its new networks where `ended` is TRAINED, and is None otherwise."""

    record: TrialRecord
    ended: str
    member: Member | None = None


class Refit:
    """Trains trials once more on every row of `data`, whose first rows are those that `engine` trained on in folds.

    There is no validation: a run follows the course of its folds' runs and stops where those were best, and is judged
    by its training loss beside theirs. `networks` of each, from different seeds; heavier members first. Of a trial's
    new networks those remain that are finite and have learnt what the folds' had. `goes_forward`: the folds are windows
    of time.
    """

    def __init__(
        self,
        engine: Engine,
        data: TrainingData,
        folder: StudyFolder,
        *,
        seed: int,
        networks: int = 1,
        goes_forward: bool = False,
    ) -> None:
        self.scored, self.folder, self.seed, self.networks = engine.data, folder, seed, networks
        self.goes_forward = goes_forward
        every = torch.arange(data.rows, device=data.device)
        self.whole = replace(data, folds=(Fold(every, every[:0]),))
        self.engine = Engine(
            self.whole, engine.modules, Judging(engine.judging.metric), threads=engine.threads,
            signals=Signals(only_losses=True), should_stop=engine.should_stop,
        )  # fmt: skip

    def of(self, members: Sequence[tuple[TrialRecord, float]]) -> list[Refitted]:
        """What became of each of `members` (trials with their shares), in their order."""
        try:
            runs = self._runs([record for record, _ in sorted(members, key=lambda member: -member[1])])
            return [self._judged(record, share, runs.get(record.number, [])) for record, share in members]
        finally:
            self.engine.close()

    # -- training

    def _runs(self, records: Iterable[TrialRecord]) -> dict[int, list[RunRecord]]:
        """The runs of all trials that are trained and not solved, side by side where that is quicker."""
        by_structure: dict[Structure, list[Request]] = {}
        for record in records:
            if record.name in baselines.FITTED or not is_replayable(record):
                continue
            requests = [self._request(record, self.seed + place) for place in range(self.networks)]
            by_structure.setdefault(Structure.of(record.config), []).extend(requests)
        runs: dict[int, list[RunRecord]] = {}
        for run in self._trained(by_structure):
            runs.setdefault(run.request.trial, []).append(run)
        return runs

    def _request(self, record: TrialRecord, seed: int) -> Request:
        rows = [len(fold.train) for fold in self.scored.folds]
        # Stopping rules listen to validation, of which there is none.
        config = replace(record.config, stopping=Stopping("none"))
        return Request(record.number, config, 0, seed, until(record, rows), factors(record, rows))

    def _trained(self, by_structure: Mapping[Structure, list[Request]]) -> list[RunRecord]:
        """Their runs, as many at once as a search would have; those alone that ended before the engine was stopped."""
        several = []
        for structure, requests in by_structure.items():
            lanes = min(len(requests), self.engine.width(structure))
            several.append((self.engine.population(structure, lanes), requests))
        return self.engine.whole_runs(several)

    # -- judging

    def _judged(self, record: TrialRecord, share: float, runs: list[RunRecord]) -> Refitted:
        if record.name in baselines.FITTED:
            return self._solved(record, share)
        if not is_replayable(record):
            return Refitted(record, UNKNOWN)
        if not runs:
            return Refitted(record, NO_TIME)
        networks = torch.stack([run.weights for run in runs]).cpu()
        losses = self._losses(record, self.whole, networks, [self.whole.folds[0].train] * len(runs))
        is_whole = torch.tensor([run.ended == ALL_EPOCHS for run in runs])
        is_finite = is_whole & torch.tensor(losses).isfinite() & networks.isfinite().all(dim=1)
        if not bool(is_finite.any()):
            return Refitted(record, DIVERGED)
        is_sound = is_finite & (torch.tensor(losses, dtype=torch.float64) <= self._bound(record))
        if not bool(is_sound.any()):
            return Refitted(record, WORSE)
        return Refitted(record, TRAINED, Member(record.config.module_arguments, networks[is_sound], share))

    def _solved(self, record: TrialRecord, share: float) -> Refitted:
        if self.engine.should_stop() and baselines.linear_seconds(self.whole) > SECONDS_AT_ANY_TIME:
            return Refitted(record, NO_TIME)
        layout = self.engine.program(record.config.network).layout
        parameters = baselines.refitted(record.name, self.whole, self.scored, layout, seed=self.seed)
        if not bool(parameters.isfinite().all()):
            return Refitted(record, DIVERGED)
        return Refitted(record, TRAINED, Member(record.config.module_arguments, parameters, share))

    def _bound(self, record: TrialRecord) -> float:
        """The largest training loss with which a network may replace those of the folds."""
        weights = self.folder.load_weights(record.number)
        if weights is None:
            return math.inf
        rows = [fold.train for fold in self.scored.folds]
        losses = self._losses(record, self.scored, weights.parameters, rows)
        if self.goes_forward:
            # Newer rows may follow another law, which then shows in how well the rows after a window were predicted.
            rows = [fold.validation for fold in self.scored.folds]
            losses += self._losses(record, self.scored, weights.parameters, rows)
        return WORST_RATIO * max(losses)

    def _losses(self, record: TrialRecord, data: TrainingData, parameters: Tensor, rows: list[Tensor]) -> list[float]:
        """The training loss of each network `[networks, parameters]` on its rows, evenly chosen of many, in evaluation
        mode: the mean over an epoch's steps would not show what the last of them did."""
        program, classes = self.engine.program(record.config.network), data.outputs * (data.task == "classification")
        coefficients = LossCoefficients.stack([record.config.loss], classes, data.device)
        losses = []
        for flat, own in zip(parameters, rows, strict=True):
            chosen = own if len(own) <= JUDGED_ROWS else own[torch.linspace(0, len(own) - 1, JUDGED_ROWS).long()]
            pieces = [piece.unsqueeze(0) for piece in chosen.split(ROWS_AT_ONCE)]
            with torch.no_grad():
                lane = flat.unsqueeze(0).to(data.device)
                outputs = torch.cat([outputs_of(program, lane, data.gather(piece)) for piece in pieces], dim=1)
            every = chosen.unsqueeze(0)
            loss, _ = data.objective(outputs, data.targets_of(every), data.weights[every], coefficients)
            losses.append(float(loss[0]))
        return losses


def who(number: int, members: Sequence[object]) -> str:
    """Whom a sentence speaks of: `number` of the model's `members` "was trained" or "were trained"."""
    if len(members) == 1:
        return "the winner was trained"
    if number == len(members):
        return f"the model's {number} trials were trained"
    return f"{number} of the model's {len(members)} trials {'was' if number == 1 else 'were'} trained"


def words_of_all_rows(made: int, members: Sequence[object], *, is_tested: bool) -> str:
    """That `made` of the model's `members` were trained once more after it was scored, and what predicts now."""
    when = "the test score" if is_tested else "its validation score"
    rest = "" if made == len(members) else ", and of the others as they were scored"
    return f"After {when} {who(made, members)} once more, on all rows; the model is made of that{rest}."


def words_of_all_asked(networks: int, *, is_tested: bool) -> str:
    """That so many networks, which learnt nothing but whom to ask, now ask all rows."""
    when = "the test score" if is_tested else "its validation score"
    return sentence(f"After {when} {counted(networks, 'network')} that learnt which rows to ask were given all of them")


def failures(outcomes: Sequence[Refitted], kept: str) -> list[str]:
    """A sentence for each reason for which trials have no new networks; `kept` says what is in their place."""
    texts = []
    for reason, text in _FAILURES.items():
        number = sum(each.ended == reason for each in outcomes)
        if number:
            about = "the winner" if len(outcomes) == 1 else f"{number} of the model's {len(outcomes)} trials"
            texts.append(sentence(text.format(about=about, kept=kept)))
    return texts


_FAILURES = {
    NO_TIME: "No time was left to train {about} on all rows: {kept}. Give a larger --budget",
    DIVERGED: "Trained on all rows, {about} diverged: {kept}",
    WORSE: (
        "Trained on all rows, {about} ended with a training loss far above that of the runs that were scored: {kept}"
    ),
    UNKNOWN: (
        "Not trained on all rows: {about}, tried by an older version that did not note when the learning rate was cut; "
        "{kept}"
    ),
}
