"""What earlier calls of a search have tried, taken over by one that goes on as if it had tried that itself.

Knows values, records and where proposals come from; it trains nothing and opens no files.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from trimtab.knobs.domains import Value
from trimtab.tuning.ahead import Ahead, InOrder, Proposals, Waves
from trimtab.tuning.halving import Halving
from trimtab.tuning.proposer import REMEMBERED_BEST, REMEMBERED_LATEST, Proposer
from trimtab.tuning.repeats import Repeats
from trimtab.tuning.space import SearchSpace
from trimtab.tuning.trial import TrialRecord
from trimtab.tuning.variants import Variants


def proposals_after(
    earlier: Sequence[TrialRecord],
    waiting: Sequence[tuple[int, Mapping[str, Value]]],
    *,
    space: SearchSpace,
    seed: int,
    lag: int | None,
    first: int,
    trials_at_once: Callable[[Mapping[str, Value]], int],
    repeats: Repeats,
    halving: Halving,
) -> Proposals:
    """Where proposals come from, as it would stand after `earlier` trials and the numbered ones that are `waiting`.

    With a `lag` they come in the order of the trials, else ahead of them from number `first` on. `repeats` and
    `halving` are told of the trials too.
    """
    # Where nothing is known beforehand of what is good, the first trials do not tell either.
    variants = Variants(space, seed=seed) if space.guesses else None
    waves = Waves(
        Proposer(space, seed=seed), trials_at_once, grow=lag is not None, repeats=repeats, variants=variants
    )  # fmt: skip
    proposals = waves if lag is None else InOrder(waves, lag=lag)
    records = {record.number: record for record in earlier if not record.name and is_of(space, record)}
    proposed = {number: record.values for number, record in records.items()} | dict(waiting)
    told = set(proposed) if lag is not None else _worth_telling(proposed, records)
    for number in sorted(proposed):
        values = {name: proposed[number][name] for name in space.domains}
        if number in records:
            halving.note(records[number].rung_errors, number)
        if number not in told:
            repeats.note(values)
            continue
        proposals.again(number, values)
        if number in records:
            proposals.tell(records[number])
    return Ahead(waves, seed=seed, first=first) if lag is None else proposals


def is_of(space: SearchSpace, record: TrialRecord) -> bool:
    """Whether `space` makes the same of a trial's values: it may hold knobs still that moved before."""
    if not record.values.keys() >= space.domains.keys():
        return False
    made = space.config(record.values)
    # The time may have ended before all of its epochs.
    same = replace(record.config, epochs=made.epochs, stopping=made.stopping)
    return record.config.epochs <= made.epochs and json.dumps(same.to_json()) == json.dumps(made.to_json())


def _worth_telling(proposed: Mapping[int, object], records: Mapping[int, TrialRecord]) -> set[int]:
    """The trials that a proposer would remember, and those without an outcome."""
    best = sorted(records, key=lambda number: records[number].error)[:REMEMBERED_BEST]
    return {*best, *sorted(records)[-REMEMBERED_LATEST:], *(set(proposed) - set(records))}
