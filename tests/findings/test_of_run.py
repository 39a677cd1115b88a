import numpy
import pytest
import torch

from trimtab.findings.of_run import every_knob_of, facts_of, record_of
from trimtab.findings.training_record import FACTS
from trimtab.training.config import Config, Loss, Optimizer
from trimtab.training.metrics import metric_for
from trimtab.training.run import Curves


def test_a_config_by_the_names_of_its_knobs():
    config = Config(network=(("width", 32),), loss=Loss("huber", 0.5), optimizer=Optimizer("adam", 0.01), dropout=0.2)
    knobs = every_knob_of(config)
    assert (knobs["loss"], knobs["delta"], knobs["lr"], knobs["dropout"]) == ("huber", 0.5, 0.01, 0.2)
    assert knobs["width"] == 32 and "tau" not in knobs and knobs["optimizer"] == "adam"


def test_the_curves_of_a_run():
    curves = Curves(epoch=[1, 2], train_loss=[1.0, 0.5], train_metric=[1.0, 0.6], validation_loss=[1.1, 0.9],
                    validation_metric=[1.0, 0.8], learning_rate=[0.1, 0.1], gradient_norm=[1.0, 2.0],
                    update_ratio=[0.1, 0.1], noise_scale=[1.0, 1.0], dead_units=[0.0, 0.0], saturated_units=[0.0, 0.0],
                    gradient_norms=[[1.0, 2.0], [1.0]], dead_by_layer=[[0.5], [0.6]],
                    saturated_by_layer=[[], []])  # fmt: skip
    record = record_of(curves, Config(), metric=None, greater_is_better=False, best_epoch=2, ended="all epochs",
                       task="regression", facts={})  # fmt: skip
    assert record.clears_gradients
    assert record.metric == "loss" and record.kept == 2 and record.planned == 200
    assert record.by_layer["gradient_norms"].shape == (2, 2) and numpy.isnan(record.by_layer["gradient_norms"][1, 1])
    assert record.by_layer["saturated_by_layer"].shape == (2, 0)


def test_what_predictions_of_numbers_tell():
    truth = torch.tensor([-1.0, 0.0, 1.0, 2.0]).unsqueeze(1)
    trained = torch.tensor([0.0, 2.0]).unsqueeze(1)
    facts = facts_of(truth.clamp(min=0).numpy(), truth, trained, metric_for("rmse", "regression", 1))
    assert set(facts) <= set(FACTS)
    assert facts["constant_error"] == pytest.approx(numpy.sqrt((4 + 1 + 0 + 1) / 4))
    assert facts["train_constant_error"] == pytest.approx(1)
    assert facts["usual_miss"] == 0
    assert facts["lowest_prediction"] == 0 and facts["at_lowest"] == 0.5 and facts["truth_below"] == 0.25
    assert facts["truth_above"] == 0 and facts["validation_rows"] == 4 and facts["train_rows"] == 2


def test_what_probabilities_tell():
    truth, trained = torch.tensor([0, 1, 1, 0]), torch.tensor([0, 0, 1, 1])
    told = numpy.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8], [0.3, 0.7]])
    facts = facts_of(told, truth, trained, metric_for("log_loss", "classification", 2))
    assert facts["constant_error"] == pytest.approx(numpy.log(2))
    assert facts["largest_probability"] == 0.9 and facts["ties"] == 0.25 and facts["misses"] == 0.5


def test_predictions_that_are_no_numbers_tell_nothing():
    nothing = numpy.full((4, 1), numpy.nan)
    facts = facts_of(nothing, torch.zeros(4, 1), torch.zeros(4, 1), metric_for("rmse", "regression", 1))
    assert set(facts) == {"train_rows", "validation_rows", "constant_error", "train_constant_error"}
