"""Faulty set-ups: for every finding the ways in which it is brought about, from mild to gross. Trains nothing.

A set-up counts where it does harm: where the error of its weights is `HARM` above that of the tuned training.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from benchmarks.faults.setup import Setup
from benchmarks.faults.tasks import Task
from trimtab.training.config import Schedule

HARM = 0.05
MILD, CLEAR, GROSS = "mild", "clear", "gross"

# True beside any fault: every training here goes on to a fixed end, and dead units are counted, not guessed.
EVERYWHERE = frozenset(
    {"overfitting", "trained_too_long", "best_weights_not_restored", "capacity_too_large", "dead_units"}
)
# What may stand beside a finding without being wrong: what is another side of the same fact, or follows from it.
_SLOW = {"stopped_too_early", "learning_rate_too_small", "slow_optimizer", "underfitting", "plateau"}
_LARGE = {"learning_rate_too_large", "diverged", "oscillating", "exploding_gradients", "dead_units", "plateau",
          "collapsed_to_constant", "underfitting", "saturated_activations", "batch_noise_too_high"}  # fmt: skip
_LONG = {"overfitting", "trained_too_long", "best_weights_not_restored", "capacity_too_large"}
_UNABLE = {"underfitting", "capacity_too_small", "regularised_too_strongly", "collapsed_to_constant", "plateau"}
COMPANIONS: Mapping[str, set[str]] = {
    "underfitting": _UNABLE | {"learning_rate_too_small"},
    "capacity_too_small": _UNABLE | {"stopped_too_early", "dead_units", "learning_rate_too_small"},
    "regularised_too_strongly": _UNABLE | {"vanishing_gradients", "dead_units", "loss_does_not_match_metric"},
    "overfitting": _LONG,
    "trained_too_long": _LONG,
    "best_weights_not_restored": _LONG,
    "capacity_too_large": _LONG,
    "stopped_too_early": _SLOW,
    "learning_rate_too_small": _SLOW,
    "slow_optimizer": _SLOW,
    "plateau": _SLOW,
    "learning_rate_too_large": _LARGE | _LONG,
    "diverged": _LARGE,
    "oscillating": _LARGE | _LONG,
    "batch_noise_too_high": {"dead_units", "oscillating", "learning_rate_too_large"} | _LONG,
    "outliers_dominate_loss": {"loss_does_not_match_metric", *_LONG, "oscillating"},
    "loss_does_not_match_metric": {"outliers_dominate_loss", "regularised_too_strongly", *_LONG},
    "collapsed_to_constant": _LARGE | _UNABLE | {"vanishing_gradients", "learning_rate_too_small"},
    "dead_units": {"collapsed_to_constant", "underfitting", "plateau", "capacity_too_small", "stopped_too_early",
                   "vanishing_gradients", "learning_rate_too_small"},
    "vanishing_gradients": {"collapsed_to_constant", "underfitting", "plateau", "saturated_activations",
                            "stopped_too_early", "learning_rate_too_small"},
    "exploding_gradients": _LARGE | _LONG,
    "saturated_activations": {"vanishing_gradients", "underfitting", "plateau", *_LONG, *_LARGE},
    "wrong_output_layer": {"underfitting", "plateau", "collapsed_to_constant", "double_softmax"} | _LONG,
    "double_softmax": {"wrong_output_layer", "underfitting", "plateau", "loss_does_not_match_metric"} | _LONG,
    "missing_zero_grad": _LARGE | _LONG,
}  # fmt: skip


def faulty(task: Task, tuned: Setup, kept: float, *, turn: int) -> Iterator[Setup]:
    """All set-ups of `task`, beside its tuned training, which kept epoch `kept`. Those that need a network of their own
    take turns from task to task, since each such network costs a population."""
    yield from _twice(_coefficients(task, tuned, kept))
    yield from _structures(task, tuned, turn)
    yield from _few_rows(task, tuned, turn)
    yield from _own_data(task, tuned, turn)
    yield from _twice(_loops(task))


def _twice(setups: Iterable[Setup]) -> Iterator[Setup]:
    """Each by two seeds."""
    for each in setups:
        yield each
        if each.fault:
            yield replace(each, seed=each.seed + 10)


def _coefficients(task: Task, tuned: Setup, kept: float) -> Iterator[Setup]:
    """Those that share one population with the tuned network."""
    knobs = dict(tuned.knobs) | {"stop": None, "epochs": 60}

    def made(fault: str, severity: str, change: Mapping[str, Any], **how: Any) -> Setup:
        return Setup(fault, severity, task.name, tuned.network, knobs | dict(change), **how)

    yield from _rates(task, tuned, knobs, kept)
    for decay, severity in ((1.0, MILD), (3.0, CLEAR), (10.0, GROSS)):
        yield made("regularised_too_strongly", severity, {"weight_decay": decay, "epochs": 80})
    for rate, severity in ((0.6, MILD), (0.8, CLEAR), (0.9, GROSS)):
        yield made("regularised_too_strongly", severity, {"dropout": rate, "epochs": 80})
    for every, severity in ((0.1, MILD), (0.05, CLEAR), (0.03, GROSS), (0.02, GROSS)):
        yield made("plateau", severity, {"schedule": Schedule("step", factor=0.1, every=every)})
    for decay, severity in ((100.0, CLEAR), (300.0, GROSS)):
        for seed in (0, 1):
            yield made("collapsed_to_constant", severity, {"weight_decay": decay}, seed=seed)
    for seed in range(1, 7):
        severity = (MILD, CLEAR, GROSS)[seed % 3]
        longer = {"weight_decay": 0.0, "dropout": 0.0, "epochs": {MILD: 70, CLEAR: 100, GROSS: 140}[severity]}
        for last in (False, True):
            fault = "best_weights_not_restored" if last else "trained_too_long"
            yield made(fault, severity, longer, seed=seed, last=last)
    yield from _other_losses(task, tuned, knobs)


def _rates(task: Task, tuned: Setup, knobs: Mapping[str, Any], kept: float) -> Iterator[Setup]:
    """Rates that are too large or too small, optimizers that are slow, and trainings that are cut short."""
    lr = tuned.knobs["lr"]
    plain = {name: knobs[name] for name in ("epochs", "batch_size", "stop")}

    def made(fault: str, severity: str, change: Mapping[str, Any]) -> Setup:
        return Setup(fault, severity, task.name, tuned.network, {**knobs, **change})

    def other(fault: str, severity: str, change: Mapping[str, Any]) -> Setup:
        return Setup(fault, severity, task.name, tuned.network, plain | dict(change))

    for factor, severity in ((10, MILD), (30, CLEAR), (100, GROSS)):
        yield made("learning_rate_too_large", severity, {"lr": lr * factor})
        yield made("learning_rate_too_small", severity, {"lr": lr / factor})
    yield made("learning_rate_too_small", GROSS, {"lr": lr / 1000})
    for share, severity in ((0.05, GROSS), (0.1, CLEAR), (0.2, CLEAR), (0.35, MILD)):
        yield made("stopped_too_early", severity, {"epochs": max(5, round(share * kept))})
    for rate, severity in ((1.0, MILD), (10.0, CLEAR), (100.0, GROSS)):
        yield other("diverged", severity, {"optimizer": "sgd", "lr": rate})
        yield other("diverged", severity, {"optimizer": "momentum", "lr": rate})
    for rate, severity in ((0.1, MILD), (0.2, CLEAR), (0.4, GROSS)):
        yield other("oscillating", severity, {"optimizer": "momentum", "lr": rate})
        yield other("oscillating", severity, {"optimizer": "rmsprop", "lr": rate / 5})
    for name, rate, severity in (
        ("sgd", 1e-3, CLEAR),
        ("sgd", 3e-3, MILD),
        ("adagrad", 1e-3, CLEAR),
        ("sgd", 3e-4, GROSS),
    ):
        yield other("slow_optimizer", severity, {"optimizer": name, "lr": rate})


def _other_losses(task: Task, tuned: Setup, knobs: Mapping[str, Any]) -> Iterator[Setup]:
    """Losses that aim elsewhere than the metric."""

    def made(fault: str, severity: str, change: Mapping[str, Any]) -> Setup:
        return Setup(fault, severity, task.name, tuned.network, {**knobs, **change})

    if task.is_regression:
        for tau, severity in ((0.8, MILD), (0.9, CLEAR), (0.97, GROSS)):
            yield made("loss_does_not_match_metric", severity, {"loss": "quantile", "tau": tau})
    else:
        for gamma, severity in ((2.0, MILD), (5.0, CLEAR), (10.0, GROSS)):
            yield made("loss_does_not_match_metric", severity, {"loss": "focal", "gamma": gamma})
        for share, severity in ((0.2, MILD), (0.4, CLEAR), (0.7, GROSS)):
            yield made("loss_does_not_match_metric", severity, {"label_smoothing": share})


def _structures(task: Task, tuned: Setup, turn: int) -> Iterator[Setup]:
    """Those with another network, or another batch; several runs of each."""
    knobs = dict(tuned.knobs) | {"stop": None, "epochs": 40, "dropout": 0.0}

    def made(
        fault: str, severity: str, network: Mapping[str, Any], change: Mapping[str, Any] | None = None, runs: int = 6
    ) -> Iterator[Setup]:
        for seed in range(runs):
            yield Setup(fault, severity, task.name, {**tuned.network, **network}, knobs | dict(change or {}), seed)

    def of(*ways: tuple[Any, ...]) -> tuple[Any, ...]:
        return ways[turn % len(ways)]

    for width, severity in (of((1, GROSS), (2, CLEAR)), of((2, CLEAR), (4, MILD), (3, MILD))):
        yield from made("capacity_too_small", severity, {"width": width, "depth": 1}, {"epochs": 60, "lr": 0.01})
    for lr in (0.01, 0.003):
        yield from made("underfitting", CLEAR, {"depth": 0}, {"epochs": 60, "lr": lr}, runs=4)
    shift, severity = of((-1.0, MILD), (-2.0, CLEAR), (-4.0, GROSS))
    yield from made("dead_units", severity, {"shift": shift})
    depth, severity = of((4, MILD), (6, CLEAR), (9, GROSS))
    yield from made("vanishing_gradients", severity, {"activation": "sigmoid", "depth": depth, "width": 32})
    gain, severity = of((3.0, MILD), (5.0, CLEAR), (8.0, GROSS))
    yield from made("exploding_gradients", severity, {"gain": gain, "depth": 4})
    steep, severity = of((60.0, MILD), (120.0, CLEAR), (300.0, GROSS))
    yield from made("saturated_activations", severity, {"steep": steep, "activation": "tanh"})
    if task.is_regression:
        head, severity = of(("tanh", MILD), ("sigmoid", CLEAR), ("relu", GROSS))
        yield from made("wrong_output_layer", severity, {"head": head})
        yield from made("wrong_output_layer", severity, {"head": head}, {"lr": 1e-3, "weight_decay": 0.0})
    else:
        for lr in (1e-3, 1e-2):
            yield from made("double_softmax", CLEAR, {"head": "softmax"}, {"lr": lr, "weight_decay": 0.0})
        yield from made("wrong_output_layer", CLEAR, {"head": "relu"})
    size, severity = of((4, MILD), (2, CLEAR))
    for factor in (3, 10):
        for seed in (0, 1, 2):
            tiny = {"batch_size": size, "epochs": 20, "lr": tuned.knobs["lr"] * factor}
            yield Setup("batch_noise_too_high", severity, task.name, tuned.network, knobs | tiny, seed, train=100)


def _few_rows(task: Task, tuned: Setup, turn: int) -> Iterator[Setup]:
    """Those that have too few rows for what is trained."""
    knobs = dict(tuned.knobs) | {"stop": None, "epochs": 100, "dropout": 0.0, "weight_decay": 0.0}
    rows, severity = ((50, GROSS), (100, CLEAR))[turn % 2]
    for seed in range(8):
        yield Setup("overfitting", severity, task.name, tuned.network, knobs, seed, train=rows)
        yield Setup("capacity_too_large", severity, task.name, {"width": 192, "depth": 3}, knobs, seed, train=rows)


def _own_data(task: Task, tuned: Setup, turn: int) -> Iterator[Setup]:
    """Those whose data were changed."""
    knobs = dict(tuned.knobs) | {"stop": None, "epochs": 60}
    if turn % 3 == 0:
        change, severity = (("inputs x 100", CLEAR), ("inputs x 300", GROSS))[turn // 3 % 2]
        tanh = {**tuned.network, "activation": "tanh"}
        for seed in (0, 1):
            yield Setup("saturated_activations", severity, task.name, tanh, knobs, seed, change=change)
    if task.is_regression:
        kinds = (("outliers 1 %", CLEAR), ("outliers 2 %", CLEAR), ("outliers 5 %", GROSS))
        for change, severity in (kinds[turn % 3], kinds[(turn + 1) % 3]):
            for seed in range(5):
                yield Setup("outliers_dominate_loss", severity, task.name, tuned.network, knobs, seed, change=change)


def _loops(task: Task) -> Iterator[Setup]:
    """Plain loops that forget to set gradients to zero, and the same that do not, which are healthy."""
    network = {"width": 64, "depth": 2}
    for name, rate in (("sgd", 0.01), ("sgd", 0.05), ("adam", 1e-3)):
        knobs = {"optimizer": name, "lr": rate, "batch_size": 32, "epochs": 40}
        yield Setup("missing_zero_grad", CLEAR, task.name, network, knobs, loop="no zero_grad")
    plain = {"optimizer": "adam", "lr": 1e-3, "batch_size": 32, "epochs": 150}
    yield Setup("", "plain loop", task.name, network, plain, loop="plain")
