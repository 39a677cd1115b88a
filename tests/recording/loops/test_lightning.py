"""recorder.lightning(): one row per training epoch, in whatever order Lightning trains, validates and logs."""

import logging
import math
import warnings
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import trimtab as tt

pytest.importorskip("lightning")
import lightning.pytorch as lightning
import pytorch_lightning as old_name
from lightning.pytorch.callbacks import EarlyStopping

X = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
Y = X.sum(1, keepdim=True)
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)


@pytest.fixture(autouse=True)
def quiet() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def module_of(package: Any) -> type:
    class Module(package.LightningModule):
        """Notes what a recorder has to find: the losses of each epoch's steps, and each epoch's validation loss."""

        def __init__(self, *, rate: float = 0.01, logs: dict[str, Any] | None = None) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))
            self.rate, self.logs = rate, logs or {}
            self.steps: list[list[float]] = []
            self.validations: dict[int, float] = {}
            self._losses: list[torch.Tensor] = []

        def on_train_epoch_start(self) -> None:
            self.steps.append([])

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            loss = nn.functional.mse_loss(self.net(batch[0]), batch[1])
            self.steps[-1].append(loss.item())
            self.log("train_loss", loss, **self.logs)
            return loss

        def on_train_epoch_end(self) -> None:
            self.log("logged_last", float(self.current_epoch))

        def validation_step(self, batch: Any, index: int) -> None:
            self._losses.append(nn.functional.mse_loss(self.net(batch[0]), batch[1]).detach())
            self.log("val_loss", self._losses[-1], batch_size=len(batch[0]))

        def on_validation_epoch_end(self) -> None:
            self.validations[-1 if self.trainer.sanity_checking else self.current_epoch] = float(
                torch.stack(self._losses).mean()
            )
            self._losses = []

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=self.rate)
            return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)]

    return Module


def fitted(
    recorder: tt.Recorder,
    module: Any,
    package: Any = lightning,
    *,
    watch: bool = False,
    batch: int = 10,
    **options: Any,
) -> Any:
    settings: dict[str, Any] = {"max_epochs": 3} | options
    callbacks = [recorder.lightning(watch=watch), *settings.pop("callbacks", ())]
    trainer = package.Trainer(
        accelerator="cpu", callbacks=callbacks, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, **settings,
    )  # fmt: skip
    data = TensorDataset(X, Y)
    trainer.fit(module, DataLoader(data, batch_size=batch), DataLoader(data, batch_size=20))
    return trainer


@pytest.mark.parametrize("package", [lightning, old_name], ids=["lightning", "pytorch_lightning"])
def test_rows_hold_training_and_validation_of_the_same_epoch_and_no_sanity_check(
    package: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if package is old_name:
        monkeypatch.delitem(__import__("sys").modules, "lightning.pytorch")
    module, recorder = module_of(package)(logs={"on_epoch": True, "on_step": False}), tt.Recorder()
    assert isinstance(recorder.lightning(), package.Callback)
    fitted(recorder, module, package)
    run = recorder.run()
    assert run.curves["epoch"].to_list() == [1, 2, 3]
    assert run.curves["train_loss"].to_list() == pytest.approx([sum(s) / len(s) for s in module.steps], rel=1e-5)
    assert -1 in module.validations, "the sanity check took place"
    assert run.curves["validation_loss"].to_list() == pytest.approx([module.validations[i] for i in range(3)], rel=1e-5)
    assert run.curves["learning_rate"].to_list() == pytest.approx([0.01, 0.005, 0.0025])
    assert run.curves["logged_last"].to_list() == [0, 1, 2]
    assert run.ended == "all epochs"


@pytest.mark.parametrize("logs", [{}, {"on_step": True, "on_epoch": True}], ids=["steps alone", "both"])
def test_the_training_loss_is_the_mean_over_the_epoch_however_it_is_logged(logs: dict[str, Any]) -> None:
    module, recorder = module_of(lightning)(logs=logs), tt.Recorder()
    fitted(recorder, module)
    run = recorder.run()
    assert run.curves["train_loss"].to_list() == pytest.approx([sum(s) / len(s) for s in module.steps], rel=1e-5)
    assert not {"train_loss_step", "train_loss_epoch"} & set(run.curves.columns)


@pytest.mark.parametrize("options", [{}, {"accumulate_grad_batches": 2}, {"gradient_clip_val": 0.01}], ids=str)
def test_unequal_batches_count_by_their_rows(options: dict[str, Any]) -> None:
    module, recorder = module_of(lightning)(), tt.Recorder()
    fitted(recorder, module, batch=16, **options)
    sizes = (16, 16, 8)
    expected = [sum(n * loss for n, loss in zip(sizes, steps, strict=True)) / 40 for steps in module.steps]
    assert recorder.curves["train_loss"].to_list() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("by_hand", [False, True])
@pytest.mark.parametrize("clip", [None, 0.01])
def test_gradients_belong_to_the_epoch_that_they_are_noted_in(by_hand: bool, clip: float | None) -> None:
    noted: list[float] = []

    class Notes(module_of(lightning)):  # type: ignore[misc]
        automatic_optimization = not by_hand

        def on_after_backward(self) -> None:
            if len(self.steps[-1]) == 1:
                noted.append(float(nn.utils.get_total_norm([p.grad for p in self.parameters()])))

        def training_step(self, batch: Any, index: int) -> Any:
            loss = super().training_step(batch, index)
            if not by_hand:
                return loss
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
            return None

    recorder = tt.Recorder()
    fitted(recorder, Notes(), watch=True, batch=40, gradient_clip_val=None if by_hand else clip)
    assert recorder.curves["gradient_norm"].to_list() == pytest.approx(noted, rel=1e-5)


def test_the_rows_of_a_batch_in_any_form() -> None:
    from trimtab.recording.loops.lightning import _rows_of

    rows = torch.zeros(7, 2)
    for batch in (rows, (rows, rows), {"x": rows}, [{"a": ("text", rows)}], (torch.tensor(1.0), rows)):
        assert _rows_of(batch) == 7
    assert _rows_of("text") is None


def test_an_epoch_without_validation_has_no_validation_numbers() -> None:
    module, recorder = module_of(lightning)(), tt.Recorder()
    fitted(recorder, module, check_val_every_n_epoch=2, max_epochs=4, num_sanity_val_steps=0)
    told = recorder.curves["validation_loss"].to_list()
    assert (told[0], told[2]) == (None, None)
    assert told[1::2] == pytest.approx([module.validations[1], module.validations[3]], rel=1e-5)


def test_of_several_validations_in_an_epoch_the_last_counts() -> None:
    module, recorder = module_of(lightning)(), tt.Recorder()
    fitted(recorder, module, val_check_interval=0.5, max_epochs=2)
    told = recorder.curves["validation_loss"].to_list()
    assert told == pytest.approx([module.validations[0], module.validations[1]], rel=1e-5)


def test_stopping_early_is_noted() -> None:
    recorder = tt.Recorder()
    stop = EarlyStopping("val_loss", patience=1, min_delta=1e9)
    fitted(recorder, module_of(lightning)(), callbacks=[stop], max_epochs=20)
    assert recorder.run().ended == "stopped early"
    assert recorder.run().epochs == 2


def test_enough_steps_are_all_that_was_planned() -> None:
    recorder = tt.Recorder()
    fitted(recorder, module_of(lightning)(), max_epochs=-1, max_steps=8)
    assert recorder.run().ended == "all epochs"
    assert recorder.run().epochs == 2


def test_an_error_ends_the_recording_and_keeps_what_was_complete() -> None:
    class Fails(lightning.Callback):
        def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
            if trainer.current_epoch == 2:
                raise RuntimeError("out of something")

    module, recorder = module_of(lightning)(), tt.Recorder()
    with pytest.raises(RuntimeError, match="out of something"):
        fitted(recorder, module, callbacks=[Fails()], watch=True)
    assert recorder.run().epochs == 2
    assert recorder.run().ended == "stopped"
    assert not any(child._forward_hooks for child in module.modules())


def test_a_second_training_counts_on_and_one_from_a_checkpoint_goes_on_from_there(tmp_path: Any) -> None:
    recorder = tt.Recorder()
    module = module_of(lightning)()
    trainer = fitted(recorder, module, max_epochs=2)
    trainer.save_checkpoint(tmp_path / "two.ckpt")
    fitted(recorder, module, max_epochs=2)
    assert recorder.curves["epoch"].to_list() == [1, 2, 3, 4]

    again = tt.Recorder()
    fitted(again, module_of(lightning)(), max_epochs=4)
    callback = again.lightning()
    more = lightning.Trainer(
        accelerator="cpu", callbacks=[callback], logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, max_epochs=5,
    )  # fmt: skip
    before = again.curves["train_loss"].to_list()
    data = DataLoader(TensorDataset(X, Y), batch_size=10)
    more.fit(module_of(lightning)(), data, data, ckpt_path=tmp_path / "two.ckpt", weights_only=False)
    assert again.curves["epoch"].to_list() == [1, 2, 3, 4, 5]
    assert again.curves["train_loss"].to_list()[:2] == before[:2]


def test_watching_notes_signals_and_changes_no_weight() -> None:
    weights = []
    for watch in (False, True):
        module, recorder = module_of(lightning)(), tt.Recorder()
        torch.manual_seed(1)
        fitted(recorder, module, watch=watch)
        weights.append([p.detach().clone() for p in module.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))
    for name in ("gradient_norm", "update_ratio", "dead_units", "saturated_units"):
        assert all(math.isfinite(value) for value in recorder.run().curves[name].to_list()), name
    assert not any(child._forward_hooks for child in module.modules())


def test_a_module_that_optimizes_by_hand_is_recorded_too() -> None:
    class ByHand(module_of(lightning)):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: Any, index: int) -> None:
            optimizer = self.optimizers()
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(self.net(batch[0]), batch[1])
            self.manual_backward(loss)
            optimizer.step()
            self.log("train/loss", loss, on_step=False, on_epoch=True)

    recorder = tt.Recorder()
    fitted(recorder, ByHand(), watch=True)
    curves = recorder.run().curves
    assert curves["train_loss"].is_finite().all()
    assert curves["learning_rate"].to_list() == pytest.approx([0.01] * 3)
    assert (curves["gradient_norm"] > 0).all()
