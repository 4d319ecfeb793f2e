"""What goes wrong with a censor."""


class CensorError(RuntimeError):
    """A rule cannot act, or the box does not work; the text says which and what would.

    ``key`` is the one of the rule's that is at odds with the rest, if one is."""

    def __init__(self, text: str, *, key: str | None = None) -> None:
        self.key = key
        super().__init__(text)
