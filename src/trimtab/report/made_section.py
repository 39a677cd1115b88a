"""How a study was made: its facts, the command that makes it again, and code to copy. Knows a study's documents."""

import shlex
from collections.abc import Mapping
from typing import Any

import trimtab
from trimtab.errors import TrimtabError
from trimtab.report.page.page import Code, Section
from trimtab.studies.study import Study
from trimtab.studies.table_study import TableStudy
from trimtab.text.wording import counted
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.verdicts import effort_in_words, ensemble_in_words


def made_section(study: Study, *, has_model: bool) -> Section:
    """The section; without a model there is none to predict with."""
    document, result = StudyFolder(study.out).read("study.json"), study.result
    asked = document["asked"]
    effort = effort_in_words(result) if "runs" in result else counted(len(study.trials), "trial")
    facts = [
        ("trials and runs", effort),
        ("trimtab", trimtab.__version__),
        ("seed", str(asked.get("seed", 0))),
        ("best config", study.words),
    ]
    if members := ensemble_in_words(result):
        facts.append(("model", members))
    engine = result.get("engine") or {}
    if engine.get("lane_steps"):
        facts.append(("training steps", f"{engine['lane_steps']:,}"))
    facts += [("folder", str(study.out)), ("calls", counted(len(document.get("calls", [])) or 1, "call"))]
    code = []
    if isinstance(study, TableStudy):
        code = [Code("The same study again", _command(asked)), *_python(study, has_model=has_model)]
    return Section("made", "How it was made", facts=facts, code=code)


def _python(study: Study, *, has_model: bool) -> list[Code]:
    use = f"import trimtab as tt\n\nstudy = tt.load({str(study.out)!r})\nstudy.model.predict(new_rows)\n"
    code = [Code("Predict with its model", use)] if has_model else []
    try:
        return [*code, Code("Train the best config without trimtab", study.code(), is_long=True)]
    except (TrimtabError, OSError):
        return code


def _command(asked: Mapping[str, Any]) -> str:
    """The command line that makes the same study."""
    words = ["trimtab", "fit", str(asked.get("data") or "DATA")]
    for name in ("target", "split", "task", "metric", "weight", "test", "seed", "drop", "number", "category"):
        value = asked.get(name)
        usual = {"split": "random", "task": "auto", "test": 0.2, "seed": 0}.get(name)
        if value in (None, [], usual):
            continue
        words += [f"--{name}", ",".join(map(str, value)) if isinstance(value, list) else str(value)]
    for knob, value in (asked.get("fixed") or {}).items():
        words += [f"--{knob.replace('_', '-')}", str(value)]
    if asked.get("trials"):
        words += ["--trials", str(asked["trials"])]
    return " ".join(shlex.quote(word) for word in words)
