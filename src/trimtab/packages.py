"""Packages that trimtab speaks with but does not require. Knows how to say which one is missing."""

from importlib import import_module
from types import ModuleType

from trimtab.errors import OptionError


def required(module: str, by: str, install: str) -> ModuleType:
    """The module, imported; raises OptionError with the command that installs it where it is not there."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and not f"{module}.".startswith(f"{error.name}."):
            raise
        raise OptionError(f"{by} needs {module.partition('.')[0]}: pip install {install}.") from None
