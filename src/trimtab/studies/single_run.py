"""Run: one training, finished, as the user holds it. Trains nothing."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars

from trimtab.errors import OptionError
from trimtab.findings.check import check
from trimtab.findings.checked import joined
from trimtab.findings.finding import Findings, Outcome
from trimtab.findings.of_run import record_of
from trimtab.findings.replays import replayed, stop_of
from trimtab.findings.training_record import TrainingRecord
from trimtab.knobs.knob import Task
from trimtab.networks.own_optimizer import arguments_of
from trimtab.networks.recipe import Recipe
from trimtab.text.layout import number
from trimtab.text.wording import counted, sentence
from trimtab.training.config import Config
from trimtab.training.run import Curves
from trimtab.tuning.curves import curves_frame
from trimtab.tuning.words import config_in_words

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure

    from trimtab.export.scripts.conventions import Conventions
    from trimtab.report.page.page import Page
    from trimtab.studies.explanation import Explanation


@dataclass(frozen=True, repr=False)
class Run:
    """One training, finished.

    Attributes:
        name: what the run is called, such as "lr=0.01, seed 0" in a sweep.
        module: the network with the weights of the best epoch, in evaluation mode.
        evaluations: what was noted in each evaluated epoch, as lists; `curves` is the frame of it.
        config: every knob of the training, those left out included.
        metric: what `score` is, None for the validation loss.
        score: the metric on the validation rows at the best epoch, as users read it.
        best_epoch: the epoch with the best score; 0 where no epoch gave a finite one, and the module then has the
            weights it started from.
        epochs: how many epochs were trained.
        ended: why training ended: "all epochs", "stopped early", "stopped" (by a callback) or "not finite".
        seed: the seed of all that was random.
        task: "regression" or "classification".
        given: the knobs as they were given, with functions where names were not.
        share: the share of rows set aside to judge by, None where they were given.
        evaluate_every: epochs between two evaluations.
        has_weights: whether some rows counted more than others.
        drops_last: whether a last batch that was short was left out.
        reading: how targets and outputs were read, for `code()`.
        is_greater_better: whether greater scores are better.
        explained: makes it again beside others, for `explain`; None where its rows are no longer there.
        facts: what is known of network, rows and predictions (`findings.training_record.FACTS`).
        outliers: whether a few rows make most of its loss.
        found_in_rows: what is wrong with the rows, as far as could be said before training.
    """

    name: str
    module: "torch.nn.Module"
    evaluations: Curves = field(repr=False)
    config: Config
    metric: str | None
    score: float
    best_epoch: int
    epochs: int
    ended: str
    seed: int
    task: Task
    given: Recipe
    share: float | None = None
    evaluate_every: int = 1
    has_weights: bool = False
    drops_last: bool = False
    reading: "Conventions | None" = field(default=None, repr=False)
    explained: "Callable[..., Explanation] | None" = field(default=None, repr=False)
    is_greater_better: bool = False
    facts: Mapping[str, float] = field(default_factory=dict, repr=False)
    outliers: Outcome = field(default=None, repr=False)
    found_in_rows: Findings = field(default=Findings(), repr=False)

    @cached_property
    def findings(self) -> Findings:
        """What is wrong with the rows and with the training and what to change, gravest first; or why they are
        healthy."""
        return joined(check(self.record, [self.outliers]), self.found_in_rows)

    @property
    def record(self) -> TrainingRecord:
        """The run as the rules read it."""
        return record_of(
            self.evaluations, self.config, metric=self.metric, greater_is_better=self.is_greater_better,
            best_epoch=self.best_epoch, ended=self.ended, task=self.task, facts=self.facts,
        )  # fmt: skip

    @cached_property
    def curves(self) -> polars.DataFrame:
        """A row per evaluated epoch; see `trimtab.training.run.Curves` for the columns.

        Made when it is looked at first: a sweep has hundreds of runs, and few of them are.
        """
        return curves_frame(self.evaluations)

    def explain(
        self, knobs: Sequence[str] = (), *, budget: str | float = "1m", threads: int | None = None
    ) -> "Explanation":
        """What each choice of this training was worth: it is made again beside copies that differ in one knob, and each
        remedy of what is wrong is tried.

        Arguments:
            knobs: the only ones to look at, such as ["lr", "loss"]; all where none are named.
            budget: how long it may take, as "1m" or seconds.
            threads: threads to train with (default: all cores allowed).

        Raises OptionError for a knob that there is not, an optimizer of your own, rows that are read anew in every
        epoch, and a run of a sweep or one that was loaded.
        """
        if self.explained is None:
            raise OptionError("Only a run that tt.fit has just made can be explained: its rows are no longer there.")
        names = (knobs,) if isinstance(knobs, str) else tuple(knobs)
        return self.explained(self, knobs=names, budget=budget, threads=threads)

    def plot(self) -> "Figure":
        """The score on training and validation rows by epoch, the best epoch marked: a matplotlib figure."""
        from trimtab.report.figures import curves_figure

        return curves_figure(self.curves, metric=self.metric, best_epoch=self.best_epoch, title=self.name)

    def report(self, out: str | PathLike[str] = "run.html") -> Path:
        """Write the training as one HTML page that loads nothing: its curves, where it should have stopped, what is
        wrong and what went on inside. Returns its path; raises DataError where it cannot be written."""
        return self._page().write(out)

    def _repr_html_(self) -> str:
        return self._page().brief()

    def _page(self) -> "Page":
        from trimtab.report.page.page import Code
        from trimtab.report.record_report import record_page

        record, what = self.record, self.metric or "validation loss"
        return record_page(
            record, self.findings, kind="run",
            title=f"How the training {self.name} went" if self.name != "run" else "How the training went",
            sentences=[
                self._course(),
                sentence(config_in_words(self.config)),
            ],
            figure=number(self.score) if math.isfinite(self.score) else "",
            figure_of=f"{what} at its best epoch, {self.best_epoch}" if math.isfinite(self.score) else "",
            stop=stop_of(record),
            stopping=replayed(record), facts=[("seed", str(self.seed)), ("config", config_in_words(self.config))],
            code=[Code("Train it without trimtab", self.code(), is_long=True)] if self.reading is not None else [],
        )  # fmt: skip

    def _course(self) -> str:
        if not math.isfinite(self.score):
            return f"Training diverged: after no epoch was the {self.metric or 'validation loss'} a number."
        epochs = counted(self.epochs, "epoch")
        return sentence(f"Of {epochs} number {self.best_epoch} gave the best weights ({self.ended})")

    def code(self) -> str:
        """A plain PyTorch script that trains as this run was trained, without trimtab; the data's place is marked."""
        from trimtab.export.scripts.module_script import module_script

        own: dict[str, Any] = {"loss": self.given.function, "optimizer": self.given.make_optimizer}
        return module_script(
            self.config, task=self.task, module=self.module, **own, metric=self.metric, seed=self.seed,
            share=self.share, every=self.evaluate_every, keeps_dropout=self.given.has_own_dropout,
            optimizer_arguments=arguments_of(self.given), has_weights=self.has_weights, drops_last=self.drops_last,
            reading=self.reading,
        )  # fmt: skip

    def __repr__(self) -> str:
        score = f"{self.metric or 'validation loss'} {self.score:.4g}"
        return f"Run({self.name}: {score} at epoch {self.best_epoch} of {self.epochs}, {self.ended})"
