"""The floors of the house: imports run downwards only, and looking at trimtab loads nothing heavy."""

import ast
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import trimtab

PACKAGE = Path(trimtab.__file__).parent

# Bottom to top. Neighbours on one floor do not import each other; a room stands on one floor, or its parts on several.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("text", "settings"),
    ("errors",),
    ("data", "machine", "whole_file", "packages", "knobs", "listeners", "recording.names"),
    ("table", "nets", "recording.recording"),
    ("training.config", "training.randomness", "training.warning"),
    ("training.metrics", "training.run"),
    ("training.own_metric", "training.unscored", "training.rules"),
    ("training.data",),
    ("training.programs",),
    ("training.untrained", "training.compiling", "training.nca"),
    ("training.lanes",),
    ("evaluation",),
    ("model",),
    ("tuning",),
    ("findings",),
    ("export",),
    ("report",),
    ("terminal",),
    ("recording.watcher", "recording.loops", "loggers"),
    ("recording.recorder",),
    ("networks",),
    ("studies",),
    ("sweeps", "checkups"),
    ("report.made_section",),
    ("report.study_report",),
    ("report.studies_report",),
    ("fit", "tune", "estimators", "diagnose"),
    ("sweep", "doctor"),
    ("walkthrough",),
    ("lab",),
    ("cli",),
    ("__main__",),
)
FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}
MOST_ON_THE_GROUND = 12

# What a floor must not know although it lies below, or comes from outside.
FORBIDDEN = {
    "training": {"table", "tuning", "optuna", "polars", "narwhals", "pandas", "rich", "typer", "sqlite3"},
    "evaluation": {"tuning", "optuna", "sqlite3", "rich", "typer"},
    "nets": {"table", "training", "optuna", "polars", "narwhals"},
    "table": {"nets", "training", "tuning", "torch", "optuna"},
    "recording.recording": {"training", "torch"},
    "recording.watcher": {"tuning", "polars"},
    "recording.loops": {"training", "tuning", "table", "polars"},
    "loggers": {"training", "tuning", "table", "polars"},
}
# Calls upwards, each by its name at the moment it is asked for: who has a study asks for its page, which reads studies.
UPWARDS = {("studies", "report.study_report")}
HEAVY = ("torch", "polars", "optuna", "sklearn", "scipy", "pandas", "narwhals")


def place_of(file: Path) -> str:
    """The name on FLOORS that a file of the package belongs to; "" for an __init__ above several floors."""
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return place_named(parts[:-1] if parts[-1] == "__init__" else parts)


def place_named(parts: Sequence[str]) -> str:
    """The name on FLOORS of what is called trimtab.PARTS; "" where the name is that of several floors, or of none."""
    names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((name for name in names if name in FLOOR_OF), "")


def is_for_type_checkers(node: ast.AST) -> bool:
    if not isinstance(node, ast.If):
        return False
    test = node.test
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def imports_in(node: ast.AST, package: tuple[str, ...]) -> set[str]:
    """Dotted names of all that a syntax tree imports when it runs, in functions too."""
    names: set[str] = set()
    children: list[ast.AST] = node.orelse if is_for_type_checkers(node) else list(ast.iter_child_nodes(node))  # type: ignore[attr-defined]
    for child in children:
        if isinstance(child, ast.Import):
            names |= {alias.name for alias in child.names}
        elif isinstance(child, ast.ImportFrom):
            above = package[: len(package) - child.level + 1] if child.level else ()
            module = ".".join((*above, *([child.module] if child.module else [])))
            names |= {f"{module}.{alias.name}" for alias in child.names}
        else:
            names |= imports_in(child, package)
    return names


def places_imported(source: str, package: tuple[str, ...] = ("trimtab",)) -> set[str]:
    """Places of trimtab (names on FLOORS) and outside packages (first name) that a source imports."""
    found = set()
    for name in imports_in(ast.parse(source), package):
        first, *rest = name.split(".")
        found.add(place_named(rest) or first if first == "trimtab" else first)
    return found


def is_in(place: str, room: str) -> bool:
    return place == room or place.startswith(f"{room}.")


def complaints(place: str, imported: set[str]) -> list[str]:
    """What is wrong with a file of floor `place` that imports these."""
    forbidden = {name for room, names in FORBIDDEN.items() if is_in(place, room) for name in names}
    wrong = [
        f"imports {name}, forbidden to {place}" for name in imported if any(is_in(name, room) for room in forbidden)
    ]
    above = [name for name in (imported & set(FLOOR_OF)) - {place} if FLOOR_OF[name] >= FLOOR_OF[place]]
    return wrong + [f"imports {name}, which is not below {place}" for name in above]


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_run_downwards_only(file: Path) -> None:
    place = place_of(file)
    imported = places_imported(file.read_text(encoding="utf-8"), ("trimtab", *file.relative_to(PACKAGE).parts[:-1]))
    if file.name == "__init__.py" and place == "":
        assert imported <= set(sys.stdlib_module_names), "trimtab/__init__ names things lazily"
        return
    assert place, f"{file} stands on no floor: add it to FLOORS"
    assert complaints(place, imported) == []


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("training.lanes", "import polars as pl"),
        ("training.rules", "def f():\n    from trimtab.table import schema"),
        ("training.config", "from trimtab import tuning"),
        ("training.rules", "from trimtab.training.lanes import engine"),
        ("table", "from trimtab.training.config import Config"),
        ("table", "import torch.nn"),
        ("table", "from trimtab import nets"),
        ("tuning", "if True:\n    import trimtab.studies.loading"),
        ("tune", "from trimtab.sweep import sweep"),
        ("nets", "from ..table import read"),
    ],
)
def test_an_import_against_the_order_is_seen(place: str, source: str) -> None:
    assert complaints(place, places_imported(source, ("trimtab", place)))


def test_calls_upwards_are_those_that_are_named() -> None:
    found = set()
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            is_call = isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module") and node.args
            if is_call and isinstance(node.args[0], ast.Constant) and str(node.args[0].value).startswith("trimtab."):
                found.add((place_of(file), place_named(node.args[0].value.split(".")[1:])))
    assert found == UPWARDS


def test_the_ground_floor_can_be_taken_in_at_a_glance() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= MOST_ON_THE_GROUND


def test_imports_for_type_checkers_do_not_count() -> None:
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from trimtab.studies.loading import Study\n"
    assert complaints("tuning", places_imported(source)) == []


LOOKING = {
    "import trimtab": "import trimtab",
    "trimtab.errors": "import trimtab; trimtab.DataError",
    "--help": "from trimtab.cli import main; main(['--help'])",
    "--version": "from trimtab.cli import main; main(['--version'])",
    "fit --help": "from trimtab.cli import main; main(['fit', '--help'])",
}


def test_looking_at_trimtab_loads_nothing_heavy() -> None:
    lines = ["import sys"]
    for what, code in LOOKING.items():
        heavy = f"[name for name in {HEAVY} if name in sys.modules]"
        lines += [code, f"assert not {heavy}, ({what!r}, {heavy})"]
    # A log is read in less time than either takes to load.
    lines.append("import trimtab.diagnose; assert not {'torch', 'scipy', 'sklearn'} & set(sys.modules)")
    ended = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_names_stay_what_they_are_after_their_files_are_imported_and_no_onnx_comes_unasked() -> None:
    code = "import sys, trimtab as tt; from trimtab.tune import tune; assert tt.tune is tune and callable(tt.tune);"
    code += "import trimtab.export.files, trimtab.studies.loading; assert 'onnx' not in sys.modules"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_public_names_are_listed_and_unknown_ones_refused() -> None:
    assert set(trimtab.__all__) <= set(dir(trimtab))
    with pytest.raises(AttributeError, match="tunee"):
        trimtab.tunee  # noqa: B018
