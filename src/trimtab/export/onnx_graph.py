"""Graph: an ONNX graph written as arithmetic, one node per operation.

Knows ONNX and nothing of models; the extra `[onnx]` is imported when a graph is begun.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy

from trimtab.errors import OptionError

OPSET, ML_OPSET, IR_VERSION = 18, 4, 9
ML = "ai.onnx.ml"


class Graph:
    """Inputs, nodes and constants in the order in which they are written; names in `taken` are left to the caller."""

    def __init__(self, taken: Iterable[str]) -> None:
        self.onnx = _import_onnx()
        self.taken = set(taken)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self._known: dict[tuple, Value] = {}

    def input(self, name: str, element: str) -> "Value":
        """A column `[rows]` of "DOUBLE", "INT64", "BOOL" or "STRING"."""
        helper, kind = self.onnx.helper, getattr(self.onnx.TensorProto, element)
        self.inputs.append(helper.make_tensor_value_info(name, kind, ["rows"]))
        return Value(self, name)

    def output(self, value: "Value", name: str, element: str, columns: int | None = None) -> None:
        """Hand `value` out as `name`, `[rows]` or `[rows, columns]`."""
        helper, kind = self.onnx.helper, getattr(self.onnx.TensorProto, element)
        self.nodes.append(helper.make_node("Identity", [value.name], [name]))
        self.outputs.append(helper.make_tensor_value_info(name, kind, ["rows"] + ([columns] if columns else [])))

    def constant(self, array: Any, dtype: Any = None) -> "Value":
        """A constant tensor; equal small ones are kept once."""
        array = numpy.asarray(array, dtype=dtype)
        key = (array.dtype.str, array.shape, array.tobytes()) if array.size <= 8 and array.dtype != object else None
        if key is not None and key in self._known:
            return self._known[key]
        value = Value(self, self._new_name("constant"))
        self.constants.append(self.onnx.numpy_helper.from_array(array, value.name))
        if key is not None:
            self._known[key] = value
        return value

    def node(self, operator: str, *inputs: "Value", domain: str = "", outputs: int = 1, **attributes: Any) -> "Value":
        """The result of one operation, the last where it has several `outputs`."""
        results = [Value(self, self._new_name(operator)) for _ in range(outputs)]
        names, made = [value.name for value in inputs], [value.name for value in results]
        node = self.onnx.helper.make_node(operator, names, made, name=made[-1], domain=domain, **attributes)
        self.nodes.append(node)
        return results[-1]

    def codes(self, cells: "Value", known: Mapping[Any, int]) -> "Value":
        """The code (int64) of each cell by the table `known`, whose keys are all text, whole numbers (or truths, given
        as such), or floats; 0 for any other."""
        is_text = all(isinstance(cell, str) for cell in known)
        keys = numpy.array(list(known), dtype=object) if is_text else numpy.array(list(known))
        keys = keys.astype(numpy.int64) if keys.dtype == bool else keys
        tables = {"keys_tensor": keys, "values_tensor": numpy.array(list(known.values()), dtype=numpy.int64)}
        tables["default_tensor"] = numpy.zeros(1, dtype=numpy.int64)
        tensors = {name: self.onnx.numpy_helper.from_array(table) for name, table in tables.items()}
        return self.node("LabelEncoder", cells, domain=ML, **tensors)

    def model(self, name: str, document: str, notes: dict[str, str]) -> Any:
        """The finished ModelProto, checked; `notes` go into its metadata."""
        helper = self.onnx.helper
        graph = helper.make_graph(self.nodes, name, self.inputs, self.outputs, self.constants, doc_string=document)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(ML, ML_OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="trimtab")
        helper.set_model_props(model, notes)
        self.onnx.checker.check_model(model)
        return model

    def _new_name(self, stem: str) -> str:
        name = f"{stem}_{len(self.nodes) + len(self.constants)}"
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name


class Value:
    """A tensor in a graph; plain numbers beside it become float64 constants."""

    def __init__(self, graph: Graph, name: str) -> None:
        self.graph, self.name = graph, name

    def __add__(self, other: "Value | float") -> "Value":
        return self.graph.node("Add", self, self._beside(other))

    def __sub__(self, other: "Value | float") -> "Value":
        return self.graph.node("Sub", self, self._beside(other))

    def __mul__(self, other: "Value | float") -> "Value":
        return self.graph.node("Mul", self, self._beside(other))

    def __truediv__(self, other: "Value | float") -> "Value":
        return self.graph.node("Div", self, self._beside(other))

    def as_type(self, element: str) -> "Value":
        return self.graph.node("Cast", self, to=getattr(self.graph.onnx.TensorProto, element))

    def unsqueezed(self, *axes: int) -> "Value":
        return self.graph.node("Unsqueeze", self, self.graph.constant(list(axes), numpy.int64))

    def _beside(self, other: "Value | float") -> "Value":
        return other if isinstance(other, Value) else self.graph.constant(other, numpy.float64)


def concatenated(values: list[Value], axis: int) -> Value:
    return values[0] if len(values) == 1 else values[0].graph.node("Concat", *values, axis=axis)


def _import_onnx() -> Any:
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
    except ImportError:
        raise OptionError('Writing ONNX needs an extra: pip install "trimtab[onnx]".') from None
    return onnx
