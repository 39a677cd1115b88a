"""PT2: a model as a program of torch.export, which `torch.export.load` runs without trimtab.

Two tensors in, numbers (float64) and category codes (int64); the vocabulary that makes them travels in the same file.
"""

import io
import json

import torch

from trimtab.export.predictor import Predictor
from trimtab.export.vocabulary import vocabulary
from trimtab.machine import as_before_compiling
from trimtab.model.model import Model

VOCABULARY_FILE = "vocabulary.json"
_EXAMPLE_ROWS = 3  # torch.export takes sizes of 0 and 1 for constants


def as_pt2(model: Model) -> bytes:
    """The content of a `.pt2` file: takes any number of rows, returns probabilities or values in original units."""
    with as_before_compiling():
        return _exported(model)


def _exported(model: Model) -> bytes:
    document = vocabulary(model)
    example = (
        torch.zeros(_EXAMPLE_ROWS, len(document["numbers"]), dtype=torch.float64),
        torch.zeros(_EXAMPLE_ROWS, len(document["categories"]), dtype=torch.int64),
    )
    rows = torch.export.Dim("rows", min=0)
    shapes = {"numbers": {0: rows}, "codes": {0: rows}}
    with torch.no_grad():
        program = torch.export.export(Predictor(model).eval(), example, dynamic_shapes=shapes)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # paths of this machine have no place in the file
    content = io.BytesIO()
    torch.export.save(program, content, extra_files={VOCABULARY_FILE: json.dumps(document, ensure_ascii=False)})
    return content.getvalue()
