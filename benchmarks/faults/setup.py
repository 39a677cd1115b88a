"""Setup: one training that has a fault or none, as it is to be made. Knows names and numbers; it trains nothing."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Setup:
    """One training.

    Attributes:
        fault: the finding that it should give; "" for a healthy control.
        severity: "mild", "clear" or "gross"; the kind of a healthy control.
        task: the name of its data.
        network: the arguments of `networks.network`.
        knobs: those of `tt.fit`.
        seed: of the training.
        split: of the rows' parts.
        train, valid: how many rows.
        change: what is done to the data: "", "inputs x 100", "target x 100", "outliers".
        metric: by which it is judged; "" for the task's.
        last: whether the weights of the last epoch were kept, as a loop without checkpoints does.
        loop: what is wrong with the loop: "" is trimtab's own; "no zero_grad" a plain one without it.
    """

    fault: str
    severity: str
    task: str
    network: Mapping[str, Any] = field(default_factory=dict)
    knobs: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    split: int = 1
    train: int = 256
    valid: int = 200
    change: str = ""
    metric: str = ""
    last: bool = False
    loop: str = ""

    @property
    def group(self) -> tuple[str, str]:
        """What has one loss family and one data set, so that it can be trained at once."""
        shared = {name: getattr(self, name) for name in ("task", "split", "train", "valid", "change", "metric", "loop")}
        return self.task, json.dumps(shared)

    @property
    def key(self) -> str:
        """What its training is kept under: the same training, whatever it is called."""
        made = {name: value for name, value in asdict(self).items() if name not in ("fault", "severity", "last")}
        return hashlib.sha256(json.dumps(made, sort_keys=True, default=str).encode()).hexdigest()[:20]
