"""The built-in network of a config, written out as a torch module. Knows sizes, and no data."""

from dataclasses import dataclass

from trimtab.export.scripts.literals import literal
from trimtab.knobs.table import KNOBS
from trimtab.nets.mlp import ACTIVATIONS, embedding_size
from trimtab.training.config import Config

_WAVES = """\
        # Each number also enters as learned waves, cos(2 pi (w x + b)), mixed into three features.
        self.frequency = nn.Parameter(torch.randn(CONTINUOUS, 16) * {sigma})
        self.phase = nn.Parameter(torch.rand(CONTINUOUS, 16) * 2 - 1)
        self.mix = nn.Parameter((torch.rand(CONTINUOUS, 16, 3) * 2 - 1) / 4)
        self.shift = nn.Parameter((torch.rand(CONTINUOUS, 3) * 2 - 1) / 4)
"""
_WAVES_FORWARD = """\
        x = numbers[:, :CONTINUOUS].T.unsqueeze(2)
        waves = torch.cos(2 * math.pi * (x * self.frequency.unsqueeze(1) + self.phase.unsqueeze(1)))
        waves = torch.baddbmm(self.shift.unsqueeze(1), waves, self.mix)
        waves = torch.cat([x, waves], dim=2).transpose(0, 1).flatten(1)
        {name} = torch.cat([waves, numbers[:, CONTINUOUS:]], dim=1)
"""
_PIECES = """\
        # Each number also enters as how far it is through each of its bins, mixed into four features.
        self.mix = nn.Parameter((torch.rand(CONTINUOUS, BINS, 4) * 2 - 1) / BINS**0.5)
        self.shift = nn.Parameter((torch.rand(CONTINUOUS, 4) * 2 - 1) / BINS**0.5)
"""
_PIECES_FORWARD = """\
        x = numbers[:, :CONTINUOUS].T.unsqueeze(2)
        shares = ((x - starts.unsqueeze(1)) * slopes.unsqueeze(1)).clamp(0, 1)
        pieces = torch.baddbmm(self.shift.unsqueeze(1), shares, self.mix)
        pieces = torch.cat([x, pieces], dim=2).transpose(0, 1).flatten(1)
        {name} = torch.cat([pieces, numbers[:, CONTINUOUS:]], dim=1)
"""
# What stands in `__init__`, in `forward`, and how many features it makes of each continuous column beside itself.
_FEATURES = {"periodic": (_WAVES, _WAVES_FORWARD, 3), "piecewise": (_PIECES, _PIECES_FORWARD, 4), "": ("", "", 0)}


@dataclass(frozen=True)
class Inputs:
    """What a network sees: columns of numbers, the first of them `continuous`, and the entries of embedded columns."""

    numbers: int
    continuous: int
    cardinalities: tuple[int, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The tensors that a network of these inputs is called with."""
        return (*(("numbers",) if self.numbers else ()), *(("codes",) if self.cardinalities else ()))

    def call(self, network: str, rows: str) -> str:
        return f"{network}({', '.join(f'{name}[{rows}]' for name in self.names)})"


def features_of_numbers(config: Config, inputs: Inputs) -> str:
    """Which features the continuous columns have in the network beside themselves: "periodic", "piecewise" or none."""
    network = dict(config.network)
    has_some = network["depth"] and inputs.continuous and network["inputs"] in _FEATURES
    return str(network["inputs"]) if has_some else ""


def network_class(config: Config, inputs: Inputs, outputs: int) -> str:
    """`class Network(nn.Module)` for these inputs; the names `CONTINUOUS`, `BINS` and `math` stand for themselves."""
    body = _linear(inputs, outputs) if dict(config.network)["depth"] == 0 else _hidden(config, inputs, outputs)
    return f"class Network(nn.Module):\n{body}"


def _linear(inputs: Inputs, outputs: int) -> str:
    """No hidden layer: everything starts at 0."""
    start, terms = "", []
    if inputs.numbers:
        start += f"        self.output = nn.Linear({inputs.numbers}, {outputs})\n"
        terms.append("self.output(numbers)")
    else:
        start += f"        self.bias = nn.Parameter(torch.zeros({outputs}))\n"
        terms.append("self.bias")
    if inputs.cardinalities:
        sizes = ", ".join(f"nn.Embedding({count}, {outputs})" for count in inputs.cardinalities)
        start += f"        self.tables = nn.ModuleList([{sizes}])\n"
        terms.append("sum(table(codes[:, i]) for i, table in enumerate(self.tables))")
    return f"""\
    def __init__(self):
        super().__init__()
{start}        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self, {", ".join(inputs.names)}):
        return {" + ".join(terms)}
"""


def _hidden(config: Config, inputs: Inputs, outputs: int) -> str:
    network = config.module_arguments
    width, depth = int(network["width"]), int(network["depth"])
    start, forward, size = _FEATURES[features_of_numbers(config, inputs)]
    scaled = inputs.numbers + size * inputs.continuous
    sizes = [embedding_size(count) for count in inputs.cardinalities]
    start = start.format(sigma=literal(network.get("sigma", KNOBS["sigma"].default)))
    name = "numbers" if not forward else "features" if inputs.cardinalities else "x"
    forward = forward.format(name=name)
    parts = []
    if inputs.numbers:
        start += f"        self.scale = nn.Parameter(torch.ones({scaled}))  # a learned factor for each column\n"
        parts.append(f"{name} * self.scale")
    if sizes:
        tables = ", ".join(f"nn.Embedding({c}, {s})" for c, s in zip(inputs.cardinalities, sizes, strict=True))
        start += f"        self.tables = nn.ModuleList([{tables}])\n"
        forward += "        embedded = [table(codes[:, i]) for i, table in enumerate(self.tables)]\n"
        parts.append("*embedded")
    joined = f"torch.cat([{', '.join(parts)}], dim=1)" if sizes else parts[0]
    activation = f"nn.{ACTIVATIONS[str(network['activation'])].__name__}()"
    dropout = f", nn.Dropout({literal(config.dropout)})" if config.dropout else ""
    layers, features = "", scaled + sum(sizes)
    for _ in range(depth):
        layers += f"            nn.Linear({features}, {width}), {activation}{dropout},\n"
        features = width
    return f"""\
    def __init__(self):
        super().__init__()
{start}        self.layers = nn.Sequential(
{layers}            nn.Linear({features}, {outputs}),
        )

    def forward(self, {", ".join(inputs.names)}):
{forward}        return self.layers({joined})
"""
