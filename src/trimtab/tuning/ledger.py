"""Ledger: the trials that a search has finished or cut short, and the best of them.

What enters it is written. Knows records; it trains nothing and proposes nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trimtab.errors import OptionError
from trimtab.training.metrics import Metric
from trimtab.training.run import RunRecord
from trimtab.training.unscored import words_of_unscored
from trimtab.tuning.held import best_of, may_be_model
from trimtab.tuning.trial import COMPLETE, TrialRecord, TrialWeights
from trimtab.tuning.writer import TrialWriter

# So many trials without a score end a search. A guess: a metric that gives no number for these gives none at all.
MOST_UNSCORED = 8


class Ledger:
    """The finished `trials` of a study, of which so many were `tuned` and are no baselines; those `cut` short, by their
    numbers; and the `best` that may be the model.

    `held` are the knobs that are held still; `on_best` is told of every trial that is better than all before.
    """

    def __init__(
        self,
        earlier: Sequence[TrialRecord],
        cut: Mapping[int, TrialRecord],
        *,
        writer: TrialWriter,
        metric: Metric | None,
        held: Mapping[str, Any],
        on_best: Callable[[TrialRecord, TrialWeights], None],
    ) -> None:
        self.trials, self.cut = list(earlier), dict(cut)
        self.tuned = sum(not record.name for record in earlier)
        self.best = best_of([*self.trials, *self.cut.values()], held)
        self.unscored: set[float] = set()  # what the metric gave in their place, of trials without a score
        self._writer, self._metric, self._held, self._on_best = writer, metric, held, on_best

    @property
    def all(self) -> list[TrialRecord]:
        """Every trial, in the order in which they began; one that was cut short as far as it came."""
        finished = {record.number for record in self.trials}
        cut = [record for number, record in self.cut.items() if number not in finished]
        return sorted(self.trials + cut, key=lambda record: record.number)

    def add(self, record: TrialRecord, weights: TrialWeights | None, runs: Sequence[RunRecord]) -> None:
        """A trial is finished; raises OptionError where none of the first ones has a score."""
        self.trials.append(record)
        self.tuned += not record.name
        # First, so that a study in which a trial is found has a model, whenever it is killed.
        self._compare(record, weights)
        if record.is_unscored:
            self._note_unscored(runs)
        self._writer.put(record, weights, runs)

    def add_cut(self, record: TrialRecord, weights: TrialWeights | None, runs: Sequence[RunRecord]) -> None:
        """What a trial had come to when the search was ended: it may be the model, and runs again on the next call."""
        before = self.cut.get(record.number)
        if weights is None or (before is not None and before.error <= record.error):
            return
        self.cut[record.number] = record
        self._writer.put(record, weights, runs, is_cut=True)
        self._compare(record, weights)

    def _compare(self, record: TrialRecord, weights: TrialWeights | None) -> None:
        if record.state != COMPLETE or weights is None or not may_be_model(record, self._held):
            return
        if self.best is None or record.error < self.best.error:
            self.best = record
            self._on_best(record, weights)

    def _note_unscored(self, runs: Sequence[RunRecord]) -> None:
        """Raises OptionError where the metric has given no number for any of the first trials: it never will."""
        self.unscored |= {figure for run in runs for figure in run.curves.validation_metric}
        few = len(self.trials) < MOST_UNSCORED
        if self._metric is None or few or not all(record.is_unscored for record in self.trials):
            return
        raise OptionError(words_of_unscored(self._metric, self.unscored, f"the first {len(self.trials)} trials"))
