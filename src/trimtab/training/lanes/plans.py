"""Plans: which rows each lane sees in its next steps, and at which rates.

Row order follows from (seed, fold, epoch) alone, so that two configs can be compared on the same batches. Knows
configs and row numbers; it knows no networks and no threads.
"""

from collections import OrderedDict
from collections.abc import Sequence

import numpy
import torch

from trimtab.training.data import TrainingData
from trimtab.training.lanes.lane import Lane
from trimtab.training.programs.step import AVERAGE, COLUMNS, DROPOUT, NOTED, NOTED_EVERY, Plan
from trimtab.training.randomness import mask_keys, row_order, threshold_of
from trimtab.training.rules.schedules import course_factors
from trimtab.training.rules.update import OptimizerCoefficients, step_rates

# Row orders that are kept, in bytes, and what Python needs beside the numbers of each. A guess: lanes of one seed and
# fold share an epoch's order while they are within some epochs of one another, which takes far less on small tables.
BYTES_OF_ORDERS, BYTES_OF_AN_ENTRY = 8 << 20, 500
# Row numbers that are planned at once, 4 bytes each: 32 MiB, so that a round over a million rows needs no more.
NUMBERS_AT_ONCE = 8 << 20
# Steps of a window at least: planning is a handful of calls, whatever it plans.
FEWEST_PLANNED = 16


class RowOrders:
    """The rows of each epoch in the order of their batches, the latest kept: runs of one seed share them."""

    def __init__(self, data: TrainingData) -> None:
        self.padding = data.rows
        self.dtype = numpy.int32 if data.rows < 2**31 - 1 else numpy.int64
        self._train = [fold.train.cpu().numpy() for fold in data.folds]
        self._kept: OrderedDict[tuple[int, ...], numpy.ndarray] = OrderedDict()
        self._bytes = 0

    def batches(self, lane: Lane, epoch: int) -> numpy.ndarray:
        """Row numbers [batches, size] of `epoch` of the run in `lane`; a short last batch ends in padding."""
        request = lane.request
        key = (request.seed, request.fold, epoch, lane.size)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        train = self._train[request.fold]
        rows = numpy.full(lane.batches * lane.size, self.padding, dtype=self.dtype)
        order = train[row_order(len(train), seed=request.seed, fold=request.fold, epoch=epoch)][: len(rows)]
        rows[: len(order)] = order
        self._keep(key, rows.reshape(lane.batches, lane.size))
        return self._kept[key]

    def _keep(self, key: tuple[int, ...], rows: numpy.ndarray) -> None:
        self._kept[key] = rows
        self._bytes += rows.nbytes + BYTES_OF_AN_ENTRY
        while self._bytes > BYTES_OF_ORDERS and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes + BYTES_OF_AN_ENTRY


def windows(lanes: Sequence[Lane], epochs: int) -> list[tuple[int, int]]:
    """First and last (exclusive) step of pieces of a round that fit in memory."""
    steps = max(lane.steps_of(epochs) for lane in lanes)
    at_once = max(FEWEST_PLANNED, NUMBERS_AT_ONCE // (len(lanes) * max(lane.size for lane in lanes)))
    at_once -= at_once % NOTED_EVERY  # so that a place in a window is noted where it is in the round
    return [(start, min(start + at_once, steps)) for start in range(0, steps, at_once)]


def plan(
    lanes: Sequence[Lane],
    optimizers: OptimizerCoefficients,
    orders: RowOrders,
    epochs: int,
    window: tuple[int, int],
    device: torch.device,
    dropouts: int,
) -> Plan:
    """What `lanes` do in the steps of `window` of a round of `epochs`, with masks for so many dropout layers.

    Beyond a lane's own steps there is nothing.
    """
    shape = (len(lanes), window[1] - window[0])
    rows = numpy.full((*shape, max(lane.size for lane in lanes)), orders.padding, dtype=orders.dtype)
    for i, lane in enumerate(lanes):
        _fill(rows[i], lane, orders, epochs, window)
    return _at_rates(torch.from_numpy(rows), lanes, optimizers, window, device, dropouts)


def steps_ahead(
    lane: Lane, optimizers: OptimizerCoefficients, count: int, device: torch.device, dropouts: int
) -> list[Plan]:
    """The next `count` steps of a lane by itself, one by one; whoever takes them says which rows they see."""
    since = lane.step - lane.evaluated_step
    plan = _at_rates(
        torch.empty(1, count, 0, dtype=torch.int64), [lane], optimizers, (since, since + count), device, dropouts
    )
    return [plan.at(place) for place in range(count)]


def _at_rates(
    rows: torch.Tensor,
    lanes: Sequence[Lane],
    optimizers: OptimizerCoefficients,
    window: tuple[int, int],
    device: torch.device,
    dropouts: int,
) -> Plan:
    """The plan of the steps of `window` with these rows."""
    count = window[1] - window[0]
    shape = (len(lanes), count)
    rates, decays, dropout = (numpy.ones(shape) for _ in range(3))
    before = numpy.array([lane.step for lane in lanes])
    for i, lane in enumerate(lanes):
        config = lane.request.config
        # `step` counts up while the windows of a round pass, so a window's first step is the lane's next one.
        rates[i] = lane.schedule.factors(lane.step, count)
        rates[i] *= config.optimizer.learning_rate
        total = lane.batches * config.epochs
        if config.decay_course != "constant":
            decays[i] = course_factors(config.decay_course, lane.step, count, total)
        if config.dropout:
            dropout[i] = config.dropout * course_factors(config.dropout_course, lane.step, count, total)
        else:
            dropout[i] = 0.0
    numbers = torch.from_numpy(before[:, None] + numpy.arange(1, count + 1))
    columns = torch.empty(*shape, COLUMNS, dtype=optimizers.first_weight.dtype)
    columns[:, :, :DROPOUT] = step_rates(
        optimizers, numbers.to(device), torch.from_numpy(rates).to(device), torch.from_numpy(decays).to(device)
    ).to(columns.device)
    columns[:, :, DROPOUT] = torch.from_numpy(dropout)
    columns[:, :, AVERAGE] = _average_weights(lanes, numbers)
    columns[:, :, NOTED] = (torch.arange(window[0], window[1]) % NOTED_EVERY == 0).to(columns)
    seeds = torch.tensor([lane.request.seed for lane in lanes]).unsqueeze(1).expand_as(numbers)
    keys = mask_keys(seeds, numbers, dropouts)
    thresholds = threshold_of(columns[:, :, DROPOUT].float())  # in any precision the same masks
    return Plan(*(part.to(device) for part in (rows, columns, thresholds, keys)))


def _fill(rows: numpy.ndarray, lane: Lane, orders: RowOrders, epochs: int, window: tuple[int, int]) -> None:
    """Lay the lane's batches of the steps of `window` into `rows` [steps, batch]."""
    last = min(window[1], lane.steps_of(epochs))
    at = window[0]
    while at < last:
        k, first = divmod(at, lane.batches)
        until = min(last, (k + 1) * lane.batches)
        # The epochs of a round begin at the lane's epoch, whatever was stepped since.
        pieces = orders.batches(lane, lane.epoch + k)[first : first + until - at]
        rows[at - window[0] : until - window[0], : lane.size] = pieces
        at = until


def _average_weights(lanes: Sequence[Lane], numbers: torch.Tensor) -> torch.Tensor:
    """The weight of the newest parameters in a lane's moving average, 1 where it has none.

    The decay grows with the steps up to its own value, min(decay, (1 + t) / (10 + t)), so that an average soon forgets
    its start, as TensorFlow's ExponentialMovingAverage does with `num_updates`.
    """
    decays = torch.tensor([lane.request.config.averaging for lane in lanes], dtype=torch.float64).unsqueeze(1)
    return 1 - torch.minimum(decays, (1 + numbers) / (10 + numbers))
