"""tt.doctor: a network, its rows, its loss and its rate looked at before training, and the remedies tried.

Checks what comes in and hands it to the floors below. Knows no terminal.
"""

import time
from collections.abc import Callable
from typing import Any

from torch import nn

from trimtab.checkups.checkup import Checkup
from trimtab.checkups.examination import FEWEST_PAIRS, Examination
from trimtab.checkups.optimizers import rate_of, with_own_rule
from trimtab.checkups.rows import few_rows
from trimtab.checkups.setup import Setup
from trimtab.errors import OptionError
from trimtab.fit import recipe_of
from trimtab.machine import device_named, lanes_in_threads
from trimtab.networks.datasets import Datasets
from trimtab.networks.networks import Networks
from trimtab.networks.recipe import refuse_idle
from trimtab.networks.runs import for_training
from trimtab.training.config import whole
from trimtab.tuning.budget import parse_duration


def doctor(
    module: nn.Module | Callable[..., nn.Module],
    train: Any = None,
    valid: Any = 0.2,
    *,
    data: Any = None,
    loss: Any = None,
    optimizer: Any = "adam",
    lr: float | None = None,
    batch_size: int | None = None,
    weight_decay: float | None = None,
    steps: int = 300,
    seeds: int = 5,
    seed: int = 0,
    device: str = "auto",
    budget: str | float = "30s",
    **knobs: Any,
) -> Checkup:
    """Look at a network before it is trained: what is wrong with it, its rows, its loss or its rate.

        print(tt.doctor(network, (X, y), loss="mse", lr=0.01))

    It looks at the output layer beside the loss, the size of inputs and target, the gradients of the first steps, and
    dead units. Then it trains for some hundred steps: the network as it is, and beside it with each remedy, from the
    same seeds on the same rows in the same order; the learning rate beside a sweep of others; and the network on 32
    rows that it should learn by heart, beside a control network. Module, data and generators stay as they are.

    Arguments:
        module: as in `tt.fit`.
        train: as in `tt.fit`; `data` is another name for it. Of many rows 4,096 are used, drawn at random.
        valid: as in `tt.fit`; of many rows 2,048.
        loss: as in `tt.fit`.
        optimizer: as in `tt.fit`.
        lr: the learning rate, as in `tt.fit`.
        batch_size: as in `tt.fit`.
        weight_decay: as in `tt.fit`.
        steps: how long a short training is, in steps.
        seeds: how many short trainings each set-up gets. Of a module, which begins with the weights that it has, they
            differ in the order of rows and in dropout.
        seed: the first of the seeds, and that of the rows set aside.
        device: as in `tt.fit`.
        budget: the time that it may take at most, about: "30s", "2m", or seconds. What was not reached is said.
        knobs: the function's own arguments, where `module` is one that takes some, and other knobs of `tt.fit` but for
            its duration.

    Raises a TrimtabError that says what cannot be used and what to do.
    """
    deadline = time.monotonic() + parse_duration(budget)
    steps, seeds, seed = whole("steps", steps, least=10), whole("seeds", seeds, least=FEWEST_PAIRS), whole("seed", seed)
    if idle := next((name for name in ("epochs", "stop", "schedule") if name in knobs), None):
        raise OptionError(
            f"{idle} has no effect here: a check-up trains for steps={steps} at a constant rate. Leave it out."
        )
    given = knobs | {
        name: value
        for name, value in (("loss", loss), ("optimizer", optimizer), ("lr", lr), ("batch_size", batch_size),
                            ("weight_decay", weight_decay))
        if value is not None
    }  # fmt: skip
    networks = Networks(module)
    with lanes_in_threads(), for_training():
        wanted = recipe_of(networks, given)
        refuse_idle([wanted])
        datasets = Datasets.read(Datasets.one_of(train, data), valid, seed=seed, batch_size=wanted.asked_rows)
        if batch_size is None and datasets.batch_size:
            wanted = recipe_of(networks, given | {"batch_size": datasets.batch_size})
        wanted = with_own_rule(wanted, networks.made(wanted.config.module_arguments, seed))
        rate = rate_of(wanted)
        few, notes = few_rows(datasets, seed)
        setup = Setup(networks, few, wanted, seed, device_named(device))
        return Examination(setup, steps, range(seed, seed + seeds), deadline, rate, list(notes)).made()
