"""Checkpoint: a run in the middle, written so that it goes on as if it had never stopped.

Knows lanes and files. Rules that listen to scores (stopping, schedules) are brought up to date by telling them again
what they were told; tensors are read back without running any code that a file might hold.
"""

import pickle
import zipfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from trimtab.errors import CheckpointError
from trimtab.text.wording import counted
from trimtab.training.config import Config
from trimtab.training.lanes.lane import Lane
from trimtab.training.run import ALL_EPOCHS, STOPPED_EARLY, Curves
from trimtab.whole_file import folder_for, make_folders, replacing, take_back

FORMAT = 2  # counts up where what an older version wrote would be read wrongly
FILE = "run.checkpoint"
_ACCOUNT = ("epoch", "step", "evaluated_step", "error", "best_epoch", "ended", "errors")


class Checkpoint:
    """The checkpoint in `folder` of the run with this config (its epochs aside) and `identity`: what shapes the run, in
    words, which `differences` tells apart from those of another ("" where they are the same)."""

    def __init__(
        self, folder: Path, config: Config, identity: dict[str, Any], differences: Callable[[Any, Any], str]
    ) -> None:
        self.path, self.config, self.identity, self._differences = folder / FILE, config, identity, differences
        try:
            take_back(make_folders(folder))  # it is needed once there is something to keep
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
        if (
            not isinstance(content, dict)
            or content.get("format") != FORMAT
            or not isinstance(content.get("identity"), dict)
        ):
            raise CheckpointError(f"{self.path} was not written by this version of trimtab: delete it to start anew.")
        if found := self._differences(content["identity"], self.identity):
            raise CheckpointError(
                f"{self.path} belongs to a run with other data, another network or other knobs ({found}): give the "
                "same again, or another folder."
            )
        if content["epochs"] != self.config.epochs:
            self._check_epochs(content)
        return content

    def _check_epochs(self, content: dict[str, Any]) -> None:
        """Raise unless the run that was to have other epochs is the beginning of this one."""
        before, now, made = content["epochs"], self.config.epochs, content["lane"]["epoch"]
        every = content["curves"]["epoch"][0]
        reason = ""
        if self.config.follows_a_plan:
            reason = "its rates follow a plan over all epochs"
        elif made > now:
            reason = f"{made} of them are trained"
        elif made < now and made % every:
            reason = f"the last evaluation came after {counted(made % every, 'epoch')} instead of {every}"
        if reason:
            raise CheckpointError(
                f"{self.path} belongs to a run of {counted(before, 'epoch')}, not {now}, and {reason}: give "
                f"epochs={before} again, or another folder."
            )

    def write(self, tensors: dict[str, Any], lane: Lane) -> None:
        """Save the state of a run; a reader finds the old one or the new one, never half of it."""
        account = {name: getattr(lane, name) for name in _ACCOUNT}
        curves = {field.name: getattr(lane.curves, field.name) for field in fields(Curves)}
        content = {
            "format": FORMAT, "identity": self.identity, "epochs": self.config.epochs, "tensors": tensors,
            "lane": account, "curves": curves,
        }  # fmt: skip
        try:
            with folder_for(self.path), replacing(self.path) as part:
                torch.save(content, part)
        except (OSError, RuntimeError) as error:
            raise CheckpointError(f"{self.path} cannot be written: {error}.") from None


def bring_up_to_date(lane: Lane, content: dict[str, Any]) -> None:
    """Put `lane` where it was when `content` was written."""
    for name in _ACCOUNT:
        setattr(lane, name, content["lane"][name])
    lane.curves = Curves(**content["curves"])
    stops = False
    for epoch, loss, error in zip(lane.curves.epoch, lane.curves.train_loss, lane.errors, strict=True):
        lane.schedule.observe(error, epoch)
        stops = lane.stopping.should_stop(epoch, loss, error)
    if lane.ended in ("", ALL_EPOCHS):  # it may have been planned with other epochs
        is_over = lane.epoch >= lane.request.config.epochs
        lane.ended = ALL_EPOCHS if is_over else STOPPED_EARLY if stops else ""
