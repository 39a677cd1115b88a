"""Reading: whatever somebody has of a training becomes a log: a file of any format, a folder, standard input, a frame.

Knows the readers, and which of several trainings is meant.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trimtab.errors import DataError, OptionError, did_you_mean
from trimtab.findings.logs import (
    catboost,
    console,
    event_files,
    json_lists,
    json_rows,
    mlflow,
    recordings,
    studies,
    table,
    told_lines,
    trainer_state,
    wandb,
)
from trimtab.findings.logs.content import STANDARD_INPUT, Content
from trimtab.findings.logs.log import Log
from trimtab.recording.recording import Recording
from trimtab.text.wording import listed

# Each gives None of what is not its own; from the most particular on.
BINARY: tuple[Callable[[Content], list[Log] | None], ...] = (recordings.read, event_files.read, wandb.read)
TEXT: tuple[Callable[[Content], list[Log] | None], ...] = (
    trainer_state.read, catboost.read, mlflow.read, json_lists.read, told_lines.read, json_rows.read, table.read,
    console.read,
)  # fmt: skip
FOLDERS: tuple[Callable[[Path], list[Log] | None], ...] = (studies.read_folder, mlflow.read_folder)
# Files that a folder of a training holds, by what frameworks call them; the first that is there counts.
_NAMED = (
    wandb.PATTERN, "catboost_training.json", "trainer_state.json", "metrics.csv", "results.csv", "history.csv",
    "history.json", "metrics.json", "metrics.jsonl", "wandb-history.jsonl",
)  # fmt: skip
_FORMATS = (
    "CSV, TSV and JSON lines, the history of Keras, metrics.csv of Lightning, trainer_state.json of Hugging Face, "
    "event files of TensorBoard, offline runs of W&B, MLflow's folders, and what training loops print"
)
_MOST_LISTED, _LONGEST_NAME = 20, 200


def read(log: Any, run: str | None = None) -> Log:
    """The one training that is meant: of several the one called `run`, else the last.

    `log` is a path, "-" for standard input, a frame of any library, a dict of lists, a list of dicts, a Keras
    History, or what has curves. Raises DataError where there is no log, OptionError where there is no such run.
    """
    logs = [each for each in _logs(log) if each.frame.width and each.frame.height]
    if not logs:
        raise DataError(f"{_called(log)} holds no numbers of a training.")
    return _chosen(logs, run)


def _logs(log: Any) -> Sequence[Log]:
    if isinstance(log, str) and log == STANDARD_INPUT:
        return _read_content(Content.of_standard_input())
    if isinstance(log, str | Path):
        return _read_path(Path(log))
    if isinstance(recording := getattr(log, "recording", None), Recording):
        return [recordings.log_of(recording)]
    # What Keras' fit gives has a history, a run of trimtab curves.
    history = getattr(log, "history", getattr(log, "curves", log))
    if isinstance(history, list) and history and all(isinstance(row, Mapping) for row in history):
        return json_rows.rows_as_logs(history, "a list of dicts") or ()
    return table.read_frame(history)


def _read_path(path: Path) -> Sequence[Log]:
    try:
        is_there = path.exists()
    except OSError:  # a name that is too long: the text of a log, say
        is_there = False
    if not is_there:
        near = did_you_mean(path.name, _names_in(path.parent))
        raise DataError(f"There is no file {_short(str(path))}.{near}")
    return _read_folder(path) if path.is_dir() else _read_content(Content.at(path))


def _short(name: str) -> str:
    line = name.partition("\n")[0]
    return name if line == name and len(name) <= _LONGEST_NAME else f"{line[:_LONGEST_NAME]}..."


def _names_in(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in folder.iterdir()]
    except OSError:
        return []


def _read_content(content: Content) -> Sequence[Log]:
    if not content.data.strip():
        raise DataError(f"{content.name} is empty.")
    for reader in (*BINARY, *(TEXT if content.is_text else ())):
        logs = reader(content)
        if logs:
            return logs
    raise DataError(f"{content.name} holds no training log that trimtab can read. It reads {_FORMATS}.")


def _read_folder(folder: Path) -> Sequence[Log]:
    for reader in FOLDERS:
        logs = reader(folder)
        if logs:
            return logs
    for pattern in _NAMED:
        files = sorted((file for file in folder.rglob(pattern) if file.is_file()), key=_age)
        if files and pattern == "trainer_state.json":
            files = files[-1:]  # each checkpoint has all that came before
        logs = [log for file in files for log in _of_one_of(file, folder, alone=len(files) == 1)]
        if logs:
            return logs
    logs = event_files.read_folder(folder)
    if logs:
        return logs
    raise DataError(f"{folder} is a folder without a training log that trimtab can read: name the file itself.")


def _of_one_of(file: Path, folder: Path, *, alone: bool) -> Iterable[Log]:
    """The logs of a file of several, called by where it stands."""
    for log in _read_content(Content.at(file)):
        name = log.run or ("" if alone else file.relative_to(folder).parent.as_posix())
        yield Log(log.format, log.frame, name, log.notes, log.known, log.is_default)


def _age(file: Path) -> tuple[int, float, str]:
    return trainer_state.checkpoint_number(file.parent.name), file.stat().st_mtime, str(file)


def _chosen(logs: Sequence[Log], run: str | None) -> Log:
    if len(logs) == 1:
        return logs[0]
    names = [log.run for log in logs]
    if run is not None:
        fitting = [log for log in logs if log.run == run] or [log for log in logs if log.run.startswith(f"{run}/")]
        if not fitting and run.isdecimal() and 1 <= int(run) <= len(logs):
            fitting = [logs[int(run) - 1]]
        if not fitting:
            raise OptionError(f'The log has no run "{run}".{did_you_mean(run, names)} Its runs are: {_shown(names)}.')
        return fitting[0]
    chosen = next((log for log in logs if log.is_default), logs[-1])
    if chosen.is_default:
        return chosen
    note = f'The log holds {len(logs)} trainings ({_shown(names)}): this is the last, "{chosen.run}" (--run NAME).'
    notes = (note, *chosen.notes)
    return Log(chosen.format, chosen.frame, chosen.run, notes, chosen.known)


def _shown(names: Sequence[str]) -> str:
    more = len(names) - _MOST_LISTED
    return listed(names) if more <= 0 else f"{', '.join(names[:_MOST_LISTED])} and {more} more"


def _called(log: Any) -> str:
    return str(log) if isinstance(log, str | Path) else f"This {type(log).__name__}"
