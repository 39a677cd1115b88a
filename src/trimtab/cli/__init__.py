"""The command line: the only place that knows signals."""

from trimtab.cli.status import main

__all__ = ["main"]
