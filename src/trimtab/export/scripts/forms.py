"""Form: how the tensors of inputs, targets or outputs hang together, and the code that takes rows of them.

Knows trees of tensors; it knows no network and no loop.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch.utils import _pytree as pytree

from trimtab.export.scripts.literals import WIDTH, literal

_TAKEN = '''\
def taken(parts, rows):
    """These rows of a tensor, or of every tensor in a tuple, list or dict."""
    if isinstance(parts, torch.Tensor):
        return parts[rows]
    if isinstance(parts, dict):
        return {name: taken(part, rows) for name, part in parts.items()}
'''
_OF_FIELDS = """\
    if hasattr(parts, "_fields"):  # a named tuple
        return type(parts)(*(taken(part, rows) for part in parts))
"""
_OF_SEQUENCE = "    return type(parts)(taken(part, rows) for part in parts)\n"


@dataclass(frozen=True)
class Form:
    """How tensors hang together; by default there is one, by itself.

    `shown` is how they are written down, such as `{"a": tensor, "b": tensor}`; `first` leads from the whole to its
    first tensor, such as `["a"]`; `stars` stand before it in the call of a network that takes it apart. `has_fields`
    says that there is a named tuple in it.
    """

    shown: str = ""
    first: str = ""
    stars: str = ""
    has_fields: bool = False

    @classmethod
    def of(cls, tree: Any, stars: str = "") -> "Form":
        """That of a tensor, or of a tuple, list or dict (of such) of anything that stands for tensors."""
        paths = [path for path, _ in pytree.tree_flatten_with_path(tree)[0]]
        if not paths or not paths[0]:
            return cls()
        has_fields = any(isinstance(key, pytree.GetAttrKey) for path in paths for key in path)
        shown = written(pytree.tree_map(lambda _: "tensor", tree))
        return cls(shown, _steps(paths[0]), stars, has_fields)

    @property
    def is_plain(self) -> bool:
        """Whether it is one tensor by itself."""
        return not self.shown

    def rows_of(self, name: str, rows: str) -> str:
        """The expression for `rows` of what `name` holds."""
        return f"{name}[{rows}]" if self.is_plain else f"taken({name}, {rows})"


ONE = Form()


def taken_function(forms: Iterable[Form]) -> str:
    """`def taken(parts, rows)`; "" where all are tensors by themselves."""
    several = [form for form in forms if not form.is_plain]
    if not several:
        return ""
    return _TAKEN + (_OF_FIELDS if any(form.has_fields for form in several) else "") + _OF_SEQUENCE


def places(tree: Any) -> list[str]:
    """What leads from the whole to each of its leaves, such as `["a"][0]`."""
    return [_steps(path) for path, _ in pytree.tree_flatten_with_path(tree)[0]]


def written(tree: Any) -> str:
    """A tree as it stands in a script; its leaves are expressions."""
    if isinstance(tree, str):
        return tree
    opening, entries, closing = _parts(tree)
    return f"{opening}{', '.join(entries)}{',' if opening == '(' and len(entries) == 1 else ''}{closing}"


def cast(names: Sequence[str], tree: Any) -> tuple[str, ...]:
    """The lines that bring what is called `names` into the types that stand as the leaves of `tree`; "" leaves one as
    it is."""
    if not any(pytree.tree_leaves(tree)):
        return ()
    if isinstance(tree, str):
        both = ", ".join(names)
        return (f"{both} = (rows.to({tree}) for rows in ({both}))",)
    steps, types = places(tree), pytree.tree_leaves(tree)
    spec = pytree.tree_flatten(tree)[1]
    lines: list[str] = []
    for name in names:
        parts = [name + step + (f".to({kind})" if kind else "") for step, kind in zip(steps, types, strict=True)]
        lines += assigned(name, pytree.tree_unflatten(parts, spec))
    return tuple(lines)


def assigned(name: str, tree: Any) -> tuple[str, ...]:
    """The lines of `name = tree`: one for each entry where one line is too long."""
    line = f"{name} = {written(tree)}"
    if len(line) <= WIDTH or isinstance(tree, str):
        return (line,)
    opening, entries, closing = _parts(tree)
    return (f"{name} = {opening}", *(f"    {entry}," for entry in entries), closing)


def _parts(tree: Any) -> tuple[str, list[str], str]:
    if isinstance(tree, Mapping):
        return "{", [f"{literal(key)}: {written(part)}" for key, part in tree.items()], "}"
    if hasattr(tree, "_fields"):
        named = zip(tree._fields, tree, strict=True)
        return f"{type(tree).__name__}(", [f"{name}={written(part)}" for name, part in named], ")"
    opening, closing = "[]" if isinstance(tree, list) else "()"
    return opening, [written(part) for part in tree], closing


def _steps(path: tuple[Any, ...]) -> str:
    steps = ""
    for key in path:
        if isinstance(key, pytree.MappingKey):
            steps += f"[{literal(key.key)}]"
        elif isinstance(key, pytree.SequenceKey):
            steps += f"[{key.idx}]"
        else:
            steps += str(key)
    return steps
