"""NetworkStudy: the study of a caller's own networks, the best of which can be made again. Trains nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars

from trimtab.errors import StudyError
from trimtab.networks.networks import Networks
from trimtab.studies.study import Place, Study
from trimtab.tuning.folder import StudyFolder

if TYPE_CHECKING:
    import torch

    from trimtab.evaluation.result import Evaluation
    from trimtab.findings.worth.account import Account
    from trimtab.model.model import Model

# What the document of such a study is marked by.
KIND = "module"


@dataclass(frozen=True, repr=False)
class NetworkStudy(Study):
    """A finished (or interrupted) search over networks of the caller's own.

    Attributes:
        networks: what makes them; None where the study was opened without it.
        explained: measures more of what each choice was worth; None where the study was opened again, without the rows
            that it was made with.
    """

    networks: Networks | None = None
    explained: "Callable[..., Account] | None" = None

    @cached_property
    def module(self) -> "torch.nn.Module":
        """The best network, as it was scored, in evaluation mode; StudyError where nothing is there to make it."""
        if self.networks is None:
            raise StudyError(
                "The study's networks are made by a function of your own: open it with tt.load(path, factory)."
            )
        weights = StudyFolder(self.out).load_weights(self.winner.number)
        if weights is None:
            raise StudyError(f"The weights of trial {self.winner.number} cannot be read from {self.out / 'runs'}.")
        arguments, seed = self.winner.config.module_arguments, self.result.get("seed", 0)
        self._check_network(self.networks.made(arguments, seed))
        buffers = {name: value[0] for name, value in weights.buffers.items()}
        return self.networks.filled(arguments, seed, weights.parameters[0], buffers)

    @property
    def model(self) -> "Model":
        raise StudyError("This study is of networks of your own: the best of them is study.module.")

    @property
    def predictions(self) -> polars.DataFrame:
        raise StudyError(
            "This study is of networks of your own, for which no predictions are written: call study.module on inputs."
        )

    def _explained(self, budget: str | float, **options: Any) -> "Account":
        if self.explained is None:
            raise StudyError(
                "The rows of a study of your own networks are not kept: call tt.tune with the same arguments, "
                f"resume={str(self.out)!r} and counterfactuals=."
            )
        return self.explained(self, budget=budget, **options)

    def code(self) -> str:
        return _script(self, StudyFolder(self.out))

    def export(
        self, *, python: Place = None, onnx: Place = None, pt2: Place = None, interval: float | None = None
    ) -> dict[str, Path]:
        from trimtab.export.files import export_files

        if onnx is not None or pt2 is not None:
            raise StudyError(
                "These networks are of your own kind, without a table's columns: torch.onnx.export and "
                "torch.export.export take study.module as it is."
            )
        return export_files(
            None, lambda place: {"python": (place, self.code().encode())}, python=python, interval=interval
        )

    def evaluate(
        self, data: Any, target: str | Sequence[str] | None = None, *, weight: str | None = None,
        threshold: float | str | None = None, seed: int = 0,
    ) -> "Evaluation":  # fmt: skip
        raise StudyError(
            "This study is of networks of your own: call study.module on the inputs, and compare what it gives "
            "with the truth. study.evaluate is for tables."
        )

    def _check_network(self, made: "torch.nn.Module") -> None:
        """Raise StudyError where the factory makes networks of another kind than the study's."""
        known = StudyFolder(self.out).read("study.json").get("network")
        if known is None or parts_of_network(made) == known:
            return
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.winner.config.module_arguments.items())
        raise StudyError(
            f"What tt.load was given makes another network than {self.out} has: "
            f"{_first_difference(known, parts_of_network(made))}{f' (with {arguments})' if arguments else ''}. Give "
            "the function or module that the study was made with."
        )


def parts_of_network(module: "torch.nn.Module") -> dict[str, str]:
    """What a network is made of: each of its layers as it shows itself, and each of its tensors by shape and type."""
    layers = {
        name or "the network": repr(child) for name, child in module.named_modules() if not list(child.children())
    }
    kinds = {name or "the network": type(child).__name__ for name, child in module.named_modules()}
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    shapes = {name: f"{list(t.shape)} {str(t.dtype).removeprefix('torch.')}" for name, t in tensors.items()}
    return kinds | layers | shapes


def _first_difference(known: dict[str, str], made: dict[str, str]) -> str:
    name = next(name for name in {**known, **made} if known.get(name) != made.get(name))
    return f"{name} was {known.get(name, 'not there')} and is {made.get(name, 'not there')}"


def _script(study: NetworkStudy, folder: StudyFolder) -> str:
    from trimtab.export.scripts.conventions import Conventions
    from trimtab.export.scripts.module_script import module_script

    asked = folder.read("study.json")["asked"]
    # The place of a function in the script is marked.
    own: dict[str, Any] = {name: object() for name in ("loss", "optimizer") if name in asked["functions"]}
    curves = study.curves
    epochs = curves.filter(polars.col("trial") == study.winner.number)["epoch"] if curves.height else None
    return module_script(
        study.winner.config,
        task=study.result["task"],
        module=study.module,
        loss=own.get("loss"),
        optimizer=own.get("optimizer"),
        metric=study.result["metric"],
        seed=study.result["seed"],
        every=1 if epochs is None or epochs.is_empty() else int(epochs.min()),  # type: ignore[arg-type]
        share=asked["share"],
        has_weights=asked.get("has_weights", False),
        drops_last=asked.get("drops_last", False),
        keeps_dropout="dropout" in study.winner.config.module_arguments
        or "dropout" not in {**study.winner.values, **asked["fixed"]},
        reading=Conventions.of_note(asked.get("reading", {})),
    )
