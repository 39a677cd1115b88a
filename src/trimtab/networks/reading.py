"""Reading: what the outputs of a network and its targets are taken for, and the metric that compares them.

Knows what a network made of some rows, and the loss that somebody named or wrote; it trains nothing.
"""

from torch import Tensor

from trimtab.errors import DataError, OptionError
from trimtab.knobs.knob import Task
from trimtab.networks.examples import Examples
from trimtab.networks.own_loss import OwnLoss, reads_logits
from trimtab.networks.probe import Tried
from trimtab.networks.targets import are_two_classes, check_for_metric, task_of
from trimtab.training.data import OneOutput
from trimtab.training.metrics import Metric, default_metric, known_metric, metric_for
from trimtab.training.own_metric import Metric as OwnMetric

BY_TASK = "by task"


class Reading:
    """How the outputs of a network, as it was `tried`, and the targets of `some` examples are read.

    `own` is a loss of the caller's, `named` the name of another, where one was given; `metric` a name, one of the
    caller's own, None for the validation loss, or BY_TASK for the task's default. `outputs` are the numbers or classes
    that are predicted, 0 where nobody knows; `one_output` is what a single output says of two classes.
    """

    def __init__(
        self, tried: Tried, some: Examples, own: OwnLoss | None, *, named: str | None, metric: str | OwnMetric | None
    ) -> None:
        self.tried, self.some, self.own, self.named = tried, some, own, named
        self._columns: tuple[int, ...] = tuple(tried.outputs.shape[1:]) if isinstance(tried.outputs, Tensor) else (0, 0)
        self.task: Task = self._task(metric)
        self.metric = self._metric(metric)
        self.outputs = 0
        self.one_output: OneOutput | None = None
        if own is None or self.metric is not None:
            self.outputs = self._columns[0] if self._columns else 1
            self.one_output = self._one_output()
        if self.one_output is not None:
            self.outputs = 2

    @property
    def words_of_two_classes(self) -> str:
        """What the loss is where nobody named one and targets and outputs may be meant as two classes; else ""."""
        is_told = self.named is not None or self.own is not None
        if is_told or not self._is_one_column or self.some.targets[0].is_floating_point():
            return ""
        if not are_two_classes(self.some.targets):
            return ""
        if self.task == "classification":
            return "The network has one output, which is read as the logit of class 1: the loss is bce."
        return (
            "y holds 0 and 1 alone and the network has one output: the loss is mse, which takes them for numbers. "
            'With loss="bce" the output is the logit of class 1.'
        )

    @property
    def _is_one_column(self) -> bool:
        return self._columns in ((), (1,))

    def _task(self, metric: str | OwnMetric | None) -> Task:
        known = known_metric(metric) if isinstance(metric, str) and metric != BY_TASK else None
        if self.own is not None and known is not None:
            return known.task
        if known is not None and known.task == "classification" and self.named is None and self._is_one_column:
            return "classification" if are_two_classes(self.some.targets) else "regression"
        return task_of(self.tried.outputs, self.some.targets, self.named)

    def _metric(self, name: str | OwnMetric | None) -> Metric | None:
        if name is None:
            return None
        columns, returns_more = self._columns, "reads one number per row and output; the network returns more."
        if isinstance(name, OwnMetric):
            if not isinstance(self.tried.outputs, Tensor) or len(columns) > 1:
                raise OptionError(f'metric="{name.name}" {returns_more}')
            return name.for_task(self.task)
        if self.own is not None and name == BY_TASK:
            return self._comparable_metric()
        if self.own is not None and len(columns) > 1:
            raise OptionError(f"metric={name!r} {returns_more}")
        if name == BY_TASK:
            return default_metric(self.task)
        classes = columns[0] if columns else 1
        return metric_for(name, self.task, max(2, classes) if self.task == "classification" else classes)

    def _comparable_metric(self) -> Metric | None:
        """The task's default metric, where it can read what a loss of the caller's own reads."""
        metric = default_metric(self.task)
        if len(self._columns) > 1:
            return None
        try:
            check_for_metric(self.tried.outputs, self.some, metric)
        except (DataError, OptionError):
            return None
        return metric

    def _one_output(self) -> OneOutput | None:
        """None where each class has an output of its own, and where numbers are predicted."""
        if self.task == "regression" or self.outputs > 1:
            return None
        if self.own is None:
            return "logit"
        part = self.own.form.applied(self.tried.rows)
        is_logit = reads_logits(self.own.objective.function, self.tried.outputs, part.targets[0])
        return "logit" if is_logit else "probability"
