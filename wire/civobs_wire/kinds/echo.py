"""What is altered between the device and a server of the observatory, in either direction."""

from typing import Annotated, Literal

from pydantic import Field

from civobs_wire.failure import Failure, Outcome
from civobs_wire.limits import MAX_ALTERATIONS, MAX_CHECKS
from civobs_wire.row import Frozen, MeasurementBase
from civobs_wire.scalars import Millis, Name, Text


class EchoTry(Frozen):
    """One request. A path that is dead alters nothing: ``altered`` is None then, and the failure says more."""

    id: Name
    """Which request: ``plain``, ``odd_case``, ``odd_method`` …"""
    outcome: Outcome
    failure: Failure | None = None
    request_altered: bool | None = None
    response_altered: bool | None = None
    ms: Millis | None = None


class Alteration(Frozen):
    """One difference."""

    where: Name
    """``request`` or ``response``, and the try's id."""
    what: Name
    """A header's name, ``request line``, ``body``, ``order``, ``spacing``."""
    sent: Text | None = None
    got: Text | None = None
    """Scrubbed; of a header that was added only the length, unless it is one that tells nothing of the customer."""


class Echo(MeasurementBase):
    """Requests over plain HTTP to an echo server, as sent and as they arrived."""

    kind: Literal["echo"] = "echo"
    server: Name = "-"
    tries: Annotated[tuple[EchoTry, ...], Field(max_length=MAX_CHECKS)] = ()
    altered: Annotated[tuple[Alteration, ...], Field(max_length=MAX_ALTERATIONS)] = ()
    proxy: bool | None = None
    """Headers were added that proxies add, or the server saw another network than STUN did. False: neither. None: no
    such header, and the networks could not be compared."""
