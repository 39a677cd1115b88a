"""The networks of the set-ups: a plain one, and those with something wrong in them. Knows no data."""

import torch
from torch import Tensor, nn

_ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "silu": nn.SiLU, "sigmoid": nn.Sigmoid}


class Flat(nn.Module):
    """`[rows, 1]` as `[rows]`."""

    def forward(self, x: Tensor) -> Tensor:
        return x.squeeze(-1)


def network(
    inputs: int,
    outputs: int,
    width: int = 64,
    depth: int = 2,
    activation: str = "relu",
    head: str = "",
    gain: float = 1.0,
    steep: float = 1.0,
    shift: float = 0.0,
    is_flat: bool = False,
) -> nn.Module:
    """An MLP with nn.Dropout of rate 0 behind each hidden layer (`dropout=` sets the rate); `head` stands after the
    last layer, `gain` multiplies all initial weights, `steep` those of the hidden layers alone, and `shift` is added to
    the biases of the hidden layers."""
    layers: list[nn.Module] = []
    columns = inputs
    for _ in range(depth):
        layers += [nn.Linear(columns, width), _ACTIVATIONS[activation](), nn.Dropout(0.0)]
        columns = width
    layers.append(nn.Linear(columns, outputs))
    layers += {"": [], "softmax": [nn.Softmax(-1)], "sigmoid": [nn.Sigmoid()], "relu": [nn.ReLU()],
               "tanh": [nn.Tanh()]}[head]  # fmt: skip
    made = nn.Sequential(*layers, *([Flat()] if is_flat else []))
    with torch.no_grad():
        for layer in made:
            if isinstance(layer, nn.Linear):
                layer.weight.mul_(gain)
        for layer in list(made)[:-1]:
            if isinstance(layer, nn.Linear) and layer.out_features != outputs:
                layer.weight.mul_(steep)
                layer.bias.add_(shift)
    return made
