"""Losses and metrics of a study as code. Knows no network and no loop."""

from trimtab.export.scripts.literals import literal
from trimtab.knobs.table import REGRESSION_LOSSES
from trimtab.training.config import Loss


def loss_call(loss: Loss, output: str, target: str, weight: str = "") -> str:
    """The expression for the loss of a batch: torch's own where it has one, else a call of `loss_function`'s."""
    own = "" if weight else _torch_call(loss, output, target)
    return own or f"loss({output}, {target}{weight and ', '}{weight})"


def loss_function(loss: Loss, *, has_weights: bool) -> str:
    """`def loss(output, target)`, with `weight` where rows have weights: the mean over rows and outputs; "" where
    torch has that loss."""
    if not has_weights and _torch_call(loss, "", ""):
        return ""
    given = "output, target, weight" if has_weights else "output, target"
    write = _regression if loss.name in REGRESSION_LOSSES else _classification
    body = write(loss, has_weights=has_weights)
    lines = "".join(f"    {line}\n" for line in body)
    return f"def loss({given}):\n{lines}"


def _torch_call(loss: Loss, output: str, target: str) -> str:
    delta = literal(float(loss.parameter))
    if loss.name in ("cross_entropy", "bce"):
        return f"nn.functional.cross_entropy({output}, {target}{_weights_and_smoothing(loss)})"
    return {
        "mse": f"nn.functional.mse_loss({output}, {target})",
        "mae": f"nn.functional.l1_loss({output}, {target})",
        "huber": f"nn.functional.huber_loss({output}, {target}, delta={delta})",
    }.get(loss.name, "")


def _weights_and_smoothing(loss: Loss) -> str:
    weights = f", weight=torch.tensor({literal(list(loss.class_weights))})" if loss.class_weights else ""
    return weights + (f", label_smoothing={literal(loss.label_smoothing)}" if loss.label_smoothing else "")


def _regression(loss: Loss, *, has_weights: bool) -> list[str]:
    parameter = literal(float(loss.parameter))
    error = "error = output - target"
    lines, losses = {
        "mse": ([], "(output - target) ** 2"),
        "mae": ([], "(output - target).abs()"),
        "huber": ([], f'nn.functional.huber_loss(output, target, delta={parameter}, reduction="none")'),
        # log cosh e, in a form that never overflows
        "log_cosh": (
            ["size = (output - target).abs()"],
            "size + nn.functional.softplus(-2 * size) - math.log(2)",
        ),
        "quantile": ([error], f"torch.maximum((1 - {parameter}) * error, -{parameter} * error)"),
    }[loss.name]
    lines = [*lines, f"losses = {losses}"]
    if not has_weights:
        return [*lines, "return losses.mean()"]
    return [*lines, "return (weight[:, None] * losses).sum() / (weight.sum() * losses.shape[1])"]


def _classification(loss: Loss, *, has_weights: bool) -> list[str]:
    lines = []
    if loss.class_weights:
        lines.append(f"class_weight = torch.tensor({literal(list(loss.class_weights))})")
    if loss.name in ("cross_entropy", "bce"):
        arguments = ", weight=class_weight" if loss.class_weights else ""
        arguments += f", label_smoothing={literal(loss.label_smoothing)}" if loss.label_smoothing else ""
        lines.append(f'losses = nn.functional.cross_entropy(output, target{arguments}, reduction="none")')
    else:
        lines += _focal(loss)
    if not has_weights and not loss.class_weights:
        return [*lines, "return losses.mean()"]
    factors = (["weight"] if has_weights else []) + (["class_weight[target]"] if loss.class_weights else [])
    total = f"({' * '.join(factors)}).sum()"
    return [*lines, f"return {'(weight * losses)' if has_weights else 'losses'}.sum() / {total}"]


def _focal(loss: Loss) -> list[str]:
    """Lines that make `losses` [rows]: -(1 - p)^gamma log p of the label [Lin et al. 2017]."""
    lines = ["log_probability = output.log_softmax(1)"]
    if loss.label_smoothing:
        smoothing = literal(loss.label_smoothing)
        lines.append("label = nn.functional.one_hot(target, output.shape[1])")
        lines.append(f"aim = (1 - {smoothing}) * label + {smoothing} / output.shape[1]")
    else:
        lines.append("aim = nn.functional.one_hot(target, output.shape[1])")
    if loss.class_weights:
        lines.append("aim = aim * class_weight")
    gamma = literal(float(loss.parameter))
    # expm1 keeps the digits of 1 - p where p is near 1; at p = 1 the slope of a power below 1 would be infinite.
    lines.append("rest = -torch.expm1(log_probability.clamp_max(-1e-12))")
    return [*lines, f"losses = -(aim * rest**{gamma} * log_probability).sum(1)"]


_METRICS = {
    "rmse": ["return numpy.sqrt(numpy.average((prediction - truth) ** 2, axis=0{w})).mean()"],
    "mae": ["return numpy.average(numpy.abs(prediction - truth), axis=0{w}).mean()"],
    "r2": [
        "centre = numpy.average(truth, axis=0{w})",
        "unexplained = numpy.average((prediction - truth) ** 2, axis=0{w})",
        "return (unexplained / numpy.average((truth - centre) ** 2, axis=0{w})).mean()",
    ],
    "log_loss": [
        "of_label = prediction[numpy.arange(len(truth)), truth].clip(2.2e-16, 1)",
        "return numpy.average(-numpy.log(of_label){w})",
    ],
    "accuracy": ["return numpy.average(prediction.argmax(1) != truth{w})"],
    "balanced_accuracy": [
        "missed = prediction.argmax(1) != truth",
        "return numpy.mean([numpy.average(missed[truth == c]{wc}) for c in numpy.unique(truth)])",
    ],
    "f1": [
        "chosen = prediction.argmax(1)",
        "scores = []",
        "for c in [1] if prediction.shape[1] == 2 else numpy.union1d(truth, chosen):",
        "    hits = numpy.sum({all} * (chosen == c) * (truth == c))",
        "    both = numpy.sum({all} * (chosen == c)) + numpy.sum({all} * (truth == c))",
        "    scores.append(2 * hits / both if both else 0.0)",
        "return 1 - numpy.mean(scores)",
    ],
    "roc_auc": [
        'order = numpy.argsort(prediction[:, 1], kind="stable")',
        "score, is_positive = prediction[order, 1], truth[order] == 1",
        "negatives = numpy.concatenate([[0.0], numpy.cumsum({own} * ~is_positive)])",
        'first, behind = (numpy.searchsorted(score, score, side=side) for side in ("left", "right"))',
        "beaten = (negatives[first] + negatives[behind]) / 2  # ties count half",
        "return 1 - numpy.sum({own} * is_positive * beaten) / (numpy.sum({own} * is_positive) * negatives[-1])",
    ],
}
GREATER_IS_BETTER = ("r2", "accuracy", "balanced_accuracy", "f1", "roc_auc")


def error_function(metric: str, *, has_weights: bool) -> str:
    """`def error(prediction, truth)`, with `weight` where rows have weights: lower is better."""
    given = "prediction, truth, weight" if has_weights else "prediction, truth"
    own = "weight[order]" if has_weights else "1"
    words = {"{w}": ", weights=weight" if has_weights else "", "{wc}": ", weights=weight[truth == c]", "{own}": own}
    words["{wc}"] = words["{wc}"] if has_weights else ""
    words["{all}"] = "weight" if has_weights else "1"
    body = "\n".join(f"    {line}" for line in _METRICS[metric])
    for mark, text in words.items():
        body = body.replace(mark, text)
    return f'def error({given}):\n    """{shown(metric, metric)}; lower is better."""\n{body}\n'


def shown(metric: str, value: str) -> str:
    """The expression for what users read, from that for the error."""
    return f"1 - {value}" if metric in GREATER_IS_BETTER else value
