"""Study: a search as the user holds it; its files stay the truth. What a table's and one's own networks' share.

Knows how to read a study folder back; it trains nothing.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars

from trimtab.errors import unknown_choice
from trimtab.findings.document import has_findings, read, to_json
from trimtab.findings.finding import Findings
from trimtab.text.wording import counted
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.trial import TrialRecord
from trimtab.tuning.words import trial_in_words

Place = str | PathLike[str] | None
PLOTS = ("search", "knob", "waterfall", "stopping")

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure

    from trimtab.evaluation.result import Evaluation
    from trimtab.findings.worth.account import Account
    from trimtab.model.model import Model
    from trimtab.studies.explanation import Explanation


@dataclass(frozen=True, repr=False)
class Study(ABC):
    """A finished (or interrupted) search.

    Attributes:
        out: its folder.
        result: what `summary()` gives.
        winner: the best single trial.
        trials: every finished trial in the order in which they were asked for.
        notices: what a user ought to know about data and result.
    """

    out: Path
    result: dict[str, Any]
    winner: TrialRecord
    trials: tuple[TrialRecord, ...]
    notices: tuple[str, ...] = field(default=())

    @property
    @abstractmethod
    def module(self) -> "torch.nn.Module":
        """The best of a study of your own networks, as it was scored, in evaluation mode; StudyError for a table."""

    @property
    @abstractmethod
    def model(self) -> "Model":
        """The saved model of a table, read from the study folder; StudyError for networks of your own."""

    @property
    @abstractmethod
    def predictions(self) -> polars.DataFrame:
        """What the model of a table predicted for the rows it may be judged by; StudyError for networks of your own."""

    @abstractmethod
    def code(self) -> str:
        """A plain PyTorch script that trains the best single config, without trimtab.

        That of a table reads the same file, and the folds from the study's folder, and prints its validation score
        beside the study's; raises DataError where the file cannot be read any more. That of networks of your own has a
        place for the data.
        """

    @abstractmethod
    def export(
        self, *, python: Place = None, onnx: Place = None, pt2: Place = None, interval: float | None = None
    ) -> dict[str, Path]:
        """Write files that need no trimtab: `code()` (of a table with the folds in a file beside it), the model as an
        ONNX graph (with the ends of intervals that hold the truth in such a share of rows: `interval`) or as a PT2
        program (see the guide).

        Returns the files by kind. Raises OptionError where nothing is asked for or onnx is not installed, DataError
        where a file cannot be written, StudyError for a kind that networks of your own do not have.
        """

    @abstractmethod
    def evaluate(
        self, data: Any, target: str | Sequence[str] | None = None, *, weight: str | None = None,
        threshold: float | str | None = None, seed: int = 0,
    ) -> "Evaluation":  # fmt: skip
        """How good the study's model is on rows whose answer is known: every metric with its interval, and more.

        Arguments:
            data: a file, any frame with the columns and the target, or `(X, y)`.
            target: the target's column there, if it is not called as in training.
            weight: a column of row weights (default: that of the study, where it is there).
            threshold: the probability from which on rows count as the second of two classes; or "f1", "accuracy" or
                "balanced_accuracy", to take the best for that metric on the study's validation rows.
            seed: of the bootstrap; the same gives the same intervals.

        Raises DataError for rows that cannot be scored, OptionError and StudyError for a threshold that cannot be.
        """

    @property
    def curves(self) -> polars.DataFrame:
        """Every run's curves: trial, fold, epoch, losses, metric, learning rate and gradient norm."""
        curves = StudyFolder(self.out).read_curves()
        if curves.is_empty():
            return curves
        # A search that was killed may have written the curves of a trial that it could not store any more.
        return curves.filter(polars.col("trial").is_in([record.number for record in self.trials]))

    @cached_property
    def findings(self) -> Findings:
        """What is wrong with the rows, the search and the result, gravest first, each with what to change; why what was
        checked is healthy, and what could not be checked.

        Of a search that was not finished, what its folder tells: by the curves of the best trial so far, and by what
        was found in the rows before training.
        """
        from trimtab.studies.rebuilt_findings import rebuilt_findings

        folder = StudyFolder(self.out)
        if ("config" in self.result and has_findings(folder)) or not (self.out / "study.json").exists():
            return read(folder)
        return rebuilt_findings(folder, self.winner)

    @property
    def counterfactuals(self) -> polars.DataFrame:
        """What each choice of the winner was worth: a row for each config that differs from it in one knob.

        Columns: `knob`, `value` (as text), `difference` (its error less the winner's, both trained again on the same
        folds from the same seeds, in the units of the metric: above 0 it is worse), `low` and `high` (an interval that
        holds together with all others in 95 % of studies), `verdict` ("better", "worse", "alike", "not reached") and
        `pairs` of runs. Empty where nothing was measured.
        """
        from trimtab.findings.worth.account import Account
        from trimtab.studies.explanation import rows_frame

        return rows_frame(Account.load(StudyFolder(self.out)))

    def explain(
        self, knob: str | None = None, *, budget: str | float | None = None, data: Any = None,
        threads: int | None = None, stop: Any = None, abort: Any = None,
    ) -> "Explanation":  # fmt: skip
        """What each choice of the winner was worth, what stopping rules would have done, and what is wrong.

        Arguments:
            knob: the only knob to measure more of; None for all.
            budget: time to measure more in, as "2m" or seconds; None gives what was measured so far.
            data: the study's data, where they are no file or the file has moved.
            threads: threads to train with (default: all cores allowed).
            stop: a `threading.Event` that ends it at any time, with what is there; `abort` as well.

        Raises StudyError where nothing was measured so far and there is no budget, where the data are others, and for
        networks of your own whose study was not made in this process; OptionError for a knob that there is not.
        """
        from trimtab.studies.explaining import kept_account
        from trimtab.studies.explanation import Explanation

        if budget is not None:
            account = self._explained(budget, knob=knob, data=data, threads=threads, stop=stop, abort=abort)
        else:
            account = kept_account(StudyFolder(self.out), knob)
        return Explanation(account, self.findings)

    @property
    def worth(self) -> tuple[str, ...]:
        """What mattered most of the winner's choices, how long was right, and how much was measured, in sentences;
        where there was too little time, how much it takes; nothing where nobody asked."""
        from trimtab.findings.worth.account import UNEXPLAINED, Account
        from trimtab.findings.worth.words import unexplained_in_words, worth_in_words

        account = Account.load(StudyFolder(self.out))
        if account is not None:
            return worth_in_words(account)
        needed = self.result.get(UNEXPLAINED)
        return () if needed is None else (unexplained_in_words(needed, self.how_to_explain),)

    def how_to_explain(self, budget: str) -> str:
        """What measures more of what each choice was worth, as it is typed."""
        return f'study.explain(budget="{budget}")'

    @abstractmethod
    def _explained(self, budget: str | float, **options: Any) -> "Account":
        """More of what each choice was worth, within the budget."""

    @property
    def verdicts(self) -> tuple[str, ...]:
        """A sentence for each baseline of a table: by how much the model is better or worse, or that the two cannot be
        told apart."""
        from trimtab.tuning.verdicts import verdicts

        return tuple(verdicts(self.result))

    @property
    def words(self) -> str:
        """The best single config in words."""
        return trial_in_words(self.winner)

    def __repr__(self) -> str:
        return f"Study({self.out}: {counted(len(self.trials), 'trial')}; {self.words})"

    def __str__(self) -> str:
        from trimtab.terminal.summary import summary_in_text

        return summary_in_text(self) if "config" in self.result else repr(self)

    def plot(self, kind: str = "search") -> "Figure":
        """A matplotlib figure of the study.

        "search": the score of each trial in their order with the best so far, and what each knob that was turned
        yielded: every trial's score by its value. "knob": what each choice of the winner was worth, with intervals.
        "waterfall": the way from the beginner's network to the result. "stopping": what stopping rules would have done.

        Raises OptionError for another kind, where what is to be drawn was not measured yet, and where matplotlib is
        missing.
        """
        from trimtab.findings.worth.account import Account
        from trimtab.report.search_figure import search_figure
        from trimtab.report.worth_figures import knob_figure, stopping_figure, waterfall_figure

        if kind not in PLOTS:
            raise unknown_choice("kind of plot", str(kind), PLOTS)
        draw = {"knob": knob_figure, "waterfall": waterfall_figure, "stopping": stopping_figure}.get(kind)
        if draw is not None:
            return draw(Account.load(StudyFolder(self.out)))
        metric = self.result.get("metric") or "validation loss"
        greater = bool(StudyFolder(self.out).read("study.json")["asked"].get("greater_is_better"))
        return search_figure(self.trials, metric=metric, greater_is_better=greater, winner=self.winner.number)

    def report(self, out: Place = None) -> Path:
        """Write the study as one HTML page that loads nothing: its answer, what every choice was worth, curves,
        findings, all runs, errors, columns, and how it was made.

        Arguments:
            out: the file (default: `report.html` in the study's folder).

        Returns its path. Raises DataError where it cannot be written.
        """
        page = import_module("trimtab.report.study_report").study_page(self)
        return page.write(self.out / "report.html" if out is None else out)

    def _repr_html_(self) -> str:
        """How a notebook shows it: its picture and words."""
        return import_module("trimtab.report.study_report").study_in_brief(self)

    def summary(self) -> dict[str, Any]:
        """What was found, as one plain dict: the object that `trimtab fit --json` prints."""
        return {**self.result, "findings": to_json(self.findings)["findings"]}
