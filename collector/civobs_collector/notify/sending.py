"""How an attempt to tell somebody can end."""


class SendError(Exception):
    """It did not arrive, as far as is known. The words name no address and no secret: they are stored and shown."""

    def __init__(self, words: str, *, final: bool = False) -> None:
        super().__init__(words)
        self.final = final
        """The receiver wants it never: it is not tried again."""
