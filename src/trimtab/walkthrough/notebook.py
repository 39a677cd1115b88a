"""The walkthrough as a notebook for Jupyter and Colab.

The notebook in the repository holds no outputs, so that a change of prose shows as one; they stand in the page that is
rendered from an executed copy. Needs nbformat, and nbclient to execute.
"""

from typing import Any

from trimtab.walkthrough.source import Chapter, Code, chapters, introduction

INSTALL = """\
# Where trimtab is not installed yet, in Colab for one, take the first # off the next line and run this cell once.
# %pip install "trimtab[plot]"\
"""
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
SECONDS_FOR_A_CELL = 170  # all cells together are promised in three minutes


def notebook() -> Any:
    """A fresh notebook of all chapters, without outputs; the same source gives the same notebook."""
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    cells = [
        new_markdown_cell(introduction(), id="introduction"),
        new_code_cell(INSTALL, id="install"),
    ]
    for chapter in chapters():
        cells += _cells(chapter)
    return new_notebook(cells=cells, metadata=METADATA)


def _cells(chapter: Chapter) -> list[Any]:
    from nbformat.v4 import new_code_cell, new_markdown_cell

    return [
        (new_code_cell if isinstance(cell, Code) else new_markdown_cell)(
            cell.text, id=f"chapter-{chapter.number}-{place}"
        )
        for place, cell in enumerate(chapter.cells, start=1)
    ]


def written(book: Any) -> str:
    """The text of the file."""
    import nbformat

    return nbformat.writes(book) + "\n"


def execute(book: Any, folder: str) -> None:
    """Run every cell in `folder` with the kernel python3 and keep the outputs; raises CellExecutionError."""
    from nbclient import NotebookClient

    NotebookClient(book, timeout=SECONDS_FOR_A_CELL, resources={"metadata": {"path": folder}}).execute()
