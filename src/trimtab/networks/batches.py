"""RunBatches: the batches of a run by itself, from examples in the order a lane would see them in, or from streams.

Knows examples, streams and row orders; it trains nothing.
"""

from collections.abc import Generator, Iterator
from contextlib import closing

import torch

from trimtab.errors import OptionError
from trimtab.networks.examples import Examples
from trimtab.networks.fitting import TRAINING_ROWS_JUDGED, Fitting
from trimtab.networks.streams import Stream
from trimtab.training.config import Config
from trimtab.training.lanes.solo import Batch
from trimtab.training.randomness import number_from, row_order
from trimtab.training.run import Request

# Rows that go through a network at once without gradients. A guess: of a thousand numbers each they are 64 MiB.
ROWS_AT_ONCE = 16_384


class RunBatches:
    """The batches of a run by itself, from examples in the order that a lane would see them in, or from streams."""

    def __init__(self, fitting: Fitting, request: Request, *, leaves_out: bool) -> None:
        datasets, config = fitting.datasets, request.config
        self._fitting, self._seed = fitting, request.seed
        self._leaves_out = leaves_out
        train, valid = datasets.train, datasets.valid
        self._train = fitting.prepared(train) if isinstance(train, Examples) else train
        self._valid = fitting.prepared(valid) if isinstance(valid, Examples) else valid
        if isinstance(self._train, Examples):
            if isinstance(self._valid, Examples):
                self._valid = self._valid.like(self._train)
            rows = self._train.rows
            self.size = min(config.batch_size or rows, rows)
            self.batches = rows // self.size if self._leaves_out else -(-rows // self.size)
            return
        self.size, self.batches = fitting.datasets.batch_size or 1, self._batches_of(self._train, config)

    def _batches_of(self, stream: Stream, config: Config) -> int:
        """Batches of an epoch of a stream; raises OptionError where `config` wants what the stream cannot give."""
        batches, size = stream.batches, stream.batch_size
        if size is not None and config.batch_size != size and not (config.batch_size == 0 and batches == 1):
            wanted = "all rows in every step" if config.batch_size == 0 else f"batches of {config.batch_size}"
            raise OptionError(f"The data are read anew in batches of {size}, and {wanted} are asked for: leave it out.")
        courses = {"decay_course": config.decay_course, "dropout_course": config.dropout_course}
        planned = {name: value for name, value in courses.items() if value != "constant"}
        if config.schedule.name not in ("constant", "plateau"):
            planned["schedule"] = config.schedule.name
        if batches is None and planned:
            name, value = next(iter(planned.items()))
            raise OptionError(
                f'{name}="{value}" has to know how many batches an epoch has, and the data do not say: leave it out, '
                "or give the loader a length."
            )
        return batches or 1

    def training(self, epoch: int) -> Generator[Batch]:
        if isinstance(self._train, Stream):
            with closing(self._train.epoch(number_from("stream", self._seed, epoch))) as parts:
                for part in parts:
                    if not self._leaves_out or part.rows > 1:
                        yield self._batch(part)
            return
        order = torch.from_numpy(row_order(self._train.rows, seed=self._seed, fold=0, epoch=epoch))
        for rows in order.split(self.size)[: self.batches]:
            yield self._on_device(self._train.taken(rows))

    def validation(self) -> Generator[Batch]:
        valid = self._train if self._valid is None else self._valid
        if isinstance(valid, Stream):
            with closing(valid.epoch(number_from("validation", self._seed))) as parts:
                for part in parts:
                    yield self._batch(part)
            return
        for rows in torch.arange(valid.rows).split(ROWS_AT_ONCE):
            yield self._on_device(valid.taken(rows))

    def again(self) -> Iterator[Batch] | None:
        """Training rows to evaluate on; none where they are read anew."""
        if isinstance(self._train, Stream):
            return None
        most = min(TRAINING_ROWS_JUDGED, self._train.rows)
        chosen = torch.linspace(0, self._train.rows - 1, most).long()
        return iter([self._on_device(self._train.taken(chosen))])

    def tensors(self) -> list[torch.Tensor]:
        """What of the data can be told apart without reading it."""
        parts = [part for part in (self._train, self._valid) if isinstance(part, Examples)]
        return [x for part in parts for x in (*part.inputs, *part.targets, part.weights)]

    def _batch(self, part: Examples) -> Batch:
        return self._on_device(self._fitting.prepared(part))

    def _on_device(self, part: Examples) -> Batch:
        device, dtype = self._fitting.device, self._fitting.dtype
        inputs, targets = (tuple(x.to(device) for x in group) for group in (part.inputs, part.targets))
        return Batch(inputs, targets, part.weights.to(device, dtype))
