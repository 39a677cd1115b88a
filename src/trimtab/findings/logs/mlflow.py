"""Mlflow: the folder of files that MLflow keeps: mlruns/EXPERIMENT/RUN/metrics/NAME, lines of time, value and step."""

import re
from pathlib import Path

import numpy

from trimtab.findings.logs.content import Content
from trimtab.findings.logs.log import Log, Series, counted, frame_of_series

FORM = "an MLflow run"
_LINE = re.compile(r"(\d{9,}) (\S+)(?: (-?\d+))?\s*")


def read(content: Content) -> list[Log] | None:
    """The run that a file of one metric belongs to; None where the content is something else."""
    first = content.text[:200].partition("\n")[0]
    if not _LINE.fullmatch(first):
        return None
    if content.path is None:
        return [Log(FORM, frame_of_series([_series("value", content.text)]))]
    metrics = next((above for above in content.path.parents if above.name == "metrics"), content.path.parent)
    return read_folder(metrics)


def read_folder(folder: Path) -> list[Log] | None:
    """One log per run, of a run's folder, an experiment's, or all of mlruns; None where there is none."""
    found = [folder] if folder.name == "metrics" else sorted(folder.glob("metrics"))
    found = found or sorted(folder.glob("*/metrics")) or sorted(folder.glob("*/*/metrics"))
    logs = []
    for metrics in sorted((place for place in found if place.is_dir()), key=_begun):
        files = [file for file in sorted(metrics.rglob("*")) if file.is_file()]
        series = [_series(file.relative_to(metrics).as_posix(), Content.at(file).text) for file in files]
        series = [each for each in series if len(each.steps)]
        if series:
            logs.append(Log(FORM, frame_of_series(series), run=_name(metrics.parent)))
    return logs or None


def _series(name: str, text: str) -> Series:
    steps, values = [], []
    for i, line in enumerate(text.splitlines()):
        told = _LINE.fullmatch(line)
        if told:
            try:
                value = float(told[2])
            except ValueError:
                continue
            values.append(value)
            steps.append(float(told[3] or i))
    return Series(name, counted(steps), numpy.array(values))


def _begun(metrics: Path) -> tuple[int, str]:
    """Runs in the order in which they were begun, as their meta.yaml says."""
    return int(_meta(metrics.parent, "start_time") or 0), metrics.parent.name


def _name(run: Path) -> str:
    return _meta(run, "run_name") or run.name


def _meta(run: Path, key: str) -> str:
    file = run / "meta.yaml"
    try:
        found = re.search(rf"^{key}:\s*'?([^'\n]*?)'?\s*$", file.read_text(encoding="utf-8"), re.MULTILINE)
    except (OSError, ValueError):
        return ""
    return found[1] if found else ""
