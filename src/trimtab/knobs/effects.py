"""Which knobs have an effect in a run, so that one without effect is refused and never ignored. Knows no runs."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from trimtab.errors import OptionError
from trimtab.knobs.knob import Task
from trimtab.knobs.table import KNOBS, TABLE_KNOBS, losses_for
from trimtab.text.wording import listed


def is_read(name: str, parts: Mapping[str, Any]) -> bool:
    """Whether a knob has an effect in a run whose loss, optimizer, inputs and depth are `parts`; what stands in none of
    them is not judged."""
    readers = [reader for reader in KNOBS[name].readers if reader.part in parts] if name in KNOBS else []
    return all(reader.is_there(parts[reader.part]) for reader in readers)


def refuse_unread(given: Iterable[str], in_use: Mapping[str, Collection[Any]]) -> None:
    """Raise OptionError for a knob in `given` that nothing reads.

    `in_use` says for each part (loss, optimizer, inputs, depth) what it is in some run that will be made; parts that it
    leaves out are not judged.
    """
    names = set(given)
    for knob in KNOBS.values():
        for reader in knob.readers if knob.name in names else ():
            values = in_use.get(reader.part, ())
            if values and not any(reader.is_there(value) for value in values):
                part = reader.part
                raise OptionError(
                    f"{flag(knob.name)} has no effect: {knob.name} is read by {reader.words}, and the {part} is "
                    f"{listed(values, 'or')}. Leave it out, or choose another {part}."
                )


def asked_for(fixed: Mapping[str, Any]) -> list[str]:
    """The knobs in `fixed` that ask for something."""
    return [name for name, value in fixed.items() if KNOBS[name].asks_for_something(value)]


def parameter_of(loss: str) -> str | None:
    """What the parameter of this loss is called; None where it has none."""
    parameters = (knob for knob in KNOBS.values() if knob.place == "loss.parameter")
    return next((knob.name for knob in parameters if any(loss in reader.by for reader in knob.readers)), None)


def read_in_tables_of(task: Task) -> tuple[str, ...]:
    """The knobs of tables that some loss of this task reads, or that no loss decides about."""
    return tuple(name for name in TABLE_KNOBS if any(is_read(name, {"loss": loss}) for loss in losses_for(task)))


def needed_for(name: str) -> dict[str, Any]:
    """The values of other knobs with which this one has an effect; nothing where it has one as a rule."""
    return {reader.part: reader.by[0] for reader in KNOBS[name].readers if reader.by}


def flag(name: str) -> str:
    """A knob as an option of the command line."""
    return f"--{name.replace('_', '-')}"
