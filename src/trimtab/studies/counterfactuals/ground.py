"""Ground: what a winner was trained on, laid out so that it and its alternatives can be trained there again, in pairs.

Knows data, folds and engines; it knows no alternatives and decides nothing.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy
import torch

from trimtab.studies.counterfactuals.alternatives import SHARES, Alternative, Rows, Variable, alternatives_of
from trimtab.training.config import Config
from trimtab.training.data import Fold, TrainingData
from trimtab.training.lanes.engine import Engine
from trimtab.training.lanes.judging import Judging
from trimtab.training.metrics import Metric

# Repetitions at most. Of overlapping folds, more than four narrow an interval by a few per cent: what is left of its
# width is the overlap of training parts. Seeds on one part are narrowed by each (a guess where they no longer pay).
MOST_OF_FOLDS, MOST_SEEDS = 4, 10
# Of so many folds one repetition tells how much a difference varies (measured: 5 pairs). Where a study has more, as
# many of them are compared on: more choices are, and each of them more often, in the same time.
FOLDS_ENOUGH = 5
# Seeds of repetitions lie this far from the study's own, whose weights and orders chose the winner.
FIRST_SEED = 1_000
# Folds whose training parts tell the rate of an optimizer (a guess: rates differ by factors of three, which two show),
# and the share of such a part that judges.
FOLDS_FOR_RATES, SHARE_FOR_RATES = 2, 0.2


def folds_compared(folds: int) -> int:
    """On how many of a study's folds its winner and others are compared."""
    return min(folds, FOLDS_ENOUGH)


def fewest_repetitions(folds: int) -> int:
    """Below which little can be said: one of five folds, two of fewer, four seeds of one part. With three seeds too
    many studies claimed something where nothing differed (benchmarks/RESULTS.md, which tried these)."""
    return 4 if folds == 1 else 2 if folds < FOLDS_ENOUGH else 1


@dataclass(frozen=True)
class Ground:
    """A winner's data and folds.

    Attributes:
        data: the tensors, with the folds of the study.
        winner: the config that is looked at; `beginner` is what a careful beginner would train, None where there is no
            such thing.
        metric: the study's, None where the validation loss judges.
        seed: the study's.
        variable: what else can be changed.
        engine_for: makes an engine over other folds of the same data.
        redrawn: the folds of a repetition, drawn anew by the study's rule; None where the split leaves no choice.
        units: int64 [rows], rows of one number are no evidence of their own; None where each is.
        otherwise: the same rows, prepared in other ways, by what is done otherwise.
        remedies: configs that mend what was found about the winner, which are tried first.
        by_loss: whether the validation loss tells the best epoch all the same.
        longer: how many times as long as with stopping a training of the winner takes without.
    """

    data: TrainingData
    winner: Config
    metric: Metric | None
    seed: int
    variable: Variable
    engine_for: Callable[[TrainingData, Judging], Engine]
    redrawn: Callable[[int], Sequence[Fold] | None]
    beginner: Config | None = None
    units: numpy.ndarray | None = None
    longer: float = 1.0
    by_loss: bool = False
    otherwise: Mapping[str, Callable[[], TrainingData]] = field(default_factory=dict)
    remedies: tuple[Alternative, ...] = ()

    @property
    def folds(self) -> int:
        """How many of the study's folds a repetition has."""
        return folds_compared(len(self.data.folds))

    @property
    def judged_per_trained(self) -> float:
        """Validation rows for each training row, the mean over folds."""
        return float(numpy.mean([len(fold.validation) / max(1, len(fold.train)) for fold in self.data.folds]))

    @property
    def fewest_repetitions(self) -> int:
        return fewest_repetitions(self.folds)

    @property
    def most_repetitions(self) -> int:
        return MOST_OF_FOLDS if self.folds > 1 else MOST_SEEDS

    def alternatives(self, only: Collection[str] = ()) -> list[Alternative]:
        """The remedies and all other configs that differ in one knob, or those of the knobs `only`."""
        return [*(() if only else self.remedies), *alternatives_of(self.winner, self.variable, only)]

    def seed_of(self, repetition: int) -> int:
        return self.seed + FIRST_SEED + repetition

    @cached_property
    def laid_out(self) -> TrainingData:
        """The data with the folds of all repetitions, those of fewer rows behind each, and those that tell rates at the
        end."""
        folds: list[Fold] = []
        for repetition in range(self._drawings):
            whole = self._folds_of(repetition)
            folds += [self._with_share(fold, share, repetition) for share in SHARES.values() for fold in whole]
        return replace(self.data, folds=(*folds, *self._inner()))

    def laid_out_otherwise(self, preparation: str) -> TrainingData:
        """The same folds of rows that are prepared in another way, of those that there are; "" is none of them."""
        return replace(self.otherwise[preparation](), folds=self.laid_out.folds) if preparation else self.laid_out

    def fold(self, repetition: int, number: int, rows: Rows = "all") -> int:
        """The place of a fold among those laid out."""
        drawing = repetition if self._drawings > 1 else 0
        return (len(SHARES) * drawing + list(SHARES).index(rows)) * self.folds + number

    def some(self, folds: Sequence[Fold], repetition: int = 0) -> Sequence[Fold]:
        """As many as are compared on, by chance: a rare class judges in the same few places of every drawing."""
        if len(folds) <= self.folds:
            return folds
        order = numpy.random.default_rng([self.seed_of(repetition), 0x50]).permutation(len(folds))
        return [folds[place] for place in sorted(order[: self.folds])]

    def rows_trained(self, rows: Rows = "all") -> int:
        """How many rows train in a fold, the mean over folds."""
        folds = self.laid_out.folds
        return round(float(numpy.mean([len(folds[self.fold(0, n, rows)].train) for n in range(self.folds)])))

    def folds_for_rates(self) -> range:
        first = len(SHARES) * self._drawings * self.folds
        return range(first, first + min(FOLDS_FOR_RATES, self.folds))

    def part(self, rows: torch.Tensor, share: float, salt: int) -> tuple[torch.Tensor, torch.Tensor]:
        """About a share of `rows` by chance, whole units of them, and the rest; `salt` is another number for another
        draw."""
        places = rows.cpu().numpy()
        units = places if self.units is None else self.units[places]
        names, of_row = numpy.unique(units, return_inverse=True)
        chance = numpy.random.default_rng([self.seed, salt, 0x5EED]).random(len(names))
        is_in = chance[of_row] <= numpy.quantile(chance, share)
        return rows[torch.from_numpy(is_in).to(rows.device)], rows[torch.from_numpy(~is_in).to(rows.device)]

    @cached_property
    def _drawings(self) -> int:
        return 1 if self.redrawn(0) is None else self.most_repetitions

    def _folds_of(self, repetition: int) -> Sequence[Fold]:
        drawn = self.data.folds if self._drawings == 1 else self.redrawn(self.seed_of(repetition))
        assert drawn is not None
        return self.some(drawn, repetition)

    def _with_share(self, fold: Fold, share: float, repetition: int) -> Fold:
        """The fold with a share of its training rows; the rows of a smaller share are among those of a larger one."""
        return fold if share == 1 else Fold(self.part(fold.train, share, repetition)[0], fold.validation)

    def _inner(self) -> list[Fold]:
        parts = [self.part(fold.train, SHARE_FOR_RATES, place) for place, fold in enumerate(self._folds_of(0))]
        return [Fold(rest, judged) for judged, rest in parts[:FOLDS_FOR_RATES]]
