"""The recorder as a callback of Keras 3, on any backend. Knows what Keras calls its numbers and where its rate is."""

from typing import Any

from trimtab.packages import required
from trimtab.recording.loops.relay import EpochRecorder, EpochRelay

keras: Any = required("keras", "recorder.keras()", "keras")


class RecorderCallback(keras.callbacks.Callback):
    """One row per epoch of `fit`."""

    def __init__(self, recorder: EpochRecorder) -> None:
        super().__init__()
        self._relay = EpochRelay(recorder)
        self._last: int | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        self._last = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self._last is None:
            self._relay.begin(epoch)
        self._last = epoch + 1

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        # Where a callback moves the rate between epochs, it puts the one that was used into the logs.
        rate = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        self._relay.tell(epoch + 1, {"learning_rate": rate} | (logs or {}))

    def on_train_end(self, logs: Any = None) -> None:
        is_complete = self._last == self.params.get("epochs")
        self._relay.recorder.close("all epochs" if is_complete else "stopped early")
