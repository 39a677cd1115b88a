"""What takes seconds to import is not imported before it is needed: somebody waits for the first trial."""

import subprocess
import sys

import numpy
import polars
import pytest

pytestmark = pytest.mark.slow


def names_imported(code, names, *arguments):
    """Those of `names` that a new process has imported after `code`."""
    code = f"import sys\n{code}\nprint(*(name for name in {names!r} if name in sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return ended.stdout.split()


def test_a_command_begins_without_what_few_need():
    heavy = ("scipy.stats", "sklearn", "pandas", "ray")
    assert names_imported("import trimtab.cli.commands, trimtab.tune", heavy) == []
    assert names_imported("import trimtab.estimators", ("torch._dynamo", "sympy")) == []


SEARCH = """
import trimtab as tt
knobs = {"inputs": "periodic", "activation": "silu", "optimizer": "adamw", "epochs": 2}
study = tt.tune(sys.argv[1], "y", trials=1, threads=1, quiet=True, out=sys.argv[2], **knobs)
tt.load(study.out).model.predict(sys.argv[1])
"""


def test_a_search_without_compiling_needs_no_compiler(tmp_path):
    """Torch imports its own, and what that calculates with, at a first call of much that seems to need neither."""
    rng = numpy.random.default_rng(0)
    frame = polars.DataFrame(rng.normal(size=(120, 2)), schema=["a", "b"])
    frame = frame.with_columns(polars.Series("c", rng.choice(["x", "y", "z"], 120)), y=frame["a"] * 2)
    frame.write_csv(tmp_path / "rows.csv")
    assert names_imported(SEARCH, ("torch._dynamo", "sympy"), str(tmp_path / "rows.csv"), str(tmp_path / "s")) == []
