"""Whether a service can be used, and whom it takes to serve it: one small row a target."""

from typing import Annotated, Literal

from pydantic import Field

from civobs_wire.kinds.http import HttpStage
from civobs_wire.limits import MAX_ALIASES, MAX_ANSWERS
from civobs_wire.row import MeasurementBase
from civobs_wire.scalars import Count2, Millis, Name, Text


class Reach(MeasurementBase):
    """Name, connect, TLS and the head of an answer, with what tells who serves it."""

    kind: Literal["reach"] = "reach"
    url: Text = ""
    category: Name | None = None
    """Category of the target (``civobs_wire.categories``)."""
    stage: HttpStage = HttpStage.RESOLVE
    addresses: Annotated[tuple[Name, ...], Field(max_length=MAX_ANSWERS)] = ()
    aliases: Annotated[tuple[Name, ...], Field(max_length=MAX_ALIASES)] = ()
    name_servers: Annotated[tuple[Name, ...], Field(max_length=MAX_ANSWERS)] = ()
    """Of the zone the name is in, in alphabetical order."""
    address: Name | None = None
    """The one that was spoken to."""
    status: Count2 | None = None
    verified: bool | None = None
    issuer: Name | None = None
    """Organisation that signed the leaf certificate."""
    root: Name | None = None
    server: Name | None = None
    """The Server header."""
    location: Text | None = None
    """Where a redirection leads; not followed."""
    refusal: Name | None = None
    """Rule id of a refusal by the service itself, told over verified TLS: a status or a known page."""
    first_byte_ms: Millis | None = None
