"""The gallery: three faulty trainings for each finding, from mild to gross, as logs that `trimtab diagnose` reads."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy

from benchmarks.faults.faulty import CLEAR, COMPANIONS, EVERYWHERE, GROSS, MILD
from benchmarks.faults.judging import Made
from trimtab.diagnose import diagnose
from trimtab.findings.check import RULES, check
from trimtab.findings.training_record import TrainingRecord

OF_EACH, MOST_EPOCHS = 3, 60
_ORDER = (MILD, CLEAR, GROSS)
_CURVES = {"train_loss": "train_loss", "validation_loss": "validation_loss", "train_metric": "train_metric",
           "validation_metric": "validation_metric", "rate": "learning_rate"}  # fmt: skip
_DIGITS = 4


def write(folder: Path, trainings: Iterable[Made], fits: Mapping[str, float]) -> None:
    """A folder of logs, `ID/1.jsonl` to `ID/3.jsonl`, a table of them in its README, and what may be said of each in
    `allowed.json`: its own finding, and those that are another side of it."""
    by_id: dict[str, dict[str, list[Made]]] = {}
    for made in trainings:
        if made.setup.fault and made.is_harmful(fits[made.setup.task]) and len(made.record.epochs) <= _longest(made):
            by_id.setdefault(made.truth, {}).setdefault(made.setup.severity, []).append(made)
    rows, allowed = [], {}
    for name in (each for each in RULES if each in by_id):
        may_say = sorted(COMPANIONS[name] | EVERYWHERE | {name})
        chosen = list(_chosen(name, by_id[name], set(may_say)))
        for place, made in enumerate(chosen, 1):
            path = folder / name / f"{place}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(as_lines(short(made)))
            found = [finding.id for finding in diagnose(path).findings.found]
            rows.append(_row(name, place, made, found))
            allowed[f"{name}/{place}.jsonl"] = {"fault": name, "may_say": may_say}
    (folder / "allowed.json").write_text(json.dumps(allowed, indent=1) + "\n")
    (folder / "README.md").write_text(_README.format(rows="\n".join(rows)))


def short(made: Made) -> TrainingRecord:
    """The record without what its findings do not need: signals one after another, and knobs that were left alone."""
    record = made.judged
    found = _ids(record)
    own = {**made.setup.knobs, **made.setup.network}
    knobs = {name: value for name, value in record.knobs.items() if name in own}
    record = _if_it_says(found, replace(record, knobs=knobs), record)
    for field in ("by_layer", "signals"):
        for name in tuple(getattr(record, field)):
            others: dict[str, Any] = {field: {k: each for k, each in getattr(record, field).items() if k != name}}
            record = _if_it_says(found, replace(record, **others), record)
    return record


def _ids(record: TrainingRecord) -> list[str]:
    return [finding.id for finding in check(record)]


def _if_it_says(found: Sequence[str], shorter: TrainingRecord, record: TrainingRecord) -> TrainingRecord:
    return shorter if _ids(shorter) == found else record


def as_lines(record: TrainingRecord) -> str:
    """The record as JSON lines: how it was trained, then an epoch each."""
    about = {
        "task": record.task, "metric": record.metric, "greater_is_better": record.greater_is_better,
        "planned": record.planned, "kept": record.kept, "ended": record.ended, "knobs": dict(record.knobs),
        "facts": {name: float(f"{value:.9g}") for name, value in record.facts.items()},
    }  # fmt: skip
    about = {name: value for name, value in about.items() if value not in (None, "", {})}
    lines = [json.dumps({"training": about}, default=str)]
    for i, epoch in enumerate(record.epochs):
        row: dict[str, Any] = {"epoch": int(epoch)}
        for name, column in _CURVES.items():
            values = getattr(record, name)
            if values is not None:
                row[column] = _rounded(values[i])
        row |= {name: _rounded(values[i]) for name, values in record.signals.items()}
        row |= {name: [_rounded(each) for each in rows[i]] for name, rows in record.by_layer.items() if rows.size}
        lines.append(json.dumps(row, separators=(",", ":")))
    return "\n".join(lines) + "\n"


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else value


def _longest(made: Made) -> int:
    """Long trainings are left out where shorter ones show the same."""
    return (
        100
        if made.truth
        in (
            "overfitting",
            "capacity_too_large",
            "trained_too_long",
            "regularised_too_strongly",
            "underfitting",
            "capacity_too_small",
            "best_weights_not_restored",
        )
        else MOST_EPOCHS
    )


def _chosen(name: str, by_severity: Mapping[str, Sequence[Made]], may_say: set[str]) -> Iterable[Made]:
    """One of each severity where there is one, of another data set each, the one nearest to the median of their costs
    among those whose log says its fault and nothing that is wrong; more of a severity where others have none."""
    seen: set[str] = set()
    fitting = {each: [made for made in by_severity.get(each, ()) if _tells(made, name, may_say)] for each in _ORDER}
    wanted = [severity for severity in _ORDER if fitting[severity]]
    while wanted and len(wanted) < OF_EACH:
        wanted.append(wanted[-1])
    for severity in wanted[:OF_EACH]:
        others = [made for made in fitting[severity] if made.setup.task not in seen] or fitting[severity]
        costs = [made.cost for made in others]
        usual = float(numpy.median(numpy.clip(costs, -1, 1e6)))
        one = min(others, key=lambda made: abs(min(made.cost, 1e6) - usual))
        seen.add(one.setup.task)
        yield one


def _tells(made: Made, name: str, may_say: set[str]) -> bool:
    return name in made.found <= may_say


def _row(name: str, place: int, made: Made, found: Sequence[str]) -> str:
    setup = made.setup
    own = {**setup.knobs, **setup.network}
    told = ("width", "depth", "activation", "head", "gain", "steep", "shift", "optimizer", "lr", "weight_decay",
            "dropout", "batch_size", "loss", "tau", "gamma", "label_smoothing", "epochs")  # fmt: skip
    knobs = ", ".join(f"{knob} {_plain(own[knob])}" for knob in told if knob in own and (own[knob] or knob == "depth"))
    more = [f"{setup.train} rows", *([setup.change] if setup.change else []), *([setup.loop] if setup.loop else []),
            *(["last weights kept"] if setup.last else [])]  # fmt: skip
    log = f"[{name}/{place}.jsonl]({name}/{place}.jsonl)"
    return f"| {log} | {setup.severity} | {setup.task}; {knobs}; {', '.join(more)} | {', '.join(found)} |"


def _plain(value: Any) -> Any:
    return f"{value:g}" if isinstance(value, float) else value


_README = """# Trainings that went wrong

Three logs for each finding about a training, from mild to gross where there are such, and what `trimtab diagnose` says
of them. They are small real trainings into which one fault was put, written by
`python -m benchmarks.faults --gallery examples/faults`.

```console
trimtab diagnose examples/faults/oscillating/1.jsonl
```

The first line of a log says how it was trained, each other line is an epoch. What may be said of a log beside its own
fault, because it is another side of it, stands in `allowed.json`. There is no log for `outliers_dominate_loss`: it is
told from the errors of single rows, which no curve has.

| log | severity | training | found, gravest first |
| --- | --- | --- | --- |
{rows}
"""
