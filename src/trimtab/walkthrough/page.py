"""The walkthrough as a page of Markdown with its pictures, from a notebook that was executed.

Knows nothing of how it was executed.
"""

import base64
import re
from dataclasses import dataclass
from typing import Any

FOLDER = "walkthrough"
NOTE = "<!-- Made from src/trimtab/walkthrough/ by `make walkthrough`; change it there. -->"
_ESCAPES = re.compile("\x1b\\[[0-9;]*m")


@dataclass(frozen=True)
class Page:
    """`text` is Markdown; `pictures` are PNG files by their names in the folder beside it."""

    text: str
    pictures: dict[str, bytes]


def page_of(book: Any) -> Page:
    """Prose, code, outputs and pictures of an executed notebook, in order; the cell that installs is left out."""
    pieces, pictures = [NOTE], {}
    for cell in book.cells:
        if cell.cell_type == "markdown":
            pieces.append(cell.source)
        elif cell.id.startswith("chapter-"):
            pieces.append(f"```python\n{cell.source}\n```")
            chapter = cell.id.rpartition("-")[0]
            pieces += [_shown(output, chapter, pictures) for output in cell.outputs]
    return Page("\n\n".join(piece for piece in pieces if piece) + "\n", pictures)


def _shown(output: Any, chapter: str, pictures: dict[str, bytes]) -> str:
    """One output as Markdown; a picture goes into `pictures`."""
    if output.output_type == "stream":
        return "" if output.name == "stderr" else _block(output.text)
    data = output.get("data", {})
    if "image/png" in data:
        place = 1 + sum(name.startswith(f"{chapter}-") for name in pictures)
        name = f"{chapter}-{place}.png"
        pictures[name] = base64.b64decode(data["image/png"])
        alt = output.metadata["image/png"]["alt"].replace("[", "(").replace("]", ")")
        return f"![{alt}]({FOLDER}/{name})"
    return _block(data["text/plain"])


def _block(text: str) -> str:
    lines = _ESCAPES.sub("", text).strip("\n").splitlines()
    return "```text\n" + "\n".join(line.rstrip() for line in lines) + "\n```"
