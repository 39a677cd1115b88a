"""The command line: the only place that knows signals."""

from trimtab.cli.commands import main

__all__ = ["main"]
