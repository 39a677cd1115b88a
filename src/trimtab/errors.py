"""Every error trimtab raises on purpose; each message says what happened, where, and what to do.

Knows nothing of what it is raised for: everyone may import it.
"""

import difflib
import re
from collections.abc import Iterable

# What others call it.
SYNONYMS = {
    "learning_rate": "lr", "eta": "lr", "max_epochs": "epochs", "n_epochs": "epochs", "num_epochs": "epochs",
    "l2": "weight_decay", "wd": "weight_decay", "batch": "batch_size", "hidden_size": "width", "units": "width",
    "layers": "depth", "n_layers": "depth", "dropout_rate": "dropout", "criterion": "loss", "early_stopping": "stop",
}  # fmt: skip
_FLAG = re.compile(r"(?<![\w-])--([a-z]+(?:-[a-z]+)*)")


class TrimtabError(Exception):
    """The root of all errors that trimtab raises on purpose.

    Messages are written with the command line's flags; whoever reads one in Python is told of arguments.
    """

    def __str__(self) -> str:
        return _FLAG.sub(lambda flag: f"{flag[1].replace('-', '_')}=", self.for_terminal)

    @property
    def for_terminal(self) -> str:
        """The message as the command line says it."""
        return super().__str__()


class DataError(TrimtabError, ValueError):
    """A table, frame or tensor that cannot be used as it is."""


class ShapeError(DataError):
    """Inputs, targets and outputs whose shapes do not go together."""


class NotFiniteError(DataError):
    """A NaN or an infinity where a number is needed."""


class LabelError(DataError):
    """Targets that are no class numbers 0, 1, ... although the loss is one of classes."""


class ModuleError(TrimtabError):
    """A network that cannot be trained as it is: nothing to train, or it cannot take its inputs."""


class FactoryError(ModuleError):
    """A factory of networks that raised an error or gave something else."""


class LossError(TrimtabError):
    """A loss function that gives no number to minimise."""


class CheckpointError(TrimtabError):
    """A checkpoint that cannot be read, or that belongs to another run."""


class OptionError(TrimtabError, ValueError):
    """An option, knob or value that trimtab does not know or cannot accept."""


class UnknownKnobError(OptionError):
    """A knob that does not exist."""


class ModelError(TrimtabError):
    """A saved model that cannot be read: damaged, newer than this trimtab, or not a model at all."""


class StudyError(TrimtabError):
    """A study folder that cannot be read, written or resumed."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """' Did you mean "price"?' when something in `known` is near `word`, else the empty string."""
    known = list(known)
    same = SYNONYMS.get(word)
    near = [same] if same in known else difflib.get_close_matches(word, known, n=1)
    if not near:  # case is the last thing that tells two names apart
        folded = {name.casefold(): name for name in known}
        near = [folded[name] for name in difflib.get_close_matches(word.casefold(), folded, n=1)]
    return f' Did you mean "{near[0]}"?' if near else ""


def unknown_choice(what: str, word: str, known: Iterable[str]) -> OptionError:
    """The error for a name that is not one of `known`: names the nearest one and lists them all."""
    return OptionError(_unknown(what, word, known))


def unknown_knob(word: str, known: Iterable[str]) -> UnknownKnobError:
    """The same for a knob."""
    return UnknownKnobError(_unknown("knob", word, known))


def first_line(error: BaseException) -> str:
    """What an error of somebody else's says, in one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _unknown(what: str, word: str, known: Iterable[str]) -> str:
    known = list(known)
    return f'Unknown {what} "{word}".{did_you_mean(word, known)} Choose one of: {", ".join(known)}.'
