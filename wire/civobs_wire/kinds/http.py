"""One HTTP exchange with its redirects."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from civobs_wire.limits import MAX_HEADERS, MAX_REDIRECTS, MAX_SAMPLES
from civobs_wire.row import Frozen, MeasurementBase, Received
from civobs_wire.scalars import Count8, Millis, Name, Sha256, Text


class HttpStage(StrEnum):
    """How far an HTTP exchange came."""

    RESOLVE = "resolve"
    CONNECT = "connect"
    TLS = "tls"
    REQUEST = "request"
    HEADERS = "headers"
    BODY = "body"
    DONE = "done"


class Header(Frozen):
    """One header field of an answer."""

    name: Name
    value: Text


class Http(MeasurementBase):
    """One HTTP exchange with its redirects, at one address."""

    kind: Literal["http"] = "http"
    url: Text
    address: Name | None = None
    stage: HttpStage
    status: Annotated[int, Field(ge=0, le=999)] | None = None
    resolve_ms: Millis | None = None
    connect_ms: Millis | None = None
    tls_ms: Millis | None = None
    first_byte_ms: Millis | None = None
    """From the request to the first byte of an answer."""
    body_bytes: Count8 | None = None
    """As they came: a body that was packed although it was asked not to be is counted and digested packed."""
    body_sha256: Sha256 | None = None
    redirects: Annotated[tuple[Text, ...], Field(max_length=MAX_REDIRECTS)] = ()
    """Where they led, in order: host's name and path scrubbed, of the query the parameters' names; an address that is
    refused by its range's id alone."""
    verified: bool | None = None
    """The last hop's TLS chain and name were good; None over plain HTTP, and where TLS did not come that far."""
    headers: Annotated[tuple[Header, ...], Field(max_length=MAX_HEADERS)] = ()
    """Those of the answer that tell who answered, from a fixed list, scrubbed; cookies and tokens are not in it."""
    title: Text | None = None
    """Of the page, scrubbed."""
    length: Count8 | None = None
    """What Content-Length said."""
    sample: Text | None = None
    """The beginning of the body, at most 1024 characters, scrubbed, where the answer is not the usual one: no 2xx over
    verified TLS from the site that was asked. Of an answer that is not HTTP, its own beginning."""
    headers_ms: Millis | None = None
    """From the request to the end of the answer's head."""
    body_ms: Millis | None = None
    """From the request to the end of the body, or to where it was cut or broke off."""
    body_cut: bool | None = None
    """There was more than is read; ``body_sha256`` is of what was read."""
    samples: Annotated[tuple[Received, ...], Field(max_length=MAX_SAMPLES)] = ()
    """Bytes that came of the last hop's body, framing and TLS included, at memoryless instants since its head, mean
    250 ms, and at its end."""
