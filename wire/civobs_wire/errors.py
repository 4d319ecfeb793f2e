"""What can be wrong with a message.

::

    WireError
    ├── EnvelopeError       not an envelope of the expected context
    │   └── SignatureError  an envelope, but not signed by the expected key
    ├── SizeError           over a limit of ``limits.py``, packed or unpacked
    ├── PackingError        not zlib, or cut short, or with bytes behind its end
    ├── ContentError        unpacked, but not a valid document of this version
    └── TopicError          a topic that is not ours, or in the wrong shard

Each carries ``reason``, a stable word from the table of quarantine reasons, so that what is refused can be counted.
"""


class WireError(Exception):
    """A message that cannot be accepted; ``reason`` is what it is counted under."""

    reason = "undecodable"


class EnvelopeError(WireError):
    """The bytes are not an envelope of the expected context."""

    reason = "undecodable"


class SignatureError(EnvelopeError):
    """The signature does not verify with the sender's key."""

    reason = "wrong_signature"


class SizeError(WireError):
    """The message is over a size limit, before or after unpacking."""

    reason = "oversized"


class PackingError(WireError):
    """The body is not exactly one zlib stream."""

    reason = "undecodable"


class ContentError(WireError):
    """The document is readable but breaks the schema, or is of a version or kind not known here."""

    reason = "invalid"

    def __init__(self, message: str, reason: str = "invalid") -> None:
        super().__init__(message)
        self.reason = reason


class TopicError(WireError):
    """The topic is not one of ours, or names the wrong shard."""

    reason = "wrong_topic"
