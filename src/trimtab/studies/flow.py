"""The flow of a study: one call from what is studied, ready to be searched, to the saved result.

A table and a caller's own networks are two subjects of it. Parses no options and knows no terminal.
"""

import datetime
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from trimtab.errors import StudyError
from trimtab.findings.checked import joined
from trimtab.findings.document import read, save
from trimtab.findings.finding import Findings
from trimtab.findings.worth.account import UNEXPLAINED
from trimtab.listeners.listeners import Listeners
from trimtab.studies.call import Call
from trimtab.studies.counterfactuals.ensemble import Ensemble
from trimtab.studies.counterfactuals.ground import Ground, folds_compared
from trimtab.studies.counterfactuals.purse import (
    Price,
    fewest_to_replay,
    fewest_trainings,
    longer_to_its_end,
    purse_of,
    replay_cost,
    time_to_explain,
)
from trimtab.studies.counterfactuals.stage import Stage, looked_at, words_of_winner
from trimtab.studies.study import Study
from trimtab.studies.training_findings import findings_of_training, remedies, with_account
from trimtab.training.data import TrainingData
from trimtab.training.lanes.engine import Engine
from trimtab.training.metrics import Metric, greater_is_better
from trimtab.tuning import calls
from trimtab.tuning.baselines import FITTED_BASELINES
from trimtab.tuning.database import held_by_one
from trimtab.tuning.flight import Flight, in_flight
from trimtab.tuning.folder import StudyFolder, new_study
from trimtab.tuning.going_on import kept, words_of_a_cut, words_of_going_on
from trimtab.tuning.progress import Progress
from trimtab.tuning.ray_cluster import RayCluster
from trimtab.tuning.search import Search
from trimtab.tuning.space import SearchSpace
from trimtab.tuning.store import begun, check_opens
from trimtab.tuning.trainer import Trainer, Training
from trimtab.tuning.trial import TrialRecord, TrialWeights
from trimtab.tuning.worker import EngineOf
from trimtab.tuning.workers import Workers
from trimtab.tuning.writer import TrialWriter

# Where studies are kept that nobody has chosen a folder for.
RUNS = Path("trimtab-runs")
# What is shown while alternatives of the winner train.
EXPLAINING = "measuring what each choice was worth"


@dataclass(frozen=True)
class SearchResult:
    """What a search came to: the best single trial, the `result` that users read, and what else the study's document
    is to hold."""

    winner: TrialRecord
    result: dict[str, Any]
    document: dict[str, Any] = field(default_factory=dict)


class Subject(Protocol):
    """What a study is of, read and checked: the data, the metric that rules, and the knobs that are turned.

    `storage` is the URL of the database that has the trials, None for a file in the folder; `name` stands in the names
    of new folders.
    """

    @property
    def name(self) -> str: ...
    @property
    def data(self) -> TrainingData: ...
    @property
    def metric(self) -> Metric | None: ...
    @property
    def space(self) -> SearchSpace: ...
    @property
    def seed(self) -> int: ...
    @property
    def storage(self) -> str | None: ...

    def announce(self, listeners: Listeners) -> None:
        """Tell what a user ought to know before the search."""
        ...

    def document(self) -> dict[str, Any]:
        """What was asked, as it stands in the document of a new study."""
        ...

    def changes(self, folder: StudyFolder) -> dict[str, Any]:
        """What is asked otherwise of the study in `folder`, which is gone on with; StudyError where it cannot be."""
        ...

    def how_to_resume(self, folder: Path) -> str: ...

    def study(
        self, out: Path, result: dict[str, Any], winner: TrialRecord, trials: Sequence[TrialRecord],
        notices: Sequence[str],
    ) -> Study: ...  # fmt: skip


class Work(Protocol):
    """What is done of a subject in a call beside the search: the engine is made, the search followed, a result made."""

    engine: Engine
    engine_of: EngineOf
    baselines: Sequence[str]
    seconds_of_trees: float
    trained_elsewhere: Sequence["Counted"]  # what workers have trained

    def progressed(self, progress: Progress) -> None: ...

    def found_better(self, record: TrialRecord, weights: TrialWeights) -> None: ...

    def outcome(self, trials: list[TrialRecord], unscored: set[float]) -> SearchResult:
        """The result; `unscored` are the figures that the metric gave instead of numbers. Raises StudyError."""
        ...

    def ground(self, winner: TrialRecord) -> Ground:
        """What the winner was trained on, so that it can be trained there again beside others."""
        ...

    def ensemble(self, winner: TrialRecord) -> Ensemble | None:
        """The result beside the winner alone, where it is more than that."""
        ...


_S = TypeVar("_S", bound=Subject)


def study_of(subject: _S, call: Call, begin: Callable[[_S, StudyFolder, Call], Work]) -> Study:
    """Search, and give the study: new, or that in the folder which the call goes on with; `begin` makes the work that
    is done beside."""
    subject.announce(call.listeners)
    if call.resume is not None:
        return _in_folder(subject, call, call.resume, call.told(subject.changes(call.resume)), begin)
    if subject.storage:
        check_opens(subject.storage)
    path = new_folder(subject.name) if call.out is None else call.out
    asked = {"trials": None} | call.told(subject.document())
    with new_study(path, kept(asked), call.budget.abort.is_set) as folder:
        return _in_folder(subject, call, folder, asked, begin)


def _in_folder(
    subject: _S, call: Call, folder: StudyFolder, asked: dict[str, Any], begin: Callable[[_S, StudyFolder, Call], Work]
) -> Study:
    """The study in a folder that no other call writes into."""
    call.listeners.study_started(folder.path)
    calls.begin(folder)
    work = begin(subject, folder, call)
    earlier = _earlier(subject, call, folder, asked)
    name = folder.study_name(folder.read("study.json"))
    with nullcontext() if name is None else held_by_one(subject.storage, name):
        trials, unscored = _searched(subject, call, folder, work, earlier)
    if call.budget.abort.is_set():
        calls.note(folder, seconds=round(call.budget.elapsed, 2))
        how = subject.how_to_resume(folder.path)
        raise StudyError(f"Stopped at once. What was finished is kept: go on with {how}.")
    outcome = work.outcome(trials, unscored)
    folder.merge_curves()
    result = _written(call, folder, outcome)
    if _is_explained(subject, call, outcome, trials, work, folder):
        result = _written(call, folder, outcome)
    return subject.study(folder.path, result, outcome.winner, trials, call.listeners.notices)


def _written(call: Call, folder: StudyFolder, outcome: SearchResult) -> dict[str, Any]:
    """The result as it now stands in the study's document."""
    result = outcome.result | {"seconds": round(call.budget.elapsed, 2)}
    calls.note(folder, seconds=result["seconds"])
    result |= calls.in_all(folder)
    document = folder.read("study.json") | outcome.document
    folder.write("study.json", document | {"result": result, "notices": call.listeners.notices})
    return result


def _is_explained(
    subject: Subject, call: Call, outcome: SearchResult, trials: Sequence[TrialRecord], work: Work, folder: StudyFolder
) -> bool:
    """Say what is wrong with the training of the winner, and measure what each of its choices was worth, or each of the
    best network's where the winner is solved, where there is time for that; where there is too little, the result says
    how much it would take. Whether the result has to be written again."""
    winner = outcome.winner
    network = looked_at(winner, trials) if call.is_lasting else None
    if network is None:
        return False
    is_winner, found = network is winner, Findings()
    if is_winner:
        found = findings_of_training(folder, winner, subject.data, subject.metric)
        save(folder, joined(read(folder), found))
    all_folds = len(subject.data.folds)
    folds = folds_compared(all_folds)
    # Each on as many folds as are compared on.
    tuned = sum(not record.name for record in trials) * all_folds / folds
    price = Price.of_trial(network, subject.data)
    purse = purse_of(call, price, trials=tuned, spent=work.seconds_of_trees)
    # A training of it says how long was right; where trials are counted, that alone is not worth a longer call.
    replay = replay_cost(fewest_to_replay(folds), folds, longer_to_its_end(network))
    if purse.left < (replay if call.budget.is_limited else fewest_trainings(folds)):
        # Where nothing was kept for it (few trials, a short budget, a share of 0) nobody expects it.
        if purse.seconds is not None and call.explaining:
            outcome.result[UNEXPLAINED] = round(purse.seconds_for(replay + fewest_trainings(folds)), 1)
            return True
        return False
    call.listeners.progress(Progress.of(EXPLAINING, call.budget, trials, winner, metric=subject.metric))
    ground = replace(work.ground(network), remedies=tuple(remedies(found, network.config)))
    ensemble = work.ensemble(winner) if is_winner else None
    account = Stage(ground, folder, purse, words_of_winner(network, winner), ensemble=ensemble).account()
    save(folder, with_account(read(folder), account))
    return True


def _earlier(subject: Subject, call: Call, folder: StudyFolder, asked: dict[str, Any]) -> list[TrialRecord]:
    """The trials of earlier calls."""
    if not call.is_lasting:
        return []
    greater = greater_is_better(subject.metric)
    earlier = begun(folder, url=subject.storage, greater_is_better=greater, asked=kept(asked))
    for notice in words_of_going_on(earlier, call.trials) if call.resume is not None else ():
        call.listeners.notice(notice)
    return earlier


def _searched(
    subject: Subject, call: Call, folder: StudyFolder, work: Work, earlier: list[TrialRecord]
) -> tuple[list[TrialRecord], set[float]]:
    """All trials, earlier ones included; and the figures that the metric gave instead of numbers."""
    flying = in_flight(folder, earlier)
    flight = Flight(folder, flying)
    writer = TrialWriter(
        folder, subject.space, url=subject.storage, flight=flight, keeps_records=call.is_lasting,
        greater_is_better=greater_is_better(subject.metric),
        earlier=earlier + [each.so_far for each in flying if each.so_far is not None],
    )  # fmt: skip

    def found_better(record: TrialRecord, weights: TrialWeights) -> None:
        if record.name not in FITTED_BASELINES:
            call.budget.afterwards = time_to_explain(
                call, Price.of_trial(record, subject.data), folds=folds_compared(len(subject.data.folds)),
                longer=longer_to_its_end(record), spent=work.seconds_of_trees,
            )  # fmt: skip
        work.found_better(record, weights)

    with closing(work.engine), writer, _training(call, subject.data, work) as train:
        search = Search(
            data=subject.data, metric=subject.metric, space=subject.space, engine=work.engine, folder=folder,
            writer=writer, budget=call.budget, seed=subject.seed, max_trials=call.trials, earlier=earlier,
            flight=flight, flying=flying, baseline_names=work.baselines, listeners=call.listeners,
            on_progress=work.progressed, on_best=found_better, train=train,
        )  # fmt: skip
        trials = search.run()
        work.trained_elsewhere = search.training.steps_elsewhere
    if search.is_cut_by_time:
        place = folder.path if call.is_lasting else None
        call.listeners.notice(words_of_a_cut(search.tuned, search.max_trials, place))
    return trials, search.unscored


@contextmanager
def _training(call: Call, data: TrainingData, work: Work) -> Iterator[Callable[..., Training]]:
    """Where the search trains: on the engine of this process, or on workers, which are gone when it has ended."""
    if call.workers is None:
        yield Trainer
        return
    gpu = data.device.type != "cpu"
    with RayCluster(call.workers, threads=call.threads_of_workers, needs_gpu=gpu) as cluster:
        call.listeners.notice(cluster.words)
        yield partial(Workers, cluster=cluster, engine_of=work.engine_of)


class Counted(Protocol):
    """The steps of a population, here or on a worker."""

    @property
    def lane_steps(self) -> int: ...
    @property
    def place_steps(self) -> int: ...
    @property
    def compiled_steps(self) -> int: ...
    @property
    def bfloat16_steps(self) -> int: ...


def training_report(populations: Sequence[Counted]) -> dict[str, Any]:
    """How the training went, in lane-steps."""
    useful, possible = (sum(getattr(p, name) for p in populations) for name in ("lane_steps", "place_steps"))
    return {
        "lane_steps": useful,
        "utilisation": round(useful / max(1, possible), 4),
        "compiled_share": round(sum(p.compiled_steps for p in populations) / max(1, useful), 4),
        "bfloat16_share": round(sum(p.bfloat16_steps for p in populations) / max(1, useful), 4),
        "structures": len(populations),
    }


def new_folder(source: str) -> Path:
    """`trimtab-runs/<data>-<date>-<n>` with the first free n, made at once: nobody else finds that n free.

    Raises StudyError where it cannot be made.
    """
    stem = f"{source}-{datetime.date.today().isoformat()}"
    for n in itertools.count(1):
        path = RUNS / f"{stem}-{n}"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise StudyError(
                f"{path} cannot be written ({error.strerror}): choose another folder with --out."
            ) from None
        return path
    raise AssertionError
