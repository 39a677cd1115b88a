"""trimtab: finds how to train your neural network, by training a whole population of configurations at once.

The public names are resolved on first use, so that `import trimtab` costs nothing and imports no torch.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trimtab.checkups.checkup import Checkup
    from trimtab.diagnose import Diagnosis, diagnose
    from trimtab.doctor import doctor
    from trimtab.errors import (
        CheckpointError,
        DataError,
        FactoryError,
        LabelError,
        LossError,
        ModelError,
        ModuleError,
        NotFiniteError,
        OptionError,
        ShapeError,
        StudyError,
        TrimtabError,
        UnknownKnobError,
    )
    from trimtab.estimators import TrimtabClassifier, TrimtabRegressor
    from trimtab.evaluation.result import Evaluation
    from trimtab.fit import fit
    from trimtab.listeners.listener import Listener
    from trimtab.loggers.mlflow import MLflowLogger
    from trimtab.loggers.tensorboard import TensorBoardLogger
    from trimtab.model.model import Model
    from trimtab.networks.recipe import EarlyStopping
    from trimtab.recording.recorder import Recorder
    from trimtab.studies.loading import load, load_model
    from trimtab.studies.single_run import Run
    from trimtab.studies.study import Study
    from trimtab.sweep import sweep
    from trimtab.sweeps.result import Sweep
    from trimtab.training.config import Group, Schedule
    from trimtab.training.own_metric import Metric
    from trimtab.tune import tune

__version__ = "0.1.0"

__all__ = [
    "CheckpointError",
    "Checkup",
    "DataError",
    "Diagnosis",
    "EarlyStopping",
    "Evaluation",
    "FactoryError",
    "Group",
    "LabelError",
    "Listener",
    "LossError",
    "MLflowLogger",
    "Metric",
    "Model",
    "ModelError",
    "ModuleError",
    "NotFiniteError",
    "OptionError",
    "Recorder",
    "Run",
    "Schedule",
    "ShapeError",
    "Study",
    "StudyError",
    "Sweep",
    "TensorBoardLogger",
    "TrimtabClassifier",
    "TrimtabError",
    "TrimtabRegressor",
    "UnknownKnobError",
    "__version__",
    "diagnose",
    "doctor",
    "fit",
    "load",
    "load_model",
    "sweep",
    "tune",
]

_HOME = {
    "CheckpointError": "trimtab.errors",
    "Checkup": "trimtab.checkups.checkup",
    "DataError": "trimtab.errors",
    "Diagnosis": "trimtab.diagnose",
    "EarlyStopping": "trimtab.networks.recipe",
    "Evaluation": "trimtab.evaluation.result",
    "FactoryError": "trimtab.errors",
    "Group": "trimtab.training.config",
    "LabelError": "trimtab.errors",
    "LossError": "trimtab.errors",
    "Listener": "trimtab.listeners.listener",
    "MLflowLogger": "trimtab.loggers.mlflow",
    "Metric": "trimtab.training.own_metric",
    "Model": "trimtab.model.model",
    "ModelError": "trimtab.errors",
    "ModuleError": "trimtab.errors",
    "NotFiniteError": "trimtab.errors",
    "OptionError": "trimtab.errors",
    "Recorder": "trimtab.recording.recorder",
    "Run": "trimtab.studies.single_run",
    "Schedule": "trimtab.training.config",
    "ShapeError": "trimtab.errors",
    "Study": "trimtab.studies.study",
    "Sweep": "trimtab.sweeps.result",
    "StudyError": "trimtab.errors",
    "TensorBoardLogger": "trimtab.loggers.tensorboard",
    "TrimtabClassifier": "trimtab.estimators",
    "TrimtabError": "trimtab.errors",
    "TrimtabRegressor": "trimtab.estimators",
    "UnknownKnobError": "trimtab.errors",
    "diagnose": "trimtab.diagnose",
    "doctor": "trimtab.doctor",
    "fit": "trimtab.fit",
    "load": "trimtab.studies.loading",
    "load_model": "trimtab.studies.loading",
    "sweep": "trimtab.sweep",
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
