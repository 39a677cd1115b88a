"""Lane: one place in a population, and the account of the run that lives there.

Knows its config, its schedule and its stopping rule; its tensors lie in the population.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from trimtab.training.rules import schedules, stopping
from trimtab.training.rules.optimizers import terms_of
from trimtab.training.rules.schedules import RateSchedule
from trimtab.training.rules.stopping import StoppingRule, why_ended
from trimtab.training.run import Curves, Request


@dataclass
class Lane:
    """One place in a population and the run that lives there: `batches` of `size` rows in each epoch.

    `flags` are those of its coefficients; `errors` what it was judged by at each evaluation, `error` the best of them.
    """

    request: Request
    batches: int
    size: int
    schedule: RateSchedule
    stopping: StoppingRule
    flags: dict[str, bool]
    epoch: int = 0
    step: int = 0
    evaluated_step: int = 0
    error: float = float("inf")
    best_epoch: int = 0
    ended: str = ""
    errors: list[float] = field(default_factory=list)
    curves: Curves = field(default_factory=Curves)

    @classmethod
    def of(cls, request: Request, *, batches: int, size: int, flags: dict[str, bool]) -> "Lane":
        """A lane whose run is about to begin."""
        config = request.config
        schedule = schedules.make(config.schedule, batches * config.epochs, batches, request.factors)
        return cls(request, batches, size, schedule, stopping.make(config.stopping), flags)

    @cached_property
    def momentum(self) -> float:
        """The weight of the past in the running mean of gradients that its optimizer keeps, 0 where it keeps none."""
        terms = terms_of(self.request.config.optimizer)
        return terms.first_decay if terms.averages_gradients else 0.0

    def steps_of(self, epochs: int) -> int:
        """Steps of this lane's next `epochs` epochs, or of those that it has left."""
        return self.batches * min(epochs, self.request.epochs - self.epoch)

    def steps_since_evaluation(self) -> int:
        """Steps since this was last asked, at least 1."""
        steps, self.evaluated_step = self.step - self.evaluated_step, self.step
        return max(1, steps)

    def last_rate(self) -> float:
        """The learning rate of the step made last."""
        factor = self.schedule.factors(max(0, self.step - 1), 1)[0]
        return float(self.request.config.optimizer.learning_rate * factor)

    def note(self, values: Mapping[str, Any], score: float, *, may_end: bool = True) -> None:
        """An evaluation at this epoch: losses and signals, and the `score`, lower is better, that judges the run."""
        if score < self.error:
            self.error, self.best_epoch = score, self.epoch
        self.curves.append({**values, "epoch": self.epoch})
        self.errors.append(score)
        self.schedule.observe(score, self.epoch)
        if may_end:
            self.ended = why_ended(
                self.stopping, epoch=self.epoch, epochs=self.request.epochs, train_loss=values["train_loss"],
                loss=values["validation_loss"], score=score,
            )  # fmt: skip
