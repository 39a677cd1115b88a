import warnings

import numpy
import optuna

from trimtab.training.config import Config
from trimtab.tuning.proposer import REMEMBERED_BEST, REMEMBERED_LATEST, Proposer
from trimtab.tuning.space import space_for
from trimtab.tuning.trial import COMPLETE, PRUNED, TrialRecord

SPACE = space_for("regression", "rmse", rows=800, columns=8, fixed={})


def told(number, values, error, state=COMPLETE):
    return TrialRecord(number, "", values, Config(), state, error, best_epochs=(3,))


def play(proposer, trials, judge):
    values = []
    for number in range(trials):
        values.append(proposer.propose(number))
        error = judge(values[-1])
        proposer.tell(told(number, values[-1], error, COMPLETE if number % 3 else PRUNED))
    return values


def distance(values):
    return abs(numpy.log10(values["lr"]) + 3) + abs(values["dropout"] - 0.2)


def test_the_same_answers_lead_to_the_same_questions():
    runs = [play(Proposer(SPACE, seed=4), 30, distance) for _ in range(2)]
    assert runs[0] == runs[1]
    assert runs[0] != play(Proposer(SPACE, seed=5), 30, distance)


def test_it_learns_where_good_trials_lie():
    values = play(Proposer(SPACE, seed=0), 120, distance)
    early, late = (numpy.median([distance(v) for v in part]) for part in (values[:30], values[-30:]))
    assert late < early


def test_within_a_structure_only_the_other_knobs_move():
    proposer = Proposer(SPACE, seed=0)
    structure = {"width": 64, "depth": 1, "activation": "relu", "inputs": "scaled", "batch_size": 32}
    for number in range(25):
        values = proposer.propose(number, structure)
        assert {name: values[name] for name in structure} == structure
        proposer.tell(told(number, values, 1.0))


def test_many_trials_do_not_pile_up_in_memory():
    proposer = Proposer(SPACE, seed=0)
    rng = numpy.random.default_rng(0)
    for number in range(2 * (REMEMBERED_BEST + REMEMBERED_LATEST) + 5):
        proposer.tell(told(number, SPACE.draw(rng), float(number)))
    kept = [trial.value for trial in proposer.study.trials]
    assert len(kept) <= REMEMBERED_BEST + REMEMBERED_LATEST + 5
    assert set(range(REMEMBERED_BEST)) <= set(kept)


def test_a_proposal_taken_back_leaves_nothing_open():
    proposer = Proposer(SPACE, seed=0)
    proposer.propose(0)
    proposer.forget(0)
    assert not proposer.open
    assert proposer.propose(0).keys() == SPACE.domains.keys()


def test_a_proposal_warns_nobody_and_logs_nothing(recwarn, caplog):
    caplog.set_level("DEBUG", logger="optuna")
    filters, verbosity = list(warnings.filters), optuna.logging.get_verbosity()
    optuna.logging.enable_propagation()
    try:
        proposer = Proposer(SPACE, seed=0)
        structure = proposer.structure_of(proposer.propose(0))
        assert proposer.structure_of(proposer.propose(1, structure)) == structure
        for _ in range(20):
            values = proposer.propose(2, structure)
            assert proposer.structure_of(values) == structure and values.keys() == SPACE.domains.keys()
        proposer.forget(1)
    finally:
        optuna.logging.disable_propagation()
    assert not recwarn and not [line for line in caplog.records if line.levelname == "INFO"]
    assert (list(warnings.filters), optuna.logging.get_verbosity()) == (filters, verbosity)
