"""The report of a study: its result, its choices, its curves and its errors, as one page.

Reads what lies in the study's folder, and where they are still there the rows it learnt from; it trains nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy
import polars

import trimtab
from trimtab.errors import ModelError, OptionError, TrimtabError
from trimtab.evaluation.metrics import figures
from trimtab.evaluation.slices import metric_of_slices, slices_of
from trimtab.findings.worth.account import Account
from trimtab.findings.worth.words import worth_in_words
from trimtab.machine import lanes_in_threads
from trimtab.model.model import Model
from trimtab.report.chart import Chart
from trimtab.report.class_charts import calibration_chart, confusion_chart
from trimtab.report.column_charts import dependence_chart, importance_chart, slices_chart
from trimtab.report.columns import dependence, importances
from trimtab.report.duration_chart import curves_by_epoch, duration_chart, losses_chart_of
from trimtab.report.evidence_charts import COLUMNS, drift_chart, layers_charts
from trimtab.report.made_section import made_section
from trimtab.report.page.page import Answer, Page, Section
from trimtab.report.residual_charts import SHARE, Bounds, losses_chart, predicted_chart, residuals_chart
from trimtab.report.run_charts import curves_chart, knobs_chart
from trimtab.report.search_charts import Search, progress_chart, rates_chart, structures_chart
from trimtab.report.standing_chart import interval_of, of_metric, score_of, standing_chart
from trimtab.report.worth_charts import choices_chart, path_chart, stopping_chart
from trimtab.studies.rebuilt_findings import metric_of
from trimtab.studies.request import TableOptions
from trimtab.studies.study import Study
from trimtab.studies.table_study import TableStudy
from trimtab.table.prepared import Prepared
from trimtab.text.layout import number
from trimtab.text.wording import counted, listed, sentence
from trimtab.training.metrics import METRICS, metric_for
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.verdicts import rows_in_words, verdicts
from trimtab.tuning.words import course_in_words

# Columns whose course is drawn, and targets whose errors are.
STRONGEST, TARGETS = 3, 3


def study_page(study: Study) -> Page:
    """The page of a study."""
    with lanes_in_threads():  # slices are judged by hundreds of small products
        return StudyReport(study).page()


def study_in_brief(study: Study) -> str:
    """What a notebook shows of a study."""
    report = StudyReport(study)
    return Page(report.answer, [report.duration()], trimtab.__version__).brief()


@dataclass(frozen=True)
class StudyReport:
    """Everything that the sections read, each read once."""

    study: Study

    def page(self) -> Page:
        return Page(
            answer=self.answer,
            sections=[
                self.worth(),
                self.duration(),
                self._findings(),
                self.search(),
                *self._errors(),
                self._columns(),
                self._parts(),
                made_section(self.study, has_model=self.model is not None),
            ],
            version=trimtab.__version__,
            notices=self.study.notices,
        )

    # -- what is read

    @property
    def result(self) -> Mapping[str, Any]:
        return self.study.result

    @property
    def folder(self) -> StudyFolder:
        return StudyFolder(self.study.out)

    @cached_property
    def asked(self) -> Mapping[str, Any]:
        return self.folder.read("study.json")["asked"]

    @property
    def is_finished(self) -> bool:
        return "config" in self.result

    @cached_property
    def judged_by(self) -> str:
        """The metric's name; "" where trials are judged by their loss."""
        if self.is_finished:
            return self.result.get("metric") or ""
        return metric_of(self.asked, self.study.winner) or "score"

    @property
    def metric(self) -> str:
        return self.judged_by or "validation loss"

    @property
    def is_greater_better(self) -> bool:
        return bool(self.asked.get("greater_is_better"))

    @cached_property
    def curves(self) -> polars.DataFrame:
        return self.study.curves

    @cached_property
    def account(self) -> Account | None:
        return Account.load(self.folder)

    @cached_property
    def predictions(self) -> polars.DataFrame | None:
        """Of the part that the study is judged by: the test rows, or else those out of fold."""
        if not isinstance(self.study, TableStudy) or not self.folder.predictions.exists():
            return None
        every = self.study.predictions
        part = "test" if (every["part"] == "test").any() else "validation"
        return every.filter(polars.col("part") == part)

    @cached_property
    def part(self) -> str:
        return (
            "test rows" if self.predictions is not None and self.predictions["part"][0] == "test" else "validation rows"
        )

    @cached_property
    def model(self) -> Model | None:
        try:
            return self.study.model if isinstance(self.study, TableStudy) else None
        except (TrimtabError, OSError):
            return None

    @cached_property
    def table(self) -> Prepared | str:
        """The rows that the study learnt from; where they cannot be read any more, why, in a sentence."""
        try:
            request, _ = TableOptions().request(self.folder)
            prepared = request.prepared()
        except (TrimtabError, OSError) as error:
            return str(error)
        if prepared.fingerprint != self.asked.get("fingerprint"):
            return f"{request.data} holds other rows than those the study was made with."
        return prepared

    # -- what stands on the page

    @cached_property
    def answer(self) -> Answer:
        asked = self.asked.get("target") if isinstance(self.study, TableStudy) else None
        target = asked if isinstance(asked, str) else listed(asked or [])
        name = Path(str(self.asked.get("data") or self.study.out)).name
        title = f"How well a network predicts {target} from {name}" if target else f"How well your network does: {name}"
        config = sentence(f"The best config: {self.study.words}")
        if not self.is_finished:
            figure = number(self._search.shown(self.study.winner))
            count = counted(len(self.study.trials), "trial")
            words = f"The search was not finished: this is what stands of it after {count}, unseen rows not yet asked."
            figure_of = f"{self.metric} on validation rows, the best so far"
            return Answer("study", title, [words, config], figure=figure, figure_of=figure_of)
        result = self.result
        score, (low, high) = score_of(result) if "metric" in result else None, interval_of(result)
        told = verdicts(of_metric(result, self.metric)) if result.get("gains") else []
        account = self.account
        worth = () if account is None or not account.reached else worth_in_words(account)
        # Who is looked at, where that is not the winner, goes with what mattered most.
        lines = 2 if account is not None and account.winner.get("instead_of") else 1
        return Answer(
            kind="study",
            title=title,
            sentences=[text for text in (*told[-1:], *worth[:lines], config) if text][:3],
            figure=number(score) if score is not None else "",
            interval=f"[{number(low)}, {number(high)}]" if low is not None and high is not None else "",
            figure_of=f"{self.metric} on {rows_in_words(result)}"
            if "rows" in result and "test" in result and score is not None
            else self.metric,
            charts=_there(standing_chart(result) if "baselines" in result else None),
        )

    def worth(self) -> Section:
        account = self.account
        charts: list[Chart] = []
        if account is not None:
            charts = _there(choices_chart(account, self.study.how_to_explain("5m")), path_chart(account))
        words = (
            []
            if charts or not self.is_finished
            else [
                f"Nothing was measured of it yet: {self.study.how_to_explain('2m')} trains the winner again beside "
                "copies that differ in one knob."
            ]
        )
        return Section("worth", "What every choice was worth", words, charts)

    def duration(self) -> Section:
        runs = self.curves
        runs = runs.filter(polars.col("trial") == self.study.winner.number) if not runs.is_empty() else runs
        curves = (
            None if runs.is_empty() else curves_by_epoch(runs, self.judged_by, greater_is_better=self.is_greater_better)
        )
        drawn = None if curves is None else duration_chart(curves, course_in_words(self.study.winner).capitalize())
        losses = None if runs.is_empty() else curves_by_epoch(runs, "", greater_is_better=False)
        parting = None if losses is None or not numpy.isfinite(losses.train).any() else losses_chart_of(losses)
        stopping = None if self.account is None else stopping_chart(self.account)
        words = [] if drawn else ["The winner was solved and not trained: it has no curves."]
        return Section("duration", "How long was right", words, _there(drawn, stopping, parting))

    def _findings(self) -> Section:
        found = self.study.findings
        charts = [*self._drifts(), *layers_charts(found)]
        return Section("findings", "What is wrong, and what to change", charts=charts, findings=found)

    def _drifts(self) -> list[Chart]:
        """The columns that differ most between the parts, where that was found and the rows can still be read."""
        drawn: list[Chart] = []
        for finding in self.study.findings:
            columns, part = finding.evidence.get("columns"), finding.evidence.get("part")
            if finding.id != "not_representative" or not columns or isinstance(self.table, str):
                continue
            here, there = self._sides(self.table, str(part))
            names = [name for name in columns if name in here.columns and name in there.columns][:COLUMNS]
            drawn += _there(
                *(
                    drift_chart(each, here[each], there[each], str(part), len(drawn) + i)
                    for i, each in enumerate(names, 1)
                )
            )
        return drawn

    @staticmethod
    def _sides(table: Prepared, part: str) -> tuple[polars.DataFrame, polars.DataFrame]:
        """The rows that train and those of the other part, as the finding compared them."""
        if part == "test":
            return table.development, table.development.clear() if table.test is None else table.test
        train, valid = (numpy.asarray(rows) for rows in table.folds[-1])
        return table.development[train], table.development[valid]

    @property
    def _search(self) -> Search:
        return Search(self.study.trials, self.metric, self.is_greater_better, self.study.winner.number)

    def search(self) -> Section:
        search = self._search
        charts = _there(
            progress_chart(search),
            rates_chart(search),
            structures_chart(search),
            knobs_chart(search),
            curves_chart(search, self.curves),
        )
        return Section("search", "All runs", charts=charts)

    def _errors(self) -> list[Section]:
        rows = self.predictions
        if rows is None or rows.is_empty() or self.model is None:
            return []
        several = len(self.model.target.names)
        words = [f"Of {several} targets the first {TARGETS}."] if several > TARGETS else []
        return [Section("errors", f"The errors, on {self.part}", words, self._error_charts(rows, self.model))]

    def _error_charts(self, rows: polars.DataFrame, model: Model) -> list[Chart]:
        if model.task == "classification":
            return self._class_charts(rows, model)
        charts: list[Chart] = []
        names = model.target.names
        odd = frozenset(int(row) for finding in self.study.findings for row in _rows_named(finding.evidence))
        for place, name in enumerate(names[:TARGETS], 1):
            truth, said = (f"{what}_{name}" if len(names) > 1 else what for what in ("truth", "prediction"))
            pair = rows.select(truth, said, "row").drop_nulls()
            true, predicted = (pair[column].cast(polars.Float64).to_numpy() for column in (truth, said))
            is_new, bounds = self.part == "test rows", _bounds_of(model, place - 1)
            own = frozenset() if is_new else odd
            drawn = _there(
                predicted_chart(true, predicted, name, pair["row"].to_numpy(), own, bounds, are_new=is_new),
                residuals_chart(true, predicted, name),
                losses_chart(true, predicted),
            )
            if len(names) > 1:
                drawn = [replace(c, name=f"{c.name}-{place}", question=f"{name}: {c.question}") for c in drawn]
            charts += drawn
        return charts

    def _class_charts(self, rows: polars.DataFrame, model: Model) -> list[Chart]:
        labels = list(model.target.labels)
        truth = rows["truth"].cast(polars.String).to_list()
        charts = [confusion_chart(truth, rows["prediction"].cast(polars.String).to_list(), labels)]
        label = labels[-1] if len(labels) == 2 else max(labels, key=truth.count)
        column = f"probability_{label}"
        if column in rows.columns:
            is_so = numpy.array([each == label for each in truth])
            charts += _there(calibration_chart(rows[column].to_numpy(), is_so, label))
        return charts

    def _columns(self) -> Section:
        title, model = "What each column is worth", self.model
        if not isinstance(self.study, TableStudy):
            return Section("columns", title)
        if model is None:
            return Section("columns", title, ["There is no model in the study's folder that this could be asked."])
        table = self.table
        if isinstance(table, str):
            words = [sentence(f"The rows cannot be read any more, so that this is left out: {table}")]
            return Section("columns", title, words)
        is_test = table.test is not None
        frame = table.test if table.test is not None else table.development
        truth = model.target.truth(frame)
        is_classes = model.task == "classification"
        names = model.encoder.names
        weights = table.test_weights if is_test else table.weights
        found, left = importances(model, frame, truth, names, is_classes=is_classes, weights=weights)
        measure = "log loss" if is_classes else "rmse" if len(model.target.names) == 1 else "root mean square error"
        charts = _there(importance_chart(found, left, measure, "test rows" if is_test else "the rows it learnt from"))
        output = len(model.target.labels) - 1 if is_classes else 0
        unit = f"probability of {model.target.labels[output]}" if is_classes else model.target.names[0]
        for place, each in enumerate([one for one in found if one.low > 0][:STRONGEST], 1):
            moved = dependence(model, frame, each.column, output)
            charts += [] if moved is None else [dependence_chart(moved, unit, place)]
        charts += _there(self._slices(table, model))
        words = [] if found else [f"There was no time to look at any of {counted(len(left), 'column')}."]
        return Section("columns", title, words, charts)

    def _slices(self, table: Prepared, model: Model) -> Chart | None:
        """Where the model is bad: on test rows, or else by the predictions out of fold."""
        if table.test is not None:
            frame, weights, raw = table.test, table.test_weights, model.raw(table.test)[0]
        else:
            rows = self.predictions
            if rows is None or len(model.target.names) > 1:
                return None
            known = polars.DataFrame({"row": table.development_rows, "place": numpy.arange(table.development.height)})
            joined = rows.with_columns(polars.col("row").cast(polars.Int64)).join(known, on="row", how="inner")
            frame, weights = table.development[joined["place"].to_numpy()], table.weights[joined["place"].to_numpy()]
            columns = [f"probability_{label}" for label in model.target.labels] or ["prediction"]
            raw = joined.select(columns).to_numpy().astype(numpy.float64)
        if frame.height < 40:
            return None
        truth = model.target.truth(frame)
        measure = metric_of_slices(metric_for(self.result.get("metric"), model.target.task, model.target.outputs).name)
        raw = numpy.eye(raw.shape[1])[model.target.decided(raw)] if measure.name == METRICS["accuracy"].name else raw
        found = slices_of(frame, model.encoder.features, raw, truth, weights.astype(numpy.float64), measure, seed=0)
        (whole,) = figures(measure, [raw], [truth], weights.astype(numpy.float64), seed=0, repetitions=50)
        return slices_chart(found, whole.value, measure.name)

    def _parts(self) -> Section:
        """How representative the parts are: what was found about them, and what was checked."""
        rows = self.result.get("rows") or {}
        names = {"train": "training", "valid": "validation", "test": "test"}
        facts = [(f"{names.get(part, part)} rows", f"{count:,}") for part, count in rows.items() if count]
        split = self.asked.get("split")
        if split is not None:
            facts.append(("split", str(split)))
        found = [
            each.statement
            for each in self.study.findings
            if each.id in ("not_representative", "leakage", "duplicate_rows")
        ]
        healthy = [
            text for text in self.study.findings.healthy if "part" in text or "split" in text or "represent" in text
        ]
        return Section("parts", "How representative the parts are", [*found, *healthy], facts=facts)


def _rows_named(evidence: Mapping[str, Any]) -> Sequence[int]:
    """The rows that a finding names."""
    rows = evidence.get("rows")
    return [int(row) for row in rows] if isinstance(rows, list | tuple) else []


def _bounds_of(model: Model, place: int) -> Bounds | None:
    """The intervals around predictions of one target; None where the model knows none, or too few rows told of them."""
    try:
        known = model.calibrated(SHARE)
    except (ModelError, OptionError):
        return None
    return partial(known.targets[place].bounds, level=known.level(SHARE))


def _there(*charts: Chart | None) -> list[Chart]:
    return [chart for chart in charts if chart is not None]
