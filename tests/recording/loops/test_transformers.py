"""recorder.transformers(): Trainer's scattered logs put together into rows."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import trimtab as tt

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

X = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))


class Rows(torch.utils.data.Dataset):
    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, place: int) -> dict[str, torch.Tensor]:
        return {"x": X[place], "labels": X[place].sum()}


class Module(nn.Module):
    """As Trainer wants it: a dict of loss and outputs; notes each step's training loss."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
        self.losses: list[float] = []

    def forward(self, x: torch.Tensor, labels: torch.Tensor, **_: Any) -> dict[str, torch.Tensor]:
        outputs = self.net(x)[:, 0]
        loss = nn.functional.mse_loss(outputs, labels)
        if self.training:
            self.losses.append(loss.item())
        return {"loss": loss, "logits": outputs}


def trained(
    recorder: tt.Recorder, folder: Path, *callbacks: Any, watch: bool = False, resume: Any = None, **options: Any
) -> Any:
    """40 rows in steps of 8: five steps are an epoch."""
    settings: dict[str, Any] = {
        "num_train_epochs": 3, "logging_strategy": "epoch", "eval_strategy": "epoch", "save_strategy": "no",
        "learning_rate": 0.01, "max_grad_norm": 0.1, "lr_scheduler_type": "constant",
    } | options  # fmt: skip
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), per_device_train_batch_size=8, per_device_eval_batch_size=8, use_cpu=True,
        disable_tqdm=True, report_to="none", seed=0, **settings,
    )  # fmt: skip
    trainer = transformers.Trainer(
        Module(), arguments, train_dataset=Rows(40), eval_dataset=Rows(16),
        callbacks=[recorder.transformers(watch=watch), *callbacks],
        compute_metrics=lambda seen: {"mae": float(abs(seen.predictions - seen.label_ids).mean())},
    )  # fmt: skip
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def logged(trainer: Any, name: str) -> list[float]:
    return [entry[name] for entry in trainer.state.log_history if name in entry]


def test_rows_join_training_and_evaluation_of_an_epoch(tmp_path: Path) -> None:
    recorder = tt.Recorder(metric="mae")
    trainer = trained(recorder, tmp_path)
    run = recorder.run()
    assert run.curves["epoch"].to_list() == [1, 2, 3]
    losses = trainer.model.losses
    assert run.curves["train_loss"].to_list() == pytest.approx(
        [sum(losses[i : i + 5]) / 5 for i in (0, 5, 10)], rel=1e-4
    )
    columns = {"validation_loss": "eval_loss", "validation_metric": "eval_mae", "gradient_norm": "grad_norm"}
    for column, name in (columns | {"learning_rate": "learning_rate"}).items():
        assert run.curves[column].to_list() == pytest.approx(logged(trainer, name)), column
    assert run.ended == "all epochs"
    assert not [name for name in run.curves.columns if "runtime" in name or "per_second" in name]
    trainer.evaluate()
    assert recorder.last_epoch == 3, "an evaluation after training is no epoch of it"


def test_a_loss_that_is_logged_within_epochs_is_averaged_over_its_steps(tmp_path: Path) -> None:
    recorder = tt.Recorder()
    trainer = trained(recorder, tmp_path, logging_strategy="steps", logging_steps=2, num_train_epochs=2)
    losses = trainer.model.losses
    # Logged after steps 2 and 4; then 6, 8 and 10.
    expected = [sum(losses[:4]) / 4, sum(losses[4:10]) / 6]
    assert recorder.curves["train_loss"].to_list() == pytest.approx(expected, rel=1e-4)


def test_evaluations_within_an_epoch_are_rows_at_fractions(tmp_path: Path) -> None:
    recorder = tt.Recorder()
    options = {"logging_strategy": "steps", "logging_steps": 1, "eval_strategy": "steps", "eval_steps": 2}
    trainer = trained(recorder, tmp_path, num_train_epochs=1, **options)
    losses = trainer.model.losses
    assert recorder.curves["epoch"].to_list() == [0.4, 0.8, 1.0]
    assert recorder.curves["validation_loss"].to_list() == logged(trainer, "eval_loss")
    expected = [sum(losses[:2]) / 2, sum(losses[2:4]) / 2, losses[4]]
    assert recorder.curves["train_loss"].to_list() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("logging", ["epoch", "steps"])
def test_without_evaluation_each_epoch_is_a_row(tmp_path: Path, logging: str) -> None:
    recorder = tt.Recorder()
    trainer = trained(recorder, tmp_path, eval_strategy="no", logging_strategy=logging, logging_steps=1)
    losses = trainer.model.losses
    assert recorder.curves["epoch"].to_list() == [1, 2, 3]
    expected = [sum(losses[i : i + 5]) / 5 for i in (0, 5, 10)]
    assert recorder.curves["train_loss"].to_list() == pytest.approx(expected, rel=1e-4)
    assert recorder.run().best_epoch == 0


def test_evaluating_before_training_is_no_epoch(tmp_path: Path) -> None:
    recorder = tt.Recorder()
    trained(recorder, tmp_path, eval_on_start=True)
    assert recorder.curves["epoch"].to_list() == [1, 2, 3]


def test_stopping_early_is_noted(tmp_path: Path) -> None:
    recorder = tt.Recorder()
    stop = transformers.EarlyStoppingCallback(early_stopping_patience=1, early_stopping_threshold=1e9)
    options = {"save_strategy": "epoch", "load_best_model_at_end": True, "metric_for_best_model": "eval_loss"}
    trained(recorder, tmp_path, stop, num_train_epochs=20, **options)
    assert recorder.run().ended == "stopped early"
    assert recorder.run().epochs == 2


def test_going_on_from_a_checkpoint_forgets_what_followed_it(tmp_path: Path) -> None:
    recorder = tt.Recorder()
    trained(recorder, tmp_path, save_strategy="epoch")
    before = recorder.curves
    trained(recorder, tmp_path, save_strategy="epoch", resume=str(tmp_path / "checkpoint-10"))
    assert recorder.curves["epoch"].to_list() == [1, 2, 3]
    assert recorder.curves.head(2).equals(before.head(2))
    options = {"save_strategy": "epoch", "eval_on_start": True}
    trained(recorder, tmp_path, resume=str(tmp_path / "checkpoint-10"), **options)
    assert recorder.curves["epoch"].to_list() == [1, 2, 3]
    trained(recorder, tmp_path)
    assert recorder.curves["epoch"].to_list() == [1, 2, 3, 4, 5, 6]


def test_watching_notes_signals_before_clipping_and_changes_no_weight(tmp_path: Path) -> None:
    weights = []
    for watch in (False, True):
        recorder = tt.Recorder()
        trainer = trained(recorder, tmp_path, watch=watch)
        weights.append([p.detach().clone() for p in trainer.model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))
    run = recorder.run()
    for name in ("update_ratio", "dead_units", "saturated_units"):
        assert run.curves[name].is_finite().all(), name
    assert all(len(norms) == 4 and max(norms) > 0.1 for norms in run.curves["gradient_norms"].to_list())
    plain = tt.Recorder()
    trained(plain, tmp_path, watch=True, eval_strategy="no", logging_strategy="steps", logging_steps=1)
    assert plain.curves["update_ratio"].to_list() == run.curves["update_ratio"].to_list(), "each row has its own steps"
    assert plain.curves["dead_units"].null_count() == 3
    assert not any(child._forward_hooks for child in trainer.model.modules())
