"""trimtab: finds how to train your neural network, by training a whole population of configurations at once.

The public names are resolved on first use, so that `import trimtab` costs nothing and imports no torch.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trimtab.errors import DataError, ModelError, OptionError, StudyError, TrimtabError
    from trimtab.model import Model
    from trimtab.results import Study, load, load_model
    from trimtab.tune import tune

__version__ = "0.1.0"

__all__ = [
    "DataError",
    "Model",
    "ModelError",
    "OptionError",
    "Study",
    "StudyError",
    "TrimtabError",
    "__version__",
    "load",
    "load_model",
    "tune",
]

_HOME = {
    "DataError": "trimtab.errors",
    "Model": "trimtab.model",
    "ModelError": "trimtab.errors",
    "OptionError": "trimtab.errors",
    "Study": "trimtab.results",
    "StudyError": "trimtab.errors",
    "TrimtabError": "trimtab.errors",
    "load": "trimtab.results",
    "load_model": "trimtab.results",
    "tune": "trimtab.tune",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'trimtab' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))


class _Package(ModuleType):
    """Keeps `trimtab.tune` the function: importing the file tune.py would put the module of that name in its place."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
