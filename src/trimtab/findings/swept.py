"""The rules on a sweep: search_edge, diverged and gain_within_noise, of values that were all trained.

Knows values, how often they diverged and which cannot be told apart; it knows no runs, and trains nothing.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab.findings.checked import Checked
from trimtab.findings.finding import Effect, Finding, Findings, NotChecked, Remedy
from trimtab.findings.words import percent
from trimtab.knobs.domains import HIGH, LOW, Bounds
from trimtab.knobs.table import KNOBS
from trimtab.text.wording import counted, listed

# A line needs a third point to have an end that is not half of it.
FEWEST_VALUES = 3
# Values beyond an end that a remedy names, each as far from the one before as the last two were (a guess).
BEYOND = 3
MORE_SEEDS, FEWEST_SEEDS = 4, 10


@dataclass(frozen=True)
class SweptRecord:
    """What a sweep came to: for each of `values`, by the knobs that were turned, its mean `errors` over runs (lower is
    better; infinite where it was lost, NaN where it has no score) and how many of its `runs` had `diverged`.

    `best` is the place of the best value, None where all were lost; `alike` are those that cannot be told apart from it
    by a simultaneous 95 % interval over runs and rows (`networks.comparison`), where the noise is known at all.
    """

    values: Sequence[Mapping[str, Any]]
    errors: Sequence[float]
    diverged: Sequence[int]
    runs: int
    best: int | None
    alike: Sequence[int]
    is_noise_known: bool = True
    metric: str = "validation loss"
    greater_is_better: bool = False

    @property
    def knobs(self) -> tuple[str, ...]:
        return tuple(self.values[0]) if self.values else ()

    @property
    def lost(self) -> tuple[int, ...]:
        """The values that diverged in most of their runs."""
        return tuple(place for place, count in enumerate(self.diverged) if 2 * count > self.runs)

    @property
    def scored(self) -> tuple[int, ...]:
        """The values that can be compared."""
        lost = set(self.lost)
        return tuple(place for place, error in enumerate(self.errors) if math.isfinite(error) and place not in lost)

    @property
    def error_in_words(self) -> str:
        return f"1 - {self.metric}" if self.greater_is_better else self.metric


def checks(record: SweptRecord) -> Iterable[Checked]:
    """All rules on a sweep."""
    yield from search_edge(record)
    yield diverged(record)
    yield gain_within_noise(record)


def search_edge(record: SweptRecord) -> list[Checked]:
    """The best value of a knob of numbers is the first or the last that was tried, and others are measurably worse.

    Rule: of three values or more the best stands at an end beyond which the knob may go, and not all that trained are
    alike by the interval of the comparison: the best of equal ones stands at an end by chance. One finding for each
    knob.
    """
    if record.best is None:
        return []
    if record.is_noise_known and set(record.scored) <= set(record.alike):
        return []
    outcomes = [_edge(record, knob) for knob in record.knobs]
    return [each for each in outcomes if each is not None]


def _edge(record: SweptRecord, knob: str) -> Checked:
    every = _ordered([value[knob] for value in record.values], knob)
    if every is None or len(every) < FEWEST_VALUES or record.best is None:
        return None
    best = _place_of(record.values[record.best][knob], knob)
    if best not in (every[0], every[-1]):
        return f"The best {knob} ({_shown(best)}) lies within what was tried."
    end = HIGH if best == every[-1] else LOW
    further = _beyond(every if end == HIGH else every[::-1], knob)
    if not further:
        return f"The best {knob} ({_shown(best)}) is as {'large' if end == HIGH else 'small'} as it can be."
    side = "larger" if end == HIGH else "smaller"
    numbers = ", ".join(map(_shown, further))
    return Finding(
        "search_edge",
        "medium" if record.is_noise_known and len(record.alike) == 1 else "low",
        f"The best {knob} ({_shown(best)}) is the {'largest' if end == HIGH else 'smallest'} of "
        f"{counted(len(every), 'value')} that were tried: a {side} one may be better.",
        {"knob": knob, "value": best, "end": end, "values": len(every)},
        Effect("What lies beyond was not tried."),
        Remedy("Sweep on beyond it.", flag=f"--knob {knob} --values {numbers.replace(' ', '')}",
               code=f"{knob}=[{numbers}]"),
    )  # fmt: skip


def diverged(record: SweptRecord) -> Checked:
    """Runs diverged that tell nothing: all, or some of values other than the two at the edge of what trains.

    Rule: counts alone. To see where the edge of a knob of numbers lies, its last value that trains and the first that
    does not are needed; of a knob of names no value is.
    """
    total = record.runs * len(record.values)
    count = sum(record.diverged)
    if not count:
        return "No run of the sweep diverged."
    knobs = listed(record.knobs)
    if not record.scored:
        return Finding(
            "diverged",
            "high",
            f"No value of {knobs} trains: {count:,} of {counted(total, 'run')} diverged.",
            {"diverged": count, "runs": total},
            Effect("The sweep tells nothing but that.", None, True),
            _smaller(record),
        )
    needless = count - sum(record.diverged[place] for place in _at_the_edge(record))
    if not needless:
        return "Only runs at the edge of what trains diverged: that is how the edge is seen."
    return Finding(
        "diverged",
        "medium" if 2 * needless > total else "low",
        f"{percent(count / total)} of the runs diverged ({count:,} of {total:,}), {needless:,} of them away from the "
        f"edge of what trains.",
        {"diverged": count, "runs": total, "needless": needless,
         "values": [_plain(record.values[place]) for place in record.lost]},
        Effect(f"{percent(needless / total)} of the sweep's runs tell nothing about {knobs}.", None, True),
        _range(record),
    )  # fmt: skip


def gain_within_noise(record: SweptRecord) -> Checked:
    """No value does better than any other: turning the knob gains nothing that could be told from chance.

    Rule: every value that trained lies within the simultaneous 95 % interval around the best (`networks.comparison`).
    """
    knobs = " and ".join(record.knobs)
    if len(record.scored) < 2 or record.best is None:
        return None
    if not record.is_noise_known:
        return NotChecked(
            "gain_within_noise", "one run of each value cannot tell a difference from chance: give more seeds"
        )
    worse = set(record.scored) - set(record.alike)
    if worse:
        verb = "is" if len(worse) == 1 else "are"
        return f"{counted(len(worse), 'value')} of {knobs} {verb} measurably worse than the best."
    least, most = (choose(record.errors[place] for place in record.scored) for choose in (min, max))
    share = (most - least) / abs(least) if least else math.inf
    seeds = max(FEWEST_SEEDS, MORE_SEEDS * record.runs)
    return Finding(
        "gain_within_noise",
        "low",
        f"The values of {knobs} cannot be told apart: the best and the worst of {len(record.scored)} differ by "
        f"{percent(share)} in {record.error_in_words}, over {counted(record.runs, 'run')} of each, "
        "no more than chance may make.",
        {"values": len(record.scored), "runs": record.runs, "share": share},
        Effect("No gain is shown; one that is smaller than these runs and rows can tell may be there.", None, True),
        Remedy("Turn another knob; or give more seeds and more rows to judge by, if a gain this small matters.",
               flag=f"--seeds {seeds}", code=f"seeds={seeds}"),
    )  # fmt: skip


def without_what_was_tried(found: Findings, record: SweptRecord) -> Findings:
    """Findings about the best value's training without those whose remedy lies among the values that were swept: it was
    tried, and the best is better or as good."""
    tried = {finding.id: finding.remedy.change for finding in found.found if _was_tried(finding, record)}
    healthy = tuple(
        f"What {name} would change was tried: {listed(f'{knob} {_shown(value)}' for knob, value in change.items())} "
        "is no better."
        for name, change in tried.items()
    )
    kept = tuple(finding for finding in found.found if finding.id not in tried)
    return Findings(kept, (*found.healthy, *healthy), found.not_checked)


def _was_tried(finding: Finding, record: SweptRecord) -> bool:
    """Whether the remedy changes swept knobs of numbers alone, each to a value between two that trained."""
    change = finding.remedy.change
    if not change or not set(change) <= set(record.knobs):
        return False
    for knob, value in change.items():
        every = _ordered([record.values[place][knob] for place in record.scored], knob)
        number = _place_of(value, knob)
        if not every or number is None or not every[0] <= number <= every[-1]:
            return False
    return True


# -- values in their order


def _ordered(values: Iterable[Any], knob: str) -> list[float] | None:
    """The distinct values from the smallest on; None where they are no numbers."""
    distinct = [_place_of(value, knob) for value in values]
    numbers = {number for number in distinct if number is not None}
    return sorted(numbers) if len(distinct) and None not in distinct else None


def _place_of(value: Any, knob: str) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    # A batch of 0 rows stands for all rows.
    return math.inf if knob == "batch_size" and value == 0 else value


def _at_the_edge(record: SweptRecord) -> set[int]:
    """The places of the largest value that trains and of the next one, along each knob of numbers."""
    places, scored = set[int](), set(record.scored)
    for knob in record.knobs:
        lines: dict[str, list[tuple[float, int]]] = {}
        for place, value in enumerate(record.values):
            number = _place_of(value[knob], knob)
            if number is None:
                break
            beside = repr([each for name, each in value.items() if name != knob])
            lines.setdefault(beside, []).append((number, place))
        else:
            for line in lines.values():
                order = [place for _, place in sorted(line)]
                last = max((i for i, place in enumerate(order) if place in scored), default=None)
                places |= set() if last is None else set(order[last : last + 2])
    return places


def _beyond(rising: Sequence[float], knob: str) -> list[float]:
    """Values that go on from the last of these as they came to it, as far as the knob may go."""
    before, last = rising[-2:]
    bounds = KNOBS[knob].bounds if knob in KNOBS else None
    bounds = bounds or Bounds(low=0.0 if min(before, last) >= 0 else -math.inf)
    is_whole = bounds.is_whole or (all(float(each).is_integer() for each in (before, last)) and knob not in KNOBS)
    found: list[float] = []
    for _ in range(BEYOND):
        following = last * last / before if before > 0 and last > 0 else 2 * last - before
        if not math.isfinite(following):
            break
        before, last = last, following
        value = round(following) if is_whole else float(f"{following:.3g}")
        if not bounds.low <= value <= bounds.high or (value == bounds.low and bounds.is_open) or value in found:
            break
        if value not in rising:
            found.append(value)
    return found


# -- remedies of a sweep whose runs diverge


def _range(record: SweptRecord) -> Remedy:
    """The values that train, as a range or a list."""
    lost = set(record.lost)
    kept: dict[str, dict[str, Any]] = {knob: {} for knob in record.knobs}
    for place, value in enumerate(record.values):
        for knob in record.knobs:
            if place not in lost:
                kept[knob].setdefault(_text(value[knob]), value[knob])
    code = ", ".join(f"{knob}=[{', '.join(values)}]" for knob, values in kept.items())
    if len(record.knobs) > 1:
        return Remedy("Sweep the values that train together, or a lower rate with the others.", code=code)
    (knob, values), *_ = kept.items()
    numbers = _ordered(values.values(), knob)
    text = "Sweep the values that train."
    if numbers is not None and len(numbers) > 1:
        text = f"Sweep {knob} from {_shown(numbers[0])} to {_shown(numbers[-1])}."
    plain = ",".join(text.strip("'") for text in values)
    return Remedy(text, flag=f"--knob {knob} --values {plain}", code=code)


def _smaller(record: SweptRecord) -> Remedy:
    """A range of smaller rates."""
    rates = _ordered([value["lr"] for value in record.values], "lr") if "lr" in record.knobs else None
    if not rates:
        return Remedy("Lower the learning rate by ten, or scale inputs and target.", {"lr": 1e-4}, "--lr 0.0001",
                      "lr=0.0001")  # fmt: skip
    low, high = (float(f"{rates[0] * factor:.3g}") for factor in (1e-4, 0.1))
    values = [float(f"{low * 10**i:.3g}") for i in range(4)]
    return Remedy(
        f"Sweep smaller rates, from {low:g} to {high:g}, or scale inputs and target.",
        flag=f"--knob lr --values {','.join(f'{value:g}' for value in values)}",
        code=f"lr=[{', '.join(f'{value:g}' for value in values)}]",
    )


def _shown(value: float | None) -> str:
    return "all rows" if value == math.inf else f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return repr(value) if isinstance(value, (str, int)) else getattr(value, "__name__", None) or repr(value)


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    return {knob: each if isinstance(each, (str, int, float)) else _text(each) for knob, each in value.items()}
