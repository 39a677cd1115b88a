"""Exports as files: everything is made before anything is written, and each file appears whole or not at all."""

from collections.abc import Callable
from functools import partial
from os import PathLike
from pathlib import Path

from trimtab.errors import OptionError
from trimtab.export.onnx import as_onnx
from trimtab.export.pt2 import as_pt2
from trimtab.model.model import Model
from trimtab.whole_file import beside

Place = str | PathLike[str] | None
# By kind, a file and what it is to hold.
Files = dict[str, tuple[Path, bytes]]


def export_files(
    model: Model | None,
    script: Callable[[Path], Files] | None = None,
    *,
    python: Place = None,
    onnx: Place = None,
    pt2: Place = None,
    interval: float | None = None,
) -> dict[str, Path]:
    """Write what is asked for; files that are there are replaced. `script` makes a script, and what it reads, for a
    place (None: nobody can); `interval` is that of the ONNX graph.

    Returns the files by kind. Raises OptionError where nothing is asked for, two files are one, or onnx is not
    installed; DataError where a file cannot be written.
    """
    asked = {"python": python, "onnx": onnx, "pt2": pt2}
    places = {kind: Path(place) for kind, place in asked.items() if place is not None}
    if not places:
        raise OptionError("Name what to write: --python FILE, --onnx FILE or --pt2 FILE (or several of them).")
    if interval is not None and "onnx" not in places:
        raise OptionError("--interval has an effect on ONNX graphs alone: give --onnx FILE, or leave it out.")
    if len({place.resolve() for place in places.values()}) < len(places):
        raise OptionError("Two exports cannot share one file: give each its own.")
    files: Files = {}
    if model is not None:
        makers = {"onnx": partial(as_onnx, interval=interval), "pt2": as_pt2}
        files |= {kind: (places[kind], make(model)) for kind, make in makers.items() if kind in places}
    if script is not None and "python" in places:
        files = script(places["python"]) | files
    for place, content in files.values():
        with beside(place) as part:
            part.write_bytes(content)
    return {kind: place for kind, (place, _) in files.items()}
