"""Checkpoint: a run in the middle, written so that it goes on as if it had never stopped.

Knows lanes and files. Rules that listen to scores (stopping, schedules) are brought up to date by telling them again
what they were told; tensors are read back without running any code that a file might hold.
"""

import os
import pickle
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from trimtab.errors import CheckpointError
from trimtab.training.plans import Lane
from trimtab.training.run import Curves

FORMAT = 1
FILE = "run.checkpoint"
_ACCOUNT = ("epoch", "step", "evaluated_step", "error", "best_epoch", "ended", "errors")


class Checkpoint:
    """The checkpoint in `folder` of the run that `identity` (a digest of all that shapes it) names."""

    def __init__(self, folder: Path, identity: str) -> None:
        self.path, self.identity = folder / FILE, identity
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(f"{folder} cannot be made ({error.strerror}): choose another checkpoint=.") from None

    def read(self) -> dict[str, Any] | None:
        """What was saved, None where nothing was; raises CheckpointError for a damaged one or that of another run."""
        if not self.path.exists():
            return None
        try:
            content = torch.load(self.path, weights_only=True, map_location="cpu")
        except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError, zipfile.BadZipFile):
            raise CheckpointError(f"{self.path} is damaged: delete it to start anew.") from None
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise CheckpointError(f"{self.path} was not written by this version of trimtab: delete it to start anew.")
        if content["identity"] != self.identity:
            raise CheckpointError(
                f"{self.path} belongs to a run with other data, another network or other knobs: give the same again, "
                "or another folder."
            )
        return content

    def write(self, tensors: dict[str, Any], lane: Lane) -> None:
        """Save the state of a run; a reader finds the old one or the new one, never half of it."""
        part = self.path.with_name(f".{FILE}.part")
        account = {name: getattr(lane, name) for name in _ACCOUNT}
        curves = {field.name: getattr(lane.curves, field.name) for field in fields(Curves)}
        content = {"format": FORMAT, "identity": self.identity, "tensors": tensors, "lane": account, "curves": curves}
        try:
            torch.save(content, part)
            os.replace(part, self.path)
        except (OSError, RuntimeError) as error:
            raise CheckpointError(f"{self.path} cannot be written: {error}.") from None


def bring_up_to_date(lane: Lane, content: dict[str, Any]) -> None:
    """Put `lane` where it was when `content` was written."""
    for name in _ACCOUNT:
        setattr(lane, name, content["lane"][name])
    lane.curves = Curves(**content["curves"])
    for epoch, loss, error in zip(lane.curves.epoch, lane.curves.train_loss, lane.errors, strict=True):
        lane.schedule.observe(error)
        lane.stopping.should_stop(epoch, loss, error)
