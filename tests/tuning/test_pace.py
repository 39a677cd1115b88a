from dataclasses import replace

import pytest
import torch

from training.lanes.test_engine import config, engine_for, regression_data
from trimtab.training.compiling import libraries
from trimtab.training.data import Fold
from trimtab.training.lanes.population import Structure
from trimtab.training.run import Request
from trimtab.tuning.budget import Budget
from trimtab.tuning.pace import Pace

STRUCTURE, OTHER = Structure.of(config()), Structure.of(config(batch_size=64))


@pytest.fixture(autouse=True)
def a_machine_that_compiled_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv(libraries.CACHE_VARIABLE, str(tmp_path))
    return tmp_path / "steps"


def pace_of(**seconds):
    pace = Pace(engine_for(regression_data(), threads=2))
    for name, spent in seconds.items():
        pace.note({"ours": STRUCTURE, "others": OTHER}[name], spent, steps=100)
    return pace


def test_steps_are_compiled_in_a_search_of_minutes():
    pace = pace_of(ours=2.0)
    for seconds, pays in ((30, False), (120, True)):
        assert pace.repays_compiling(STRUCTURE, Budget(seconds)) == pays


def test_what_compiling_took_on_this_machine_counts(a_machine_that_compiled_nothing):
    pace = pace_of(ours=2.0)
    assert pace.repays_compiling(STRUCTURE, Budget(120))
    a_machine_that_compiled_nothing.mkdir()
    for seconds in (20.0, 90.0, 95.0):
        libraries.note_seconds(a_machine_that_compiled_nothing, seconds)
    assert not pace.repays_compiling(STRUCTURE, Budget(120))
    assert pace.repays_compiling(STRUCTURE, Budget(600))
    (a_machine_that_compiled_nothing / "seconds.json").write_text("[nothing")
    assert pace.repays_compiling(STRUCTURE, Budget(120))


def test_the_time_in_which_the_best_is_explained_counts_for_its_step():
    pace = pace_of(ours=2.0)
    budget = Budget(72, afterwards=20.0)
    assert not pace.repays_compiling(STRUCTURE, budget)
    assert pace.repays_compiling(STRUCTURE, budget, is_best=True)


def test_a_structure_that_gets_little_of_the_time_is_not_compiled():
    assert not pace_of(ours=0.5).repays_compiling(STRUCTURE, Budget(3600))
    assert not pace_of(ours=2.0, others=200.0).repays_compiling(STRUCTURE, Budget(600))


def test_where_trials_are_counted_what_is_planned_decides():
    pace = pace_of()
    for epochs, pays in ((1, False), (10**6, True)):
        assert pace.repays_compiling_planned(STRUCTURE, runs=60, epochs=epochs) == pays


def test_folds_that_grow_cost_what_they_cost_together():
    """The first window holds a fifth of the rows of the last: what it takes says nothing of the others."""
    rows = torch.arange(120)
    windows = tuple(Fold(rows[:end], rows[end : end + 20]) for end in (20, 40, 60, 80, 100))
    equal = tuple(Fold(rows[:60], rows[60:80]) for _ in range(5))
    paces = [Pace(engine_for(replace(regression_data(), folds=folds))) for folds in (windows, equal)]
    for pace in paces:
        pace.note(STRUCTURE, 1.0, steps=1_000)
    ours = config(epochs=10_000, batch_size=1)
    growing, even = (pace.affordable_epochs(ours, Budget(600)) for pace in paces)
    assert growing == even < 10_000
    planned = [[pace.repays_compiling_planned(STRUCTURE, 60, 10**k) for k in range(1, 9)] for pace in paces]
    assert planned[0] == planned[1]


def test_near_the_end_of_a_search_all_that_trains_takes_its_part_of_the_time():
    """At first half of it will be pruned; what begins last is planned so that it ends, and is not cut."""
    pace = pace_of()
    pace.note(STRUCTURE, 1.0, steps=1_000)
    ours = config(epochs=10_000)
    population = pace.engine.population(STRUCTURE, lanes=12)
    budget = Budget(100, reserve=0.0)
    alone = pace.affordable_epochs(ours, Budget(100, started=budget.started - 90, reserve=0.0))
    pace.engine.admit(population, [Request(trial, ours, fold, 0) for trial in range(4) for fold in range(3)])
    last = Budget(100, started=budget.started - 90, reserve=0.0)
    assert pace.affordable_epochs(ours, last) == pytest.approx(alone / (1 + 0.95 * 4), rel=0.05)
    middle = Budget(100, started=budget.started - 20, reserve=0.0)
    fifth = 0.2 * 100 / 10
    assert pace.affordable_epochs(ours, middle) == pytest.approx(min(fifth, 8 / (1 + 0.6 * 4)) * alone, rel=0.05)


def test_trials_in_order_have_their_turns_before_others_and_the_first_of_them_first():
    pace = pace_of()
    ours, others = (pace.engine.population(structure, lanes=4) for structure in (STRUCTURE, OTHER))
    pace.engine.admit(ours, [Request(7, config(), 0, 0), Request(5, config(), 0, 0)])
    pace.engine.admit(others, [Request(6, config(batch_size=64), 0, 0)])
    assert pace.next_turn(None)[0] in (ours, others) and len(pace.next_turn(None, alone=True)) == 1
    assert pace.next_turn(None, {6, 7})[0] is others and pace.next_turn(OTHER, {5, 6, 7})[0] is ours
    ours.lane_steps += 10**9
    assert pace.next_turn(None)[0] is others and pace.next_turn(None, {5, 6})[0] is ours


def test_those_that_need_one_thread_go_together_where_none_has_to_wait_long():
    pace, long = pace_of(), config(epochs=60)
    assert pace.next_turn(None) == []
    few, many, more = (
        pace.engine.population(Structure.of(replace(long, batch_size=size)), lanes=40) for size in (32, 16, 64)
    )
    for population, lanes in ((few, 3), (many, 3), (more, 40)):
        each = replace(long, batch_size=population.structure.batch_size)
        pace.engine.admit(population, [Request(place, each, 0, 0) for place in range(lanes)])
    assert pace.engine.is_narrow(few) and not pace.engine.is_narrow(more)
    assert pace.together([few, many]) == [few, many]
    assert pace.together([more, few]) == [more], "two threads are quicker with it"
    for lane in many.lanes:
        lane.batches *= 10
    assert pace.together([few, many]) == [few], "it would have to wait"
    assert pace.together([many, few]) == [many, few]
