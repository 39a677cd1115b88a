"""TensorBoardLogger: runs as TensorBoard shows them, told by `callbacks=`. Knows event files and no training."""

import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trimtab.listeners.listener import Listener
from trimtab.loggers.settings import finite, flat
from trimtab.packages import required

# Each open event file has a thread of its own.
_MOST_OPEN = 128


class TensorBoardLogger(Listener):
    """Writes each run's curves, settings and result to a new folder of its own in `folder`.

        tt.fit(module, train=(X, y), valid=0.2, callbacks=[tt.TensorBoardLogger("logs")])

    `tensorboard --logdir logs` shows them side by side, those of a very large sweep when they have ended. Numbers that
    are not finite are left out. Raises OptionError where TensorBoard is not installed.
    """

    def __init__(self, folder: str | Path) -> None:
        required("tensorboard", "tt.TensorBoardLogger", '"trimtab[tensorboard]"')
        self.folder = Path(folder)
        self._writers: dict[str, Any] = {}
        self._settings: dict[str, dict] = {}
        self._waiting: dict[str, list[dict[str, float]]] = {}

    def started(self, run: str, config: Mapping[str, Any]) -> None:
        self._settings[run] = flat(config)

    def epoch_ended(self, run: str, values: Mapping[str, float]) -> None:
        if run not in self._writers and len(self._writers) >= _MOST_OPEN:
            self._waiting.setdefault(run, []).append(finite(values))
        else:
            self._write(run, finite(values))

    def ended(self, run: str, result: Mapping[str, Any]) -> None:
        for values in self._waiting.pop(run, []):
            self._write(run, values)
        writer = self._writer(run)
        results = {f"result/{name}": number for name, number in finite(result).items()}
        writer.add_hparams(self._settings.pop(run, {}), results, run_name=".")
        writer.add_text("ended", str(result.get("ended", "")))
        self._writers.pop(run).close()

    def failed(self, run: str, error: BaseException) -> None:
        """The call that the run belongs to has raised: what there is of it is kept."""
        self._settings.pop(run, None)
        waiting, writer = self._waiting.pop(run, []), self._writers.get(run)
        if waiting and writer is None:
            writer = self._writer(run)
        for values in waiting:
            self._write(run, values)
        if writer is not None:
            writer.add_text("ended", type(error).__name__)
            self._writers.pop(run).close()

    def _write(self, run: str, values: Mapping[str, float]) -> None:
        for name, number in values.items():
            if name != "epoch":
                self._writer(run).add_scalar(name, number, global_step=int(values["epoch"]))

    def _writer(self, run: str) -> Any:
        if run not in self._writers:
            from torch.utils.tensorboard import SummaryWriter

            self._writers[run] = SummaryWriter(str(self._new_folder(run)))
        return self._writers[run]

    def _new_folder(self, run: str) -> Path:
        """One that no earlier run of that name has: TensorBoard would draw both as one curve."""
        name = re.sub(r"[^\w .,=+-]+", "-", run)
        names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
        return next(path for path in map(self.folder.joinpath, names) if not path.exists())
