"""The range test: one short training whose rate grows from step to step, and the rules that read a rate off its losses.

Written after what fastai documents of `lr_find` and its suggestions `steep` and `valley`
(https://docs.fast.ai/callback.schedule.html), with this benchmark's network and Adam. Knows nothing of trimtab.
"""

from dataclasses import dataclass
from math import isfinite

import numpy
import torch
from torch import nn

from benchmarks.sweep.loop import network
from benchmarks.sweep.rows import Rows

FIRST_RATE, LAST_RATE, STEPS = 1e-7, 10.0, 100
SMOOTHING = 0.98
DIVERGED = 4.0  # the ramp ends where the smoothed loss is this many times the lowest so far
SKIPPED_FIRST, SKIPPED_LAST = STEPS // 10, 5
FEWEST = 2  # losses between which there is a slope


@dataclass(frozen=True)
class Ramp:
    """The rates of the steps and their smoothed losses, without the first tenth and the last five."""

    rates: numpy.ndarray
    losses: numpy.ndarray

    @classmethod
    def of(cls, rows: Rows, seed: int) -> "Ramp":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model, loss = network(rows.inputs), nn.MSELoss()
        optimizer = torch.optim.Adam(model.parameters())
        loader = rows.loader(seed)
        batches, rates, losses, average = iter(()), [], [], 0.0
        for step in range(STEPS):
            rate = FIRST_RATE * (LAST_RATE / FIRST_RATE) ** (step / STEPS)
            if (batch := next(batches, None)) is None:
                batches = iter(loader)
                batch = next(batches)
            optimizer.param_groups[0]["lr"] = rate
            optimizer.zero_grad()
            error = loss(model(batch[0]), batch[1])
            error.backward()
            optimizer.step()
            average = SMOOTHING * average + (1 - SMOOTHING) * error.item()
            smoothed = average / (1 - SMOOTHING ** (step + 1))
            if not isfinite(smoothed):
                break
            rates.append(rate)
            losses.append(smoothed)
            if smoothed > DIVERGED * min(losses):
                break
        return cls(*(numpy.array(values[SKIPPED_FIRST:-SKIPPED_LAST]) for values in (rates, losses)))

    @property
    def steep(self) -> float | None:
        """Where the loss falls fastest, over the logarithm of the rate."""
        if len(self.rates) < FEWEST:
            return None
        return float(self.rates[numpy.argmin(numpy.diff(self.losses) / numpy.diff(numpy.log(self.rates)))])

    @property
    def valley(self) -> float | None:
        """In the longest valley, between its thirds.

        The valley is the longest sequence of ever lower losses, not all of them neighbours. fastai's text says that the
        rate lies about two thirds through it; what its library takes, and so what its users get, is a third and then a
        sixth of the sequence's length after the place that is as long before its end. So does this.
        """
        if len(self.rates) < FEWEST:
            return None
        lengths = numpy.ones(len(self.losses), int)
        for i, loss in enumerate(self.losses):
            lengths[i] += max(lengths[:i][self.losses[:i] > loss], default=0)
        length = int(lengths.max())
        if length == 1:
            return float(self.rates[0])
        start = int(lengths.argmax()) - length
        return float(self.rates[max(0, start + length // 3 + length // 6)])
