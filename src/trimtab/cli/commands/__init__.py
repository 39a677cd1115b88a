"""The commands: parse, call, print. No logic of their own, and no exit status; `--help` lists them in this order."""

from trimtab.cli.commands import searches, studies, trainings, teaching  # isort: skip
from trimtab.cli.commands.app import app

__all__ = ["app", "searches", "studies", "teaching", "trainings"]
