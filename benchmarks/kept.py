"""What a benchmark has measured so far, a line of JSON each: one that was interrupted goes on with what is missing."""

import json
from pathlib import Path


def read_lines(file: Path | None) -> list[dict]:
    """Those of a file; none where there is no such file yet."""
    if file is None or not file.exists():
        return []
    return [json.loads(text) for text in file.read_text().splitlines()]


def add_line(file: Path | None, line: dict) -> None:
    """Append it, where there is a file to keep it in."""
    if file is not None:
        with file.open("a") as kept:
            kept.write(json.dumps(line) + "\n")
