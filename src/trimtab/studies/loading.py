"""Loading: a study folder, or the model in it, opened again. Trains nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.errors import OptionError, StudyError
from trimtab.model.model import Model
from trimtab.networks.networks import Networks
from trimtab.studies.network_study import KIND, NetworkStudy
from trimtab.studies.study import Place, Study
from trimtab.studies.table_study import TableStudy
from trimtab.tuning.address import checked_address
from trimtab.tuning.flight import in_flight
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.going_on import address_of
from trimtab.tuning.held import best_of, held_of
from trimtab.tuning.store import TrialStore

if TYPE_CHECKING:
    import torch

    from trimtab.evaluation.result import Evaluation


def load(
    path: str | Path,
    factory: "torch.nn.Module | Callable[..., torch.nn.Module] | None" = None,
    *,
    storage: str | None = None,
) -> Study:
    """The study in a folder; raises StudyError where there is none or nothing was finished in it yet.

    `factory` is what made the networks of a study of your own; `study.module` needs it. `storage` is the URL of the
    database that has the trials, where its password is needed: that is not kept.
    """
    folder = StudyFolder.open(Path(path))
    document = folder.read("study.json")
    asked = document["asked"]
    is_of_networks = asked.get("kind") == KIND
    if factory is not None and not is_of_networks:
        raise OptionError(
            f"{path} is the study of a table: its model is study.model, and a function of networks has no effect. "
            "Leave it out."
        )
    url = address_of(folder, asked.get("storage"), None if storage is None else checked_address(storage))
    greater = bool(asked.get("greater_is_better"))
    with TrialStore(folder, url=url, greater_is_better=greater, may_create=False) as store:
        trials = store.trials()
    cut = [each.so_far for each in in_flight(folder, trials) if each.so_far is not None]
    trials = sorted(trials + cut, key=lambda record: record.number)
    held = {} if is_of_networks else held_of(asked.get("fixed", {}))
    # Where the search was ended before it had any trial of its own, there is still something to look at.
    best = best_of(trials, held) or best_of(trials, {})
    if best is None:
        raise StudyError(f"{path} has no finished trial yet: continue it with --resume {path}.")
    result = {**(document["result"] or {"trials": len(trials), "test": None}), "out": str(Path(path))}
    winner = next((record for record in trials if record.number == result.get("winner")), best)
    parts = Path(path), result, winner, tuple(trials), tuple(document.get("notices", ()))
    if is_of_networks:
        return NetworkStudy(*parts, networks=None if factory is None else Networks(factory))
    return TableStudy(*parts)


def export_run(
    path: str | Path, *, python: Place = None, onnx: Place = None, pt2: Place = None, interval: float | None = None
) -> dict[str, Path]:
    """Export what lies in a study folder; for ONNX and PT2 the `model` folder inside one will do. See Study.export."""
    if python is not None:
        if (Path(path) / "model.json").exists():
            raise StudyError(f"{path} is a model without its study: a script needs the study's folder.")
        return load(path).export(python=python, onnx=onnx, pt2=pt2, interval=interval)
    from trimtab.export.files import export_files

    return export_files(load_model(path), onnx=onnx, pt2=pt2, interval=interval)


def evaluate_run(path: str | Path, data: Any, *, weight: str | None = None, threshold: Any = None) -> "Evaluation":
    """How good the model of a study folder, or of the `model` folder inside one, is on `data`; see Study.evaluate."""
    if (Path(path) / "model.json").exists():
        return Model.load(Path(path)).evaluate(data, weight=weight, threshold=threshold)
    return load(path).evaluate(data, weight=weight, threshold=threshold)


def load_model(path: str | Path) -> Model:
    """The model of a study folder, or of the `model` folder inside one; raises ModelError or StudyError."""
    path = Path(path)
    if (path / "model.json").exists():
        return Model.load(path)
    StudyFolder.open(path)
    return Model.load(path / "model")
