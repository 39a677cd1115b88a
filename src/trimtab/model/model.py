"""Model: what is saved and predicts. Columns, encoding, the networks of the ensemble, target scaling; and training rows
as a network sees them, where it asks the nearest of these.

`model/` holds `model.json` and `weights.safetensors`: readable without pickle, versioned, with digests that are checked
on load. Knows no search.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy
import polars
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from trimtab.errors import ModelError
from trimtab.model.calibration import Calibration, ClassSet, Interval, check_share
from trimtab.model.neighbours import NEAREST, Neighbours, of_tensors, to_tensors
from trimtab.nets.mlp import MLP
from trimtab.table.encode import Encoded, Encoder
from trimtab.table.frames import to_frame
from trimtab.table.read import read_table
from trimtab.table.target import TargetEncoder
from trimtab.text.wording import counted, listed, sentence
from trimtab.training.lanes.precision import multiplying
from trimtab.training.programs.mlp_program import MLPProgram
from trimtab.training.programs.program import outputs_of
from trimtab.training.randomness import initialised

if TYPE_CHECKING:
    from trimtab.evaluation.result import Evaluation

# 2: columns have the edges of their bins. 3: members may ask neighbours. 4: probabilities may have factors.
# 5: how many neighbours are asked. 6: predictions may have bounds.
FORMAT = 6
_KIND = "trimtab model"
# That are predicted: what passes between layers stays in the cache, and the calls cost next to nothing. A guess.
ROWS_AT_ONCE = 4_096


@dataclass(frozen=True)
class Member:
    """Networks of one structure and their share of the prediction; `parameters` is float32 [networks, parameters].

    With `neighbours`, for each network what it remembers, these predict in the place of its output layer.
    """

    network: Mapping[str, str | int | float]
    parameters: Tensor
    share: float
    neighbours: tuple[Neighbours, ...] = ()


@dataclass(frozen=True, repr=False)
class Model:
    """A trained model for a table: give it rows, get predictions in original units or labels.

    `calibration` knows how far predictions are off; a model that was saved before there was one has none.
    """

    encoder: Encoder
    target: TargetEncoder
    members: tuple[Member, ...]
    calibration: Calibration | None = None
    _programs: dict[tuple, MLPProgram] = field(default_factory=dict, init=False, compare=False)

    @property
    def task(self) -> str:
        return self.target.task

    @property
    def networks(self) -> int:
        """How many different networks predict; one that predicts by what it remembers, too, counts once."""
        different: list[Member] = []
        for member in self.members:
            alike = (one for one in different if one.network == member.network)
            if not any(torch.equal(one.parameters, member.parameters) for one in alike):
                different.append(member)
        return sum(member.parameters.shape[0] for member in different)

    @property
    def rows_remembered(self) -> int:
        """How many training rows it holds, as a network sees them."""
        return max((len(each.hidden) for member in self.members for each in member.neighbours), default=0)

    @overload
    def predict(self, data: object) -> numpy.ndarray: ...

    @overload
    def predict(self, data: object, interval: float) -> Interval | ClassSet: ...

    def predict(self, data: object, interval: float | None = None) -> numpy.ndarray | Interval | ClassSet:
        """Predictions for the rows of a frame, an array or a file: values in original units [rows] or [rows, targets],
        or labels.

        With `interval`, say 0.9: also the bounds between which the truth lies in that share of rows like those of
        training (`prediction, low, high`), or the classes among which it is (`prediction, classes`). They come from the
        errors on rows that a network had not seen [Vovk 2015], each target by itself; raises ModelError for a model
        that does not know them, OptionError where they are too few.
        """
        known = None if interval is None else self.calibrated(interval)
        raw = self.raw(_rows_of(data))[0]
        if interval is None or known is None:
            return self.target.decode(raw)
        if self.task == "classification":
            return ClassSet(self.target.decode(raw), self._sets(known, raw, interval))
        return Interval(*(self.target.decode(values) for values in (raw, *known.bounds(raw, interval))))

    def calibrated(self, interval: float) -> Calibration:
        """What intervals of this share are told by; raises OptionError for one that is none or too much, ModelError
        without it."""
        check_share(interval)
        if self.calibration is None:
            raise ModelError(
                "This model does not know how far its predictions are off, as models that were trained before "
                "intervals were told: train it again."
            )
        self.calibration.level(interval)
        return self.calibration

    def predict_proba(self, data: object) -> numpy.ndarray:
        """Class probabilities `[rows, classes]` of the same in the order of `model.target.classes`; raises ModelError
        where numbers are predicted."""
        if self.task != "classification":
            raise ModelError("This model predicts numbers: it has no probabilities. Use predict instead.")
        return self.raw(_rows_of(data))[0]

    def raw(self, frame: polars.DataFrame) -> tuple[numpy.ndarray, tuple[str, ...]]:
        """Probabilities or values in original units, float64 [rows, outputs], and notices about the rows."""
        encoded = self.encoder.encode(frame)
        return self.raw_of(encoded), encoded.notices

    def raw_of(self, encoded: Encoded, *, dtype: torch.dtype = torch.float32) -> numpy.ndarray:
        """The same for rows that this model's encoder has encoded already.

        The networks multiply in `dtype`: in float64 a row's prediction does not depend on the rows beside it.
        """
        numbers, codes = torch.from_numpy(encoded.numbers).to(dtype), torch.from_numpy(encoded.codes)
        networks = [(self._program(each, dtype), each, each.parameters.to(dtype)) for each in self.members]
        pieces = [numpy.zeros((0, self.target.outputs))]
        for start in range(0, len(numbers), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            with multiplying("high"):
                parts = [
                    member.share * self._mean_of(program, member.neighbours, parameters, numbers[rows], codes[rows])
                    for program, member, parameters in networks
                ]
            pieces.append(torch.stack(parts).sum(0).numpy())
        return numpy.concatenate(pieces)

    def predict_frame(
        self, frame: polars.DataFrame, interval: float | None = None
    ) -> tuple[polars.DataFrame, tuple[str, ...]]:
        """`prediction` (one column per target if there are several) and `probability_<class>` columns; notices.

        With `interval` also `low` and `high` of each target, or whether each class is in the set (`in_set_<class>`).
        """
        known = None if interval is None else self.calibrated(interval)
        raw, notices = self.raw(frame)
        told = self.as_frame(raw)
        if interval is not None and known is not None:
            told = told.hstack(self._interval_frame(known, raw, interval))
        return told, notices

    def _sets(self, calibration: Calibration, raw: numpy.ndarray, interval: float) -> numpy.ndarray:
        """bool [rows, classes]: the classes among which the truth is, the one that is predicted always being one."""
        sets = calibration.sets(raw, interval)
        sets[numpy.arange(len(sets)), self.target.decided(raw)] = True
        return sets

    def _interval_frame(self, calibration: Calibration, raw: numpy.ndarray, interval: float) -> polars.DataFrame:
        if self.task == "classification":
            sets = self._sets(calibration, raw, interval)
            return polars.DataFrame({f"in_set_{label}": sets[:, i] for i, label in enumerate(self.target.classes)})
        ends = dict(zip(("low", "high"), calibration.bounds(raw, interval), strict=True))
        if len(self.target.names) == 1:
            return polars.DataFrame({name: values[:, 0] for name, values in ends.items()})
        return polars.DataFrame(
            {f"{end}_{name}": ends[end][:, i] for i, name in enumerate(self.target.names) for end in ends}
        )

    def as_frame(self, raw: numpy.ndarray) -> polars.DataFrame:
        """What `raw` [rows, outputs], values in original units or probabilities, predicts, as `predict_frame` tells."""
        decoded = self.target.written(raw)
        if self.task == "classification":
            columns = {"prediction": decoded} | {
                f"probability_{label}": raw[:, i] for i, label in enumerate(self.target.classes)
            }
        elif len(self.target.names) == 1:
            columns = {"prediction": decoded}
        else:
            columns = {f"prediction_{name}": raw[:, i] for i, name in enumerate(self.target.names)}
        return polars.DataFrame(columns)

    def evaluate(
        self, data: object, target: str | Sequence[str] | None = None, *, weight: str | None = None,
        metric: str | None = None, threshold: float | None = None, seed: int = 0,
    ) -> "Evaluation":  # fmt: skip
        """How good the model is on rows whose answer is known: every metric with its interval, and more.

        Arguments:
            data: a file, any frame with the columns and the target, or `(X, y)`.
            target: the target's column there, if it is not called as in training.
            weight: a column of row weights.
            metric: what slices are measured by; the task's default.
            threshold: the probability from which on rows count as the second of two classes.
            seed: of the bootstrap; the same gives the same intervals.

        Raises DataError for rows that cannot be scored, OptionError for a threshold that cannot be.
        """
        from trimtab.evaluation.evaluation import evaluate

        return evaluate(self, data, target=target, weight=weight, metric=metric, threshold=threshold, seed=seed)

    def __repr__(self) -> str:
        return f"Model({self.task} of {listed(self.target.names)}: {counted(self.networks, 'network')})"

    def _program(self, member: Member, dtype: torch.dtype) -> MLPProgram:
        key = (tuple(sorted(member.network.items())), dtype)
        if key not in self._programs:
            # Its weights come from elsewhere. Not on the device meta, for which torch would import its compiler, but
            # without a draw from the caller's generator all the same.
            module = initialised(lambda: build(self.encoder, self.target, member.network), seed=0)
            self._programs[key] = MLPProgram(module.to(dtype))
        return self._programs[key]

    def _mean_of(
        self, program: MLPProgram, remembered: Sequence[Neighbours], parameters: Tensor, numbers: Tensor, codes: Tensor
    ) -> Tensor:
        """The mean prediction of networks of one structure, or of what they remember, float64 [rows, outputs]."""
        networks = parameters.shape[0]
        inputs = tuple(x.unsqueeze(0).expand(networks, *x.shape) for x in (numbers, codes))
        if remembered:
            hidden = program.last_hidden(program.layout.views(parameters), inputs)
            each = [one.predict(seen) for one, seen in zip(remembered, hidden, strict=True)]
            return torch.stack(each).mean(0)
        outputs = outputs_of(program, parameters, inputs).double()
        if self.task == "classification":
            return outputs.softmax(-1).mean(0)
        target = self.target
        mean, scale, *bounds = (
            torch.tensor(each, dtype=torch.float64) for each in (target.mean, target.scale, target.low, target.high)
        )
        values = outputs * scale + mean
        return (values.clamp(*bounds) if target.low else values).mean(0)

    def pack(self) -> tuple[str, bytes]:
        """The model as it is saved: the text of `model.json` and the bytes of `weights.safetensors`."""
        # Copies: a network that predicts by what it remembers, too, is there twice.
        tensors = {f"member.{i}": m.parameters.contiguous().clone() for i, m in enumerate(self.members)}
        for i, member in enumerate(self.members):
            tensors |= to_tensors(member.neighbours, f"member.{i}.neighbours")
        weights = save_tensors(tensors)
        body = {
            "kind": _KIND,
            "format": FORMAT,
            "encoder": self.encoder.to_json(),
            "target": self.target.to_json(),
            "members": [
                {
                    "network": dict(m.network),
                    "share": m.share,
                    "reaches": [each.reach for each in m.neighbours],
                    **({"nearest": m.neighbours[0].nearest} if m.neighbours else {}),
                }
                for m in self.members
            ],
            **({} if self.calibration is None else {"calibration": self.calibration.model_dump(mode="json")}),
            "weights_sha256": hashlib.sha256(weights).hexdigest(),
        }
        body["digest"] = _digest(body)
        return json.dumps(body, indent=1), weights

    def __reduce__(self) -> tuple:
        """A pickled model is the saved one: no object of torch's is in it."""
        return _unpack, self.pack()

    def save(self, folder: Path) -> None:
        """Write `model.json` and `weights.safetensors` into `folder`; the old model stays until the new is whole."""
        document, weights = self.pack()
        new = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(new, ignore_errors=True)
        try:
            new.mkdir(parents=True)
            (new / "weights.safetensors").write_bytes(weights)
            (new / "model.json").write_text(document, encoding="utf-8")
            _exchange(new, folder)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise

    @classmethod
    def load(cls, folder: Path) -> "Model":
        """Read a saved model; raises ModelError when it is missing, damaged or from a newer trimtab."""
        if not folder.is_dir() and _previous(folder).is_dir():
            folder = _previous(folder)
        document, weights = folder / "model.json", folder / "weights.safetensors"
        try:
            body = _read_document(document.read_bytes(), str(document))
        except OSError:
            raise ModelError(f"{folder} holds no model: there is no model.json.") from None
        try:
            content = weights.read_bytes()
        except OSError as error:
            raise ModelError(f"{weights} cannot be read ({error.strerror}): the model is incomplete.") from None
        return _assembled(body, content, str(weights))


def _unpack(document: str, weights: bytes) -> Model:
    """The model that `Model.pack` took apart."""
    return _assembled(_read_document(document, "The document of this model"), weights, "The weights of this model")


def _assembled(body: dict, weights: bytes, path: str) -> Model:
    if hashlib.sha256(weights).hexdigest() != body["weights_sha256"]:
        raise ModelError(f"{path} is damaged: its content does not match model.json. Restore it or train again.")
    try:
        tensors = load_tensors(weights)
        members = tuple(
            Member(
                entry["network"],
                tensors[f"member.{i}"],
                float(entry["share"]),
                of_tensors(tensors, entry.get("reaches", ()), entry.get("nearest", NEAREST), f"member.{i}.neighbours"),
            )
            for i, entry in enumerate(body["members"])
        )
        known = body.get("calibration")
        calibration = None if known is None else Calibration.model_validate(known)
        encoder, target = Encoder.from_json(body["encoder"]), TargetEncoder.from_json(body["target"])
        return Model(encoder, target, members, calibration)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ModelError(sentence(f"{path} and its model.json cannot be read as a model: {error}")) from None


def _rows_of(data: object) -> polars.DataFrame:
    return read_table(data).frame if isinstance(data, str | Path) else to_frame(data)


def build(encoder: Encoder, target: TargetEncoder, network: Mapping[str, str | int | float]) -> MLP:
    """The network that `network`'s knobs make for these columns and this target."""
    return MLP(
        continuous=encoder.n_continuous,
        numbers=encoder.n_numbers,
        cardinalities=tuple(encoder.cardinalities),
        outputs=target.outputs,
        edges=encoder.edges,
        **network,  # type: ignore[arg-type]
    )


def _read_document(content: str | bytes, path: str) -> dict:
    try:
        body = json.loads(content)
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
