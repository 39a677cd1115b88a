"""TrainerState: `trainer_state.json` of Hugging Face's Trainer."""

import re
from typing import Any

from trimtab.findings.logs.content import Content
from trimtab.findings.logs.json_rows import rows_as_logs
from trimtab.findings.logs.log import Log


def read(content: Content) -> list[Log] | None:
    """The log in `log_history`; None where the content is something else."""
    state = content.document
    if not isinstance(state, dict) or not isinstance(state.get("log_history"), list):
        return None
    # The last entry sums up: its train_loss is the mean of the whole training.
    rows = [row for row in state["log_history"] if isinstance(row, dict) and "train_runtime" not in row]
    logs = rows_as_logs(rows, "trainer_state.json of a Hugging Face Trainer")
    known = {name: value for name, value in (("planned", _planned(state)), ("kept", None)) if value is not None}
    return logs and [Log(log.format, log.frame, known=known) for log in logs]


def _planned(state: dict[str, Any]) -> int | None:
    epochs = state.get("num_train_epochs")
    return int(epochs) if isinstance(epochs, int | float) and epochs >= 1 else None


def checkpoint_number(name: str) -> int:
    """ "checkpoint-500" is number 500."""
    found = re.search(r"(\d+)$", name)
    return int(found[1]) if found else -1
