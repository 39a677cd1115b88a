"""Model: what is saved and predicts. Columns, encoding, the networks of the ensemble, target scaling; no training row.

`model/` holds `model.json` and `weights.safetensors`: readable without pickle, versioned, with digests that are checked
on load. Knows no search.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy
import polars
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from trimtab.errors import ModelError
from trimtab.nets.mlp import MLP
from trimtab.table.encode import Encoded, Encoder
from trimtab.table.frames import to_frame
from trimtab.table.target import TargetEncoder
from trimtab.training.mlp_program import MLPProgram
from trimtab.training.program import outputs_of

FORMAT = 1
_KIND = "trimtab model"
ROWS_AT_ONCE = 4_096


@dataclass(frozen=True)
class Member:
    """Networks of one structure and their share of the prediction; `parameters` is float32 [networks, parameters]."""

    network: Mapping[str, str | int | float]
    parameters: Tensor
    share: float


@dataclass(frozen=True)
class Model:
    """A trained model for a table: give it rows, get predictions in original units or labels."""

    encoder: Encoder
    target: TargetEncoder
    members: tuple[Member, ...]

    @property
    def task(self) -> str:
        return self.target.task

    @property
    def networks(self) -> int:
        return sum(member.parameters.shape[0] for member in self.members)

    def predict(self, data: object) -> numpy.ndarray:
        """Predictions for a frame or array of rows: values in original units [rows] or [rows, targets], or labels."""
        return self.target.decode(self.raw(to_frame(data))[0])

    def predict_proba(self, data: object) -> numpy.ndarray:
        """Class probabilities `[rows, classes]` in the order of `model.target.classes`; raises ModelError otherwise."""
        if self.task != "classification":
            raise ModelError("This model predicts numbers: it has no probabilities. Use predict instead.")
        return self.raw(to_frame(data))[0]

    def raw(self, frame: polars.DataFrame) -> tuple[numpy.ndarray, tuple[str, ...]]:
        """Probabilities or values in original units, float64 [rows, outputs], and notices about the rows."""
        encoded = self.encoder.encode(frame)
        return self.raw_of(encoded), encoded.notices

    def raw_of(self, encoded: Encoded) -> numpy.ndarray:
        """The same for rows that this model's encoder has encoded already."""
        numbers, codes = torch.from_numpy(encoded.numbers), torch.from_numpy(encoded.codes)
        programs = [MLPProgram(build(self.encoder, self.target, member.network)) for member in self.members]
        pieces = [numpy.zeros((0, self.target.outputs))]
        for start in range(0, len(numbers), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            parts = [
                member.share * self._member(program, member, numbers[rows], codes[rows])
                for program, member in zip(programs, self.members, strict=True)
            ]
            pieces.append(torch.stack(parts).sum(0).numpy())
        return numpy.concatenate(pieces)

    def predict_frame(self, frame: polars.DataFrame) -> tuple[polars.DataFrame, tuple[str, ...]]:
        """`prediction` (one column per target if there are several) and `probability_<class>` columns; notices."""
        raw, notices = self.raw(frame)
        decoded = self.target.decode(raw)
        if self.task == "classification":
            columns = {"prediction": decoded} | {
                f"probability_{label}": raw[:, i] for i, label in enumerate(self.target.classes)
            }
        elif len(self.target.names) == 1:
            columns = {"prediction": decoded}
        else:
            columns = {f"prediction_{name}": raw[:, i] for i, name in enumerate(self.target.names)}
        return polars.DataFrame(columns), notices

    def _member(self, program: MLPProgram, member: Member, numbers: Tensor, codes: Tensor) -> Tensor:
        networks = member.parameters.shape[0]
        inputs = tuple(x.unsqueeze(0).expand(networks, *x.shape) for x in (numbers, codes))
        outputs = outputs_of(program, member.parameters, inputs).double()
        if self.task == "classification":
            return outputs.softmax(-1).mean(0)
        return outputs.mean(0) * torch.tensor(self.target.scale, dtype=torch.float64) + torch.tensor(
            self.target.mean, dtype=torch.float64
        )

    def save(self, folder: Path) -> None:
        """Write `model.json` and `weights.safetensors` into `folder`; the old model stays until the new is whole."""
        weights = save_tensors({f"member.{i}": m.parameters.contiguous() for i, m in enumerate(self.members)})
        body = {
            "kind": _KIND,
            "format": FORMAT,
            "encoder": self.encoder.to_json(),
            "target": self.target.to_json(),
            "members": [{"network": dict(m.network), "share": m.share} for m in self.members],
            "weights_sha256": hashlib.sha256(weights).hexdigest(),
        }
        body["digest"] = _digest(body)
        new = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        (new / "weights.safetensors").write_bytes(weights)
        (new / "model.json").write_text(json.dumps(body, indent=1), encoding="utf-8")
        _exchange(new, folder)

    @classmethod
    def load(cls, folder: Path) -> "Model":
        """Read a saved model; raises ModelError when it is missing, damaged or from a newer trimtab."""
        if not folder.is_dir() and _previous(folder).is_dir():
            folder = _previous(folder)
        body = _read_document(folder / "model.json")
        path = folder / "weights.safetensors"
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ModelError(f"{path} cannot be read ({error.strerror}): the model is incomplete.") from None
        if hashlib.sha256(content).hexdigest() != body["weights_sha256"]:
            raise ModelError(f"{path} is damaged: its content does not match model.json. Restore it or train again.")
        try:
            tensors = load_tensors(content)
            members = tuple(
                Member(entry["network"], tensors[f"member.{i}"], float(entry["share"]))
                for i, entry in enumerate(body["members"])
            )
            return cls(Encoder.from_json(body["encoder"]), TargetEncoder.from_json(body["target"]), members)
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{folder} does not hold a readable model: {error}.") from None


def build(encoder: Encoder, target: TargetEncoder, network: Mapping[str, str | int | float]) -> MLP:
    """The network that `network`'s knobs make for these columns and this target."""
    return MLP(
        continuous=encoder.n_continuous,
        numbers=encoder.n_numbers,
        cardinalities=tuple(encoder.cardinalities),
        outputs=target.outputs,
        **network,  # type: ignore[arg-type]
    )


def _read_document(path: Path) -> dict:
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise ModelError(f"{path.parent} holds no model: there is no model.json.") from None
    except ValueError:
        raise ModelError(f"{path} is damaged: it is not readable JSON. Restore it or train again.") from None
    if not isinstance(body, dict) or body.get("kind") != _KIND:
        raise ModelError(f"{path} is not a model of trimtab.")
    if not isinstance(body.get("format"), int) or body["format"] > FORMAT:
        raise ModelError(f"{path} was written by a newer trimtab (format {body.get('format')}): update trimtab.")
    if _digest(body) != body.get("digest"):
        raise ModelError(f"{path} is damaged: its content does not match its digest. Restore it or train again.")
    return body


def _digest(body: dict) -> str:
    content = {name: value for name, value in body.items() if name != "digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _previous(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.previous")


def _exchange(new: Path, folder: Path) -> None:
    """Put `new` in the place of `folder`; killed in between, `load` still finds the previous one."""
    if folder.is_dir():
        shutil.rmtree(_previous(folder), ignore_errors=True)
        os.replace(folder, _previous(folder))
    os.replace(new, folder)
    shutil.rmtree(_previous(folder), ignore_errors=True)
