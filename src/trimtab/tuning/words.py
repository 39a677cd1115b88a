"""A config in plain words, as the panel, the summary and the report say it. Knows no numbers but the config's own."""

from collections.abc import Sequence

from trimtab.knobs.knob import CUSTOM
from trimtab.knobs.table import KNOBS
from trimtab.training.config import Config
from trimtab.training.run import ALL_EPOCHS, NOT_FINITE, OUT_OF_BUDGET, PRUNED, STOPPED_EARLY
from trimtab.tuning.space import knobs_of
from trimtab.tuning.trial import TrialRecord

_OWN = {"loss": "a loss of your own", "optimizer": "an optimizer of your own"}
_BASELINES = {
    "mean": "the mean of the target, whatever the row says",
    "linear": "a linear model",
    "default_mlp": "the default MLP",
}

_ENDED = {
    STOPPED_EARLY: "stopped early after", OUT_OF_BUDGET: "cut short after", PRUNED: "pruned after",
    NOT_FINITE: "not finite after", ALL_EPOCHS: "trained for",
}  # fmt: skip


def figure(value: float) -> str:
    """A number with three significant digits, without trailing noise."""
    return f"{value:.3g}"


def _short(value: object) -> str:
    return figure(value) if isinstance(value, float) else str(value)


def loss_in_words(config: Config) -> str:
    loss = config.loss
    text = _named("loss", loss.name).format(figure(loss.parameter))
    return text + (f" with labels smoothed by {figure(loss.label_smoothing)}" if loss.label_smoothing else "")


def _named(knob: str, name: str) -> str:
    return _OWN[knob] if name == CUSTOM else KNOBS[knob].option(name).words


def network_in_words(config: Config) -> str:
    network = dict(config.network)
    if "inputs" not in network:  # of the caller's own making
        return ", ".join(f"{name} {_short(value)}" for name, value in network.items()) or "the network as it is"
    if network.get("depth") == 0:
        return "no hidden layer"
    layers = "layer" if network["depth"] == 1 else "layers"
    kind = network.get("inputs", "scaled")
    inputs = "" if kind == "scaled" else f" behind {kind} inputs"
    return f"{network['depth']} hidden {layers} of {network['width']} ({network['activation']}){inputs}"


def config_in_words(config: Config) -> str:
    """ "AdamW, learning rate 0.0031 with cosine decay, Huber loss with delta 0.8, 2 hidden layers of 128, ..." """
    optimizer = config.optimizer
    parts = [
        _named("optimizer", optimizer.name),
        f"learning rate {figure(optimizer.learning_rate)} {_named('schedule', config.schedule.name)}",
        loss_in_words(config),
        network_in_words(config),
        f"batches of {config.batch_size}" if config.batch_size else "all rows in each step",
    ]
    if config.dropout and "dropout" in knobs_of(config):
        parts.append(f"dropout {figure(config.dropout)}")
    if optimizer.weight_decay:
        parts.append(f"weight decay {figure(optimizer.weight_decay)}")
    return ", ".join(parts)


def trial_in_words(record: TrialRecord) -> str:
    """The config of a trial and how long it trained."""
    if record.name == "mean" and record.config.loss.name == "cross_entropy":
        return "the share of each class, whatever the row says"
    if record.name in ("mean", "linear"):
        return _BASELINES[record.name]
    prefix = f"{_BASELINES[record.name]}: " if record.name else ""
    return f"{prefix}{config_in_words(record.config)}; {course_in_words(record)}"


def cut_of(record: TrialRecord) -> dict[str, int] | None:
    """How many of its planned epochs a trial had time for, in the mean over its folds; None where it had for all."""
    if OUT_OF_BUDGET not in record.ended or not record.epochs:
        return None
    return {"epochs": round(sum(record.epochs) / len(record.epochs)), "planned": record.config.epochs}


def course_in_words(record: TrialRecord) -> str:
    """ "stopped early after 18 of 76 epochs, best at epoch 14": what the runs of its folds came to, from the least to
    the most where they differ."""
    planned, reasons = record.config.epochs, set(record.ended)
    ended = _ENDED.get(reasons.pop(), "trained for") if len(reasons) == 1 else "trained for"
    if not record.epochs:
        text = f"planned for {planned} epochs"
    elif set(record.epochs) == {planned}:
        text = f"trained for all {planned} epochs" if planned > 1 else "trained for one epoch"
    else:
        text = f"{ended} {_span(record.epochs)} of {planned} epochs"
    if not any(record.best_epochs):
        return text
    plural = "epochs" if len(set(record.best_epochs)) > 1 else "epoch"
    return f"{text}, best at {plural} {_span(record.best_epochs)}"


def _span(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"
