"""Path: from a beginner's config to the winner, one choice after the other, the most telling first.

After the ablation paths of Fawcett and Hoos (2016). Knows configs; it trains nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trimtab.knobs.effects import is_read
from trimtab.studies.counterfactuals.alternatives import rounded
from trimtab.training.config import Config


@dataclass(frozen=True)
class Choice:
    """One choice of the winner, `made` in a config that makes another so far."""

    knob: str
    value: Any
    made: Callable[[Config], Config]


def choices(beginner: Config, winner: Config) -> list[Choice]:
    """The choices in which the two differ; a loss goes with its parameter, a length with its patience, and an optimizer
    with its constants, for none of these means anything without the other."""
    made = [Choice(knob, value, _adopting(take, winner)) for knob, (value, take) in _values(winner).items()]
    return [each for each in made if each.made(beginner) != beginner]


def along(beginner: Config, ordered: Sequence[Choice]) -> list[Config]:
    """The configs of the path, the beginner's first."""
    configs = [beginner]
    for choice in ordered:
        configs.append(choice.made(configs[-1]))
    return configs


_Take = Callable[[Config, Config], Config]


def _adopting(take: _Take, winner: Config) -> Callable[[Config], Config]:
    return lambda config: take(config, winner)


def _values(winner: Config) -> Mapping[str, tuple[Any, _Take]]:
    """What the winner chose by knob, and how a config adopts it."""
    found: dict[str, tuple[Any, _Take]] = {
        "loss": (winner.loss.name, _take_loss),
        "optimizer": (winner.optimizer.name, _take_optimizer),
        "lr": (rounded(winner.optimizer.learning_rate), _take_of_optimizer("learning_rate")),
        "weight_decay": (rounded(winner.optimizer.weight_decay), _take_of_optimizer("weight_decay")),
        "schedule": (winner.schedule.name, lambda c, w: replace(c, schedule=w.schedule)),
        "epochs": (winner.epochs, lambda c, w: replace(c, epochs=w.epochs, stopping=w.stopping)),
        "batch_size": (winner.batch_size, lambda c, w: replace(c, batch_size=w.batch_size)),
        "dropout": (rounded(winner.dropout), lambda c, w: replace(c, dropout=w.dropout)),
        "label_smoothing": (
            rounded(winner.loss.label_smoothing),
            lambda c, w: replace(c, loss=replace(c.loss, label_smoothing=w.loss.label_smoothing)),
        ),
        "averaging": (rounded(winner.averaging), lambda c, w: replace(c, averaging=w.averaging)),
        "gradient_clip": (rounded(winner.gradient_clip), lambda c, w: replace(c, gradient_clip=w.gradient_clip)),
    }
    return found | {knob: (value, _take_of_network(knob)) for knob, value in winner.network}


def _take_loss(config: Config, winner: Config) -> Config:
    smoothing = config.loss.label_smoothing if is_read("label_smoothing", {"loss": winner.loss.name}) else 0.0
    return replace(config, loss=replace(winner.loss, label_smoothing=smoothing))


def _take_optimizer(config: Config, winner: Config) -> Config:
    own = {"learning_rate": config.optimizer.learning_rate, "weight_decay": config.optimizer.weight_decay}
    return replace(config, optimizer=replace(winner.optimizer, **own))


def _take_of_optimizer(field: str) -> _Take:
    return lambda config, winner: replace(
        config, optimizer=replace(config.optimizer, **{field: getattr(winner.optimizer, field)})
    )


def _take_of_network(knob: str) -> _Take:
    def take(config: Config, winner: Config) -> Config:
        chosen = dict(winner.network)
        network = tuple((name, chosen[name] if name == knob else value) for name, value in config.network)
        return replace(config, network=network, initial=winner.initial if knob == "inputs" else config.initial)

    return take
