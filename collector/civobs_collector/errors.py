"""What can go wrong in the collector.

::

    CivobsCollectorError          a cause and a remedy, shown as two lines; exit code 2
    ├── ConfigError               a setting is missing, unreadable or refused
    ├── DatabaseError             the database is away, empty, too old or too new
    ├── ResourceError             a port, a permission or a program is missing
    ├── NotFoundError             what was asked for does not exist; exit code 1
    ├── KeyFileError              a key is missing, readable by others, or no key
    ├── PlanError                 a plan that must not be signed or published
    ├── ServicesError             blocking and throttling could not be judged
    ├── FingerprintError          a file that is no list of fingerprints, or cannot be read
    ├── BackupError               a backup that could not be made whole, or must not be trusted
    ├── ReviewRefusedError        a decision about an event that the record does not bear; exit code 1
    ├── GrafanaError              Grafana is away, too old, or refuses what it is asked
    ├── NotTakenError             a subscriber did not take a message; exit code 1
    ├── EvaluationError           a file that is not of the form it is said to have
    └── EnrolmentError            a device is not made a probe; carries the HTTP status and the problem's name
        ├── MalformedError        no envelope, no request of this version, or no usable certificate request
        ├── ForgedError           not signed by the key it registers
        ├── ClaimUnknownError     never given out, or mistyped
        ├── ClaimExpiredError     given out too long ago
        ├── ClaimUsedError        used by another device
        ├── KeyRegisteredError    the key belongs to a probe that enrolled with another claim
        └── ProbeRevokedError     the key's probe has been revoked
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


class ResourceError(CivobsCollectorError):
    """A port is taken, a permission or a program is missing."""


class NotFoundError(CivobsCollectorError):
    """What was asked for does not exist."""

    exit_code = 1


class KeyFileError(CivobsCollectorError):
    """A key file is missing, readable by others, or holds no key of the kind needed."""


class ServicesError(CivobsCollectorError):
    """A stored row of a target is not what its detectors expect, or an hour of rows took too long to read.

    Losses of the whole line were judged before.
    """

    def __init__(self) -> None:
        super().__init__(
            "blocking and throttling could not be judged; losses of the whole line have been",
            "the log of the role detect has the cause: report it with the program's version",
        )


class PlanError(CivobsCollectorError):
    """A plan that no probe could use, or that must not replace the one in force."""


class FingerprintError(CivobsCollectorError):
    """A list of fingerprints or a file of pages that cannot be used at all."""


class BackupError(CivobsCollectorError):
    """A backup could not be made whole, is not what it says it is, or must not be restored here."""


class ReviewRefusedError(CivobsCollectorError):
    """A decision about an event that its record does not bear, or that was made on an older version of it."""

    exit_code = 1


class NotTakenError(CivobsCollectorError):
    """A message did not arrive at a subscriber."""

    exit_code = 1


class GrafanaError(CivobsCollectorError):
    """Grafana does not answer, is too old, or refuses what it is asked."""


class EvaluationError(CivobsCollectorError):
    """A file cannot be read as the form it is said to have."""


class EnrolmentError(CivobsCollectorError):
    """A device is not made a probe. ``remedy`` is for the person who installs it."""

    status = 400
    """HTTP status that says it best."""
    problem = "enrolment"
    """Last part of the problem's type (RFC 9457)."""


class MalformedError(EnrolmentError):
    """Not an enrolment request that this version can read."""

    problem = "enrolment-malformed"


class ForgedError(EnrolmentError):
    """The request was not signed by the key that it wants to register."""

    status = 403
    problem = "enrolment-signature"


class ClaimUnknownError(EnrolmentError):
    """No such claim code was given out."""

    status = 403
    problem = "claim-unknown"


class ClaimExpiredError(EnrolmentError):
    """The claim code was not used in time."""

    status = 410
    problem = "claim-expired"


class ClaimUsedError(EnrolmentError):
    """Another device has used the claim code."""

    status = 409
    problem = "claim-used"


class KeyRegisteredError(EnrolmentError):
    """The device is a probe already, by another claim code."""

    status = 409
    problem = "key-registered"


class ProbeRevokedError(EnrolmentError):
    """The device was a probe and has been shut out."""

    status = 403
    problem = "probe-revoked"
