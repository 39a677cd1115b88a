"""The notebook in the repository is the one that the source makes, and opens in Jupyter and Colab."""

from pathlib import Path

import nbformat
import pytest

from trimtab.walkthrough.build import NOTEBOOK
from trimtab.walkthrough.notebook import notebook, written
from trimtab.walkthrough.source import CHAPTERS, Code, chapters

ROOT = Path(__file__).resolve().parents[2]


def test_the_notebook_is_what_the_source_makes() -> None:
    assert (ROOT / NOTEBOOK).read_text(encoding="utf-8") == written(notebook()), "run `make walkthrough`"


def test_the_notebook_is_valid_and_carries_no_outputs() -> None:
    book = nbformat.read(ROOT / NOTEBOOK, as_version=4)
    nbformat.validate(book)
    assert book.metadata.kernelspec.name == "python3"
    codes = [cell for cell in book.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in codes)
    assert all(cell.metadata == {} for cell in book.cells)


def test_its_first_block_says_how_to_install() -> None:
    first = next(cell for cell in notebook().cells if cell.cell_type == "code")
    assert "%pip install" in first.source
    assert all(line.startswith("#") for line in first.source.splitlines()), "it does nothing until asked"


@pytest.mark.parametrize("number", range(1, CHAPTERS + 1))
def test_it_holds_every_cell_of_the_source_in_order(number: int) -> None:
    told = chapters()[number - 1]
    cells = [cell for cell in notebook().cells if cell.id.startswith(f"chapter-{number}-")]
    assert [cell.source for cell in cells] == [cell.text for cell in told.cells]
    assert [cell.cell_type == "code" for cell in cells] == [isinstance(cell, Code) for cell in told.cells]
