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
            # However many pieces it came in.
            printed = "".join(output.text for output in cell.outputs if output.get("name") == "stdout")
            pieces += [_block(printed)] if printed else []
            pieces += [
                _shown(output.data, output.metadata, chapter, pictures) for output in cell.outputs if "data" in output
            ]
    return Page("\n\n".join(pieces) + "\n", pictures)


def _shown(data: Any, metadata: Any, chapter: str, pictures: dict[str, bytes]) -> str:
    """The value of a cell as Markdown; a picture goes into `pictures`."""
    if "image/png" in data:
        place = 1 + sum(name.startswith(f"{chapter}-") for name in pictures)
        name = f"{chapter}-{place}.png"
        pictures[name] = base64.b64decode(data["image/png"])
        alt = metadata["image/png"]["alt"].replace("[", "(").replace("]", ")")
        return f"![{alt}]({FOLDER}/{name})"
    return _block(data["text/plain"])


def _block(text: str) -> str:
    lines = _ESCAPES.sub("", text).strip("\n").splitlines()
    return "```text\n" + "\n".join(line.rstrip() for line in lines) + "\n```"
