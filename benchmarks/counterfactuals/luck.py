"""How much the luck of selection favours a winner: real searches on synthetic rows, and what is left of a winner's lead
where the rows are others than those that chose it.

A winner and its alternatives are trained again as an explanation trains them, on folds of the study's own rows, drawn
anew. What that shows is compared with the error of the same networks on many fresh rows, and with that of the same
configs trained on other rows of the same law, which is what an explanation estimates.
"""

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy
import polars
import torch

import trimtab as tt
from benchmarks.page import table
from trimtab.listeners.listeners import Listeners
from trimtab.machine import lanes_in_threads
from trimtab.model.tensors import with_test_rows
from trimtab.studies.call import Call
from trimtab.studies.counterfactuals.alternatives import Alternative
from trimtab.studies.counterfactuals.ground import Ground
from trimtab.studies.counterfactuals.grounds import ground_of_table
from trimtab.studies.request import TableRequest
from trimtab.studies.table_subject import TableSubject
from trimtab.table.prepare import prepare
from trimtab.training.lanes.judging import Judging
from trimtab.training.lanes.population import Structure
from trimtab.training.run import Request, RunRecord
from trimtab.tuning.trial import TrialRecord

ROWS, FRESH, COLUMNS, OTHERS, REPETITIONS = 200, 2_000, 4, 2, 2
# One structure, so that a search of so many trials takes seconds; everything else is searched.
HELD = {"width": 16, "depth": 1, "inputs": "scaled", "activation": "relu", "batch_size": 32, "epochs": 20}
KNOBS = ("loss", "lr", "epochs", "schedule", "dropout", "weight_decay")
MOST_ALTERNATIVES = 8


@dataclass(frozen=True)
class Luck:
    """Of one search, all in rmse: the score that chose the winner; its error trained again, on the study's rows, on
    fresh ones, and trained on other rows [3]; and by how much each alternative that does not diverge is worse, on each
    of the three [alternatives, 3]."""

    chosen: float
    again: numpy.ndarray
    leads: numpy.ndarray


def page(studies: int, trials: Sequence[int] = (10, 40)) -> str:
    rows = []
    for count in trials:
        with lanes_in_threads():
            found = [_study(seed, count) for seed in range(studies)]
        rows += _rows([each for each in found if numpy.isfinite(each.again).all() and len(each.leads)], count)
    head = ["trials", "what", "on the study's rows", "same networks, fresh rows", "trained on other rows", "luck"]
    return (
        f"\n{studies} searches for each number of trials, on {ROWS} rows; {REPETITIONS} x 5 folds, {FRESH:,} fresh "
        f"rows, {OTHERS} other sets of rows. Errors in rmse; in brackets the standard error over searches.\n\n"
        f"{table(head, rows)}"
    )


def _rows(found: Sequence[Luck], trials: int) -> list[list[str]]:
    again, mean = numpy.stack([each.again for each in found]), numpy.stack([each.leads.mean(axis=0) for each in found])
    error = again[:, 2].mean()

    def told(values: numpy.ndarray) -> str:
        return f"{values.mean():.4f}"

    def luck(values: numpy.ndarray) -> str:
        spread = values.std(ddof=1) / numpy.sqrt(len(values))
        return f"{100 * values.mean() / error:+.1f} % of the error ({100 * spread / error:.1f})"

    chosen = numpy.array([each.chosen for each in found])
    return [
        [str(trials), "the winner's score when it was chosen", told(chosen), "", told(again[:, 2]),
         luck(again[:, 2] - chosen)],
        [str(trials), "the winner, trained again", *(told(again[:, at]) for at in range(3)),
         luck(again[:, 2] - again[:, 0])],
        [str(trials), "its lead over an alternative", *(told(mean[:, at]) for at in range(3)),
         luck(mean[:, 0] - mean[:, 2])],
    ]  # fmt: skip


def _study(seed: int, trials: int) -> Luck:
    frame, fresh = _frame(ROWS, [seed, 0]), _frame(FRESH, [seed, 1])
    with tempfile.TemporaryDirectory() as place:
        study = tt.tune(
            frame, "y", test="none", trials=trials, seed=seed, counterfactuals=0, quiet=True, threads=2,
            out=Path(place) / "study", single=True, metric="rmse", **HELD,
        )  # fmt: skip
        winner = min((each for each in study.trials if not each.name), key=lambda each: each.error)
    alternatives = _ground(frame, fresh, winner, seed).alternatives(KNOBS)[:MOST_ALTERNATIVES]
    own = _errors(_ground(frame, fresh, winner, seed), alternatives)
    others = numpy.mean([
        _errors(_ground(_frame(ROWS, [seed, 2 + other]), fresh, winner, seed), alternatives)[:, 1]
        for other in range(OTHERS)
    ], axis=0)  # fmt: skip
    errors = numpy.column_stack([own, others])
    leads = errors[1:] - errors[0]
    found = Luck(winner.error, errors[0], leads[numpy.isfinite(leads).all(axis=1)])
    print(seed, trials, found.chosen, found.again, found.leads.mean(axis=0), file=sys.stderr, flush=True)
    return found


def _frame(rows: int, seed: Sequence[int]) -> polars.DataFrame:
    rng = numpy.random.default_rng(seed)
    x = rng.normal(size=(rows, COLUMNS))
    y = numpy.sin(x[:, 0]) + 0.5 * x[:, 1] * x[:, 2] + 0.3 * rng.standard_t(4, size=rows)
    return polars.DataFrame(x, schema=[f"x{place}" for place in range(COLUMNS)]).with_columns(y=polars.Series(y))


def _ground(frame: polars.DataFrame, fresh: polars.DataFrame, winner: TrialRecord, seed: int) -> Ground:
    """Folds of `frame`, with the fresh rows behind its own."""
    call = Call.checked(
        budget="1h", trials=None, threads=2, device="cpu", out=None, resume=None, stop=None, abort=None, started=None,
        listeners=Listeners(), counterfactuals=0,
    )  # fmt: skip
    prepared = prepare(frame, target="y", test=fresh, seed=seed)
    request = TableRequest(frame, "y", test=fresh, seed=seed, metric="rmse", fixed=HELD)
    subject = TableSubject.of(request, prepared, torch.device("cpu"))
    ground = ground_of_table(subject, winner, call)
    return replace(ground, data=with_test_rows(subject.data, prepared))


def _errors(ground: Ground, alternatives: Sequence[Alternative]) -> numpy.ndarray:
    """The mean error [configs, 2] of the winner and its alternatives, on validation rows and on the fresh ones."""
    configs = [ground.winner, *(each.config for each in alternatives)]
    rows = ground.laid_out.folds
    fresh = torch.arange(ground.data.rows - FRESH, ground.data.rows)
    engine = ground.engine_for(ground.laid_out, Judging(ground.metric, beside=tuple(fresh for _ in rows)))
    requests: dict[Structure, list[Request]] = {}
    for number, config in enumerate(configs):
        places = [(r, ground.fold(r, fold)) for r in range(REPETITIONS) for fold in range(ground.folds)]
        requests.setdefault(Structure.of(config), []).extend(
            Request(number, config, place, ground.seed_of(r)) for r, place in places
        )
    found: dict[int, list[tuple[float, float]]] = {}
    for structure, group in requests.items():
        for record in engine.whole_runs([(engine.population(structure, 5 * len(configs)), group)]):
            found.setdefault(record.request.trial, []).append((record.error, _on_fresh_rows(record)))
    engine.close()
    return numpy.array([numpy.mean(found[number], axis=0) for number in range(len(configs))])


def _on_fresh_rows(record: RunRecord) -> float:
    """What was noted beside the epoch that is kept; infinite where the training diverged at once."""
    if record.best_epoch not in record.curves.epoch:
        return numpy.inf
    return record.curves.train_metric[record.curves.epoch.index(record.best_epoch)]
