"""The networks of one member as ONNX nodes: all of them side by side, as `[networks, rows, units]`.

Knows the built-in MLP; it knows no columns and no targets.
"""

import math
from collections.abc import Callable, Sequence

import numpy
from torch import Tensor

from trimtab.export.onnx_graph import Graph, Value, concatenated
from trimtab.model.neighbours import Neighbours
from trimtab.nets.mlp import MLP
from trimtab.training.programs.program import Layout

Parameters = dict[str, numpy.ndarray]


def network_outputs(graph: Graph, module: MLP, flat: Tensor, numbers: Value, codes: list[Value]) -> Value:
    """float32 [networks, rows, outputs] of the networks whose parameters are `flat` [networks, parameters].

    `numbers` is float32 [rows, columns], `codes` int64 [rows] for each embedded column.
    """
    parameters = _parameters(module, flat)
    if module.depth == 0:
        result = _linear(graph, parameters, "output", numbers.unsqueezed(0))
        for table in _embedded(graph, parameters, codes):
            result = result + table
        return result
    return _linear(graph, parameters, "output", _last_hidden(graph, module, parameters, numbers, codes))


def neighbours_outputs(
    graph: Graph, module: MLP, flat: Tensor, remembered: Sequence[Neighbours], numbers: Value, codes: list[Value]
) -> list[Value]:
    """float64 [rows, outputs] of each network: what the nearest of the rows that it remembers say."""
    hidden = _last_hidden(graph, module, _parameters(module, flat), numbers, codes)
    return [
        _by_neighbours(graph, each, graph.node("Gather", hidden, graph.constant(place, numpy.int64), axis=0))
        for place, each in enumerate(remembered)
    ]


def _by_neighbours(graph: Graph, remembered: Neighbours, hidden: Value) -> Value:
    kept = remembered.hidden.numpy(force=True)
    rows = graph.constant(kept)
    product = graph.node("MatMul", hidden, graph.constant(numpy.ascontiguousarray(-2 * kept.T)))
    beyond = product + graph.constant((kept**2).sum(1)[None])
    number = graph.constant([min(remembered.nearest, len(kept))], numpy.int64)
    places = graph.node("TopK", beyond, number, outputs=2, axis=1, largest=0, sorted=1)
    apart = graph.node("Gather", rows, places, axis=0) - hidden.unsqueezed(1)
    distances = graph.node("ReduceL2", apart, graph.constant([2], numpy.int64), keepdims=0).as_type("DOUBLE")
    weights = graph.constant(remembered.weights.double().log().numpy(force=True))
    nearness = graph.node("Gather", weights, places, axis=0) - distances / remembered.reach
    shares = graph.node("Softmax", nearness, axis=1).unsqueezed(1)
    said = graph.node("Gather", graph.constant(remembered.targets.double().numpy(force=True)), places, axis=0)
    return graph.node("Squeeze", graph.node("MatMul", shares, said), graph.constant([1], numpy.int64))


def _parameters(module: MLP, flat: Tensor) -> Parameters:
    return {name: value.numpy(force=True) for name, value in Layout.of(module).views(flat).items()}


def _embedded(graph: Graph, parameters: Parameters, codes: list[Value]) -> list[Value]:
    return [
        graph.node("Gather", graph.constant(parameters[f"categories.tables.{i}.weight"]), column, axis=1)
        for i, column in enumerate(codes)
    ]


def _last_hidden(graph: Graph, module: MLP, parameters: Parameters, numbers: Value, codes: list[Value]) -> Value:
    """float32 [networks, rows, units] of networks with a hidden layer."""
    embedded, numbers = _embedded(graph, parameters, codes), numbers.unsqueezed(0)
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
    return features


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
