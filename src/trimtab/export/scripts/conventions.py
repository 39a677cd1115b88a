"""Conventions: in what form a run took inputs, targets and outputs, as its script has to. Writes no code."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from trimtab.export.scripts.forms import ONE, Form

_NOTED, _FORMS = ("of_inputs", "is_one_hot", "one_output", "columns"), ("inputs", "targets", "outputs")


@dataclass(frozen=True)
class Conventions:
    """How a run took targets and outputs.

    `of_target` are lines that bring `target` into the form in which a loss of the caller's own took it, `of_inputs`
    those that bring X and Xv into the types in which the network took them; `is_one_hot`
    says that labels came as rows with a 1 for their class; `one_output` is what a single output says of two classes;
    `columns` those of a prediction. `inputs`, `targets` and `outputs` are the forms in which a network and a loss take
    and give tensors, `knows_forms` False where nobody noted them. `metric` is a function of the caller's own, of which
    greater figures may be better.
    """

    of_target: tuple[str, ...] = ()
    of_inputs: tuple[str, ...] = ()
    is_one_hot: bool = False
    one_output: str | None = None
    columns: int = 0
    inputs: Form = ONE
    targets: Form = ONE
    outputs: Form = ONE
    knows_forms: bool = True
    metric: Any = None
    metric_takes_weights: bool = False
    greater_is_better: bool = False

    def noted(self) -> dict[str, Any]:
        """What of it can be written down as JSON."""
        forms = {name: asdict(getattr(self, name)) for name in _FORMS}
        return {name: getattr(self, name) for name in _NOTED} | forms

    @classmethod
    def of_note(cls, note: Mapping[str, Any]) -> "Conventions":
        """What was `noted`; an older trimtab did not note forms."""
        plain: dict[str, Any] = {name: note[name] for name in _NOTED if name in note}
        forms: dict[str, Any] = {name: Form(**note[name]) for name in _FORMS if name in note}
        return cls(**plain, **forms, knows_forms="inputs" in note)
