"""The functions of a script in which its user puts the rows: `data()`, and `split()` where a run set some aside.

Knows the forms in which a run took its tensors; it knows no rows.
"""

import textwrap
from typing import Any

from trimtab.export.scripts.conventions import Conventions
from trimtab.export.scripts.forms import Form
from trimtab.export.scripts.literals import WIDTH, literal
from trimtab.training.randomness import number_from

_DATA = '''\
def data():
    """Put your rows here: {what}, as tensors{weights}.{forms}"""
    raise SystemExit("Put your rows into data() first.")
'''
_SPLIT = '''\
def split(X, y{own}):
    """(X, y, Xv, yv{both}): the rows to train on, and those drawn to judge by, the same as in the run."""
    order = torch.from_numpy(numpy.random.default_rng({number}).permutation({count}))
    held = max(1, round({share} * {count}))
    train, valid = order[held:].sort().values, order[:held].sort().values
    return {parts}
'''


def taken_apart(reading: Conventions, loss: Any, *, is_split: bool, has_weights: bool) -> list[Form]:
    """The forms of all that rows are taken of."""
    forms = [reading.inputs]
    forms += [reading.targets] if loss is not None or is_split else []
    return forms + ([reading.outputs] if loss is not None and has_weights else [])


def data_functions(share: float | None, seed: int, reading: Conventions, *, has_weights: bool) -> list[str]:
    own, both = (", w", ", w, wv") if has_weights else ("", "")
    if share is None:
        weights = "; and the weights w, wv of the rows" if has_weights else ""
        what, forms = "X, y to train on and Xv, yv to judge by", _forms(reading, "X and Xv", "y and yv")
        return [_DATA.format(what=what, weights=weights, forms=forms)]
    named = ((reading.inputs, "X"), (reading.targets, "y"))
    taken = [form.rows_of(name, rows) for rows in ("train", "valid") for form, name in named]
    parts = ", ".join([*taken, *(["w[train]", "w[valid]"] if has_weights else [])])
    count = f"len(y{reading.targets.first})"
    number = number_from("valid", seed)
    split = _SPLIT.format(share=literal(share), number=number, own=own, both=both, parts=parts, count=count)
    weights = ", and the weights w of the rows" if has_weights else ""
    return [_DATA.format(what="X, y", weights=weights, forms=_forms(reading, "X", "y")), split]


def _forms(reading: Conventions, inputs: str, targets: str) -> str:
    """What stands in the docstring of `data` of inputs and targets that are several tensors, or may be."""
    if not reading.knows_forms:
        text = "It is not known whether X or y are several tensors: if so, take `rows` of each of them in train()."
        return f"\n\n    {text}\n    "
    named = ((inputs, reading.inputs), (targets, reading.targets))
    lines = [f"{name}: {form.shown}" for name, form in named if not form.is_plain]
    wrapped = [textwrap.fill(line, WIDTH, initial_indent="    ", subsequent_indent="        ", break_long_words=False)
               for line in lines]  # fmt: skip
    return "\n\n" + "\n".join(wrapped) + "\n    " if lines else ""
