"""TensorBoardLogger: runs as TensorBoard shows them, told by `callbacks=`. Knows event files and no training."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trimtab.interop.packages import required
from trimtab.interop.settings import finite, flat


class TensorBoardLogger:
    """Writes each run's curves, settings and result to a folder of its own in `folder`.

        tt.fit(module, train=(X, y), valid=0.2, callbacks=[tt.TensorBoardLogger("logs")])

    `tensorboard --logdir logs` shows them side by side. Numbers that are not finite are left out. Raises OptionError
    where TensorBoard is not installed.
    """

    def __init__(self, folder: str | Path) -> None:
        required("tensorboard", "tt.TensorBoardLogger", '"trimtab[tensorboard]"')
        self.folder = Path(folder)
        self._writers: dict[str, Any] = {}
        self._settings: dict[str, dict] = {}

    def started(self, run: str, config: Mapping[str, Any]) -> None:
        self._settings[run] = flat(config)

    def epoch_ended(self, run: str, values: Mapping[str, float]) -> None:
        writer = self._writer(run)
        for name, number in finite(values).items():
            if name != "epoch":
                writer.add_scalar(name, number, global_step=int(values["epoch"]))

    def ended(self, run: str, result: Mapping[str, Any]) -> None:
        writer = self._writer(run)
        writer.add_hparams(
            self._settings.pop(run, {}), {f"result/{n}": v for n, v in finite(result).items()}, run_name="."
        )
        writer.add_text("ended", str(result.get("ended", "")))
        self._writers.pop(run).close()

    def _writer(self, run: str) -> Any:
        if run not in self._writers:
            from torch.utils.tensorboard import SummaryWriter

            self._writers[run] = SummaryWriter(str(self.folder / run))
        return self._writers[run]
