"""Costs: what training a config is expected to cost beside the winner. Knows structures and rows, and no clocks."""

from dataclasses import dataclass

from trimtab.studies.counterfactuals.alternatives import SHARES, Alternative, Rows
from trimtab.studies.counterfactuals.ground import Ground
from trimtab.training.config import Config
from trimtab.training.lanes.engine import Engine
from trimtab.tuning.pace import operations_of_step


@dataclass(frozen=True)
class Costs:
    """In trainings of the winner on all folds."""

    ground: Ground
    engine: Engine

    def of(self, config: Config, rows: Rows = "all") -> float:
        return SHARES[rows] * self._operations(config) / self._operations(self.ground.winner)

    def of_alternative(self, alternative: Alternative, repetitions: int) -> float:
        """Of so many repetitions, and of finding its rate where that has to be found."""
        own = self.of(alternative.config, alternative.rows)
        share_of_folds = len(self.ground.folds_for_rates()) / self.ground.folds
        return own * (repetitions + len(alternative.rates) * share_of_folds)

    def _operations(self, config: Config) -> float:
        size = self.engine.program(config.network).layout.size
        rows = self.ground.data.most_training_rows
        batch = min(config.batch_size or rows, rows)
        return config.epochs * -(-rows // batch) * operations_of_step(size, batch)
