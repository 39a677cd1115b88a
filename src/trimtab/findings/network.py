"""The network: what curves and signals tell of its units, its gradients and its output layer.

Thresholds as in `duration`. Knows no modules; nothing is trained here.
"""

import math

import numpy

from trimtab.findings.finding import Effect, Finding, NotChecked, Outcome, Remedy
from trimtab.findings.judged import course_of, has_numbers, pair_of
from trimtab.findings.remedies import by_knobs, lower_rate, tighter_clip
from trimtab.findings.shapes import SURE, first_loss_beside_constant, number_of, start_beside_constant
from trimtab.findings.training_record import Curve, TrainingRecord
from trimtab.findings.trends import level_at_end, trend
from trimtab.findings.words import percent, times
from trimtab.text.wording import counted
from trimtab.training.run import NOT_FINITE

NO_SIGNALS = "gradients and units were not recorded"


def dead_units(record: TrainingRecord) -> Outcome:
    """At the end a layer has more than `_DEAD` of its units dead: they give every validation row the same. Fewer do no
    harm: the others suffice (see docs/read-the-findings.md)."""
    layers = _last_of(record, "dead_by_layer")
    if layers is None:
        return NotChecked("dead_units", NO_SIGNALS)
    worst = int(numpy.argmax(layers))
    if layers[worst] < _DEAD:
        return None
    return Finding(
        "dead_units",
        "high" if layers[worst] > 0.95 else "medium",
        f"{percent(float(layers[worst]))} of the units of hidden layer {worst + 1} are dead: they give every row the "
        "same, and no gradient passes through them.",
        {"layer": worst + 1, "share": float(layers[worst]), "by_layer": [float(share) for share in layers]},
        Effect("The network is as good as one without these units."),
        by_knobs("Lower the rate, scale the inputs, and start from smaller weights.", **lower_rate(record, 3))
        if record.knobs.get("activation") == "silu" else
        by_knobs("Take SiLU units, which do not die; or scale the inputs, start from smaller weights, lower the rate.",
                 activation="silu"),
    )  # fmt: skip


def saturated_activations(record: TrainingRecord) -> Outcome:
    """At the end a layer of tanh or sigmoid units has more than `_SATURATED` of them at their bounds in nearly all
    rows."""
    layers = _last_of(record, "saturated_by_layer")
    if layers is None:
        return NotChecked("saturated_activations", NO_SIGNALS)
    worst = int(numpy.argmax(layers))
    if layers[worst] <= _SATURATED:
        return None
    return Finding(
        "saturated_activations",
        "high" if layers[worst] > 0.8 else "medium",
        f"{percent(float(layers[worst]))} of the units of hidden layer {worst + 1} lie at the bounds of their "
        "activation in nearly all rows, where hardly any gradient passes.",
        {"layer": worst + 1, "share": float(layers[worst]), "by_layer": [float(share) for share in layers]},
        Effect("These units can hardly learn any more."),
        Remedy("Scale the inputs to mean 0 and standard deviation 1; or take SiLU units, which have no bounds.",
               {"activation": "silu"}, "--activation silu", "activation='silu'"),
    )  # fmt: skip


def vanishing_gradients(record: TrainingRecord) -> Outcome:
    """The gradients of the first weights are `_VANISHED` times smaller than those of the last, in the median over the
    first half of training, through at least three layers."""
    norms = record.by_layer.get("gradient_norms")
    if norms is None or norms.ndim != 2 or not numpy.isfinite(norms).any():
        return NotChecked("vanishing_gradients", NO_SIGNALS)
    early = norms[: max(1, len(norms) // 2)]
    with numpy.errstate(all="ignore"):
        level = numpy.array([_median(column) for column in early.T])
    level = level[numpy.isfinite(level)]
    if len(level) < 6 or level[-2:].max() <= 0:
        return None
    share = float(level[:2].max() / level[-2:].max())
    # A training that was lost has no gradients to speak of; dead units let little through or nothing, and are told of.
    if share * _VANISHED > 1 or record.ended == NOT_FINITE:
        return None
    if share == 0 or (share > _THROUGH_DEAD and isinstance(dead_units(record), Finding)):
        return None
    return Finding(
        "vanishing_gradients",
        "high",
        f"Hardly any gradient reaches the first layer: it is {times(1 / share if share else math.inf)} smaller there "
        "than at the last one, so that the first layers do not learn.",
        {"ratio": share, "tensors": len(level)},
        Effect("The network learns as if it had only its last layers."),
        by_knobs(
            "Take ReLU or SiLU units instead of sigmoid or tanh, and fewer layers.",
            activation="silu",
            depth=2 if (number_of(record, "depth") or 3) > 2 else 1,
        ),
    )


def exploding_gradients(record: TrainingRecord) -> Outcome:
    """The length of the gradient grows more than `_EXPLODED` times above its median and its first values, or is no
    finite number; or the network starts with an error of more than `_FAR_OFF` times that of a constant, after its first
    epoch, or has `_FAR_OFF_AT_FIRST` times the loss of one in its mean over it (healthy ones: 1.3)."""
    norms = record.signals.get("gradient_norm")
    if norms is None or not has_numbers(norms):
        return NotChecked("exploding_gradients", NO_SIGNALS)
    course = course_of(record, norms)
    usual = max(float(numpy.median(course.values)), float(numpy.median(course.values[:3])))
    grown = float(course.values.max()) / usual if usual > 0 else 0.0
    start, at_first = start_beside_constant(record), first_loss_beside_constant(record)
    is_far_off = start >= _FAR_OFF or at_first >= _FAR_OFF_AT_FIRST
    if grown < _EXPLODED and not is_far_off and not numpy.isinf(norms).any():
        return None
    return Finding(
        "exploding_gradients",
        "high",
        f"Gradients explode: the longest is {times(grown)} as long as usual." if grown >= _EXPLODED else
        f"The network starts with {_far_off(start, at_first)} that of a constant: its first gradients are enormous.",
        {"grown": grown, "start": start, "first_loss": at_first, "largest": float(course.values.max())},
        Effect("A single such step undoes what was learnt before."),
        by_knobs("Bound the gradient, scale inputs and target, and start from smaller weights.",
                 gradient_clip=tighter_clip(record)),
    )  # fmt: skip


def _far_off(start: float, at_first: float) -> str:
    return f"an error {times(start)}" if start >= _FAR_OFF else f"a loss {times(at_first)}"


def wrong_output_layer(record: TrainingRecord) -> Outcome:
    """The output cannot reach the targets: `_PILED` of the predictions lie at 0, 1 or -1, the bounds of activations
    (ReLU, sigmoid, tanh, softmax), and the truth of at least `_BEYOND` of the rows lies beyond; or, of classes, two of
    them have exactly the same probability in `_TIED` of the rows, as behind a ReLU."""
    facts = record.facts
    if "ties" in facts:
        if facts["ties"] < _TIED:
            return None
        words = f"in {percent(facts['ties'])} of the rows two classes have exactly the same probability"
        return _wrong_output(words, {"ties": facts["ties"]})
    if "at_lowest" not in facts:
        return NotChecked("wrong_output_layer", "predictions are not known")
    for side, beyond in (("lowest", "below"), ("highest", "above")):
        told, piled, missed = facts[f"{side}_prediction"], facts[f"at_{side}"], facts[f"truth_{beyond}"]
        bound = _bound_of(told, is_low=side == "lowest")
        # A network whose units are dead predicts one number too, but not exactly a bound.
        is_alive = not _is_alike(record) or told == bound
        if bound is not None and is_alive and piled >= _PILED and missed >= _BEYOND:
            words = f"no prediction is {beyond} {_SPELT[bound]}, and the truth of {percent(missed)} of the rows is"
            return _wrong_output(words, {"bound": bound, "piled": piled, "missed": missed})
    return None


_SPELT = {0.0: "zero", 1.0: "one", -1.0: "minus one"}


def _is_alike(record: TrainingRecord) -> bool:
    """Whether all rows are predicted nearly alike."""
    return record.facts.get("prediction_spread", 1.0) < 0.1


def _bound_of(prediction: float, *, is_low: bool) -> float | None:
    """The bound of an activation that the lowest (or highest) prediction has nearly reached, from within."""
    within = prediction if is_low else -prediction
    return next((b for b in ((0.0, -1.0) if is_low else (0.0, 1.0))
                 if 0 <= within - (b if is_low else -b) < _AT_A_BOUND), None)  # fmt: skip


def double_softmax(record: TrainingRecord) -> Outcome:
    """Probabilities are put through a softmax again: of k classes none can be surer than e / (e + k - 1), and there
    predictions pile up; the loss cannot fall below log(1 + (k - 1) / e), and is that plus the share of misses."""
    if record.task == "regression":
        return None
    classes, largest = record.facts.get("outputs"), record.facts.get("largest_probability")
    if classes is None or classes < 2:
        return NotChecked("double_softmax", "the number of classes is not known")
    bound, floor = math.e / (math.e + classes - 1), math.log(1 + (classes - 1) / math.e)
    if largest is not None:
        is_at_bound = _NEARLY * bound <= largest <= bound * (1 + 1e-6)
        if not is_at_bound or record.facts.get("at_largest", 0.0) < _PILED or _is_alike(record):
            return None
        return _twice(f"no probability is above {percent(bound)}", {"largest_probability": largest, "bound": bound})
    pair = pair_of(record)
    if pair is None or record.metric != "accuracy":
        return NotChecked("double_softmax", "neither probabilities nor accuracy are known")
    losses = course_of(record, record.validation_loss)
    if not len(losses):
        return None
    expected = floor + level_at_end(pair.validation)
    if abs(level_at_end(losses.values) - expected) > _OFF * expected or losses.values.min() < floor:
        return None
    return _twice(f"the loss stays above what {counted(int(classes), 'class', 'classes')} allow", {"floor": floor})


def missing_zero_grad(record: TrainingRecord) -> Outcome:
    """Gradients add up from step to step: their length grows from the first epochs on, significantly (Kendall's tau,
    p < 0.01) and to more than `_ADDED` times what it was, when that of a loss which falls shrinks. In a loop that is
    known to clear them it has another cause, such as rows far out."""
    if record.clears_gradients:
        return None
    norms = record.signals.get("gradient_norm")
    if norms is None or not has_numbers(norms):
        return NotChecked("missing_zero_grad", "gradients were not recorded")
    course = course_of(record, norms)
    if len(course) < 6 or course.values[0] <= 0:
        return None
    grown = float(numpy.median(course.values[-max(2, len(course) // 3) :]) / course.values[0])
    soon = float(numpy.median(course.values[1:4]) / course.values[0])
    if grown < _ADDED or soon < _ADDS_SOON or trend(course.epochs, course.values).p > SURE:
        return None
    return Finding(
        "missing_zero_grad",
        "high",
        f"Gradients add up: they end {times(grown)} as long as they began, and grow from the first epochs on.",
        {"grown": grown, "after_three_epochs": soon},
        Effect("Every step follows all gradients so far instead of its own."),
        Remedy("Set gradients to zero before each backward pass.", code="optimizer.zero_grad()"),
    )


_ADDS_SOON, _THROUGH_DEAD = 1.2, 1e-5
_DEAD, _SATURATED, _VANISHED, _EXPLODED, _FAR_OFF, _FAR_OFF_AT_FIRST = 0.8, 0.1, 10.0, 1000.0, 1.5, 5.0
_PILED, _BEYOND, _TIED, _NEARLY, _OFF, _ADDED, _AT_A_BOUND = 0.05, 0.05, 0.05, 0.97, 0.03, 2.5, 0.01


def _last_of(record: TrainingRecord, name: str) -> Curve | None:
    """The shares of each layer over the last quarter of training, their medians; None where there are none."""
    rows = record.by_layer.get(name)
    if rows is None or rows.ndim != 2 or not rows.size or not numpy.isfinite(rows).any():
        return None
    last = rows[-max(1, len(rows) // 4) :]
    return numpy.array([_median(column) for column in last.T])


def _median(values: Curve) -> float:
    """The median of the finite values; 0 where there are none."""
    values = values[numpy.isfinite(values)]
    return float(numpy.median(values)) if len(values) else 0.0


def _wrong_output(words: str, evidence: dict) -> Finding:
    return Finding(
        "wrong_output_layer",
        "high",
        f"The output layer does not suit the targets: {words}.",
        evidence,
        Effect("Rows beyond the bound cannot be predicted, however long one trains."),
        Remedy("End the network with a plain linear layer, without an activation; the loss does the rest."),
    )


def _twice(words: str, evidence: dict) -> Finding:
    return Finding(
        "double_softmax",
        "high",
        f"The network's probabilities are put through softmax a second time: {words}.",
        evidence,
        Effect("Probabilities stay far from sure, and gradients are small where the network is right."),
        Remedy("Return logits: leave out the softmax at the end of the network, the loss has its own."),
    )
