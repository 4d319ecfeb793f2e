"""A batch: what one MQTT message carries, sealed once and resent byte for byte.

The body is one zlib stream of JSON. Nothing is unpacked before the signature has been verified, and nothing is
unpacked past its limit.
"""

import zlib
from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from civobs_wire.envelope import Signer, Verifier, open_sealed, seal
from civobs_wire.errors import ContentError, PackingError, SizeError
from civobs_wire.limits import MAX_MEASUREMENTS, MAX_PACKED_BYTES, MAX_UNPACKED_BYTES
from civobs_wire.measurement import AnyMeasurement, ClockState, Frozen, Measurement
from civobs_wire.scalars import NUL_FREE, BootId, Count4, Name, Nonce, ProbeId, Sequence, UtcTime

CONTEXT = "civobs.batch/1"
CONTENT_TYPE = "application/vnd.civobs.batch+zlib"


class BatchHead(Frozen):
    """What a batch says of itself."""

    v: Literal[1] = 1
    probe_id: ProbeId
    batch_seq: Sequence
    """Counts this probe's batches from 1, without gaps, never reused."""
    boot_id: BootId
    sealed_at: UtcTime
    clock: ClockState
    """State of the clock when the batch was sealed."""
    clock_err_ms: Count4
    nonce: Nonce
    agent: Name
    """Name and version of the agent's software."""
    plan_id: Name | None = None
    """The plan in force when it was sealed."""


class Batch(BatchHead):
    """Measurements of one boot of one probe."""

    measurements: Annotated[tuple[Measurement, ...], Field(min_length=1, max_length=MAX_MEASUREMENTS)]

    @model_validator(mode="after")
    def _sequence_rises(self) -> Self:
        if any(later.seq <= earlier.seq for earlier, later in pairwise(self.measurements)):
            raise ValueError("measurement numbers do not rise")
        return self


def pack(batch: Batch, key: Signer) -> bytes:
    """Serialise, compress and sign. Raises SizeError if it does not fit into one message."""
    return _packed(batch.model_dump_json(exclude_none=True), key)


def pack_rows(head: BatchHead, rows: Iterable[AnyMeasurement], key: Signer) -> bytes:
    """The same message as ``pack`` makes of a batch of these rows, which rise, without the model of all kinds.

    A probe has seen each row validated, and has no memory to spare for that model.
    """
    measurements = ",".join(row.model_dump_json(exclude_none=True) for row in rows)
    return _packed(f'{head.model_dump_json(exclude_none=True)[:-1]},"measurements":[{measurements}]}}', key)


def _packed(text: str, key: Signer) -> bytes:
    body = text.encode()
    if len(body) > MAX_UNPACKED_BYTES:
        raise SizeError(f"{len(body)} bytes unpacked, limit {MAX_UNPACKED_BYTES}")
    message = seal(key, CONTEXT, zlib.compress(body, 6))
    if len(message) > MAX_PACKED_BYTES:
        raise SizeError(f"{len(message)} bytes packed, limit {MAX_PACKED_BYTES}")
    return message


def unpack(message: bytes, key: Verifier) -> Batch:
    """Verify, unpack within the limits, validate. Raises a WireError that says which step refused it."""
    return parse(unpacked(message, key))


def unpacked(message: bytes, key: Verifier) -> bytes:
    """The JSON text of a message that ``key`` signed."""
    if len(message) > MAX_PACKED_BYTES:
        raise SizeError(f"{len(message)} bytes packed, limit {MAX_PACKED_BYTES}")
    body = open_sealed(key, CONTEXT, message)
    stream = zlib.decompressobj()
    try:
        text = stream.decompress(body, MAX_UNPACKED_BYTES + 1)
    except zlib.error as error:
        raise PackingError(f"not a zlib stream: {error}") from None
    if len(text) > MAX_UNPACKED_BYTES:
        raise SizeError(f"unpacks to more than {MAX_UNPACKED_BYTES} bytes")
    if not stream.eof or stream.unused_data:
        raise PackingError("the zlib stream is cut short or has bytes behind its end")
    return text


def parse(text: bytes) -> Batch:
    """Validate the JSON text of a batch. Raises ContentError with the first fault and its kind of reason."""
    try:
        return Batch.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ContentError(f"{where}: {first['msg']}", _reason(first["type"], first["loc"], first["msg"])) from None


def _reason(kind: str, where: tuple[int | str, ...], message: str) -> str:
    """Map a fault of the schema to a quarantine reason."""
    if where == ("v",):
        return "unknown_version"
    if NUL_FREE in message:
        return "nul_in_text"
    return _REASONS.get(kind, "invalid")


_REASONS = {
    "json_invalid": "undecodable",
    "union_tag_invalid": "unknown_kind",
    "union_tag_not_found": "unknown_kind",
    "timezone_aware": "naive_time",
    "less_than_equal": "out_of_range",
    "greater_than_equal": "out_of_range",
    "less_than": "out_of_range",
    "finite_number": "out_of_range",
    "int_parsing_size": "out_of_range",
    "too_long": "out_of_range",
    "too_short": "out_of_range",
    "string_too_long": "out_of_range",
}
"""pydantic's error types and what they are counted under; all others are ``invalid``."""
