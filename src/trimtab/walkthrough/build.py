"""Writes the notebook and the page into a checkout: `python -m trimtab.walkthrough.build [FOLDER]`, `make walkthrough`.

Knows where they belong, not how they are made.
"""

import copy
import sys
import tempfile
from pathlib import Path

from trimtab.walkthrough.notebook import execute, notebook, written
from trimtab.walkthrough.page import FOLDER, page_of

NOTEBOOK, PAGE = Path("examples/walkthrough.ipynb"), Path("docs/walkthrough.md")


def build(root: Path) -> None:
    """Write the notebook, execute a copy of it, and write the page with its pictures; others are removed."""
    book = notebook()
    (root / NOTEBOOK).parent.mkdir(exist_ok=True)
    (root / NOTEBOOK).write_text(written(book), encoding="utf-8")
    executed = copy.deepcopy(book)
    with tempfile.TemporaryDirectory() as folder:
        execute(executed, folder)
    page = page_of(executed)
    pictures = (root / PAGE).parent / FOLDER
    pictures.mkdir(parents=True, exist_ok=True)
    for old in pictures.glob("chapter-*.png"):
        old.unlink()
    for name, content in page.pictures.items():
        (pictures / name).write_bytes(content)
    (root / PAGE).write_text(page.text, encoding="utf-8")


if __name__ == "__main__":
    build(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
