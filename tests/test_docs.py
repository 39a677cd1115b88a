"""The documentation: every block of code in README.md and docs/ runs, and the pages build without a warning.

Blocks of a page run in order, in one namespace and an empty folder: `python` as it stands, `sh` and `console` through
the command line's `main` (calls of pip, make and the like are left alone). A block without a language is what something
printed. README's reader has a houses.csv and a new_houses.csv; every other page brings what it reads.

Searches and trainings take as long as they are given, and pages give what a reader would. So what has `budget=` or
`--budget` or `trials=` makes one trial, a search with `space=` two, the demo has two seconds; and no run has more than
3 epochs.
Nothing else is changed (`documentation.py`).
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy
import polars
import pytest

import trimtab
from documentation import NOT_RUN, Block, blocks, run_page
from trimtab.training.compiling import compiler

REPOSITORY = Path(__file__).resolve().parents[1]
DOCS = REPOSITORY / "docs"
PAGES = (REPOSITORY / "README.md", *sorted(DOCS.glob("*.md")))
# Other tests run these at their full length: tests/export/test_files.py compares what comes out, and tests/walkthrough
# executes the notebook that the page is made from.
RUN_ELSEWHERE = ("export.md", "walkthrough.md")
# How many blocks of a page are not run, and only since they need packages, or machines, that are not there.
BLOCKS_NOT_RUN = {"recorder.md": 3, "cluster.md": 5}  # Keras, transformers, MLflow; a cluster


def _name(page: Path) -> str:
    return page.name


def _houses(rows: int) -> polars.DataFrame:
    rng = numpy.random.default_rng(rows)
    size = rng.uniform(30, 200, rows).round(1)
    kind = rng.choice(["flat", "house", "hut"], rows)
    price = (size * 2 + (kind == "house") * 30 + rng.normal(0, 5, rows)).round(2)
    return polars.DataFrame({"size": size, "kind": kind, "price": price})


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=pytest.mark.slow if page.name == "README.md" else pytest.mark.long)
        for page in PAGES
        if page.name not in RUN_ELSEWHERE
    ],
    ids=_name,
)
def test_every_block_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # Two seconds are over before anything is compiled: the attempt would cost more than the page.
    monkeypatch.setattr(compiler, "can_compile", lambda: False)
    if page.name == "README.md":
        _houses(120).write_csv("houses.csv")
        _houses(20).drop("price").write_csv("new_houses.csv")
    run_page(page)


def test_no_block_slips_by() -> None:
    found = [block for page in PAGES for block in blocks(page)]
    not_run: dict[str, int] = {}
    for block in found:
        if NOT_RUN in block.marks:
            not_run[block.page.name] = not_run.get(block.page.name, 0) + 1
    assert not_run == BLOCKS_NOT_RUN
    for block in found:
        assert block.is_run or NOT_RUN in block.marks or _is_shown(block), f"{block.page}:{block.line} is not run"
    fences = sum(len(re.findall(r"^ *(?:```|~~~)", page.read_text(), re.MULTILINE)) for page in PAGES)
    assert fences == 2 * len(found)


def _is_shown(block: Block) -> bool:
    """What a command or a block of Python printed, or a file's content; no code."""
    is_command = block.text.startswith(("trimtab ", "$ trimtab ", "import "))
    return block.language in ("", "text", "json") and not block.marks and not is_command


def test_every_public_name_is_in_the_reference() -> None:
    documented = re.findall(r"^::: trimtab\.(\S+)", (DOCS / "reference.md").read_text(), re.MULTILINE)
    names = {place.rpartition(".")[2] for place in documented}
    assert set(trimtab.__all__) - {"__version__"} <= names


def test_the_pages_build_without_a_warning_and_fetch_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    built = subprocess.run(
        command, cwd=REPOSITORY, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    # (With --quiet, mkdocs counts no warnings.)
    remarks = [line for line in (built.stdout + built.stderr).splitlines() if not line.startswith("INFO")]
    assert (built.returncode, remarks) == (0, [])
    for page in tmp_path.rglob("*.html"):
        fetched = re.findall(r"""<(?:script|img|iframe|link)\b[^>]*?(?:src|href)="(https?:[^"]*)""", page.read_text())
        assert not fetched, f"{page.name} fetches {fetched}"
