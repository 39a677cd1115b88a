"""recorder.keras(): one row per epoch of `fit`, on whatever backend Keras runs."""

from typing import Any

import numpy
import pytest

import trimtab as tt

keras = pytest.importorskip("keras")

GENERATOR = numpy.random.default_rng(0)
X = GENERATOR.normal(size=(80, 4)).astype(numpy.float32)
Y = X.sum(1, keepdims=True)


def model(rate: Any = 0.01, **options: Any) -> Any:
    keras.utils.set_random_seed(0)
    network = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1)])
    network.compile(optimizer=keras.optimizers.SGD(rate), loss="mse", **options)
    return network


def fitted(network: Any, *callbacks: Any, epochs: int = 3, **options: Any) -> Any:
    return network.fit(
        X, Y, validation_split=0.25, epochs=epochs, batch_size=20, verbose=0, callbacks=list(callbacks), **options
    )


def test_rows_are_those_of_the_history() -> None:
    recorder = tt.Recorder(metric="mae")
    history = fitted(model(metrics=["mae", "cosine_similarity"]), recorder.keras()).history
    run = recorder.run()
    assert run.curves["epoch"].to_list() == [1, 2, 3]
    columns = {
        "train_loss": "loss",
        "validation_loss": "val_loss",
        "train_metric": "mae",
        "validation_metric": "val_mae",
        "val_cosine_similarity": "val_cosine_similarity",
    }
    for column, name in columns.items():
        assert run.curves[column].to_list() == pytest.approx(history[name]), column
    assert run.curves["learning_rate"].to_list() == pytest.approx([0.01] * 3)
    assert run.ended == "all epochs"
    assert run.best_epoch == 1 + int(numpy.argmin(history["val_mae"]))


@pytest.mark.parametrize("is_first", [True, False])
def test_the_learning_rate_is_the_one_that_was_used(is_first: bool) -> None:
    recorder = tt.Recorder()
    plateau = keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.5, patience=1, min_delta=1e9)
    ours = recorder.keras()
    fitted(model(), *((ours, plateau) if is_first else (plateau, ours)), epochs=4)
    assert recorder.curves["learning_rate"].to_list() == pytest.approx([0.01, 0.01, 0.005, 0.0025])


def test_a_schedule_by_steps_is_read_at_the_epoch_s_end() -> None:
    recorder = tt.Recorder()
    fitted(model(keras.optimizers.schedules.PiecewiseConstantDecay([3, 6], [0.1, 0.01, 0.001])), recorder.keras())
    assert recorder.curves["learning_rate"].to_list() == pytest.approx([0.1, 0.01, 0.001])


def test_stopping_early_is_noted() -> None:
    recorder = tt.Recorder()
    stop = keras.callbacks.EarlyStopping("val_loss", patience=1, min_delta=1e9)
    fitted(model(), recorder.keras(), stop, epochs=20)
    assert recorder.run().ended == "stopped early"
    assert recorder.run().epochs == 2


def test_numbers_that_are_not_finite_are_noted() -> None:
    recorder = tt.Recorder()
    fitted(model(1e30), recorder.keras(), keras.callbacks.TerminateOnNaN(), epochs=20)
    assert recorder.run().ended == "not finite"


def test_fitting_again_counts_on_and_going_on_from_an_epoch_forgets_what_followed() -> None:
    recorder = tt.Recorder()
    network = model()
    callback = recorder.keras()
    fitted(network, callback)
    fitted(network, callback)
    assert recorder.curves["epoch"].to_list() == [1, 2, 3, 4, 5, 6]
    again = tt.Recorder()
    fitted(network, again.keras())
    fitted(network, again.keras(), epochs=4, initial_epoch=2)
    assert again.curves["epoch"].to_list() == [1, 2, 3, 4]
