"""Studies: the curves that a study folder of trimtab keeps, a run for each trial and fold."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars

from trimtab.errors import DataError
from trimtab.findings.document import document_of, facts_in
from trimtab.findings.logs.log import Log
from trimtab.findings.logs.recordings import by_layer
from trimtab.recording.recording import PARTS

DOCUMENT = "study.json"


def read_folder(folder: Path) -> list[Log] | None:
    """Every run of the study, those of the winner marked; None where `folder` is no study.

    Raises StudyError where it cannot be read, DataError where nothing was trained in it yet.
    """
    if not (folder / DOCUMENT).is_file():
        return None
    from trimtab.tuning.folder import StudyFolder  # brings torch along

    study = StudyFolder.open(folder)
    document, curves, noted = study.read(DOCUMENT), study.read_curves(), document_of(study)
    if not curves.height:
        raise DataError(f"{folder} has no curves yet: continue the study with --resume {folder}.")
    winner = (document.get("result") or {}).get("winner")
    numbered = "trial" in curves.columns and "fold" in curves.columns
    parts = curves.partition_by("trial", "fold", maintain_order=True) if numbered else [curves]
    return [_log(part, document, winner, [] if winner is None else facts_in(noted, winner)) for part in parts]


def _log(
    rows: polars.DataFrame, document: dict[str, Any], winner: int | None, facts: Sequence[Mapping[str, float]]
) -> Log:
    trial, fold = rows["trial"][0], rows["fold"][0]
    result, is_winner = document.get("result") or {}, rows["trial"][0] == winner
    known: dict[str, Any] = {
        "by_layer": by_layer({name: rows[name].to_list() for name in PARTS if name in rows.columns})
    }
    metric = result.get("metric") or document["asked"].get("metric")
    if metric:
        known |= {"metric": metric, "greater_is_better": bool(document["asked"].get("greater_is_better"))}
    if "ended" in rows.columns and rows["ended"][-1]:
        known["ended"] = rows["ended"][-1]
    if result.get("task") in ("regression", "classification"):
        known["task"] = result["task"]
    if is_winner:
        known |= _how_trained(result)
        if fold < len(facts):
            known["facts"] = facts[fold]
    numbers = rows.select(polars.selectors.numeric()).drop("trial", "fold").cast(polars.Float64)
    best = _best(numbers, greater_is_better=bool(known.get("greater_is_better")))
    if best is not None:
        known["kept"] = best  # trimtab keeps the weights of the best epoch, always
    which = f"trial {trial}{', the winner' if is_winner else ''}"
    note = f"This is {which}, in fold {fold}: --run TRIAL/FOLD shows another."
    return Log("a study of trimtab", numbers, f"{trial}/{fold}", (note,), known, is_default=is_winner and fold == 0)


def _how_trained(result: dict[str, Any]) -> dict[str, Any]:
    """The knobs of the winner, the epochs that were planned, and on how many rows it was trained and judged."""
    from trimtab.findings.of_run import every_knob_of
    from trimtab.training.config import Config

    try:
        config = Config.from_json(result["config"])
    except (KeyError, TypeError, ValueError):
        return {}  # of an older trimtab
    rows = result.get("rows") or {}
    parts = {"train": "train_rows", "valid": "validation_rows"}
    facts = {fact: float(rows[part]) for part, fact in parts.items() if rows.get(part)}
    return {"knobs": every_knob_of(config), "planned": config.epochs, "facts": facts}


def _best(curves: polars.DataFrame, *, greater_is_better: bool) -> float | None:
    scores = curves["validation_metric"].fill_nan(None)
    place = scores.arg_max() if greater_is_better else scores.arg_min()
    return None if place is None else float(curves["epoch"][place])
