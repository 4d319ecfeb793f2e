"""What can go wrong in the agent.

::

    CivobsAgentError              a cause and a remedy, shown as two lines; exit code 2
    ├── ConfigError               a setting is missing, unreadable or refused
    ├── IdentityError             a key is unreadable, damaged or readable for others
    ├── EnrolmentError            the observatory refuses the claim, or answers what cannot be trusted
    │   └── UnreachableError      it could not be asked; asking again later may help
    ├── StorageError              the state folder cannot be used at all
    └── NotFoundError             what was asked for does not exist; exit code 1

A failed measurement is none of these: it is a row.
"""


class CivobsAgentError(Exception):
    """Anything that ends a command; the command line prints the cause and the remedy, never a traceback."""

    exit_code = 2

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause)
        self.cause = cause
        self.remedy = remedy


class ConfigError(CivobsAgentError):
    """A setting is missing, unreadable or refused."""


class IdentityError(CivobsAgentError):
    """A key is unreadable, damaged, or readable for others."""


class EnrolmentError(CivobsAgentError):
    """The observatory refuses the claim, or its answer cannot be trusted. Asking again changes nothing."""


class UnreachableError(EnrolmentError):
    """The observatory could not be asked. Measuring goes on; asking again later may help."""


class StorageError(CivobsAgentError):
    """The state folder cannot be made or used at all."""


class NotFoundError(CivobsAgentError):
    """What was asked for does not exist."""

    exit_code = 1
