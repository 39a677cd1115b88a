"""PairedRuns: configs trained beside each other on the same folds from the same seeds, in the same order of rows.

Knows the ground and its engine; it draws no conclusions.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy
from torch import Tensor

from trimtab.studies.counterfactuals.alternatives import Alternative, Rows, with_rate
from trimtab.studies.counterfactuals.ground import Ground
from trimtab.training.config import Config
from trimtab.training.data import TrainingData
from trimtab.training.lanes.compilation import How
from trimtab.training.lanes.engine import Engine
from trimtab.training.lanes.judging import Judging
from trimtab.training.lanes.population import Population, Structure
from trimtab.training.lanes.widths import lanes_of_a_population
from trimtab.training.run import Curves, Request, RunRecord
from trimtab.tuning.pace import SECONDS_OF_COMPILING

# So many times as long as compiling takes must be left for it: compiled passes take half of the time and less, and few
# lanes keep little more than one core busy without (benchmarks/RESULTS.md).
WORTH_COMPILING = 1.5


@dataclass(frozen=True)
class Wanted:
    """A config to be trained on all folds of a repetition; `name` is what it is known by."""

    name: str
    config: Config
    repetition: int
    rows: Rows = "all"
    preparation: str = ""


@dataclass(frozen=True)
class Trained:
    """One run that has ended: what its best epoch came to, lower is better, and predictions `[rows, outputs]` of the
    validation rows, where there is one part of them."""

    name: str
    repetition: int
    fold: int
    seed: int
    error: float
    epochs: int
    ended: str
    curves: Curves
    predictions: numpy.ndarray | None = None


class PairedRuns:
    """Trains what is wanted, structure by structure, until `is_over` says that the time is.

    The winner's step, which most of its copies share, is compiled beside where there are `seconds_left` to make use of
    it.
    """

    def __init__(
        self, ground: Ground, is_over: Callable[[], bool], seconds_left: Callable[[], float] = lambda: 0.0
    ) -> None:
        self.ground, self.is_over, self.seconds_left = ground, is_over, seconds_left
        self._engines: dict[str, Engine] = {}

    @property
    def engine(self) -> Engine:
        """That of rows as the winner had them."""
        return self._engine_of("")

    def train(self, wanted: Sequence[Wanted]) -> list[Trained]:
        """The runs of all that could be trained on every fold of its repetition; what was cut off is left out."""
        ground, meant = self.ground, {}
        requests: dict[str, list[Request]] = {}
        for number, each in enumerate(wanted):
            for fold in range(ground.folds):
                place = ground.fold(each.repetition, fold, each.rows)
                request = Request(number, each.config, place, ground.seed_of(each.repetition))
                requests.setdefault(each.preparation, []).append(request)
                meant[number, place] = (each, fold)
        made: dict[int, list[Trained]] = {}
        for record in (record for name, some in requests.items() for record in self._run(some, name)):
            each, fold = meant[record.request.trial, record.request.fold]
            made.setdefault(record.request.trial, []).append(self._kept(each, fold, record))
        whole = [made[number] for number in sorted(made) if len(made[number]) == ground.folds]
        return [run for runs in whole for run in sorted(runs, key=lambda run: run.fold)]

    def with_own_rates(self, alternatives: Iterable[Alternative]) -> dict[str, Alternative]:
        """The same alternatives, each with the rate that did best on parts of the training rows; those whose rates were
        cut off are left out."""
        asked = [each for each in alternatives if each.rates]
        requests, of = [], {}
        for each in asked:
            for rate in each.rates:
                number = len(of)
                of[number] = (each, rate)
                config = with_rate(each, rate).config
                requests += [
                    Request(number, config, fold, self.ground.seed_of(0)) for fold in self.ground.folds_for_rates()
                ]
        errors: dict[int, list[float]] = {}
        for record in self._run(requests):
            errors.setdefault(record.request.trial, []).append(record.error)
        found: dict[str, tuple[float, Alternative]] = {}
        for number, (each, rate) in of.items():
            if len(errors.get(number, ())) < len(self.ground.folds_for_rates()):
                continue
            error = float(numpy.mean(errors[number]))
            if each.name not in found or error < found[each.name][0]:
                found[each.name] = (error, with_rate(each, rate))
        return {name: chosen for name, (_, chosen) in found.items()}

    def close(self) -> None:
        for engine in self._engines.values():
            engine.close()

    def _engine_of(self, preparation: str) -> Engine:
        if preparation not in self._engines:
            ground = self.ground
            engine = ground.engine_for(
                ground.laid_out_otherwise(preparation), Judging(ground.metric, by_loss=ground.by_loss)
            )
            engine.should_stop = self.is_over
            if not preparation and engine.compilation.how == "found":
                engine.compilation.how = self._compiled
            self._engines[preparation] = engine
        return self._engines[preparation]

    @cached_property
    def _compiling(self) -> float:
        """What compiling a step usually takes here; read once, for it is asked for in every round."""
        return self.engine.compiler.usual_seconds(SECONDS_OF_COMPILING)

    def _compiled(self, population: Population) -> How:
        """How the step of a population is compiled: the winner's beside, by the core that others leave idle."""
        is_winners = population.structure.network == self.ground.winner.network
        is_worth_it = self.engine.threads > 1 and self.seconds_left() > WORTH_COMPILING * self._compiling
        return "beside" if is_winners and is_worth_it else "found"

    def _run(self, requests: Sequence[Request], preparation: str = "") -> list[RunRecord]:
        """Every run that ended by itself: those of one structure as many at once as a search would have, the structures
        in the order in which they are asked for, and several of them side by side where that is quicker."""
        engine, alike = self._engine_of(preparation), {}
        for request in requests:
            alike.setdefault(Structure.of(request.config), []).append(request)
        if self.is_over():
            return []
        return engine.whole_runs([(self._population(engine, structure), group) for structure, group in alike.items()])

    def _population(self, engine: Engine, structure: Structure) -> Population:
        lanes = lanes_of_a_population(engine.program(structure.network), structure, self.ground.data, engine.threads)
        return engine.population(structure, lanes)

    def _kept(self, wanted: Wanted, fold: int, record: RunRecord) -> Trained:
        predictions = record.predictions if self.ground.folds == 1 else None
        return Trained(
            wanted.name, wanted.repetition, fold, record.request.seed, record.error, record.epochs, record.ended,
            record.curves, predictions,
        )  # fmt: skip


def judged_rows(data: TrainingData) -> tuple[Tensor, Tensor, numpy.ndarray]:
    """Truth and weights of the rows that the first fold is judged by, and their numbers."""
    rows = data.folds[0].validation
    return data.truth(rows).cpu(), data.weights[rows].cpu().double(), rows.cpu().numpy()
