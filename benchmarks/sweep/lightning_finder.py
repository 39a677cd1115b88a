"""Lightning's `Tuner.lr_find` with its defaults, over the same network and batches. Knows nothing of trimtab."""

import contextlib
import io
import logging
import tempfile
import warnings
from typing import Any

import lightning.pytorch as lightning
import numpy
import torch
from lightning.pytorch.tuner.tuning import Tuner
from torch import Tensor, nn

from benchmarks.sweep.loop import network
from benchmarks.sweep.rows import Rows

SKIPPED_FIRST, SKIPPED_LAST, FEWEST = 10, 1, 2  # its own defaults


class Module(lightning.LightningModule):
    """The network with a rate that the tuner may set."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.network, self.lr = network(inputs), 1e-3

    def training_step(self, batch: tuple[Tensor, Tensor], _number: int) -> Tensor:
        return nn.functional.mse_loss(self.network(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.lr)


def suggested_rate(rows: Rows, seed: int) -> float | None:
    """What the tuner suggests, None where it cannot; raises whatever it raises."""
    found = _ramp(rows, seed)
    return None if found is None else found.suggestion()


def rate_by_steps(rows: Rows, seed: int) -> float | None:
    """What the tuner suggested before version 2.5.3: the steepest descent from step to step of the same ramp.

    Since then it divides by the difference of the rates, which is smallest, and noise greatest, at the least rates
    (https://github.com/Lightning-AI/pytorch-lightning/issues/21141, open).
    """
    found = _ramp(rows, seed)
    losses = [] if found is None else found.results["loss"][SKIPPED_FIRST:-SKIPPED_LAST]
    if found is None or len(losses) < FEWEST:
        return None
    return found.results["lr"][SKIPPED_FIRST + int(numpy.nanargmin(numpy.gradient(losses)))]


def _ramp(rows: Rows, seed: int) -> Any:
    """The tuner's range test, losses by rate."""
    logging.getLogger("lightning.pytorch").setLevel(logging.CRITICAL)
    with (
        tempfile.TemporaryDirectory() as folder,
        warnings.catch_warnings(),
        contextlib.redirect_stderr(io.StringIO()),
        torch.random.fork_rng(devices=[]),
    ):
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        trainer = lightning.Trainer(
            accelerator="cpu", max_epochs=1_000, logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, default_root_dir=folder,
        )  # fmt: skip
        return Tuner(trainer).lr_find(Module(rows.inputs), train_dataloaders=rows.loader(seed))
