"""Metrics: equal to scikit-learn lane by lane, blind to rows of weight 0, isolated, with honest intervals."""

import math

import numpy
import pytest
import sklearn.metrics
import torch

from trimtab.errors import OptionError
from trimtab.knobs.knob import Task
from trimtab.training.metrics import (
    METRICS,
    all_scores,
    bootstrap_errors,
    default_metric,
    metric_for,
    metrics_for,
    middle,
)

LANES, ROWS = 4, 60


def labels_of(probability):
    return probability.argmax(1)


SKLEARN = {
    "rmse": lambda t, p, w: sklearn.metrics.root_mean_squared_error(t, p, sample_weight=w),
    "mae": lambda t, p, w: sklearn.metrics.mean_absolute_error(t, p, sample_weight=w),
    "r2": lambda t, p, w: sklearn.metrics.r2_score(t, p, sample_weight=w),
    "log_loss": lambda t, p, w: sklearn.metrics.log_loss(t, p, sample_weight=w, labels=range(p.shape[1])),
    "accuracy": lambda t, p, w: sklearn.metrics.accuracy_score(t, labels_of(p), sample_weight=w),
    "balanced_accuracy": lambda t, p, w: sklearn.metrics.balanced_accuracy_score(t, labels_of(p), sample_weight=w),
    "f1": lambda t, p, w: sklearn.metrics.f1_score(
        t, labels_of(p), sample_weight=w, average="binary" if p.shape[1] == 2 else "macro", zero_division=0
    ),
    "roc_auc": lambda t, p, w: sklearn.metrics.roc_auc_score(t, p[:, 1], sample_weight=w),
}


def regression_case(outputs, seed=0):
    generator = numpy.random.default_rng(seed)
    target = 1e4 + generator.normal(size=(LANES, ROWS, outputs)) * [3.0, 0.5][:outputs]
    prediction = target + generator.normal(size=target.shape)
    return torch.from_numpy(prediction), torch.from_numpy(target)


def classification_case(classes, seed=0, levels=None):
    """Probabilities with ties (rounded to `levels`) and some that are exactly 0 and 1."""
    generator = numpy.random.default_rng(seed)
    probability = torch.from_numpy(generator.normal(size=(LANES, ROWS, classes)) * 2).softmax(2)
    if levels:
        first = (probability[..., :1] * levels).round() / levels
        probability = torch.cat([first, 1 - first], dim=2)
    return probability, torch.from_numpy(generator.integers(0, classes, (LANES, ROWS)))


CASES: dict[str, tuple[Task, tuple[torch.Tensor, torch.Tensor]]] = {
    "one target": ("regression", regression_case(1)),
    "two targets": ("regression", regression_case(2)),
    "two classes": ("classification", classification_case(2)),
    "two classes with ties": ("classification", classification_case(2, levels=5)),
    "four classes": ("classification", classification_case(4)),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("case", "name"),
    [
        (case, metric.name)
        for case, (task, (prediction, _)) in CASES.items()
        for metric in metrics_for(task, prediction.shape[2])
    ],
)
def test_equals_scikit_learn_in_every_lane(case, name, weighted):
    prediction, target = CASES[case][1]
    weight = torch.ones(LANES, ROWS, dtype=torch.float64)
    if weighted:
        weight = torch.from_numpy(numpy.random.default_rng(3).exponential(size=(LANES, ROWS)))
    metric = METRICS[name]
    errors = metric.error(prediction, target, weight)
    for lane in range(LANES):
        expected = SKLEARN[name](target[lane].numpy(), prediction[lane].numpy(), weight[lane].numpy())
        assert metric.shown(float(errors[lane])) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("held", [math.nan, math.inf, 1e300])
def test_rows_of_weight_0_count_for_nothing(name, held):
    metric = METRICS[name]
    prediction, target = CASES["two targets" if metric.task == "regression" else "two classes"][1]
    weight = torch.ones(LANES, ROWS, dtype=torch.float64)
    weight[:, 50:] = 0
    spoiled = prediction.clone()
    spoiled[:, 50:] = held
    expected = metric.error(prediction[:, :50], target[:, :50], weight[:, :50])
    torch.testing.assert_close(metric.error(spoiled, target, weight), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_lane_that_is_not_finite_is_nan_and_changes_no_bit_of_another(name, bad):
    metric = METRICS[name]
    prediction, target = CASES["one target" if metric.task == "regression" else "two classes"][1]
    weight = torch.ones(LANES, ROWS, dtype=torch.float64)
    clean = metric.error(prediction, target, weight)
    spoiled = prediction.clone()
    spoiled[2, 7] = bad
    dirty = metric.error(spoiled, target, weight)
    assert dirty[2].isnan()
    assert torch.equal(dirty[[0, 1, 3]], clean[[0, 1, 3]])


@pytest.mark.parametrize("name", METRICS)
def test_where_no_row_counts_the_error_is_nan(name):
    metric = METRICS[name]
    prediction, target = CASES["one target" if metric.task == "regression" else "two classes"][1]
    assert metric.error(prediction, target, torch.zeros(LANES, ROWS)).isnan().all()


def test_certain_and_wrong_is_clipped_like_scikit_learn():
    for dtype in (numpy.float32, numpy.float64):
        probability = numpy.array([[1.0, 0.0], [0.0, 1.0]], dtype=dtype)
        error = METRICS["log_loss"].error(
            torch.from_numpy(probability)[None], torch.tensor([[1, 1]]), torch.ones(1, 2, dtype=torch.float64)
        )
        assert float(error) == pytest.approx(sklearn.metrics.log_loss([1, 1], probability, labels=[0, 1]), rel=1e-6)


def test_absent_classes_do_not_count_in_balanced_accuracy():
    probability = torch.eye(3)[[0, 1, 0, 2]][None]
    error = METRICS["balanced_accuracy"].error(probability, torch.tensor([[0, 0, 1, 1]]), torch.ones(1, 4))
    assert float(error) == pytest.approx(1 - (0.5 + 0.0) / 2)


def test_r2_of_a_constant_target_is_1_for_exact_predictions_else_0():
    target = torch.full((2, 5, 1), 0.3, dtype=torch.float64)
    prediction = target.clone()
    prediction[1, 0] += 1
    assert METRICS["r2"].error(prediction, target, torch.ones(2, 5)).tolist() == [0.0, 1.0]


def test_roc_auc_of_one_class_is_nan():
    probability, _ = CASES["two classes"][1]
    assert (
        METRICS["roc_auc"]
        .error(probability, torch.ones(LANES, ROWS, dtype=torch.int64), torch.ones(LANES, ROWS))
        .isnan()
        .all()
    )


def test_names_that_users_type():
    assert metric_for(None, "regression") is default_metric("regression") is METRICS["rmse"]
    assert metric_for(None, "classification", 3).name == "log_loss"
    assert metric_for("auc", "classification", 2).name == "roc_auc"
    assert metric_for("logloss", "classification", 5).name == "log_loss"


@pytest.mark.parametrize(
    ("name", "task", "classes", "words"),
    [
        ("rsme", "regression", 0, 'Did you mean "rmse"?'),
        ("roc_auc", "classification", 3, "two classes, but this target has 3 classes"),
        ("rmse", "classification", 2, "for regression, but this task is classification"),
        ("accuracy", "regression", 0, "Choose one of: rmse, mae, r2."),
    ],
)
def test_a_metric_that_does_not_fit_is_refused_with_the_list(name, task, classes, words):
    with pytest.raises(OptionError) as refusal:
        metric_for(name, task, classes)
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        (typed, name)
        for name, many in {
            "rmse": ("RMSE", " rmse ", "neg_root_mean_squared_error"),
            "mae": ("MAE", "mean absolute error"),
            "r2": ("R2", "r^2", "R\u00b2", "r-squared"),
            "log_loss": ("logloss", "log-loss", "Log Loss", "neg_log_loss"),
            "accuracy": ("Accuracy", "acc"),
            "balanced_accuracy": ("balanced accuracy", "BalancedAccuracy"),
            "f1": ("F1", "f1_score", "f1-macro"),
            "roc_auc": ("auc", "AUC", "ROC AUC", "roc-auc", "ROCAUC"),
        }.items()
        for typed in many
    ],
)
def test_a_metric_is_found_whatever_its_case_and_spelling(typed, name):
    assert metric_for(typed, METRICS[name].task, 2) is METRICS[name]


@pytest.mark.parametrize(("typed", "nearest"), [("rsme", "rmse"), ("accuracyy", "accuracy"), ("ROC", "roc_auc")])
def test_the_nearest_name_is_told_otherwise(typed, nearest):
    with pytest.raises(OptionError, match=f'Unknown metric "{typed}". Did you mean "{nearest}"'):
        metric_for(typed, METRICS[nearest].task, 2)


def test_f1_of_classes_that_are_nowhere_and_of_nothing_found_is_that_of_scikit_learn():
    probability = torch.eye(4, dtype=torch.float64)[torch.tensor([0, 0, 1, 3, 3])]
    target, ones = torch.tensor([0, 1, 1, 0, 3]), torch.ones(5)
    expected = sklearn.metrics.f1_score(target, probability.argmax(1), average="macro")
    assert all_scores(probability, target, ones, "classification")["f1"] == pytest.approx(expected)
    for classes in ([0, 0, 0], [0, 1, 0]):
        nothing = all_scores(torch.eye(2)[[0, 0, 0]], torch.tensor(classes), torch.ones(3), "classification")
        assert nothing["f1"] == 0


def test_all_scores_are_the_figures_users_read():
    probability, target = (tensor[0] for tensor in CASES["two classes"][1])
    scores = all_scores(probability.numpy(), target.numpy(), numpy.ones(ROWS), "classification")
    assert list(scores) == ["log_loss", "accuracy", "balanced_accuracy", "f1", "roc_auc"]
    assert scores["accuracy"] == pytest.approx(float((probability.argmax(1) == target).double().mean()))
    prediction, values = (tensor[0] for tensor in CASES["two targets"][1])
    assert list(all_scores(prediction, values, torch.ones(ROWS), "regression")) == ["rmse", "mae", "r2"]


def bootstrap_interval(metric, prediction, target, weight, **options):
    """The interval over rows of the figure that users read, low and high."""
    errors = bootstrap_errors(metric, prediction[None], target[None], weight[None], **options)[0]
    return tuple(sorted(metric.shown(error) for error in middle(errors)))


def test_the_bootstrap_interval_of_a_mean_is_as_wide_as_theory_says():
    generator = torch.Generator().manual_seed(0)
    rows = 2000
    target = torch.zeros(rows, 1, dtype=torch.float64)
    prediction = torch.randn(rows, 1, generator=generator, dtype=torch.float64)
    low, high = bootstrap_interval(METRICS["mae"], prediction, target, torch.ones(rows), seed=1, repetitions=2000)
    width = 2 * 1.96 * float(prediction.abs().std()) / math.sqrt(rows)
    assert low < float(prediction.abs().mean()) < high
    assert high - low == pytest.approx(width, rel=0.1)


@pytest.mark.parametrize("name", METRICS)
def test_the_bootstrap_interval_holds_the_figure_and_repeats(name):
    metric = METRICS[name]
    prediction, target = (
        tensor[0] for tensor in CASES["one target" if metric.task == "regression" else "two classes"][1]
    )
    weight = torch.from_numpy(numpy.random.default_rng(3).exponential(size=ROWS))
    weight[:5] = 0
    prediction = prediction.clone()
    prediction[:5] = math.nan
    figure = metric.shown(float(metric.error(prediction[None], target[None], weight[None])))
    low, high = bootstrap_interval(metric, prediction, target, weight, seed=4)
    assert low < figure < high
    assert (low, high) == bootstrap_interval(metric, prediction, target, weight, seed=4)
    assert (low, high) != bootstrap_interval(metric, prediction, target, weight, seed=5)


def mae_interval(rows, *, units=None, copies=1, seed=0):
    """The interval of the mean of `rows` numbers, each there `copies` times."""
    values = torch.randn(rows, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    values = values.repeat_interleave(copies, 0)
    options = {"units": units, "repetitions": 600}
    zeros, ones = torch.zeros_like(values), torch.ones(len(values))
    return bootstrap_interval(METRICS["mae"], values, zeros, ones, seed=1, **options)


def test_rows_of_one_unit_are_drawn_together():
    plain = mae_interval(200)
    assert mae_interval(200, units=numpy.arange(200)) == plain
    assert mae_interval(200, units=7 * numpy.arange(200) + 3) == plain
    together = mae_interval(200, copies=9, units=numpy.repeat(numpy.arange(200), 9))
    assert together == pytest.approx(plain)
    apart = mae_interval(200, copies=9)
    assert apart[1] - apart[0] == pytest.approx((plain[1] - plain[0]) / 3, rel=0.2)


def test_one_unit_has_no_interval():
    assert all(math.isnan(end) for end in mae_interval(20, units=numpy.zeros(20, dtype=int)))
    assert all(math.isnan(end) for end in mae_interval(1))


def test_more_rows_than_are_drawn_from_give_the_interval_of_all(monkeypatch):
    whole = mae_interval(2000)
    monkeypatch.setattr("trimtab.training.metrics._MOST_ROWS", 500)
    assert mae_interval(2000) == pytest.approx(whole, abs=0.25 * (whole[1] - whole[0]))
    few = mae_interval(60, copies=40, units=numpy.repeat(numpy.arange(60), 40))
    assert few[1] - few[0] > 3 * (whole[1] - whole[0])


def test_the_interval_of_an_undefined_figure_is_nan():
    low, high = bootstrap_interval(
        METRICS["roc_auc"], torch.rand(9, 2), torch.zeros(9, dtype=torch.int64), torch.ones(9), seed=0
    )
    assert math.isnan(low)
    assert math.isnan(high)
