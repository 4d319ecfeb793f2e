"""A receipt: the collector's word that batches are committed, or that sending them again is useless.

It is retained, so a probe that was away finds it when it comes back, and signed, so a broker cannot make a probe
throw away what was never stored. A broker's PUBACK means nothing of the kind (ingest.md §0).
"""

from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from civobs_wire.envelope import Signer, Verifier, open_sealed, seal
from civobs_wire.errors import ContentError
from civobs_wire.limits import MAX_RANGES
from civobs_wire.measurement import Frozen
from civobs_wire.scalars import ProbeId, Sequence, UtcTime

CONTEXT = "civobs.receipt/1"

Range = tuple[Sequence, Sequence]
"""First and last batch number, both included."""
Ranges = Annotated[tuple[Range, ...], Field(max_length=MAX_RANGES)]


class Receipt(Frozen):
    """All of a probe's batches that need not be sent again, as ranges in rising order.

    A collector that knows more ranges than fit keeps those that hold the batches it has just handled, then the newest.
    """

    v: Literal[1] = 1
    probe_id: ProbeId
    committed: Ranges
    rejected: Ranges = ()
    """In quarantine with their reason, not committed: sending them again would change nothing."""
    at: UtcTime

    @model_validator(mode="after")
    def _ranges_rise(self) -> Self:
        for ranges in (self.committed, self.rejected):
            last = 0
            for first, final in ranges:
                if first <= last or final < first:
                    raise ValueError("ranges overlap or fall")
                last = final
        return self

    def settles(self, batch_seq: int) -> bool:
        """Whether this batch need not be sent again."""
        return any(first <= batch_seq <= last for first, last in (*self.committed, *self.rejected))


def pack_receipt(receipt: Receipt, key: Signer) -> bytes:
    """Serialise and sign."""
    return seal(key, CONTEXT, receipt.model_dump_json().encode())


def unpack_receipt(message: bytes, key: Verifier) -> Receipt:
    """Verify and validate. Raises a WireError."""
    try:
        return Receipt.model_validate_json(open_sealed(key, CONTEXT, message))
    except ValidationError as error:
        raise ContentError(str(error.errors(include_url=False)[0]["msg"])) from None
