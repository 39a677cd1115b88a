"""What a page asked for and cannot have."""

from trimtab.errors import TrimtabError


class RefusedError(TrimtabError):
    """It, in a sentence, with the status that an answer has for it."""

    def __init__(self, sentence: str, *, status: int = 400) -> None:
        super().__init__(sentence)
        self.status = status
