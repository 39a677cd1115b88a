"""recorder.skorch(): one row per epoch, complete wherever the callback stands."""

import pickle
from typing import Any

import numpy
import pytest
import torch
from torch import nn

import trimtab as tt

pytest.importorskip("skorch")
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import Callback, EarlyStopping, EpochScoring, LRScheduler

GENERATOR = numpy.random.default_rng(0)
X = GENERATOR.normal(size=(80, 4)).astype(numpy.float32)
Y = (X[:, 0] > 0).astype(numpy.int64)


class Classes(nn.Sequential):
    def __init__(self, width: int = 8) -> None:
        super().__init__(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 2), nn.Softmax(dim=-1))


def net(*callbacks: Any, **options: Any) -> Any:
    torch.manual_seed(0)
    settings = {"max_epochs": 4, "lr": 0.1, "verbose": 0, "batch_size": 16} | options
    return NeuralNetClassifier(Classes, callbacks=list(callbacks), **settings)


def test_rows_are_those_of_the_history() -> None:
    recorder = tt.Recorder(metric="accuracy")
    later = EpochScoring("accuracy", name="train_acc", on_train=True, lower_is_better=False)
    fitted = net(recorder.skorch(), later).fit(X, Y)
    run = recorder.run()
    assert run.curves["epoch"].to_list() == [1, 2, 3, 4]
    columns = {"train_loss": "train_loss", "validation_loss": "valid_loss", "validation_metric": "valid_acc"}
    for column, name in (columns | {"train_metric": "train_acc"}).items():
        assert run.curves[column].to_list() == fitted.history[:, name], column
    assert run.curves["learning_rate"].to_list() == [0.1] * 4
    assert run.ended == "all epochs"
    assert not {"dur", "train_loss_best"} & set(run.curves.columns)


def test_the_learning_rate_is_that_of_the_epoch_s_last_step() -> None:
    recorder = tt.Recorder()
    net(recorder.skorch(), LRScheduler("StepLR", step_size=1, gamma=0.5)).fit(X, Y)
    assert recorder.curves["learning_rate"].to_list() == pytest.approx([0.1, 0.05, 0.025, 0.0125])


def test_stopping_early_and_being_stopped_are_noted() -> None:
    recorder = tt.Recorder()
    net(recorder.skorch(), EarlyStopping(patience=2, threshold=1e9, threshold_mode="abs")).fit(X, Y)
    assert recorder.run().ended == "stopped early"
    assert recorder.run().epochs == 3

    def interrupt(net: Any, **_: Any) -> None:
        if len(net.history) == 2:
            raise KeyboardInterrupt

    class Interrupts(Callback):
        on_batch_end = staticmethod(interrupt)

    recorder = tt.Recorder()
    net(recorder.skorch(), Interrupts()).fit(X, Y)
    assert recorder.run().ended == "stopped"
    assert recorder.run().epochs == 1, "the epoch that was not finished is not told"


def test_fitting_again_and_in_parts_counts_on() -> None:
    recorder = tt.Recorder()
    fitted = net(recorder.skorch(), max_epochs=2)
    fitted.fit(X, Y)
    fitted.partial_fit(X, Y)
    assert recorder.curves["epoch"].to_list() == [1, 2, 3, 4]
    assert recorder.curves["train_loss"].to_list() == fitted.history[:, "train_loss"]
    fitted.fit(X, Y)
    assert recorder.curves["epoch"].to_list() == [1, 2, 3, 4, 5, 6]


def test_without_validation_there_is_a_training_loss_alone() -> None:
    recorder = tt.Recorder()
    regressor = NeuralNetRegressor(
        nn.Linear, module__in_features=4, module__out_features=1, train_split=None, max_epochs=3, verbose=0,
        callbacks=[recorder.skorch()],
    )  # fmt: skip
    regressor.fit(X, X[:, :1])
    assert recorder.run().curves["train_loss"].to_list() == regressor.history[:, "train_loss"]
    assert recorder.run().best_epoch == 0


def test_watching_notes_signals_and_changes_no_weight() -> None:
    weights = []
    for watch in (False, True):
        recorder = tt.Recorder()
        fitted = net(recorder.skorch(watch=watch)).fit(X, Y)
        weights.append([p.detach().clone() for p in fitted.module_.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))
    for name in ("gradient_norm", "update_ratio", "dead_units", "saturated_units"):
        assert recorder.run().curves[name].is_finite().all(), name


def test_gradients_belong_to_the_epoch_that_they_are_noted_in() -> None:
    recorder = tt.Recorder()
    noted: list[float] = []

    class Notes(Callback):
        def on_epoch_begin(self, net: Any, **_: Any) -> None:
            self.is_first = True

        def on_grad_computed(self, net: Any, **_: Any) -> None:
            if self.is_first:
                noted.append(float(nn.utils.get_total_norm([p.grad for p in net.module_.parameters()])))
            self.is_first = False

    net(recorder.skorch(watch=True), Notes(), batch_size=-1, max_epochs=3).fit(X, Y)
    assert recorder.curves["gradient_norm"].to_list() == pytest.approx(noted, rel=1e-5)


class OfTwoOptimizers(NeuralNetClassifier):
    """A net that keeps its optimizers under names of its own, as skorch's documentation shows."""

    def initialize_optimizer(self, *_: Any, **__: Any) -> Any:
        self.optimizer_first_ = torch.optim.SGD(self.module_[0].parameters(), lr=0.1)
        self.optimizer_last_ = torch.optim.SGD(self.module_[2].parameters(), lr=0.01)
        return self

    def train_step(self, batch: Any, **parameters: Any) -> Any:
        for optimizer in (self.optimizer_first_, self.optimizer_last_):
            optimizer.zero_grad()
        step = self.train_step_single(batch, **parameters)
        self.notify("on_grad_computed", named_parameters=self.get_all_learnable_params())
        for optimizer in (self.optimizer_first_, self.optimizer_last_):
            optimizer.step()
        return step


def test_of_several_optimizers_the_first_is_watched() -> None:
    settings: dict[str, Any] = {"max_epochs": 2, "verbose": 0, "batch_size": 16}
    for watch in (True, False):
        recorder = tt.Recorder()
        OfTwoOptimizers(Classes, callbacks=[recorder.skorch(watch=watch)], **settings).fit(X, Y)
        assert recorder.curves["learning_rate"].to_list() == pytest.approx([0.1, 0.1])
        assert (recorder.curves["gradient_norm"].null_count() == 0) == watch

    class OfNone(OfTwoOptimizers):
        def initialize_optimizer(self, *_: Any, **__: Any) -> Any:
            return self

    with pytest.raises(tt.OptionError, match="finds no optimizer in the net"):
        OfNone(Classes, callbacks=[tt.Recorder().skorch(watch=True)], **settings).fit(X, Y)


def test_searches_and_pickles_copy_it() -> None:
    recorder = tt.Recorder()
    search = GridSearchCV(net(recorder.skorch()), {"lr": [0.1, 0.01]}, cv=2, refit=True, scoring="accuracy")
    search.fit(X, Y)
    assert recorder.last_epoch == 0
    best = dict(search.best_estimator_.callbacks_)["RecorderCallback"]
    assert best.recorder.last_epoch == 4
    again = pickle.loads(pickle.dumps(search.best_estimator_))
    assert dict(again.callbacks_)["RecorderCallback"].recorder.curves.equals(best.recorder.curves)
