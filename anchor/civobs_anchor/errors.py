"""What can go wrong in the anchor.

::

    CivobsAnchorError             a cause and a remedy, shown as two lines; exit code 2
    ├── ConfigError               a setting is missing, unreadable or refused
    ├── CertificateError          a certificate or key cannot be used
    └── ListenError               a port cannot be opened

What a client does wrong is none of these: it loses its connection, and a counter rises.
"""


class CivobsAnchorError(Exception):
    """Anything that ends the program; the command line prints the cause and the remedy, never a traceback."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause)
        self.cause = cause
        self.remedy = remedy


class ConfigError(CivobsAnchorError):
    """A setting is missing, unreadable or refused."""


class CertificateError(CivobsAnchorError):
    """A certificate or key cannot be used."""


class ListenError(CivobsAnchorError):
    """A port cannot be opened."""
