"""ONNX: a model as a graph that takes the raw columns, one input each, and gives predictions.

Everything that `Model.predict` does is in the graph: vocabulary, scaling, networks, ensemble, labels. Knows no files.
"""

import json
import math
from functools import partial

import numpy

from trimtab.errors import ModelError
from trimtab.export.calendar import DAY_SECONDS, share_of_cycle
from trimtab.export.onnx_graph import Graph, Value, concatenated
from trimtab.export.onnx_network import neighbours_outputs, network_outputs
from trimtab.export.predictor import CLIP, LARGEST, SMALLEST
from trimtab.export.vocabulary import Scalings, cell_type, code_of_missing, codes_of_cells, rounded_codes, vocabulary
from trimtab.model.calibration import TIE, Calibration, TargetErrors
from trimtab.model.model import Model, build
from trimtab.table.categories import Labels
from trimtab.table.cells import FloatKind
from trimtab.table.encode import CellType, Encoder, Feature
from trimtab.table.target import TargetEncoder, array_of
from trimtab.training.randomness import initialised

PREDICTION, PROBABILITIES, LOW, HIGH, IN_SET = OUTPUTS = "prediction", "probabilities", "low", "high", "in_set"
NO_TIME = -(2**63)  # numpy's NaT
_ABOUT = (
    "Each input is a column [rows] of the type it had in training: float64 (NaN: missing), int64 (-2^63: missing), "
    "bool, or string (empty: missing). Date-times are int64, seconds since 1970 on the clock of the table."
)
_ELEMENTS = {"string": "STRING", "integer": "INT64", "number": "DOUBLE", "boolean": "BOOL"}


def as_onnx(model: Model, interval: float | None = None) -> bytes:
    """The content of an `.onnx` file; raises OptionError where onnx is not installed.

    Outputs: `prediction` [rows] (several targets: [rows, targets]) in original units or labels, and for classes
    `probabilities` float64 [rows, classes]; with an `interval` also its ends `low` and `high`, shaped as `prediction`,
    or `in_set` bool [rows, classes] (see `Model.predict`). A column of that name moves the output to `prediction_`.
    """
    names = model.encoder.names
    calibration = None if interval is None else model.calibrated(interval)
    if "" in names:
        raise ModelError("A column without a name cannot be an input of an ONNX graph: name it and train again.")
    graph = Graph(taken=(*names, *(_free(name, names) for name in OUTPUTS)))
    numbers, codes = _Encoding(graph, model.encoder).encoded()
    raw = _predicted(graph, model, numbers, codes)
    _hand_out(graph, model, raw, names)
    if calibration is not None and interval is not None:
        _hand_out_interval(graph, calibration, raw, calibration.level(interval), names, model.target)
    notes = {"trimtab": json.dumps(vocabulary(model), ensure_ascii=False)}
    return graph.model("trimtab", _ABOUT, notes).SerializeToString()


def _free(name: str, taken: tuple[str, ...]) -> str:
    while name in taken:
        name += "_"
    return name


class _Encoding:
    """The encoder's work as nodes."""

    def __init__(self, graph: Graph, encoder: Encoder) -> None:
        self.graph, self.encoder = graph, encoder
        self.values: list[Value] = []
        self.times: dict[str, Value] = {}
        self.others: list[Value] = []
        self.embedded: list[Value] = []

    def encoded(self) -> tuple[Value, list[Value]]:
        """float32 [rows, numbers] and the codes int64 [rows] of each embedded column."""
        for feature in self.encoder.features:
            if feature.labels is not None:
                self._labels(feature, feature.labels)
                continue
            if feature.moments is None:
                cells = self.graph.input(feature.name, _ELEMENTS[cell_type(feature)])
                is_missing = self._is_missing(cells, cell_type(feature))
                value = self._unless(is_missing, cells.as_type("DOUBLE"), float("nan"))
            else:
                moment = self.graph.input(feature.name, "INT64")
                is_missing = self._is_missing(moment, "integer")
                value = moment.as_type("DOUBLE")
                for part in feature.moments.parts:
                    self._waves(2 * math.pi, share_of_cycle(part, value, self._floor), is_missing)
                seconds = self.times[feature.name] = self._unless(is_missing, value, float("nan"))
                value = seconds / DAY_SECONDS
            self.values.append(value)
            if feature.has_indicator:
                self.others.append(is_missing.as_type("FLOAT").unsqueezed(1))
        for span in self.encoder.spans:
            self.values.append((self.times[span.later] - self.times[span.earlier]) / DAY_SECONDS)
        pieces = ([self._scaled()] if self.values else []) + self.others
        return concatenated(pieces, axis=1) if pieces else self._no_numbers(), self.embedded

    def _is_missing(self, cells: Value, kind: CellType) -> Value:
        if kind == "integer":
            return self.graph.node("Equal", cells, self.graph.constant(NO_TIME, numpy.int64))
        return self._any(self.graph.node("IsNaN", cells), self.graph.node("IsInf", cells))

    def _labels(self, feature: Feature, labels: Labels) -> None:
        kind = cell_type(feature)
        cells = self.graph.input(feature.name, _ELEMENTS[kind])
        known = codes_of_cells(labels, kind)
        if kind == "number" and labels.precision != "double":
            codes = self.graph.codes(self._rounded(cells, labels.precision), rounded_codes(labels))
        else:
            codes = self.graph.codes(cells.as_type("INT64") if kind == "boolean" else cells, known)
        if kind in ("integer", "number"):
            missing = self.graph.constant(code_of_missing(labels), numpy.int64)
            codes = self.graph.node("Where", self._is_missing(cells, kind), missing, codes)
        if labels.kind == "embedding":
            self.embedded.append(codes)
        else:
            table = self.graph.constant(labels.rows_of_entries())
            self.others.append(self.graph.node("Gather", table, codes, axis=0))

    def _rounded(self, cells: Value, precision: FloatKind) -> Value:
        """As the encoder compares numbers with labels of single or half precision."""
        coarse = cells.as_type("FLOAT") if precision == "single" else cells.as_type("FLOAT16")
        return coarse.as_type("DOUBLE")

    def _waves(self, turn: float, share: Value, is_missing: Value) -> None:
        for wave in ("Sin", "Cos"):
            value = self._unless(is_missing, self.graph.node(wave, share * turn), 0.0)
            self.others.append(value.as_type("FLOAT").unsqueezed(1))

    def _scaled(self) -> Value:
        """The scaling of `table.numbers`, all columns at once."""
        s = Scalings.of(self.encoder)
        values = concatenated([value.unsqueezed(1) for value in self.values], axis=1)
        quarter = numpy.maximum(s.scale / 4, SMALLEST)
        z = (values / 4.0 - self.graph.constant(s.center / 4)) / self.graph.constant(quarter)
        z = self.graph.node("Clip", z, self.graph.constant(-LARGEST), self.graph.constant(LARGEST))
        if s.is_log.any():
            logs = (self._asinh(z) - self.graph.constant(s.log_center)) / self.graph.constant(s.log_scale)
            z = self.graph.node("Where", self.graph.constant(s.is_log), logs, z)
        is_flat = self.graph.constant(s.scale == 0)
        z = self._unless(self._any(self.graph.node("IsNaN", values), is_flat), z, 0.0)
        ratio = z / CLIP
        return (z / self.graph.node("Sqrt", ratio * ratio + 1.0)).as_type("FLOAT")

    def _asinh(self, z: Value) -> Value:
        # sign(z) log(|z| + sqrt(z^2 + 1)): onnxruntime has no Asinh in float64.
        size = self.graph.node("Abs", z)
        logs = self.graph.node("Log", size + self.graph.node("Sqrt", size * size + 1.0))
        return self.graph.node("Sign", z) * logs

    def _no_numbers(self) -> Value:
        """float32 [rows, 0]."""
        rows = self.graph.node("Shape", self.embedded[0])
        shape = concatenated([rows, self.graph.constant([0], numpy.int64)], axis=0)
        return self.graph.node("Expand", self.graph.constant(numpy.zeros((1, 0), numpy.float32)), shape)

    def _floor(self, value: Value) -> Value:
        return self.graph.node("Floor", value)

    def _any(self, one: Value, other: Value) -> Value:
        return self.graph.node("Or", one, other)

    def _unless(self, condition: Value, value: Value, otherwise: float) -> Value:
        return self.graph.node("Where", condition, self.graph.constant(otherwise, numpy.float64), value)


def _predicted(graph: Graph, model: Model, numbers: Value, codes: list[Value]) -> Value:
    """Probabilities or values in original units, float64 [rows, outputs]."""
    axis = graph.constant([0], numpy.int64)
    parts: list[Value] = []
    for member in model.members:
        module = initialised(partial(build, model.encoder, model.target, member.network), seed=0)
        if member.neighbours:
            said = neighbours_outputs(graph, module, member.parameters, member.neighbours, numbers, codes)
            parts += [value * (member.share / len(said)) for value in said]
            continue
        outputs = network_outputs(graph, module, member.parameters, numbers, codes).as_type("DOUBLE")
        values = _in_units(graph, model.target, outputs)
        parts.append(graph.node("ReduceMean", values, axis, keepdims=0) * member.share)
    return parts[0] if len(parts) == 1 else graph.node("Sum", *parts)


def _in_units(graph: Graph, target: TargetEncoder, outputs: Value) -> Value:
    """What networks say, [networks, rows, outputs]: probabilities, or values in original units within their bounds."""
    if target.task == "classification":
        return graph.node("Softmax", outputs, axis=-1)
    mean, scale, low, high = (
        graph.constant(numpy.array(each, dtype=numpy.float64))
        for each in (target.mean, target.scale, target.low, target.high)
    )
    values = outputs * scale + mean
    return graph.node("Min", graph.node("Max", values, low), high) if target.low else values


def _hand_out(graph: Graph, model: Model, raw: Value, names: tuple[str, ...]) -> None:
    name = _free(PREDICTION, names)
    if model.task == "classification":
        classes, element = _classes(model.target)
        best = graph.node("ArgMax", _weighed(graph, model.target, raw), axis=1, keepdims=0)
        graph.output(graph.node("Gather", graph.constant(classes), best, axis=0), name, element)
        graph.output(raw, _free(PROBABILITIES, names), "DOUBLE", len(model.target.classes))
    else:
        _hand_out_numbers(graph, raw, name, len(model.target.names))


def _weighed(graph: Graph, target: TargetEncoder, raw: Value) -> Value:
    """What decides which class is predicted."""
    return raw * graph.constant(numpy.array(target.factors, dtype=numpy.float64)) if target.factors else raw


def _is_greatest(graph: Graph, values: Value) -> Value:
    """Of each row, the greatest value."""
    return graph.node("Equal", values, graph.node("ReduceMax", values, graph.constant([1], numpy.int64), keepdims=1))


def _hand_out_numbers(graph: Graph, values: Value, name: str, targets: int) -> None:
    """Numbers [rows, targets], of a single target [rows]."""
    if targets == 1:
        graph.output(graph.node("Squeeze", values, graph.constant([1], numpy.int64)), name, "DOUBLE")
    else:
        graph.output(values, name, "DOUBLE", targets)


def _hand_out_interval(
    graph: Graph, calibration: Calibration, raw: Value, level: float, names: tuple[str, ...], target: TargetEncoder
) -> None:
    if calibration.classes is not None:
        least = 1 - calibration.classes.above(level) - TIE
        is_likely = graph.node("GreaterOrEqual", raw, graph.constant(least, numpy.float64))
        belongs = graph.node("Or", is_likely, _is_greatest(graph, raw))
        if target.factors:
            belongs = graph.node("Or", belongs, _is_greatest(graph, _weighed(graph, target, raw)))
        graph.output(belongs, _free(IN_SET, names), "BOOL", target.outputs)
        return
    lows, highs = [], []
    for place, errors in enumerate(calibration.targets):
        value = graph.node("Gather", raw, graph.constant([place], numpy.int64), axis=1)
        size = _size_of_errors(graph, errors, value)
        lows.append(value + size * errors.scores.below(level))
        highs.append(value + size * errors.scores.above(level))
    for name, ends in ((LOW, lows), (HIGH, highs)):
        _hand_out_numbers(graph, concatenated(ends, axis=1), _free(name, names), target.outputs)


def _size_of_errors(graph: Graph, errors: TargetErrors, value: Value) -> Value:
    """`TargetErrors.size` of predictions [rows, 1]: what each piece of the line between knots adds."""
    at, sizes = numpy.array(errors.at), numpy.array(errors.sizes)
    if len(at) == 1:
        return value * 0.0 + float(sizes[0])
    into = value - graph.constant(at[:-1].reshape(1, -1))
    into = graph.node(
        "Min", graph.node("Max", into, graph.constant(0.0)), graph.constant(numpy.diff(at).reshape(1, -1))
    )
    rises = into * graph.constant((numpy.diff(sizes) / numpy.diff(at)).reshape(1, -1))
    return graph.node("ReduceSum", rises, graph.constant([1], numpy.int64), keepdims=1) + float(sizes[0])


def _classes(target: TargetEncoder) -> tuple[numpy.ndarray, str]:
    """The labels as an array, and what ONNX calls their type."""
    array = array_of(target.classes, target.precision)
    if array.dtype.kind == "b":
        return array, "BOOL"
    if array.dtype.kind in "iu":
        return (array, "UINT64") if array.dtype == numpy.uint64 else (array.astype(numpy.int64), "INT64")
    if array.dtype.kind == "f":
        return array, {2: "FLOAT16", 4: "FLOAT", 8: "DOUBLE"}[array.dtype.itemsize]
    return numpy.array([str(label) for label in target.classes], dtype=object), "STRING"
