"""StudyFolder: the files of a study, each written beside its place and renamed into it.

Knows what stands where; it knows no training and starts no threads.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy
import polars
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from trimtab.errors import StudyError
from trimtab.tuning.trial import TrialWeights

FORMAT = 1
_MARK = "trimtab study"


class StudyFolder:
    """A study's folder: `study.json`, `study.db`, `runs/`, `curves/`, `inflight.json`, `model/`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs, self.curves, self.model = path / "runs", path / "curves", path / "model"

    @classmethod
    def create(cls, path: Path, asked: Mapping[str, object]) -> "StudyFolder":
        """Make the folder and note what was asked; raises StudyError where it cannot be written or holds something."""
        if path.exists() and not path.is_dir():
            raise StudyError(f"{path} is a file: choose another folder with --out.")
        if path.is_dir() and any(path.iterdir()):
            hint = "continue it with --resume, or" if (path / "study.json").exists() else ""
            raise StudyError(f"{path} already exists and is not empty: {hint} choose another folder with --out.")
        folder = cls(path)
        try:
            folder.runs.mkdir(parents=True, exist_ok=True)
            folder.curves.mkdir(exist_ok=True)
            folder.write("study.json", {"kind": _MARK, "format": FORMAT, "asked": dict(asked), "result": None})
        except OSError as error:
            raise StudyError(
                f"{path} cannot be written ({error.strerror}): choose another folder with --out."
            ) from None
        return folder

    @classmethod
    def open(cls, path: Path) -> "StudyFolder":
        """An existing study; raises StudyError where there is none, or one of a newer trimtab."""
        document = path / "study.json"
        if not document.is_file():
            raise StudyError(f"{path} is not a study folder: it has no study.json.")
        folder = cls(path)
        content = folder.read("study.json")
        if content.get("kind") != _MARK:
            raise StudyError(f"{document} is not a study of trimtab.")
        if content.get("format", 0) > FORMAT:
            raise StudyError(f"{path} was written by a newer trimtab: update trimtab to open it.")
        folder.runs.mkdir(exist_ok=True)
        folder.curves.mkdir(exist_ok=True)
        return folder

    def read(self, name: str) -> dict:
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StudyError(f"{self.path / name} cannot be read: {error}.") from None

    def write(self, name: str, content: object) -> None:
        """Write a JSON document so that a reader finds the old one or the new one, never half of it."""
        temporary = self.path / f".{name}.part"
        temporary.write_text(json.dumps(content, indent=1, default=str), encoding="utf-8")
        os.replace(temporary, self.path / name)

    def save_weights(self, number: int, weights: TrialWeights) -> int:
        """Write a trial's weights and out-of-fold predictions; returns their size in bytes."""
        target = self.runs / f"{number}.safetensors"
        temporary = self.runs / f".{number}.part"
        tensors = {
            "parameters": weights.parameters.contiguous(),
            "predictions": torch.from_numpy(numpy.ascontiguousarray(weights.predictions, dtype=numpy.float32)),
        }
        tensors |= {f"buffer.{name}": value.contiguous() for name, value in weights.buffers.items()}
        save_file(tensors, temporary)
        os.replace(temporary, target)
        return target.stat().st_size

    def load_weights(self, number: int) -> TrialWeights | None:
        """A trial's weights, or None where they were not kept or cannot be read."""
        path = self.runs / f"{number}.safetensors"
        try:
            tensors = load_file(path)
        except (OSError, SafetensorError):
            return None
        buffers = {name.removeprefix("buffer."): tensors[name] for name in tensors if name.startswith("buffer.")}
        return TrialWeights(tensors["parameters"], tensors["predictions"].numpy(), buffers)

    def drop_weights(self, number: int) -> None:
        (self.runs / f"{number}.safetensors").unlink(missing_ok=True)

    def save_curves(self, rows: polars.DataFrame) -> None:
        """Add a numbered part to the curves."""
        number = 1 + max((int(p.stem) for p in self.curves.glob("[0-9]*.parquet")), default=0)
        temporary = self.curves / ".part"
        rows.write_parquet(temporary)
        os.replace(temporary, self.curves / f"{number:04d}.parquet")

    def merge_curves(self) -> None:
        """Lay all parts into `curves.parquet` and delete them."""
        parts = sorted(self.curves.glob("[0-9]*.parquet"))
        if not parts:
            return
        merged = self.read_curves()
        temporary = self.path / ".curves.part"
        merged.write_parquet(temporary)
        os.replace(temporary, self.path / "curves.parquet")
        for part in parts:
            part.unlink()

    def read_curves(self) -> polars.DataFrame:
        """Every run's curves so far: trial, fold, epoch and the signals."""
        files = [p for p in [self.path / "curves.parquet"] if p.exists()] + sorted(self.curves.glob("[0-9]*.parquet"))
        if not files:
            return polars.DataFrame()
        return polars.concat([polars.read_parquet(p) for p in files], how="diagonal_relaxed").unique(
            ["trial", "fold", "epoch"], maintain_order=True
        )

    def free_bytes(self) -> int:
        return shutil.disk_usage(self.path).free
