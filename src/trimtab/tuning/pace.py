"""Pace: what a structure costs, counted before it was measured and measured after, and the epochs a trial can afford.

Knows populations and clocks; it proposes nothing.
"""

from trimtab.training.config import Config
from trimtab.training.engine import Engine
from trimtab.training.population import Structure
from trimtab.tuning.budget import Budget

SHARE_OF_A_TRIAL = 0.2
FEWEST_EPOCHS = 4
STEPS_TO_TRUST = 500


class Pace:
    """How long things take, on this machine and in this study."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._costs: dict[Structure, float] = {}
        self._seconds: dict[Structure, float] = {}

    def note(self, structure: Structure, seconds: float) -> None:
        """A round of `structure` took so long."""
        self._seconds[structure] = self._seconds.get(structure, 0.0) + seconds

    def cost(self, structure: Structure) -> float:
        """Operations of one lane-step: products, the optimizer's passes, and the overhead of calling both."""
        if structure not in self._costs:
            size = self.engine.program(structure.network).layout.size
            batch = structure.batch_size or max(len(fold.train) for fold in self.engine.data.folds)
            self._costs[structure] = 6.0 * size * batch + 40.0 * size + 2e5
        return self._costs[structure]

    def work_in_flight(self) -> float:
        """Operations of one step of everything that trains at present."""
        return sum(self.cost(s) * len(p.lanes) for s, p in self.engine.populations.items())

    def affordable_epochs(self, config: Config, budget: Budget) -> int:
        """Epochs this config may have: what a fifth of the search pays for, and what fits in the time that is left.

        Half of what is in flight will be pruned before its end.
        """
        structure = Structure.of(config)
        folds = self.engine.data.folds
        rows = len(folds[0].train)
        epoch_seconds = -(-rows // (config.batch_size or rows)) * self._lane_step_seconds(structure)
        a_share = SHARE_OF_A_TRIAL * (budget.seconds - budget.reserve) / (epoch_seconds * len(folds))
        in_flight = self.work_in_flight() / self.cost(structure)
        what_is_left = budget.search_left / (epoch_seconds * (0.5 * in_flight + len(folds)))
        return int(min(config.epochs, max(a_share, FEWEST_EPOCHS), what_is_left))

    def _lane_step_seconds(self, structure: Structure) -> float:
        population = self.engine.populations.get(structure)
        if population is not None and population.lane_steps > STEPS_TO_TRUST:
            return self._seconds[structure] / population.lane_steps
        done = sum(self.cost(s) * p.lane_steps for s, p in self.engine.populations.items())
        return self.cost(structure) * sum(self._seconds.values()) / done if done else 1e-3
