"""Study and Run: a search, or one training, as the user holds it; a study's files stay the truth.

Knows how to read a study folder back; it trains nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars

from trimtab.errors import OptionError, StudyError, unknown_choice
from trimtab.knobs.knob import Task
from trimtab.model.model import Model
from trimtab.networks.networks import Networks
from trimtab.networks.own_optimizer import arguments_of
from trimtab.networks.recipe import Recipe
from trimtab.text.wording import counted
from trimtab.training.config import Config
from trimtab.tuning.address import checked_address
from trimtab.tuning.flight import in_flight
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.going_on import address_of
from trimtab.tuning.held import best_of, held_of
from trimtab.tuning.store import TrialStore
from trimtab.tuning.trial import TrialRecord
from trimtab.tuning.words import trial_in_words

Place = str | PathLike[str] | None
PLOTS = ("search",)

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure

    from trimtab.evaluation.result import Evaluation
    from trimtab.export.scripts.module import Reading


@dataclass(frozen=True, repr=False)
class Run:
    """One training, finished.

    Attributes:
        name: what the run is called, such as "lr=0.01, seed 0" in a sweep.
        module: the network with the weights of the best epoch, in evaluation mode.
        curves: a polars frame with a row per evaluated epoch; see `trimtab.training.run.Curves` for its columns.
        config: every knob of the training, those left out included.
        metric: what `score` is, None for the validation loss.
        score: the metric on the validation rows at the best epoch, as users read it.
        best_epoch: the epoch with the best score; 0 where no epoch gave a finite one, and the module then has the
            weights it started from.
        epochs: how many epochs were trained.
        ended: why training ended: "all epochs", "stopped early", "stopped" (by a callback) or "not finite".
        seed: the seed of all that was random.
        task: "regression" or "classification".
        given: the knobs as they were given, with functions where names were not.
        share: the share of rows set aside to judge by, None where they were given.
        evaluate_every: epochs between two evaluations.
        has_weights: whether some rows counted more than others.
        drops_last: whether a last batch that was short was left out.
        reading: how targets and outputs were read, for `code()`.
    """

    name: str
    module: "torch.nn.Module"
    curves: polars.DataFrame
    config: Config
    metric: str | None
    score: float
    best_epoch: int
    epochs: int
    ended: str
    seed: int
    task: Task
    given: Recipe
    share: float | None = None
    evaluate_every: int = 1
    has_weights: bool = False
    drops_last: bool = False
    reading: "Reading | None" = field(default=None, repr=False)

    @property
    def findings(self) -> tuple[()]:
        """Nothing yet: what is right and wrong with a run is not told so far."""
        return ()

    def plot(self) -> "Figure":
        """The score on training and validation rows by epoch, the best epoch marked: a matplotlib figure."""
        from trimtab.report.figures import curves_figure

        return curves_figure(self.curves, metric=self.metric, best_epoch=self.best_epoch, title=self.name)

    def code(self) -> str:
        """A plain PyTorch script that trains as this run was trained, without trimtab; the data's place is marked."""
        from trimtab.export.scripts.module import module_script

        own: dict[str, Any] = {"loss": self.given.function, "optimizer": self.given.make_optimizer}
        return module_script(
            self.config, task=self.task, module=self.module, **own, metric=self.metric, seed=self.seed,
            share=self.share, every=self.evaluate_every, keeps_dropout=self.given.has_own_dropout,
            optimizer_arguments=arguments_of(self.given), has_weights=self.has_weights, drops_last=self.drops_last,
            reading=self.reading,
        )  # fmt: skip

    def __repr__(self) -> str:
        score = f"{self.metric or 'validation loss'} {self.score:.4g}"
        return f"Run({self.name}: {score} at epoch {self.best_epoch} of {self.epochs}, {self.ended})"


@dataclass(frozen=True, repr=False)
class Study:
    """A finished (or interrupted) search.

    Attributes:
        out: its folder.
        result: what `summary()` gives.
        winner: the best single trial.
        trials: every finished trial in the order in which they were asked for.
        notices: what a user ought to know about data and result.
        networks: what makes the networks, in a study of networks of your own.
    """

    out: Path
    result: dict[str, Any]
    winner: TrialRecord
    trials: tuple[TrialRecord, ...]
    notices: tuple[str, ...] = field(default=())
    networks: Networks | None = None

    @cached_property
    def module(self) -> "torch.nn.Module":
        """The best of a study of your own networks, as it was scored, in evaluation mode; StudyError for a table."""
        if self.networks is None:
            raise StudyError(
                "The study's networks are made by a function of your own: open it with tt.load(path, factory)."
                if self._is_of_modules
                else "This study is of a table: its model is study.model."
            )
        weights = StudyFolder(self.out).load_weights(self.winner.number)
        if weights is None:
            raise StudyError(f"The weights of trial {self.winner.number} cannot be read from {self.out / 'runs'}.")
        arguments, seed = self.winner.config.module_arguments, self.result.get("seed", 0)
        self._check_network(self.networks.made(arguments, seed))
        buffers = {name: value[0] for name, value in weights.buffers.items()}
        return self.networks.filled(arguments, seed, weights.parameters[0], buffers)

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

    @cached_property
    def model(self) -> Model:
        """The saved model of a table, read from the study folder; StudyError for networks of your own."""
        if self._is_of_modules:
            raise StudyError("This study is of networks of your own: the best of them is study.module.")
        return Model.load(self.out / "model")

    @property
    def curves(self) -> polars.DataFrame:
        """Every run's curves: trial, fold, epoch, losses, metric, learning rate and gradient norm."""
        curves = StudyFolder(self.out).read_curves()
        if curves.is_empty():
            return curves
        # A search that was killed may have written the curves of a trial that it could not store any more.
        return curves.filter(polars.col("trial").is_in([record.number for record in self.trials]))

    @property
    def predictions(self) -> polars.DataFrame:
        """What the model of a table predicted for the rows it may be judged by, from `predictions.parquet`.

        Columns: `row` (the row's number in the source from 0 on, or in a test table of its own), `part` ("validation":
        out of fold; "test"), `truth` and `prediction` (`truth_NAME`, `prediction_NAME` for several targets), for
        classes `probability_LABEL`, and `weight` where rows have one. Raises StudyError where the file is not there.
        """
        path = StudyFolder(self.out).predictions
        if not path.exists():
            raise StudyError(f"{self.out} has no {path.name}: it is written when a search of a table ends.")
        return polars.read_parquet(path)

    @property
    def verdicts(self) -> tuple[str, ...]:
        """A sentence for each baseline of a table: by how much the model is better or worse, or that the two cannot be
        told apart."""
        from trimtab.tuning.verdicts import verdicts

        return tuple(verdicts(self.result))

    @property
    def words(self) -> str:
        """The best single config in words."""
        return trial_in_words(self.winner)

    def code(self) -> str:
        """A plain PyTorch script that trains the best single config, without trimtab.

        That of a table reads the same file and prints its validation score beside the study's; raises DataError where
        the file cannot be read any more. That of networks of your own has a place for the data.
        """
        from trimtab.export.scripts.study import study_script

        folder = StudyFolder(self.out)
        if self._is_of_modules:
            return _module_study_script(self, folder)
        return study_script(folder, self.winner, self.model)

    def export(self, *, python: Place = None, onnx: Place = None, pt2: Place = None) -> dict[str, Path]:
        """Write files that need no trimtab: `code()`, the model as an ONNX graph or as a PT2 program (see the guide).

        Returns the files by kind. Raises OptionError where nothing is asked for or onnx is not installed, DataError
        where a file cannot be written.
        """
        from trimtab.export.files import export_files

        if self._is_of_modules:
            if onnx is not None or pt2 is not None:
                raise StudyError(
                    "These networks are of your own kind, without a table's columns: torch.onnx.export and "
                    "torch.export.export take study.module as it is."
                )
            return export_files(None, self.code, python=python)
        return export_files(self.model, self.code, python=python, onnx=onnx, pt2=pt2)

    @property
    def _is_of_modules(self) -> bool:
        return self.networks is not None or StudyFolder(self.out).read("study.json")["asked"].get("kind") == "module"

    def evaluate(
        self, data: Any, target: str | Sequence[str] | None = None, *, weight: str | None = None,
        threshold: float | str | None = None, seed: int = 0,
    ) -> "Evaluation":  # fmt: skip
        """How good the study's model is on rows whose answer is known: every metric with its interval, and more.

        Arguments:
            data: a file, any frame with the columns and the target, or `(X, y)`.
            target: the target's column there, if it is not called as in training.
            weight: a column of row weights (default: that of the study, where it is there).
            threshold: the probability from which on rows count as the second of two classes; or "f1", "accuracy" or
                "balanced_accuracy", to take the best for that metric on the study's validation rows.
            seed: of the bootstrap; the same gives the same intervals.

        Raises DataError for rows that cannot be scored, OptionError and StudyError for a threshold that cannot be.
        """
        from trimtab.evaluation.evaluation import evaluate

        if self._is_of_modules:
            raise StudyError(
                "This study is of networks of your own: call study.module on the inputs, and compare what it gives "
                "with the truth. study.evaluate is for tables."
            )
        asked = StudyFolder(self.out).read("study.json")["asked"]
        return evaluate(
            self.model, data, target=target, weight=weight, usual_weight=asked.get("weight"),
            metric=self.result.get("metric") or asked.get("metric"), threshold=threshold, study=self.out, seed=seed,
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"Study({self.out}: {counted(len(self.trials), 'trial')}; {self.words})"

    def __str__(self) -> str:
        from trimtab.terminal.summary import summary_in_text

        return summary_in_text(self) if "config" in self.result else repr(self)

    def plot(self, kind: str = "search") -> "Figure":
        """A matplotlib figure of the study.

        "search": the score of each trial in their order with the best so far, and what each knob that was turned
        yielded: every trial's score by its value. Raises OptionError for another kind, and where matplotlib is missing.
        """
        from trimtab.report.search_figure import search_figure

        if kind not in PLOTS:
            raise unknown_choice("kind of plot", str(kind), PLOTS)
        metric = self.result.get("metric") or "validation loss"
        greater = bool(StudyFolder(self.out).read("study.json")["asked"].get("greater_is_better"))
        return search_figure(self.trials, metric=metric, greater_is_better=greater, winner=self.winner.number)

    def summary(self) -> dict[str, Any]:
        """What was found, as one plain dict: the object that `trimtab fit --json` prints."""
        return dict(self.result)


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


def _module_study_script(study: Study, folder: StudyFolder) -> str:
    from trimtab.export.scripts.module import Reading, module_script

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
        reading=Reading.of_note(asked.get("reading", {})),
    )


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
    if factory is not None and asked.get("kind") != "module":
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
    held = {} if asked.get("kind") == "module" else held_of(asked.get("fixed", {}))
    # Where the search was ended before it had any trial of its own, there is still something to look at.
    best = best_of(trials, held) or best_of(trials, {})
    if best is None:
        raise StudyError(f"{path} has no finished trial yet: continue it with --resume {path}.")
    result = {**(document["result"] or {"trials": len(trials), "test": None}), "out": str(Path(path))}
    winner = next((record for record in trials if record.number == result.get("winner")), best)
    return Study(Path(path), result, winner, tuple(trials), tuple(document.get("notices", ())), _networks(factory))


def _networks(factory: "torch.nn.Module | Callable[..., torch.nn.Module] | None") -> Networks | None:
    return None if factory is None else Networks(factory)


def export_run(path: str | Path, *, python: Place = None, onnx: Place = None, pt2: Place = None) -> dict[str, Path]:
    """Export what lies in a study folder; for ONNX and PT2 the `model` folder inside one will do. See Study.export."""
    if python is not None:
        if (Path(path) / "model.json").exists():
            raise StudyError(f"{path} is a model without its study: a script needs the study's folder.")
        return load(path).export(python=python, onnx=onnx, pt2=pt2)
    from trimtab.export.files import export_files

    return export_files(load_model(path), onnx=onnx, pt2=pt2)


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
