"""Identity: all that shapes a run of the caller's network, by which a checkpoint or a study is known to be its own.

Knows recipes and fingerprints; it reads and writes no files. How many epochs are planned is no part of it.
"""

from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Any

import torch

from trimtab.knobs.effects import parameter_of
from trimtab.knobs.table import KNOBS, NETWORK_KNOBS
from trimtab.networks.differences import Parts
from trimtab.networks.fingerprint import fingerprint
from trimtab.networks.fitting import Fitting
from trimtab.networks.fitting import log as fitting_log
from trimtab.networks.recipe import Recipe
from trimtab.networks.streams import Stream
from trimtab.training.config import Config
from trimtab.training.run import Request
from trimtab.training.warning import say_once


def identity_of_run(fitting: Fitting, request: Request, recipe: Recipe, rows: Iterable[torch.Tensor]) -> Parts:
    """That of one run: data (`rows`, and what is read anew), network with its weights, functions and knobs."""
    metric = None if fitting.metric is None else fitting.metric.name
    knobs = _typed_knobs(request.config) | {
        "seed": request.seed, "evaluate_every": fitting.evaluate_every, "metric": metric, "task": fitting.task,
        "dropout": None if recipe.has_own_dropout else request.config.dropout,
    }  # fmt: skip
    things: dict[str, Any] = {"the knobs": knobs, "the data": list(rows)}
    things |= {
        f"what {name}= reads": _reader(part)
        for name, part in (("train", fitting.datasets.train), ("valid", fitting.datasets.valid))
        if isinstance(part, Stream)
    }
    things |= {
        "the network": fitting.start(request),
        "the loss": recipe.function,
        "the optimizer": recipe.make_optimizer,
    }
    return _told(fitting, things | _own_metric(fitting))


def identity_of_study(fitting: Fitting, fixed: Mapping[str, Any], network: torch.nn.Module) -> Parts:
    """That of a search's networks: the function that makes them, one of them, and what is held still."""
    makes = fitting.networks.factory
    things = {"the function of networks": makes, "the network": network, "the knobs": dict(fixed)}
    return _told(fitting, things | _own_metric(fitting))


def _own_metric(fitting: Fitting) -> dict[str, Any]:
    """A metric of the caller's own, which its name does not tell; nothing for those that trimtab knows."""
    own = None if fitting.metric is None else fitting.metric.own
    if own is None:
        return {}
    return {"the metric": {"function": own.function, "greater_is_better": bool(own.greater_is_better)}}


def _told(fitting: Fitting, things: Mapping[str, Any]) -> Parts:
    return fingerprint(things, lambda sentence: say_once(fitting_log, fitting.networks.told, sentence))


def _typed_knobs(config: Config) -> dict[str, Any]:
    """The knobs of a config by the names that they are typed with, those of the network's function included; without
    how many epochs are planned, and without dropout, which layers may have of their own."""
    places = {name: KNOBS[name].place for name in NETWORK_KNOBS if name not in ("dropout", "epochs")}
    knobs = {name: attrgetter(place)(config) for name, place in places.items() if place != "loss.parameter"}
    knobs[parameter_of(config.loss.name) or "the loss's parameter"] = config.loss.parameter
    return {**config.module_arguments, **knobs, "schedule": config.schedule, "stop": config.stopping}


def _reader(stream: Stream) -> dict[str, Any]:
    """What gives the batches of a stream, those of a loader's settings aside that change no batch."""
    loader = stream.source
    return {
        "dataset": loader.dataset, "collate_fn": loader.collate_fn, "batch_size": loader.batch_size,
        "drop_last": loader.drop_last, "sampler": type(loader.sampler), "batch_sampler": type(loader.batch_sampler),
    }  # fmt: skip
