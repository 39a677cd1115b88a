"""OwnStudy: a table of one's own in the lab, what it will be learnt from, the search over it, and the model in the end.

Knows tables, studies and threads; it knows no addresses.
"""

import hashlib
import io
import json
import logging
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy
import polars

from trimtab.errors import StudyError, TrimtabError
from trimtab.findings.data.before_training import before_training
from trimtab.findings.document import to_json
from trimtab.findings.finding import Findings
from trimtab.lab.own_model import beside_columns, input_of, predicted_row
from trimtab.listeners.listener import Listener
from trimtab.machine import be_a_thread_of_lanes
from trimtab.report.study_report import study_page
from trimtab.studies.flow import RUNS
from trimtab.studies.loading import load
from trimtab.studies.study import Study
from trimtab.table.prepared import Prepared
from trimtab.table.read import read_table
from trimtab.text.wording import sentence
from trimtab.tune import look, tune
from trimtab.tuning.budget import parse_duration
from trimtab.tuning.folder import StudyFolder, locked
from trimtab.tuning.progress import Progress
from trimtab.tuning.verdicts import verdicts
from trimtab.whole_file import folder_for, replacing

log = logging.getLogger(__name__)
# How often a folder in which another process searches is looked into, in seconds.
BETWEEN_LOOKS = 1.0
# Between two waits for news, in which a page that has gone is noticed.
SECONDS_TO_WAIT = 0.2


class OwnStudy(Listener):
    """A table at `path`, or a study in the folder `out`, or first the one and then the other."""

    def __init__(self, name: str, *, path: Path | None = None, out: Path | None = None) -> None:
        self.name, self.path, self.out = name, path, out
        self.target = ""
        self.stop, self.abort = threading.Event(), threading.Event()
        self._events: list[dict[str, Any]] = []
        self._news, self._beginning = threading.Condition(), threading.Lock()
        self._thread: threading.Thread | None = None
        self._began = time.monotonic()
        if out is not None:
            asked = StudyFolder.open(out).read("study.json")["asked"]
            self.target = _named(asked.get("target"))
            self.path = Path(str(asked["data"])) if asked.get("data") else None

    # -- the table

    def columns(self) -> dict[str, Any]:
        """Its columns, how many rows it has, and the column that is most often the target: the last."""
        frame = self._frame()
        return {"columns": frame.columns, "rows": frame.height, "target": self.target or frame.columns[-1]}

    def looked_at(self, target: str) -> dict[str, Any]:
        """What each column will be used for, and what is wrong with the rows."""
        prepared: Prepared = look(self._table(), target=target)
        found = to_json(before_training(prepared, metric="", seed=0))
        return plain(prepared.summary() | found)

    def inputs(self) -> list[dict[str, Any]]:
        """What a row is made of: for each column that the model reads the range or the values to choose from."""
        frame = self._frame()
        features = {feature.name: feature for feature in self._study().model.encoder.features}
        read = [name for name in frame.columns if name in features]
        return [input_of(frame[name], is_number=features[name].labels is None) for name in read]

    def _table(self) -> Path:
        if self.path is None:
            raise StudyError("This study was made of a table in memory, which is not here: open it in Python.")
        return self.path

    def _frame(self) -> polars.DataFrame:
        return read_table(self._table()).frame

    # -- the search

    @property
    def state(self) -> str:
        """ "table": nothing was searched yet; "searching" here; "elsewhere": another process searches; "ended"."""
        if self._thread is not None and self._thread.is_alive():
            return "searching"
        if self.out is None:
            return "table"
        try:
            with locked(self.out):
                return "ended"
        except StudyError:
            return "elsewhere"

    def begin(self, *, target: str, budget: str, seconds_on_top: bool = False) -> None:
        """Search, in a thread of its own; with `seconds_on_top` go on with what is there."""
        with self._beginning:
            if self.state not in ("table", "ended"):
                raise StudyError("A search is at work already: stop it, or wait for it.")
            parse_duration(budget)
            if seconds_on_top:
                asked: dict[str, Any] = {"resume": self.out}
            else:
                look(self._table(), target=target)
                self.path = kept(self._table())
                self.target, asked = target, {"source": self.path, "target": target}
            self.stop, self.abort = threading.Event(), threading.Event()
            self._began, self._events = time.monotonic(), []
            self._thread = threading.Thread(
                target=self._search, args=(asked | {"budget": budget},), name="trimtab-lab-search", daemon=True
            )
            self._tell({"kind": "searching", "target": self.target, "budget": budget})
            self._thread.start()

    def _search(self, asked: dict[str, Any]) -> None:
        be_a_thread_of_lanes()
        try:
            study = tune(**asked, stop=self.stop, abort=self.abort, listeners=(self,))
            self.out = study.out
            self._tell(self._ended(study))
        except TrimtabError as error:
            self._tell({"kind": "failed", "sentence": str(error)})
        except Exception as error:
            log.exception("A search failed")
            self._tell({"kind": "failed", "sentence": f"The search failed ({type(error).__name__}: {error})."})

    def close(self) -> None:
        """End the search at once; what was finished is kept."""
        self.abort.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    # -- what is told of it

    def events(self, stop: Callable[[], bool]) -> Iterator[dict[str, Any]]:
        """Everything from the beginning, and what happens from now on, until nothing more can."""
        if self.state in ("ended", "elsewhere") and not self._events:
            yield from self._from_folder(stop)
            return
        told = 0
        while not stop():
            with self._news:
                self._news.wait_for(lambda seen=told: len(self._events) > seen, timeout=SECONDS_TO_WAIT)
                new = self._events[told:]
            yield from new
            told += len(new)
            if not new and self.state != "searching":
                return

    def _from_folder(self, stop: Callable[[], bool]) -> Iterator[dict[str, Any]]:
        """A study that another process makes, or has made: looked at now and then, and never written."""
        assert self.out is not None
        seen = -1
        while not stop():
            is_over = self.state == "ended"
            try:
                study = load(self.out)
            except StudyError as error:
                yield {"kind": "failed" if is_over else "notice", "sentence": str(error)}
                study = None
            if study is not None and len(study.trials) != seen:
                yield from self._trials(study, from_trial=max(0, seen))
                seen = len(study.trials)
            if is_over:
                if study is not None:
                    yield self._ended(study)
                return
            if stop_within(stop, BETWEEN_LOOKS):
                return

    def _trials(self, study: Study, *, from_trial: int) -> Iterator[dict[str, Any]]:
        yield {"kind": "started", "out": str(self.out), "elsewhere": self.state == "elsewhere"}
        metric = study.result.get("metric") or "validation loss"
        best = None
        greater = bool(StudyFolder(study.out).read("study.json")["asked"].get("greater_is_better"))
        for place, trial in enumerate(study.trials):
            if numpy.isfinite(trial.error):
                best = trial.error if best is None else min(best, trial.error)
            if place >= from_trial and best is not None:
                yield {"kind": "trial", "trial": place + 1, "best": -best if greater else best, "metric": metric}

    def _ended(self, study: Study) -> dict[str, Any]:
        result = study.result
        scores = result.get("test") or result.get("validation") or {}
        metric = result.get("metric") or ""
        chosen = (result.get("validation") or {}).get(metric) if result.get("test") else None
        return plain({
            "kind": "ended", "out": str(study.out), "words": study.words, "verdicts": verdicts(in_one_metric(result)),
            "validation": chosen,
            "metric": metric, "score": scores.get(metric),
            "on": "test rows" if result.get("test") else "validation rows",
            "interval": result.get("interval"), "trials": len(study.trials),
            "worth": [without_command(each) for each in study.worth],
            "findings": to_json(study.findings)["findings"],
        })  # fmt: skip

    def _tell(self, event: dict[str, Any]) -> None:
        with self._news:
            self._events.append(
                json.loads(json.dumps(event, default=str, allow_nan=True), parse_constant=lambda _: None)
            )
            self._news.notify_all()

    def study_started(self, out: Path) -> None:
        self.out = out
        self._tell({"kind": "started", "out": str(out), "elsewhere": False})

    def notice(self, text: str) -> None:
        self._tell({"kind": "notice", "sentence": text})

    def findings(self, findings: Findings) -> None:
        self._tell({"kind": "findings", **to_json(findings)})

    def baseline(self, name: str, metric: str, score: float) -> None:
        self._tell({"kind": "baseline", "name": name, "metric": metric, "score": score})

    def progress(self, progress: Progress) -> None:
        self._tell({
            "kind": "progress", "phase": progress.phase, "left": progress.seconds_left, "trials": progress.trials_done,
            "runs": progress.runs_done, "lanes": progress.lanes_alive, "best": progress.best_score,
            "metric": progress.metric, "share": progress.share, "at": round(time.monotonic() - self._began, 2),
        })  # fmt: skip

    # -- what remains

    def _study(self) -> Study:
        if self.out is None:
            raise StudyError("There is no model yet: tune first.")
        return load(self.out)

    def page(self) -> str:
        """The study's report."""
        return study_page(self._study()).html()

    def predicted(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """What the model says of a row."""
        return predicted_row(self._study().model, row)

    def predictions(self) -> str:
        """What the model predicts for the rows of the table, beside its columns, as CSV."""
        return beside_columns(self._study().model, self._frame())[0]

    def predictions_of(self, path: Path) -> dict[str, Any]:
        """The same for another table, with what there is to be said of it."""
        read = read_table(path)
        content, notices = beside_columns(self._study().model, read.frame)
        return {"csv": content, "rows": read.frame.height, "notices": [*read.notices, *notices]}

    def model_files(self) -> bytes:
        """The model's folder as a ZIP file."""
        study, content = self._study(), io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as into:
            for file in sorted((study.out / "model").rglob("*")):
                if file.is_file():
                    into.write(file, str(Path("model") / file.relative_to(study.out / "model")))
        return content.getvalue()


def kept(path: Path) -> Path:
    """The table where studies are kept, so that one that is made of it can be gone on with after the lab has ended;
    raises StudyError where it cannot be written."""
    content = path.read_bytes()
    target = RUNS / "tables" / hashlib.sha256(content).hexdigest()[:8] / path.name
    try:
        if not target.exists() or target.read_bytes() != content:  # somebody may have edited it
            with folder_for(target), replacing(target, is_shared=True) as part:
                part.write_bytes(content)
    except OSError as error:
        raise StudyError(f"{target} cannot be written ({error.strerror}): start the lab in another folder.") from None
    return target


def in_one_metric(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """A result whose gains over baselines are those in its own metric; all others are in the report."""
    metric = result.get("metric")
    gains = {name: {metric: each[metric]} for name, each in (result.get("gains") or {}).items() if metric in each}
    return {**result, "gains": gains}


def without_command(text: str) -> str:
    """A sentence without what is to be typed in a terminal, which a page has no place for."""
    return sentence(text.partition("; trimtab ")[0])


def _named(target: Any) -> str:
    """The column that is predicted, or several of them, in words."""
    return ", ".join(map(str, target)) if isinstance(target, list | tuple) else str(target or "")


def plain(document: Any) -> Any:
    """`document` as a page can read it: without NaN and infinities, which JSON does not know."""
    return json.loads(json.dumps(document, default=str), parse_constant=lambda _: None)


def stop_within(stop: Callable[[], bool], seconds: float) -> bool:
    """Whether it was told to stop within so many seconds."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if stop():
            return True
        time.sleep(0.05)
    return stop()
