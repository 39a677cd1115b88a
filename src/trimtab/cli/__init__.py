"""The command line: the only place that knows signals."""

from trimtab.cli.leaving import command
from trimtab.cli.status import main

__all__ = ["command", "main"]
