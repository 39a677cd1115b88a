"""A config in plain words, as the panel, the summary and the report say it. Knows no numbers but the config's own."""

from collections import Counter

from trimtab.training.config import Config
from trimtab.tuning.trial import TrialRecord

_OPTIMIZERS = {
    "gd": "gradient descent on all rows", "sgd": "SGD", "momentum": "SGD with momentum",
    "nesterov": "SGD with Nesterov momentum", "adagrad": "Adagrad", "rmsprop": "RMSprop",
    "adam": "Adam", "adamw": "AdamW", "lion": "Lion", "custom": "an optimizer of your own",
}  # fmt: skip
_SCHEDULES = {
    "constant": "held constant", "step": "lowered in steps", "cosine": "with cosine decay",
    "one_cycle": "in one cycle", "warmup_cosine": "with warm-up and cosine decay",
    "plateau": "lowered on plateaus",
}  # fmt: skip
_LOSSES = {
    "mse": "mean squared error", "mae": "mean absolute error", "log_cosh": "log-cosh loss",
    "cross_entropy": "cross-entropy", "custom": "a loss of your own",
}  # fmt: skip
_BASELINES = {
    "mean": "the mean of the target, whatever the row says",
    "linear": "a linear model",
    "default_mlp": "the default MLP",
}


def figure(value: float) -> str:
    """A number with three significant digits, without trailing noise."""
    return f"{value:.3g}"


def _short(value: object) -> str:
    return figure(value) if isinstance(value, float) else str(value)


def loss_in_words(config: Config) -> str:
    loss = config.loss
    named = {
        "huber": f"Huber loss with delta {figure(loss.parameter)}",
        "quantile": f"quantile loss at {figure(loss.parameter)}",
        "focal": f"focal loss with gamma {figure(loss.parameter)}",
    }
    text = named.get(loss.name) or _LOSSES[loss.name]
    return text + (f" with labels smoothed by {figure(loss.label_smoothing)}" if loss.label_smoothing else "")


def network_in_words(config: Config) -> str:
    network = dict(config.network)
    if "inputs" not in network:  # of the caller's own making
        return ", ".join(f"{name} {_short(value)}" for name, value in network.items()) or "the network as it is"
    if network.get("depth") == 0:
        return "no hidden layer"
    layers = "layer" if network["depth"] == 1 else "layers"
    inputs = " behind periodic inputs" if network.get("inputs") == "periodic" else ""
    return f"{network['depth']} hidden {layers} of {network['width']} ({network['activation']}){inputs}"


def config_in_words(config: Config) -> str:
    """ "AdamW, learning rate 0.0031 with cosine decay, Huber loss with delta 0.8, 2 hidden layers of 128, ..." """
    optimizer = config.optimizer
    parts = [
        _OPTIMIZERS[optimizer.name],
        f"learning rate {figure(optimizer.learning_rate)} {_SCHEDULES[config.schedule.name]}",
        loss_in_words(config),
        network_in_words(config),
        f"batches of {config.batch_size}" if config.batch_size else "all rows in each step",
    ]
    if config.dropout:
        parts.append(f"dropout {figure(config.dropout)}")
    if optimizer.weight_decay:
        parts.append(f"weight decay {figure(optimizer.weight_decay)}")
    return ", ".join(parts)


def trial_in_words(record: TrialRecord) -> str:
    """The config of a trial and how long it trained."""
    if record.name in ("mean", "linear"):
        return _BASELINES[record.name]
    epochs = record.config.epochs
    (reason, _), *_ = Counter(record.ended).most_common(1) or [("", 0)]
    how = f"{reason}, " if reason in ("stopped early", "out of budget") else ""
    ended = f"{how}best at epoch {record.best_epoch} of {epochs}"
    prefix = f"{_BASELINES[record.name]}: " if record.name else ""
    return f"{prefix}{config_in_words(record.config)}; {ended}"
