"""NetworkSubject: a caller's own networks as what a study is of, tried on their data and checked.

Knows networks, their data and knobs; it searches nothing.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy
import torch
from torch.utils.data import DataLoader, Dataset

from trimtab.errors import OptionError, StudyError
from trimtab.listeners.listeners import Listeners
from trimtab.networks.conventions_of import conventions_of
from trimtab.networks.datasets import Datasets
from trimtab.networks.differences import Parts, differences, differing
from trimtab.networks.examples import Examples, check_finite
from trimtab.networks.fitting import Fitting
from trimtab.networks.identity import identity_of_study
from trimtab.networks.module_space import ModuleSpace, domains_of
from trimtab.networks.networks import Networks
from trimtab.networks.reading import BY_TASK
from trimtab.networks.streams import Stream, examples
from trimtab.studies.call import Call
from trimtab.studies.network_study import KIND, NetworkStudy
from trimtab.studies.request import NetworksRequest
from trimtab.training.data import TrainingData
from trimtab.training.metrics import Metric, greater_is_better
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.going_on import address_of, seed_of
from trimtab.tuning.trial import TrialRecord


@dataclass(frozen=True)
class NetworkSubject:
    """Networks that were tried on their data, the knobs that are turned, and the test rows if there are any."""

    request: NetworksRequest
    fitting: Fitting
    space: ModuleSpace
    seed: int
    storage: str | None
    test: Examples | None

    @classmethod
    def read(cls, request: NetworksRequest, call: Call) -> "NetworkSubject":
        """What is asked for, read and tried; raises a TrimtabError that says what cannot be searched."""
        seed, storage = request.seed or 0, request.storage
        if call.resume is not None:
            storage = _storage_of(call.resume, storage)
            seed = seed_of(call.resume, request.seed)
        datasets = Datasets.read(request.data, request.valid, seed=seed, batch_size=None)
        if datasets.is_streamed:
            raise OptionError(
                f"A search reads the same rows again and again, and of these {datasets.reason}: use tt.fit."
            )
        space = _space(request, datasets)
        space.check_losses()
        middle = {name: domain.draw(numpy.random.default_rng(seed)) for name, domain in space.domains.items()}
        fitting = Fitting(
            space.networks, datasets, space.recipe(middle), metric=request.metric or BY_TASK, seed=seed,
            device=call.device, threads=call.threads,
        )  # fmt: skip
        space = space.for_task(fitting.task, is_of_logit=fitting.one_output == "logit")
        space.check()
        for each in space.losses:
            fitting.check_loss(each)
        test = None if request.test is None else fitting.prepared(_test_rows(request.test).like(datasets.first))
        return cls(request, fitting, space, seed, storage, test)

    @property
    def name(self) -> str:
        module = self.space.networks.module
        return "module" if module is None else type(module).__name__.lower()

    @property
    def data(self) -> TrainingData:
        return self.fitting.training_data

    @property
    def metric(self) -> Metric | None:
        return self.fitting.metric

    def announce(self, listeners: Listeners) -> None:
        """What there is to say of networks is logged where they are tried."""

    def document(self) -> dict[str, Any]:
        fitting, space, metric = self.fitting, self.space, self.metric
        return {
            "kind": KIND, "space": {name: domain.describe() for name, domain in space.domains.items()},
            "fixed": {name: _in_words(value) for name, value in space.fixed.items()}, "seed": self.seed,
            "functions": [name for name, value in space.fixed.items() if callable(value)],
            "share": self.request.share, "trained": identity_of_study(fitting, space.fixed, self._first_network()),
            "metric": None if metric is None else metric.name, "storage": self.storage,
            "fingerprint": _fingerprint(fitting),
            "greater_is_better": greater_is_better(metric),
            "has_weights": fitting.datasets.has_weights, "drops_last": fitting.drops_last,
            "reading": conventions_of(fitting).noted(),
        }  # fmt: skip

    def changes(self, folder: StudyFolder) -> dict[str, Any]:
        """All of the document; raises StudyError where something else is asked of the study than before."""
        before, asked = folder.read("study.json")["asked"], self.document()
        for what in ("space", "metric", "fingerprint"):
            if before.get(what) != asked[what]:
                named = "other data" if what == "fingerprint" else f"another {what}"
                raise StudyError(f"{folder.path} was made with {named}: give the same again, or start a new study.")
        if "trained" in before:  # an older trimtab did not note it
            _check_trained(folder.path, before["trained"], asked["trained"])
        return asked

    def how_to_resume(self, folder: Path) -> str:
        return f"resume={str(folder)!r}"

    def study(
        self, out: Path, result: dict[str, Any], winner: TrialRecord, trials: Sequence[TrialRecord],
        notices: Sequence[str],
    ) -> NetworkStudy:  # fmt: skip
        from trimtab.studies.explaining import explained_networks

        explained = partial(explained_networks, self)
        return NetworkStudy(out, result, winner, tuple(trials), tuple(notices), self.space.networks, explained)

    def _first_network(self) -> torch.nn.Module:
        arguments = self.space.recipe(self.space.first).config.module_arguments
        return self.space.networks.made(arguments, self.seed)


def _space(request: NetworksRequest, datasets: Datasets) -> ModuleSpace:
    """The knobs that are turned, and those that are held still."""
    networks, fixed = Networks(request.make), request.fixed
    domains = domains_of(request.space, networks)
    both = next((name for name in domains if name in fixed), None)
    if both is not None:
        raise OptionError(f"{both} is in space and also fixed: leave one of the two out.")
    knobs = ModuleSpace(networks, domains, fixed, rows=len(datasets.first.weights))
    knobs.refuse_idle()
    if datasets.batch_size and not {"batch_size"} & {*fixed, *domains}:
        knobs = replace(knobs, fixed={**fixed, "batch_size": datasets.batch_size})
    return knobs


def _storage_of(folder: StudyFolder, given: str | None) -> str | None:
    """The database of the study that is gone on with; raises StudyError where that is of a table."""
    before = folder.read("study.json")["asked"]
    if before.get("kind") != KIND:
        raise StudyError(f"{folder.path} is the study of a table: resume it without a function of networks.")
    return address_of(folder, before["storage"], given)


def _test_rows(test: Any) -> Examples:
    if not isinstance(test, (Dataset, DataLoader)) and not (isinstance(test, (tuple, list)) and len(test) in (2, 3)):
        raise OptionError(
            "test= of networks of your own is (X, y), a Dataset or a DataLoader: rows that nothing is chosen by."
        )
    rows = examples(test, "test")
    if isinstance(rows, Stream):
        raise OptionError(f"Test rows are read once and kept, and of these {rows.reason}: give test=(X, y).")
    check_finite(rows)
    return rows


def _check_trained(folder: Path, before: Parts, now: Parts) -> None:
    """Raise StudyError where another network is trained, or in another way."""
    if differing(before, now):
        raise StudyError(
            f"{folder} was made otherwise ({differences(before, now)}): give the same again, or start a new study."
        )


def _in_words(thing: Any) -> str:
    """What is held still, as a reader of the study's document understands it."""
    named = getattr(thing, "__qualname__", None)
    return f"{thing.__module__}.{named}" if named else re.sub(r" at 0x[0-9a-f]+", "", repr(thing))


def _fingerprint(fitting: Fitting) -> str:
    """A digest of the data, by which a resumed study knows them again."""
    data = fitting.training_data
    digest = hashlib.sha256(json.dumps([len(data.folds[0].train), fitting.task]).encode())
    for tensor in (*data.inputs, data.targets, *data.more_targets, data.weights):
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
