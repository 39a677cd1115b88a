"""AllRows: trials of a study of a table trained once more on all rows, as far as the budget has time for it.

Knows the study's rows, its clock and its trials; how one is trained on all rows, and what comes of it, knows refit.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from trimtab.model.model import Member, Model
from trimtab.studies import choice, refit
from trimtab.studies.refit import Refitted
from trimtab.studies.remembering import Recalled, member_that_remembers
from trimtab.studies.reserve import training_seconds
from trimtab.table.prepared import Prepared
from trimtab.table.redrawing import DRAWN
from trimtab.training.data import TrainingData
from trimtab.training.lanes.engine import Engine
from trimtab.training.lanes.population import Structure
from trimtab.tuning.baselines import FITTED_BASELINES
from trimtab.tuning.budget import Budget
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.trial import TrialRecord

# A guess at how many trials the model will be made of, as far as they are trained once more.
REFITTED = 4
# Shares of a budget: the most that is kept for it (a search of less than the rest finds too little), and what a
# training that has begun may take beyond it, so that it is not lost (guesses; a command may take 1.1 budgets).
MOST_RESERVED, OVERTIME = 0.4, 0.05
# The most of a budget for networks that nobody asked for, of all rows where one part of them has judged; they lower the
# error by 0.2 to 2.4 % (benchmarks/RESULTS.md, "Quality"), a search of the last fifth by less. What would take more is
# not begun: half of it would be lost.
MOST_UNASKED = 0.2


class AllRows:
    """The networks of trials that were trained once more on all rows, and the time they take.

    `single`, `refits`: what was asked for; `is_timed`: time may decide how many networks there are; `say` is told what
    a user ought to know. `finishing` are the seconds that the end of the study takes beside, and `before` those that
    what comes before these networks takes.
    """

    def __init__(
        self,
        prepared: Prepared,
        engine: Engine,
        folder: StudyFolder,
        budget: Budget,
        *,
        single: bool,
        refits: bool,
        seed: int,
        is_timed: bool,
        finishing: float,
        before: float,
        say: Callable[[str], None],
    ) -> None:
        self.prepared, self.engine, self.folder, self.budget = prepared, engine, folder, budget
        self.single, self.refits, self.seed, self.is_timed = single, refits, seed, is_timed
        self.finishing, self.before, self.say = finishing, before, say
        self.data = engine.data
        self.goes_forward = prepared.split.latest is not None
        # One part that chance drew has judged, and not one that a caller keeps apart.
        self.is_of_one_part = prepared.split.kind in DRAWN and len(prepared.folds) == 1
        # By trial, what stands in for its folds' networks; which of these were trained on all rows, and on which.
        self.members: dict[int, Member] = {}
        self.trained: set[int] = set()
        self.trained_on = self.data
        # The rows that those remember which learnt nothing but whom to ask; None: each its fold's.
        self.remembered: TrainingData | None = None

    def reserve_for(self, best: TrialRecord) -> None:
        """Keep time for training the best once more on all rows, and what the model is compared with."""
        if not self.budget.is_limited:
            return
        forward, single = self.goes_forward, self.single
        trials = 1 if single or best.name in FITTED_BASELINES else REFITTED
        networks = refit.NETWORKS if forward and not single else 1
        trainings = (trials + 1) * networks if forward else trials * (single + self.refits)
        seconds = self._training_seconds(best)
        if self.is_of_one_part and not trainings and trials * seconds <= MOST_UNASKED * self.budget.seconds:
            trainings = trials
        wanted = self.finishing + trainings * seconds
        most = max(self.finishing, MOST_RESERVED * self.budget.seconds)
        self.budget.reserve = self.before + min(wanted, most)

    def _training_seconds(self, record: TrialRecord) -> float:
        population = self.engine.populations.get(Structure.of(record.config))
        return training_seconds(
            record, rows=self.data.rows, of_folds=[len(fold.train) for fold in self.data.folds],
            is_compiled=population is not None and population.compiled_steps > 0,
        )  # fmt: skip

    def scored_model(self, chosen: choice.Chosen, trials: list[TrialRecord]) -> Model:
        """The folds' networks; or, for one network alone or folds that go forward in time, networks of all rows."""
        if self.goes_forward or self.single:
            # What the model is compared with has seen the same rows.
            yardsticks = [record for record in trials if record.name] if self.goes_forward else []
            whose = "the latest window's network" if self.goes_forward else "the best of its folds' networks"
            self._train(chosen, self.data, f"{whose} is kept", yardsticks, then=self.finishing)
        elif self.is_of_one_part and not self.refits:
            self._train_unasked(chosen)
        if self.single and chosen.winner.number not in self.members:
            self.members[chosen.winner.number] = choice.best_network(self.prepared, self.folder, chosen.winner, trials)
        return self.chosen_model(chosen)

    def _train_unasked(self, chosen: choice.Chosen) -> None:
        """Train those of the chosen trials once more on the rows that have judged, too, for which there is time: the
        heaviest first. The others stay as they were scored, as all do where somebody waits for the end.

        Such a network stands beside the one that was scored, and not in its place: it has seen more rows, and nothing
        says where it should have stopped (RESULTS.md, "One part and all rows")."""
        if self.budget.is_told_to_end():
            return
        left = self.budget.left - self.finishing if self.budget.is_limited else float("inf")
        affordable: list[tuple[TrialRecord, float]] = []
        for record, share in chosen.trials:
            seconds = self._training_seconds(record)
            if seconds <= left:
                affordable.append((record, share))
                left -= seconds
        if affordable:
            self._trained(affordable, self.data, networks=1, until=self.finishing)
        for number in self.trained:
            weights = self.folder.load_weights(number)
            assert weights is not None  # it was chosen by what they predict
            made = self.members[number]
            self.members[number] = replace(made, parameters=torch.cat([weights.parameters, made.parameters]))

    def refit(self, chosen: choice.Chosen, data: TrainingData) -> bool:
        """Train the model once more on all rows of `data` and save it; whether anything came of it."""
        made = self._train(chosen, data, "what was scored is kept")
        learnt = [each for each, _ in chosen.recalled if each.record is None]
        if not made and not learnt:
            return False
        # Those that learnt whom to ask are not trained again: they ask all rows.
        self.remembered = data
        self.chosen_model(chosen).save(self.folder.model)
        is_tested = self.prepared.test is not None
        if made:
            self.say(refit.words_of_all_rows(made, chosen.trials, is_tested=is_tested))
        if learnt:
            self.say(refit.words_of_all_asked(len(learnt), is_tested=is_tested))
        return True

    def chosen_model(self, chosen: choice.Chosen) -> Model:
        """The model of what was chosen, which knows how far it is off."""
        known = choice.calibration_of(self.prepared, chosen.unseen)
        remembering = [self._remembering(each, share) for each, share in chosen.recalled]
        model = choice.as_model(self.prepared, self.folder, chosen.members, self.members, known, remembering)
        return replace(model, target=model.target.model_copy(update={"factors": chosen.decision.factors}))

    def _remembering(self, recalled: Recalled, share: float) -> Member:
        """The networks that predict by the rows that they were trained on."""
        record, reaches, data = recalled.record, recalled.reaches, self.data
        if record is not None and record.number in self.members:
            member, data = replace(self.members[record.number], share=share), self.trained_on
            reaches = (reaches[0],) * len(member.parameters)
            rows = [torch.arange(data.rows, device=data.device)] * len(reaches)
        elif record is None and self.remembered is not None:
            member, data = Member(recalled.network, recalled.parameters, share), self.remembered
            rows = [torch.arange(data.rows, device=data.device)] * len(reaches)
        else:
            member = Member(recalled.network, recalled.parameters, share)
            # Rows that chance has put among those that judge teach no network, and are remembered all the same.
            is_drawn = self.prepared.split.kind in DRAWN
            rows = [torch.cat([fold.train, fold.validation]) if is_drawn else fold.train for fold in data.folds]
        program = self.engine.program(tuple(recalled.network.items()) if record is None else record.config.network)
        return member_that_remembers(member, data, program, rows, reaches)

    def model_of(self, members: Sequence[tuple[TrialRecord, float]]) -> Model:
        """The model of these trials, each with its share."""
        return choice.as_model(self.prepared, self.folder, members, self.members)

    def _train(
        self,
        chosen: choice.Chosen,
        data: TrainingData,
        kept: str,
        yardsticks: Sequence[TrialRecord] = (),
        *,
        then: float = 0.0,
    ) -> int:
        """Train the chosen trials (and `yardsticks`) on all rows of `data`, say what failed, and give how many of the
        chosen ones have new networks. `then`: the seconds that what comes after it takes."""
        until = then - OVERTIME * self.budget.seconds
        members = {record.number: (record, share) for record, share in chosen.trials}
        others = [(record, 0.0) for record in yardsticks if record.number not in members]
        asked = [*members.values(), *others]
        outcomes = self._trained(
            asked, data, networks=self._networks_each(asked, self.budget.left - until), until=until
        )  # fmt: skip
        own = [each for each in outcomes if each.record.number in members]
        for text in refit.failures(own, kept):
            self.say(text)
        return sum(each.member is not None for each in own)

    def _trained(
        self, members: Sequence[tuple[TrialRecord, float]], data: TrainingData, *, networks: int, until: float
    ) -> list[Refitted]:
        """What became of trials that were trained on all rows of `data` while more than `until` seconds were left, and
        whose networks are known from now on."""
        latest = until if self.budget.is_limited else -float("inf")
        self.engine.should_stop = lambda: self.budget.abort.is_set() or self.budget.left < latest
        trainer = refit.Refit(
            self.engine, data, self.folder, seed=self.seed, goes_forward=self.goes_forward, networks=networks
        )  # fmt: skip
        outcomes = trainer.of(members)
        made = {each.record.number: each.member for each in outcomes if each.member is not None}
        self.members |= made
        self.trained |= set(made)
        self.trained_on = data
        return outcomes

    def _networks_each(self, members: Sequence[tuple[TrialRecord, float]], left: float) -> int:
        """How many networks each trial gets that is trained on all rows: where folds go forward in time several, as far
        as there is time for all in the seconds that are `left`."""
        if not self.goes_forward or self.single:
            return 1
        if not self.is_timed:
            return refit.NETWORKS
        seconds = sum(self._training_seconds(record) for record, _ in members if record.name not in FITTED_BASELINES)
        return max(1, min(refit.NETWORKS, int(left / max(seconds, 1e-9))))
