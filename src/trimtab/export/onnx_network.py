"""The networks of one member as ONNX nodes: all of them side by side, as `[networks, rows, units]`.

Knows the built-in MLP; it knows no columns and no targets.
"""

import math
from collections.abc import Callable

import numpy
from torch import Tensor

from trimtab.export.onnx_graph import Graph, Value, concatenated
from trimtab.nets.mlp import MLP
from trimtab.training.programs.program import Layout

Parameters = dict[str, numpy.ndarray]


def network_outputs(graph: Graph, module: MLP, flat: Tensor, numbers: Value, codes: list[Value]) -> Value:
    """float32 [networks, rows, outputs] of the networks whose parameters are `flat` [networks, parameters].

    `numbers` is float32 [rows, columns], `codes` int64 [rows] for each embedded column.
    """
    parameters = {name: value.numpy(force=True) for name, value in Layout.of(module).views(flat).items()}
    embedded = [
        graph.node("Gather", graph.constant(parameters[f"categories.tables.{i}.weight"]), column, axis=1)
        for i, column in enumerate(codes)
    ]
    numbers = numbers.unsqueezed(0)
    if module.depth == 0:
        result = _linear(graph, parameters, "output", numbers)
        for table in embedded:
            result = result + table
        return result
    if module.periodic is not None:
        numbers = _with_features(graph, module, parameters, "periodic", numbers)
    if module.piecewise is not None:
        numbers = _with_features(graph, module, parameters, "piecewise", numbers)
    if module.scale is not None:
        numbers = numbers * graph.constant(parameters["scale.weight"][:, None, :])
    features = concatenated([*([numbers] if module.numbers else []), *embedded], axis=2)
    for layer in range(module.depth):
        features = _ACTIVATIONS[module.arguments["activation"]](
            graph, _linear(graph, parameters, f"hidden.{layer}", features)
        )
    return _linear(graph, parameters, "output", features)


def _linear(graph: Graph, parameters: Parameters, name: str, x: Value) -> Value:
    weight = numpy.ascontiguousarray(parameters[f"{name}.weight"].transpose(0, 2, 1))
    return graph.node("MatMul", x, graph.constant(weight)) + graph.constant(parameters[f"{name}.bias"][:, None, :])


def _with_features(graph: Graph, module: MLP, parameters: Parameters, kind: str, numbers: Value) -> Value:
    """The continuous columns, each with its features of this kind behind it, then the other columns."""
    weight, bias = parameters[f"{kind}.weight"], parameters[f"{kind}.bias"]
    networks, columns = weight.shape[0], module.continuous
    continuous, others = _split(graph, numbers, columns, module.numbers - columns)
    # [1, rows, columns] -> [1, columns, rows, 1], beside [networks, columns, 1, frequencies]
    by_column = graph.node("Transpose", continuous, perm=[0, 2, 1]).unsqueezed(3)
    made = _waves(graph, parameters, by_column) if kind == "periodic" else _shares(graph, module, by_column)
    features = graph.node("MatMul", made, graph.constant(weight)) + graph.constant(bias[:, :, None, :])
    repeated = by_column + graph.constant(numpy.zeros((networks, 1, 1, 1)), numpy.float32)
    features = graph.node("Transpose", concatenated([repeated, features], axis=3), perm=[0, 2, 1, 3])
    width = columns * (1 + weight.shape[3])
    features = graph.node("Reshape", features, graph.constant([networks, -1, width], numpy.int64))
    if others is None:
        return features
    return concatenated([features, others + graph.constant(numpy.zeros((networks, 1, 1)), numpy.float32)], axis=2)


def _waves(graph: Graph, parameters: Parameters, by_column: Value) -> Value:
    frequency, phase = parameters["periodic.frequency"], parameters["periodic.phase"]
    turns = by_column * graph.constant(frequency[:, :, None, :]) + graph.constant(phase[:, :, None, :])
    return graph.node("Cos", turns * graph.constant(2 * math.pi, numpy.float32))


def _shares(graph: Graph, module: MLP, by_column: Value) -> Value:
    """How far each number is through each bin of its column."""
    assert module.piecewise is not None
    start, slope = (edges.numpy()[None, :, None, :] for edges in (module.piecewise.start, module.piecewise.slope))
    through = (by_column - graph.constant(start)) * graph.constant(slope)
    return graph.node("Clip", through, *(graph.constant(end, numpy.float32) for end in (0.0, 1.0)))


def _split(graph: Graph, numbers: Value, first: int, rest: int) -> tuple[Value, Value | None]:
    """The first columns of `numbers` [1, rows, columns], and the others if there are any."""
    if not rest:
        return numbers, None
    bounds = [graph.constant([value], numpy.int64) for value in (0, first, first + rest, 2)]
    start, middle, end, axis = bounds
    return graph.node("Slice", numbers, start, middle, axis), graph.node("Slice", numbers, middle, end, axis)


def _silu(graph: Graph, x: Value) -> Value:
    return x * graph.node("Sigmoid", x)


def _gelu(graph: Graph, x: Value) -> Value:
    half, root, one = (graph.constant(value, numpy.float32) for value in (0.5, math.sqrt(0.5), 1.0))
    return x * half * (graph.node("Erf", x * root) + one)


def _mish(graph: Graph, x: Value) -> Value:
    return x * graph.node("Tanh", graph.node("Softplus", x))


_ACTIVATIONS: dict[object, Callable[[Graph, Value], Value]] = {
    "relu": lambda graph, x: graph.node("Relu", x),
    "silu": _silu,
    "gelu": _gelu,
    "mish": _mish,
    "selu": lambda graph, x: graph.node("Selu", x),
    "tanh": lambda graph, x: graph.node("Tanh", x),
}
