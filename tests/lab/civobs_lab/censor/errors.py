"""What goes wrong with a censor."""


class CensorError(RuntimeError):
    """A rule cannot act, or the box does not work; the text says which and what would."""
