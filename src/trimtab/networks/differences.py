"""Differences: what of one fingerprint is otherwise in another, in words. Knows names of parts; it sees no object."""

from trimtab.text.wording import counted

# Each thing by its noun ("the loss"), and in it each part by its path ("delta", "0.weight") in words.
Parts = dict[str, dict[str, str]]
# The version of Python has a noun of its own; how digests begin, and the last names of what belongs to a version.
PYTHON, DIGEST, CODE, CONSTANT = "Python", "#", "its code", "a constant in its code"
_PLURAL = ("the data", "the knobs")
# A message with more would not be read (a guess).
_DIFFERENCES_TOLD = 2


def differing(before: Parts, now: Parts) -> dict[str, list[str]]:
    """The paths of what of `now` is otherwise than `before`, by noun; none of a noun that is the same.

    Bytecode belongs to a version of Python: where that differs too, code is not compared.
    """
    is_same_python = before.get(PYTHON) == now.get(PYTHON)
    found = {}
    for noun in dict.fromkeys((*now, *before)):
        one, other = before.get(noun, {}), now.get(noun, {})
        paths = [path for path in dict.fromkeys((*other, *one)) if one.get(path) != other.get(path)]
        paths = [path for path in paths if is_same_python or not _is_of_code(path)]
        if noun != PYTHON and paths:
            found[noun] = paths
    return found


def differences(before: Parts, now: Parts) -> str:
    """What `differing` finds, in words; "" where that is nothing."""
    found = []
    for noun, paths in differing(before, now).items():
        one, other = before.get(noun, {}), now.get(noun, {})
        told = [_difference(path, one.get(path), other.get(path)) for path in paths[:_DIFFERENCES_TOLD]]
        told += [f"and {counted(len(paths) - len(told), 'more part')}"] if len(paths) > len(told) else []
        found.append(f"{noun} {'differ' if noun in _PLURAL else 'differs'}: {', '.join(told)}")
    return "; ".join(found)


def _difference(path: str, before: str | None, now: str | None) -> str:
    name = path or "it"
    if before is None or now is None:
        return f"{name} was not there before" if before is None else f"{name} is no longer there"
    if DIGEST in (before[:1], now[:1]):
        return f"{name} is another" if path else "it is another one"
    return f"{name} was {before} and is {now}"


def _is_of_code(path: str) -> bool:
    return path.endswith(CODE) or CONSTANT in path
