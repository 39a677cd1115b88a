"""The benchmark's figures as a JSON file, part by part; kept nowhere where there is no file. Knows no figures."""

import json
from pathlib import Path


class Document:
    """What `file` holds; each part is written as soon as it is put, and the other parts stay."""

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self.parts: dict[str, dict] = json.loads(file.read_text()) if file is not None and file.exists() else {}

    def get(self, part: str) -> dict:
        return self.parts.get(part, {})

    def put(self, part: str, figures: dict) -> None:
        self.parts[part] = figures
        if self.file is not None:
            self.file.write_text(json.dumps(self.parts, indent=1) + "\n")
