"""Learnt neighbours: a few networks that learn nothing but which rows to ask, as candidates for a study's model.

Where rows repeat or nearly repeat they tell what no output layer learns in a minute (RESULTS.md, "Neighbours"). Knows
rows, clocks and how such a network learns; it chooses nothing but when each of them was best.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy
import torch
from torch import Tensor

from trimtab.knobs.domains import Value
from trimtab.knobs.knob import Task
from trimtab.machine import be_a_thread_of_lanes
from trimtab.nets.mlp import MLP
from trimtab.studies.remembering import (
    SECONDS_OF_A_PAIR,
    UNITS_OF_A_PAIR,
    Recalled,
    nearest_of_fold,
    seconds_to_recall,
)
from trimtab.table.prepared import Prepared
from trimtab.training.data import TrainingData
from trimtab.training.lanes.precision import multiplying
from trimtab.training.metrics import Metric
from trimtab.training.nca import Course, NeighbourhoodComponents
from trimtab.training.programs.mlp_program import MLPProgram
from trimtab.training.randomness import initialised, number_from
from trimtab.tuning.scoring import Scoring
from trimtab.tuning.trial import TrialRecord, out_of_fold

# The shares of a budget that are kept for them at most: to learn, and to ask about the rows that judge (half of that:
# guesses).
SHARE_OF_BUDGET, SHARE_OF_ASKING = 0.2, 0.1
# The share of a budget in which one is tried first, and the shares of its say: where it adds less to the best trial
# than another trial does, whole lessons had hardly a part in the model (RESULTS.md, "Networks that learn whom to ask").
SHARE_OF_TRYING, SAYS = 0.05, (0.25, 0.5, 0.75)
# So many passes over the rows are enough on large tables, and so many steps on small ones; beyond the most of them
# there is little to gain. In fewer than the fewest nothing is learnt (RESULTS.md, "Neighbours").
PASSES, USUAL_STEPS, MOST_STEPS, FEWEST_STEPS = 20, 300, 1_500, 60
# Where the trials are counted, and no clock may decide: the rows that all of these networks see, as a share of those
# that the trials' networks saw.
SHARE_OF_ROWS = 0.25
# When a network is looked at, in shares of its steps: small tables are learnt by heart soon. By so many rows of each
# fold: the moments are compared on the same rows, and differ by more than their noise.
LOOKED_AT, ROWS_LOOKED_AT = (0.06, 0.12, 0.25, 0.5, 0.75, 1.0), 1_000
# What others in an ensemble give to a class that none of the rows asked is of, and that has no probability alone.
SAID_BY_OTHERS = 0.02
# Steps by which one is timed, and what is left of the time that others seem to take (guesses).
TIMED_STEPS, SAFETY = 3, 0.9


Build = Callable[[Mapping[str, str | int | float]], MLP]


@dataclass(frozen=True)
class Lesson:
    """One of these networks: what it is made of, and how it learns, in however many steps."""

    network: Mapping[str, str | int | float]
    course: Course

    @classmethod
    def of(cls, inputs: str, depth: int = 1, **course: float) -> "Lesson":
        network = {"width": WIDTH, "depth": depth, "activation": "silu", "inputs": inputs}
        return cls(network, Course(0, **course))  # type: ignore[arg-type]


# Units that are compared: distances take as long as there are units, and twice as many were no better.
WIDTH = 64
STRUCTURE = {"width", "depth", "activation", "inputs"}
# So often are they gone through, with other seeds: the mean of two is another 1 to 4 % better where they are, and small
# tables have the time.
TIMES = 2
# In this order, as far as there is time. What is asked in a step should lie as close as all rows do; fewer are another
# network, and better where few rows are far from all others, as on taxis. Classes are learnt by heart sooner.
LESSONS = {
    "regression": TIMES
    * (
        Lesson.of("piecewise", weight_decay=0.1),
        Lesson.of("periodic", weight_decay=0.1),
        Lesson.of("piecewise", depth=2, weight_decay=0.1, asked=2_048),
    ),
    "classification": TIMES
    * (
        Lesson.of("piecewise", weight_decay=1.0, dropout=0.1, share_asked=0.6),
        Lesson.of("periodic", weight_decay=1.0, dropout=0.1, share_asked=0.6),
    ),
}


def lessons_for(task: Task, held: Mapping[str, Value]) -> tuple[Lesson, ...]:
    """Those of a table's task that keep the knobs which are `held` still: the networks' structure can be; where it is
    how they are trained, or that they have no hidden layer, there are none."""
    if held.get("depth") == 0 or not held.keys() <= STRUCTURE:
        return ()
    return tuple(replace(lesson, network={**lesson.network, **held}) for lesson in LESSONS[task])


@dataclass(frozen=True)
class Allowance:
    """What these networks may take: `seconds`, or, where no clock decides, so many `rows` that are seen by all."""

    seconds: float = float("inf")
    rows: float = float("inf")

    @classmethod
    def beside(cls, trials: Sequence[TrialRecord], data: TrainingData) -> "Allowance":
        """That of a search whose trials are counted."""
        rows = [len(fold.train) for fold in data.folds]
        seen = sum(epochs * own for record in trials for epochs, own in zip(record.epochs, rows, strict=False))
        return cls(rows=SHARE_OF_ROWS * seen)


def affordable(lessons: Sequence[Lesson], prepared: Prepared, budget: float) -> Sequence[Lesson]:
    """The first of them, as far as there is time to ask their networks about all rows that judge, within a budget of so
    many seconds."""
    return lessons[: int(min(len(lessons), SHARE_OF_ASKING * budget / max(1e-9, seconds_to_ask(prepared))))]


def seconds_to_ask(prepared: Prepared) -> float:
    """What asking one network about all rows that judge takes."""
    return seconds_to_recall(prepared) * WIDTH / UNITS_OF_A_PAIR


def learnt(
    lessons: Sequence[Lesson],
    data: TrainingData,
    build: Build,
    metric: Metric,
    allowance: Allowance,
    *,
    threads: int,
    seed: int,
    is_over: Callable[[], bool] = lambda: False,
) -> list[Recalled]:
    """The networks of these `lessons`, trained side by side in `threads`, each as it was when the neighbours of
    validation rows predicted best; those alone for which there is time before it `is_over`. What they learn follows
    from `seed`, and where rows are counted nothing depends on the clock or on the threads.
    """
    if not lessons or _fewest_rows(data) < 2:
        return []
    began, rows, scoring = time.monotonic(), allowance.rows, Scoring(data, metric)
    pupils: list[tuple[_Pupil, float]] = []
    for place, lesson in enumerate(lessons):
        pupils.append((_Pupil(place, lesson, build, scoring, seed), rows))
        rows -= pupils[-1][0].rows_wanted

    def taught(one: tuple[_Pupil, float]) -> Recalled | None:
        left = allowance.seconds - (time.monotonic() - began)
        return None if is_over() or left <= 0 else one[0].taught(Allowance(left, one[1]), is_over)

    with multiplying("high"), _threads(threads, len(lessons)) as pool:
        found = list(pool.map(taught, pupils))
    return [each for each in found if each is not None]


def is_promising(
    lessons: Sequence[Lesson],
    data: TrainingData,
    build: Build,
    metric: Metric,
    found: Sequence[numpy.ndarray],
    *,
    seconds: float,
    threads: int,
    seed: int,
    is_over: Callable[[], bool] = lambda: False,
) -> bool:
    """Whether the first of these `lessons`, learnt in so few `seconds`, adds more to the best of the predictions that
    were `found` than any other of them does; yes where that is too little time to see anything."""
    allowance = Allowance(seconds=seconds)
    tried = learnt(lessons[:1], data, build, metric, allowance, threads=threads, seed=seed, is_over=is_over)
    if not tried:
        return True
    scoring = Scoring(data, metric)
    best, *others = sorted(found, key=scoring.pooled_error)

    def beside_best(other: numpy.ndarray) -> float:
        errors = [scoring.pooled_error(says * other + (1 - says) * best) for says in SAYS]
        return min((error for error in errors if numpy.isfinite(error)), default=numpy.inf)

    return beside_best(tried[0].predictions) < min([scoring.pooled_error(best), *map(beside_best, others)])


def seconds_wanted(
    lessons: Sequence[Lesson], data: TrainingData, build: Build, metric: Metric, *, threads: int
) -> tuple[float, float]:
    """In how many seconds anything is learnt of these `lessons`, and what all of them take; by the first steps of the
    very first."""
    if not lessons or _fewest_rows(data) < 2:
        return 0.0, 0.0
    with multiplying("high"), _threads(threads, len(lessons)) as pool:
        pupil = pool.submit(_Pupil, 0, lessons[0], build, Scoring(data, metric), 0).result()
        each = pool.submit(pupil.seconds_of_a_step).result()
    fewest, all_steps = (
        each * steps / SAFETY + pupil.seconds_of_looking() for steps in (FEWEST_STEPS, pupil.steps_wanted)
    )
    return fewest, all_steps * -(-len(lessons) // threads)


def _fewest_rows(data: TrainingData) -> int:
    """Those that count and that a fold trains on."""
    return min(int((data.weights[fold.train] > 0).sum()) for fold in data.folds)


def _threads(threads: int, networks: int) -> ThreadPoolExecutor:
    """One for each network, as far as there are so many; else each network has several."""
    at_once = max(1, min(threads, networks))
    return ThreadPoolExecutor(at_once, initializer=be_a_thread_of_lanes, initargs=(max(1, threads // at_once),))


class _Pupil:
    """The networks of all folds that follow one lesson."""

    def __init__(self, place: int, lesson: Lesson, build: Build, scoring: Scoring, seed: int) -> None:
        self.place, self.lesson, self.data, self.scoring = place, lesson, scoring.data, scoring
        data = self.data
        self.seed = number_from("lesson", seed, place)
        modules = [
            initialised(partial(build, lesson.network), number_from("fold", self.seed, fold))
            for fold in range(len(data.folds))
        ]
        self.program = MLPProgram(modules[0].to(data.device))
        self.start = torch.stack([self.program.layout.flatten(dict(each.named_parameters())) for each in modules])
        self.rows = [fold.train for fold in data.folds]
        predicted, asked = lesson.course.batch(_fewest_rows(data))
        passes = PASSES * max(len(own) for own in self.rows)
        self.steps_wanted = int(min(MOST_STEPS, max(USUAL_STEPS, passes / predicted)))
        self.rows_of_a_step = (predicted + asked) * len(self.rows)
        self.rows_wanted = self.steps_wanted * self.rows_of_a_step

    def _learning(self, steps: int) -> NeighbourhoodComponents:
        course = replace(self.lesson.course, steps=steps)
        return NeighbourhoodComponents(self.program, self.start, self.data, self.rows, course, seed=self.seed)

    def seconds_of_a_step(self) -> float:
        learning = self._learning(1 + TIMED_STEPS)
        learning.step()
        began = time.monotonic()
        for _ in range(TIMED_STEPS):
            learning.step()
        return (time.monotonic() - began) / TIMED_STEPS

    def seconds_of_looking(self) -> float:
        """What asking the training rows takes, whenever it is looked at, and about all validation rows in the end."""
        looked_at = sum(len(fold.train) * min(ROWS_LOOKED_AT, len(fold.validation)) for fold in self.data.folds)
        every = sum(len(fold.train) * len(fold.validation) for fold in self.data.folds)
        return SECONDS_OF_A_PAIR * WIDTH / UNITS_OF_A_PAIR * (len(LOOKED_AT) * looked_at + every)

    def taught(self, allowance: Allowance, is_over: Callable[[], bool]) -> Recalled | None:
        """What is recalled by the networks at their best; None where there is too little time to learn anything."""
        began = time.monotonic()
        steps = self._affordable(allowance)
        if steps < FEWEST_STEPS:
            return None
        learning = self._learning(steps)
        looks = {max(1, round(share * steps)) for share in LOOKED_AT}
        best, state = numpy.inf, None
        for step in range(1, steps + 1):
            learning.step()
            # The last steps are lost where they took longer than was thought: what was found before them is not.
            is_late = is_over() or time.monotonic() - began > allowance.seconds
            if step not in looks and not is_late:
                continue
            error = self._error(learning.parameters, learning.reaches)
            if error < best:
                best, state = error, (learning.parameters, learning.reaches)
            if is_late:
                break
        if state is None:
            return None
        predictions, relative = self._asked(*state, rows=None)
        return Recalled(self.lesson.network, state[0].cpu(), relative, predictions, place=self.place)

    def _affordable(self, allowance: Allowance) -> int:
        steps = self.steps_wanted
        if allowance.rows < float("inf"):
            return int(min(steps, allowance.rows / self.rows_of_a_step))
        if allowance.seconds < float("inf"):
            began = time.monotonic()
            each = self.seconds_of_a_step()
            left = allowance.seconds - (time.monotonic() - began) - self.seconds_of_looking()
            return int(min(steps, SAFETY * left / each))
        return steps

    def _error(self, parameters: Tensor, reaches: Sequence[float]) -> float:
        predictions, _ = self._asked(parameters, reaches, rows=ROWS_LOOKED_AT)
        if self.data.task == "classification":
            predictions = (1 - SAID_BY_OTHERS) * predictions + SAID_BY_OTHERS / self.data.outputs
        found = self.scoring.pooled_error(predictions)
        return found if numpy.isfinite(found) else numpy.inf

    def _asked(
        self, parameters: Tensor, reaches: Sequence[float], *, rows: int | None
    ) -> tuple[numpy.ndarray, tuple[float, ...]]:
        """What the neighbours of validation rows say, of so many `rows` of each fold that are evenly chosen, or of all;
        and the reaches in the spread of the rows that are asked."""
        said, relative = [], []
        for flat, reach, fold in zip(parameters, reaches, self.data.folds, strict=True):
            own = numpy.full((len(fold.validation), self.data.outputs), numpy.nan)
            chosen = torch.arange(len(own))
            if rows is not None and len(own) > rows:
                chosen = torch.linspace(0, len(own) - 1, rows).long()
            asking = fold.validation[chosen.to(fold.validation.device)]
            kept, distances, places = nearest_of_fold(self.program, flat, self.data, fold, asking)
            relative.append(reach / kept.reach)
            own[chosen.numpy()] = kept.mean(distances, places, reach).numpy()
            said.append(own)
        return out_of_fold(self.data, said), tuple(relative)
