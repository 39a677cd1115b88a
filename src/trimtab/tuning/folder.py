"""StudyFolder: the files of a study, each written beside its place and renamed into it.

Knows what stands where; it knows no training and starts no threads.
"""

import json
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy
import polars
import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from trimtab.errors import StudyError
from trimtab.tuning.trial import TrialWeights
from trimtab.whole_file import replacing, take_back

FORMAT = 2
_MARK = "trimtab study"
_LOCK = ".lock"
# How often curves are read again where a search that goes on has just joined their files; it does so once in a while.
_TRIES = 3


class StudyFolder:
    """A study's folder: `study.json`, `study.db`, `runs/`, `curves/`, `inflight.json`, `model/`; and of what was
    trained beside the winner `counterfactuals.parquet` and `counterfactual_curves.parquet`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs, self.curves, self.model = path / "runs", path / "curves", path / "model"
        self.predictions, self.folds = path / "predictions.parquet", path / "folds.parquet"
        self.counterfactuals = path / "counterfactuals.parquet"
        self.counterfactual_curves = path / "counterfactual_curves.parquet"

    @classmethod
    def create(cls, path: Path, asked: Mapping[str, object]) -> "StudyFolder":
        """Make the folder and note what was asked; raises StudyError where it cannot be written or holds something."""
        require_free(path)
        folder = cls(path)
        store = {"study": new_study_name(), "calls": []}
        try:
            folder.runs.mkdir(parents=True, exist_ok=True)
            folder.curves.mkdir(exist_ok=True)
            folder.write(
                "study.json", {"kind": _MARK, "format": FORMAT, "asked": dict(asked), "store": store, "result": None}
            )
        except OSError as error:
            raise StudyError(_unwritable(path, error)) from None
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
        return folder

    # -- who writes

    @staticmethod
    def study_name(document: Mapping[str, Any]) -> str | None:
        """What the study is called where its trials are stored; None in a folder of an older trimtab."""
        return document.get("store", {}).get("study")

    @staticmethod
    def calls(document: Mapping[str, Any]) -> list[str]:
        """A mark for each call that has written trials, by which a folder knows its own."""
        return document.get("store", {}).get("calls", [])

    def begin(self, study: str, asked: Mapping[str, object]) -> None:
        """A call begins that writes trials into `study`, and has `asked` for this."""
        self.runs.mkdir(exist_ok=True)
        self.curves.mkdir(exist_ok=True)
        document = self.read("study.json")
        store = {"study": study, "calls": [*self.calls(document), uuid.uuid4().hex]}
        changed = {"format": FORMAT, "store": store, "asked": {**document["asked"], **asked}}
        self.write("study.json", document | changed)

    def has_finished_trials(self, document: Mapping[str, Any]) -> bool:
        """Whether anything here tells of trials that were finished."""
        return document.get("result") is not None or any(self.runs.glob("[0-9]*.safetensors"))

    # -- documents

    def read(self, name: str) -> dict:
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StudyError(f"{self.path / name} cannot be read: {error}.") from None

    def write(self, name: str, content: object) -> None:
        """Write a JSON document so that a reader finds the old one or the new one, never half of it."""
        with replacing(self.path / name) as part:
            part.write_text(json.dumps(content, indent=1, default=str), encoding="utf-8")

    def save_weights(self, number: int, weights: TrialWeights) -> int:
        """Write a trial's weights and out-of-fold predictions; returns their size in bytes."""
        target = self.runs / f"{number}.safetensors"
        tensors = {
            "parameters": weights.parameters.contiguous(),
            "predictions": torch.from_numpy(numpy.ascontiguousarray(weights.predictions)),
        }
        tensors |= {f"buffer.{name}": value.contiguous() for name, value in weights.buffers.items()}
        with replacing(target) as part:
            save_file(tensors, part)
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

    def has_weights(self, number: int) -> bool:
        return (self.runs / f"{number}.safetensors").exists()

    def kept_weights(self) -> list[int]:
        """The numbers of the trials whose weights are kept."""
        return sorted(int(path.stem) for path in self.runs.glob("[0-9]*.safetensors"))

    def drop_weights(self, number: int) -> None:
        (self.runs / f"{number}.safetensors").unlink(missing_ok=True)

    def save_recalled(self, predictions: Mapping[str, numpy.ndarray]) -> None:
        """Write what the neighbours of rows out of fold say, as the networks of these keys remember them; nothing is
        kept of others."""
        for earlier in self.runs.glob("neighbours-*.safetensors"):
            earlier.unlink()
        for key, each in predictions.items():
            with replacing(self._recalled(key)) as part:
                save_file({"predictions": torch.from_numpy(numpy.ascontiguousarray(each))}, part)

    def load_recalled(self, key: str) -> numpy.ndarray | None:
        """The same of one of them, or None where it was not kept or cannot be read."""
        try:
            return load_file(self._recalled(key))["predictions"].numpy()
        except (OSError, SafetensorError):
            return None

    def _recalled(self, key: str) -> Path:
        return self.runs / f"neighbours-{key}.safetensors"

    def save_curves(self, rows: polars.DataFrame) -> Path:
        """Add a numbered part to the curves; what it holds of a trial counts instead of earlier parts."""
        number = 1 + max((int(p.stem) for p in self.curves.glob("[0-9]*.parquet")), default=0)
        return _written(rows, self.curves / f"{number:04d}.parquet")

    def join_curves(self, parts: Sequence[Path]) -> None:
        """Lay some parts, in their order, into the last of them."""
        _written(_joined(parts), parts[-1])
        for part in parts[:-1]:
            part.unlink()

    def merge_curves(self) -> None:
        """Lay all parts into `curves.parquet` and delete them."""
        parts = self._parts()
        if not parts:
            return
        _written(_joined(self._files()), self.path / "curves.parquet")
        for part in parts:
            part.unlink()

    def read_curves(self, trial: int | None = None) -> polars.DataFrame:
        """Every run's curves so far, or those of one trial: trial, fold, epoch and the signals."""
        for _ in range(_TRIES):
            try:
                return _joined(self._files(), trial)
            except FileNotFoundError:
                continue  # a search that goes on has just joined some of them
        return _joined(self._files(), trial)

    def _files(self) -> list[Path]:
        whole = self.path / "curves.parquet"
        return [*([whole] if whole.exists() else []), *self._parts()]

    def _parts(self) -> list[Path]:
        return sorted(self.curves.glob("[0-9]*.parquet"), key=lambda part: int(part.stem))

    def save_predictions(self, predictions: polars.DataFrame) -> None:
        """Write `predictions.parquet`: what the model predicted for the rows that it may be judged by."""
        _written(predictions, self.predictions)

    def save_folds(self, folds: polars.DataFrame) -> None:
        """Write `folds.parquet`: which rows of the table train in each fold, and which it is judged by."""
        _written(folds, self.folds)

    def save_counterfactuals(self, runs: polars.DataFrame, curves: polars.DataFrame) -> None:
        """Write what was trained beside the winner, a row for each run, and its curves."""
        _written(curves, self.counterfactual_curves)
        _written(runs, self.counterfactuals)

    def read_counterfactuals(self) -> tuple[polars.DataFrame, polars.DataFrame]:
        """What `save_counterfactuals` wrote."""
        return polars.read_parquet(self.counterfactuals), polars.read_parquet(self.counterfactual_curves)


def new_study_name() -> str:
    """A name that no other study has, in whatever database it stands."""
    return f"trimtab-{uuid.uuid4().hex}"


def require_free(path: Path) -> None:
    """Raise StudyError where `path` is a file, or a folder that holds something."""
    if path.exists() and not path.is_dir():
        raise StudyError(f"{path} is a file: choose another folder with --out.")
    if path.is_dir() and any(entry.name != _LOCK for entry in path.iterdir()):
        hint = " continue it with --resume, or" if (path / "study.json").exists() else ""
        raise StudyError(f"{path} already exists and is not empty:{hint} choose another folder with --out.")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """The folder at `path` for this call alone; the operating system takes the lock back when the process ends.

    Makes the folder. Raises StudyError where another call is at work in it, or where it cannot be written.
    """
    lock = FileLock(path / _LOCK, timeout=0)
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise StudyError(
            f"Another search is at work in {path}: wait until it has ended, or choose another folder with --out."
        ) from None
    except OSError as error:
        raise StudyError(_unwritable(path, error)) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def new_study(
    path: Path, asked: Mapping[str, object], is_kept: Callable[[], bool] = lambda: False
) -> Iterator[StudyFolder]:
    """A new study in the folder at `path`, which belongs to this call alone.

    A call that ends in an error before it has kept a trial leaves nothing behind, unless `is_kept`. Raises StudyError
    as `require_free` and `locked` do.
    """
    require_free(path)
    missing = tuple(place for place in (path, *path.parents) if not place.exists())
    try:
        with locked(path):
            require_free(path)
            try:
                yield StudyFolder.create(path, asked)
            except BaseException:
                is_used = any(any((path / part).glob("*")) for part in ("runs", "curves"))
                if not is_used and not is_kept():
                    _empty(path)
                raise
    except BaseException:
        take_back(missing)
        raise


def _empty(folder: Path) -> None:
    for place in folder.iterdir():
        shutil.rmtree(place, ignore_errors=True) if place.is_dir() else place.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> str:
    return f"{path} cannot be written ({error.strerror}): choose another folder with --out."


def _written(rows: polars.DataFrame, target: Path) -> Path:
    with replacing(target) as part:
        rows.write_parquet(part)
    return target


def _joined(files: Sequence[Path], trial: int | None = None) -> polars.DataFrame:
    """The rows of `files`, or those of one `trial`; those of a trial from the last file that has some: it may have been
    trained again."""
    frames: list[polars.DataFrame] = []
    seen = polars.Series([], dtype=polars.Int64)
    for file in reversed(files):
        is_asked = True if trial is None else polars.col("trial") == trial
        frame = polars.scan_parquet(file).filter(is_asked).collect()
        frames.append(frame.filter(~polars.col("trial").is_in(seen.implode())))
        seen = polars.concat([seen, frame["trial"].cast(polars.Int64).unique()])
    if not frames:
        return polars.DataFrame()
    return polars.concat(frames[::-1], how="diagonal_relaxed")
