"""The data set that ships inside the package, for `trimtab demo` and for trying things out.

Knows where the files are, not how to read them. Sources and licences stand in NOTICE.
"""

from importlib.resources import files
from pathlib import Path

from trimtab.errors import unknown_choice

TARGETS = {"concrete": "strength_mpa"}


def path(name: str) -> Path:
    """The CSV file of a data set by its name; its target is `TARGETS[name]`.

    Raises OptionError for a name that does not ship.
    """
    if name not in TARGETS:
        raise unknown_choice("data set", name, TARGETS)
    return Path(str(files(__name__) / f"{name}.csv"))
