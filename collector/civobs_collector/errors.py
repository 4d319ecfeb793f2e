"""What can go wrong in the collector.

::

    CivobsCollectorError          a cause and a remedy, shown as two lines; exit code 2
    ├── ConfigError               a setting is missing, unreadable or refused
    ├── DatabaseError             the database is away, empty, too old or too new
    ├── BrokerError               the broker is away or refuses us
    ├── ResourceError             a port, a permission or a program is missing
    └── NotFoundError             what was asked for does not exist; exit code 1
"""


class CivobsCollectorError(Exception):
    """Anything that ends a command; the command line prints the cause and the remedy, never a traceback."""

    exit_code = 2

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause)
        self.cause = cause
        self.remedy = remedy


class ConfigError(CivobsCollectorError):
    """A setting is missing, unreadable or refused."""


class DatabaseError(CivobsCollectorError):
    """The database is away, not migrated, or newer than this program."""


class BrokerError(CivobsCollectorError):
    """The broker is away or refuses the collector."""


class ResourceError(CivobsCollectorError):
    """A port is taken, a permission or a program is missing."""


class NotFoundError(CivobsCollectorError):
    """What was asked for does not exist."""

    exit_code = 1
