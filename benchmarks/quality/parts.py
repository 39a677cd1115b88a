"""What parts of RealMLP's recipe would add to a network here, one at a time and all together [Holzmüller et al. 2024].

No search and no ensemble: a network of the middle (`recipe.py`), and the same with a part more, trained on a table's
first fold with each of some rates and several seeds, all of them as lanes beside each other. The rate is the one with
the least error on the validation rows, of each part by itself; the test rows of split 0 judge.

python -m benchmarks.quality.parts --seeds 3
"""

import argparse
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor, nn

from benchmarks.page import table as markdown
from benchmarks.quality.networks import LOSSES, error_of
from benchmarks.quality.recipe import config_with, laid_out
from benchmarks.tables import SHARED, Table, read_tables
from trimtab.machine import cores, lanes_in_threads
from trimtab.model.model import build
from trimtab.nets.mlp import MLP
from trimtab.table.prepared import Prepared
from trimtab.training.config import Config, Group
from trimtab.training.data import TrainingData
from trimtab.training.lanes.engine import Engine
from trimtab.training.lanes.judging import Judging
from trimtab.training.lanes.modules import Modules
from trimtab.training.lanes.population import Structure
from trimtab.training.metrics import default_metric
from trimtab.training.programs.program import outputs_of
from trimtab.training.randomness import initialised, number_from
from trimtab.training.run import Request, RunRecord

RATES = (2e-3, 4e-3, 8e-3)
ROWS_OF_A_START = 1_000
OWN_SLOPES = "own slopes, "  # before the name of an activation


class OwnSlopes(nn.Module):
    """x + a (f(x) - x) with an a of each unit that is learnt, 1 at first."""

    def __init__(self, activation: nn.Module, units: int) -> None:
        super().__init__()
        self.activation, self.weight = activation, nn.Parameter(torch.ones(units))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight * (self.activation(x) - x)


class WithOwnSlopes(MLP):
    """An MLP whose hidden units have slopes of their own."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        width = self.output.in_features
        self.slopes = nn.ModuleList(OwnSlopes(self.activation, width) for _ in range(self.depth))

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        features = self.features(numbers, codes)
        for layer, slope, dropout in zip(self.hidden, self.slopes, self.dropout, strict=True):
            features = dropout(slope(layer(features)))
        return self.output(features)


# -- parts: what each makes of a config, and of the weights that a run begins with


def fan_ins(network: MLP) -> dict[str, int]:
    """Inputs of each layer, the output's included, by its name."""
    layers = {f"hidden.{i}": layer for i, layer in enumerate(network.hidden)} | {"output": network.output}
    return {name: layer.in_features for name, layer in layers.items()}  # type: ignore[misc]


def groups_of(*patterns: str, rate: float = 1.0, decay: float = 1.0) -> Callable[[Config, MLP], Config]:
    return lambda config, _: replace(config, groups=(*config.groups, *(Group(each, rate, decay) for each in patterns)))


def ntk_rates(config: Config, network: MLP) -> Config:
    """Rates that fall with the root of the inputs, as where W x / sqrt(inputs) is trained: that of a layer behind a
    hidden one is as it was."""
    width = network.output.in_features
    own = [Group(f"{name}.weight", math.sqrt(width / count)) for name, count in fan_ins(network).items()]
    return replace(config, groups=(*config.groups, *own))


def coslog4(config: Config, _: MLP) -> Config:
    """Marked here, and told to each run as factors of its epochs: there is no such schedule."""
    return replace(config, averaging=0.0, initial=(*config.initial, ("coslog", 1.0)))


def factors_of(config: Config) -> tuple[float, ...]:
    if not dict(config.initial).get("coslog"):
        return ()
    share = numpy.arange(config.epochs) / config.epochs
    return tuple((0.5 * (1 - numpy.cos(2 * math.pi * numpy.log2(1 + 15 * share)))).tolist())


def with_dropout(course: str) -> Callable[[Config, MLP], Config]:
    return lambda config, _: replace(config, dropout=0.15, dropout_course=course)


def own_slopes(config: Config, _: MLP) -> Config:
    network = dict(config.network)
    network["activation"] = OWN_SLOPES + str(network["activation"])
    slopes = Group("slopes.*", 0.1, 0.0)
    return replace(config, network=tuple(network.items()), groups=(*config.groups, slopes))


@torch.no_grad()
def normal_weights(network: MLP, inputs: tuple[Tensor, ...], draw: torch.Generator) -> None:
    """Weights of layers from N(0, 1 / inputs)."""
    for layer in (*network.hidden, network.output):
        layer.weight.normal_(0, layer.in_features**-0.5, generator=draw)  # type: ignore[union-attr]


@torch.no_grad()
def start_by_rows(network: MLP, inputs: tuple[Tensor, ...], draw: torch.Generator) -> None:
    """What goes into each hidden unit has a spread of 1 on training rows, and is 0 at a random mixture of five."""
    features = network.features(*inputs)
    for layer in network.hidden:
        assert isinstance(layer, nn.Linear)
        sums = features @ layer.weight.T
        spread = sums.std(0).clamp(min=1e-6)
        layer.weight.div_(spread.unsqueeze(1))
        sums = sums / spread
        rows = torch.randint(len(sums), (5, layer.out_features), generator=draw)
        shares = torch.rand(5, layer.out_features, generator=draw)
        layer.bias.copy_(-(sums.gather(0, rows) * shares / shares.sum(0)).sum(0))
        features = network.activation(sums + layer.bias)


Change = Callable[[Config, MLP], Config]
Start = Callable[[MLP, tuple[Tensor, ...], torch.Generator], None]


@dataclass(frozen=True)
class Part:
    """What is done to a config, in this order, and to the weights that a run begins with."""

    changes: tuple[Change, ...] = ()
    starts: tuple[Start, ...] = ()


def together(*parts: Part) -> Part:
    return Part(
        tuple(each for part in parts for each in part.changes), tuple(each for part in parts for each in part.starts)
    )


SCALE = Part((groups_of("scale.*", rate=6.0),))
WAVES = Part((groups_of("periodic.*", rate=0.1),))
BIASES = Part((groups_of("hidden.*.bias", "output.bias", rate=0.1, decay=0.0),))
NTK = Part((ntk_rates,), (normal_weights,))
ROWS = Part((), (start_by_rows,))
COSLOG = Part((coslog4,))
DECAY = Part((lambda config, _: replace(config, decay_course="flat_cosine"),))
DROPOUT = Part((with_dropout("flat_cosine"),))
SLOPES = Part((own_slopes,))

PARTS: Mapping[str, Part] = {
    "as it is": Part(),
    "scale's rate x 6": SCALE,
    "waves' rate / 10": WAVES,
    "biases' rate / 10, no decay": BIASES,
    "NTK": NTK,
    "start by rows": ROWS,
    "coslog4": COSLOG,
    "decay falls": DECAY,
    "dropout 0.15": Part((with_dropout("constant"),)),
    "dropout 0.15, falls": DROPOUT,
    "own slopes": SLOPES,
    "all but slopes": together(SCALE, WAVES, BIASES, NTK, ROWS, COSLOG, DECAY, DROPOUT),
    "all": together(SCALE, WAVES, BIASES, NTK, ROWS, COSLOG, DECAY, DROPOUT, SLOPES),
}


# -- training


class Trial:
    """A table and what is trained on it: a part with a rate is a trial, by its number."""

    def __init__(self, prepared: Prepared, data: TrainingData, seeds: int, parts: list[str]) -> None:
        self.prepared, self.data = prepared, data
        self.metric = default_metric(data.task)
        plain = config_with(prepared)
        network = self._network(**plain.module_arguments)
        self.cases = [(name, rate) for name in parts for rate in RATES]
        self.configs = [self._config(plain, network, PARTS[name], rate) for name, rate in self.cases]
        self.requests = [
            Request(trial, config, 0, seed, factors=factors_of(config))
            for trial, config in enumerate(self.configs)
            for seed in range(seeds)
        ]

    @staticmethod
    def _config(plain: Config, network: MLP, part: Part, rate: float) -> Config:
        config = replace(plain, optimizer=replace(plain.optimizer, learning_rate=rate))
        for change in part.changes:
            config = change(config, network)
        return config

    def _network(self, **arguments: Any) -> MLP:
        arguments.pop("coslog", None)
        has_slopes = arguments["activation"].startswith(OWN_SLOPES)
        arguments["activation"] = arguments["activation"].removeprefix(OWN_SLOPES)
        plain = build(self.prepared.encoder, self.prepared.target_encoder, arguments)
        return WithOwnSlopes(**plain.arguments, sigma=arguments.get("sigma", 0.1)) if has_slopes else plain

    def _start(self, request: Request) -> MLP:
        seed = number_from("run", request.seed, request.fold)
        network = initialised(partial(self._network, **request.config.module_arguments), seed)
        part = PARTS[self.cases[request.trial][0]]
        rows = self.data.folds[0].train[:ROWS_OF_A_START]
        for start in part.starts:
            start(network, tuple(x[rows] for x in self.data.inputs), torch.Generator().manual_seed(seed % 2**31))
        return network

    def errors(self) -> dict[str, float]:
        """The test error of each part with the rate that its validation rows choose, the mean over seeds."""
        with lanes_in_threads():
            modules = Modules(self._network, start=self._start)
            engine = Engine(self.data, modules, Judging(self.metric), threads=cores(), signals=LOSSES)
            by_structure: dict[Structure, list[Request]] = {}
            for request in self.requests:
                by_structure.setdefault(Structure.of(request.config), []).append(request)
            several = [(engine.population(structure), requests) for structure, requests in by_structure.items()]
            records = engine.whole_runs(several)
            told = {(run.request.trial, run.request.seed): self._test_error(engine, run) for run in records}
            engine.close()
        judged: dict[int, list[float]] = {}
        for run in records:
            judged.setdefault(run.request.trial, []).append(run.error)
        chosen = {}
        for name in dict.fromkeys(name for name, _ in self.cases):
            trials = [trial for trial, (other, _) in enumerate(self.cases) if other == name]
            best = min(trials, key=lambda trial: numpy.mean(judged[trial]))
            chosen[name] = float(numpy.mean([error for (trial, _), error in told.items() if trial == best]))
        return chosen

    @torch.no_grad()
    def _test_error(self, engine: Engine, run: RunRecord) -> float:
        assert self.prepared.test is not None
        encoded = self.prepared.encoder.encode(self.prepared.test)
        inputs = tuple(torch.tensor(x).unsqueeze(0) for x in (encoded.numbers, encoded.codes))
        outputs = outputs_of(engine.program(run.request.config.network), run.weights.unsqueeze(0), inputs)
        truth = self.prepared.target_encoder.truth(self.prepared.test)
        return error_of(self.metric, self.data.predictions(outputs[0]).numpy(), truth)


def errors_of(table: Table, seeds: int, parts: list[str]) -> dict[str, float]:
    """The test error of each part."""
    return Trial(*laid_out(table, *table.typed_split(0)), seeds, parts).errors()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, default=SHARED, help="folder of the development sets")
    parser.add_argument("--tables", help="only these, as a,b")
    parser.add_argument("--parts", help="only these, as a,b; the first is what others are compared with")
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    names = asked.parts.split(",") if asked.parts else list(PARTS)
    lines, ratios = [], []
    for table in read_tables(asked.data, asked.tables.split(",") if asked.tables else None):
        errors = errors_of(table, asked.seeds, names)
        relative = [errors[name] / errors[names[0]] for name in names]
        ratios.append(relative)
        lines.append([table.name, f"{errors[names[0]]:.4g}", *(f"{ratio - 1:+.1%}" for ratio in relative[1:])])
        print(*lines[-1], flush=True)
    means = numpy.exp(numpy.log(ratios).mean(0)).tolist()
    print(markdown(["table", *names], [*lines, ["geometric mean", "", *(f"{mean - 1:+.1%}" for mean in means[1:])]]))


if __name__ == "__main__":
    main()
