"""Knobs: what reads which of them, so that a knob without effect is refused and never ignored.

One table, for tables and for networks of the caller's own. Knows names and values; it knows no runs.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from trimtab.errors import OptionError
from trimtab.text.wording import listed

# A loss or an optimizer of the caller's own, which no name tells: what it reads is seen to where it is called.
CUSTOM = "custom"


@dataclass(frozen=True)
class Reading:
    """`knob` has an effect where `part` is one of `by`, or, where `but` is given, anything else than that."""

    knob: str
    part: str
    by: tuple[Any, ...] = ()
    but: tuple[Any, ...] = ()

    def is_met_by(self, value: object) -> bool:
        return value == CUSTOM or (value in self.by if self.by else value not in self.but)

    @property
    def readers(self) -> str:
        return listed(self.by) if self.by else f"every {self.part} but {listed(self.but)}"


READINGS = (
    Reading("delta", "loss", by=("huber",)),
    Reading("tau", "loss", by=("quantile",)),
    Reading("gamma", "loss", by=("focal",)),
    Reading("label_smoothing", "loss", by=("cross_entropy", "focal", "bce")),
    Reading("momentum", "optimizer", by=("momentum", "nesterov", "adam", "adamw", "lion")),
    Reading("second_decay", "optimizer", by=("rmsprop", "adam", "adamw", "lion")),
    Reading("epsilon", "optimizer", by=("adagrad", "rmsprop", "adam", "adamw")),
    Reading("batch_size", "optimizer", but=("gd",)),
    Reading("sigma", "inputs", by=("periodic",)),
    *(Reading(knob, "depth", but=(0,)) for knob in ("width", "activation", "inputs", "sigma", "dropout")),
)


# Knobs that are off at 0: to switch off what is not there asks for nothing.
OFF_AT_0 = ("label_smoothing", "dropout", "batch_size")


def refuse_unread(given: Iterable[str], in_use: Mapping[str, Collection[Any]]) -> None:
    """Raise OptionError for a knob in `given` that nothing reads.

    `in_use` says for each part (loss, optimizer, inputs, depth) what it is in some run that will be made; parts that it
    leaves out are not judged.
    """
    names = set(given)
    for reading in READINGS:
        values = in_use.get(reading.part, ())
        if reading.knob in names and values and not any(reading.is_met_by(value) for value in values):
            flag = f"--{reading.knob.replace('_', '-')}"
            raise OptionError(
                f"{flag} has no effect: {reading.knob} is read by {reading.readers}, and the {reading.part} is "
                f"{listed(values, 'or')}. Leave it out, or choose another {reading.part}."
            )


def is_read(knob: str, parts: Mapping[str, Any]) -> bool:
    """Whether `knob` has an effect in a run whose loss, optimizer, inputs and depth are `parts`; what stands in none of
    them is not judged."""
    readings = [reading for reading in READINGS if reading.knob == knob and reading.part in parts]
    return all(reading.is_met_by(parts[reading.part]) for reading in readings)
