"""Numbers, texts and times as the database can hold them.

psycopg's binary COPY wraps an integer that is too large for its column without a word (70000 in an ``int2``
is stored as 4464, a float of 1e300 in a ``real`` as Infinity), so a value that does not fit must never get past
the models. A test compares these bounds with the columns of the migrated database.
"""

import re
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field, StringConstraints

from civobs_wire.limits import MAX_DOCUMENT, MAX_NAME, MAX_TEXT

INT2_MAX = 2**15 - 1
INT4_MAX = 2**31 - 1
INT8_MAX = 2**63 - 1
FLOAT4_MAX = 3.4028234663852886e38
"""Largest finite IEEE 754 binary32."""

EARLIEST = datetime(2020, 1, 1, tzinfo=UTC)
"""No observation of this project is older; a Pi without a clock battery wakes up in 1970 or at its image's date."""
LATEST = datetime(2200, 1, 1, tzinfo=UTC)


NUL_FREE = r"^[^\x00]*$"
"""PostgreSQL's ``text`` and ``jsonb`` refuse NUL. A pattern and bounds, not functions of ours: they are checked in
compiled code, and a collector checks ten texts and times in every row."""
_NUL_FREE = re.compile(NUL_FREE)
"""Compiled once here: given the text, pydantic makes an automaton for each field of each model, 4 KiB a time. Where
rows are many (ingest) others check them."""

Count2 = Annotated[int, Field(ge=0, le=INT2_MAX)]
"""A count that fits an ``int2`` column."""
Count4 = Annotated[int, Field(ge=0, le=INT4_MAX)]
"""A count that fits an ``int4`` column."""
Count8 = Annotated[int, Field(ge=0, le=INT8_MAX)]
"""A count that fits an ``int8`` column."""
Sequence = Annotated[int, Field(ge=1, le=INT8_MAX)]
"""A number in a gap-free sequence that begins at 1."""
Millis = Annotated[float, Field(ge=0, le=FLOAT4_MAX, allow_inf_nan=False)]
"""A duration in milliseconds that fits a ``real`` column."""
Seconds = Annotated[float, Field(ge=0, le=FLOAT4_MAX, allow_inf_nan=False)]
"""A duration in seconds, within the same bounds."""
Real8 = Annotated[float, Field(allow_inf_nan=False)]
"""A finite number for a ``double precision`` column."""
UtcTime = Annotated[AwareDatetime, Field(ge=EARLIEST, lt=LATEST)]
"""A time with its offset, from 2020 to 2199. Naive times are refused."""
Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME, pattern=_NUL_FREE)]
"""An id or a short name."""
_LABEL = r"[0-9A-Za-z_]([0-9A-Za-z_-]{0,61}[0-9A-Za-z_])?"
HostName = Annotated[str, StringConstraints(max_length=MAX_NAME, pattern=rf"^{_LABEL}(\.{_LABEL})*$")]
"""A name as DNS and TLS carry it (RFC 1123 §2.1); of other letters, its A-label (``xn--…``, RFC 5890)."""
Text = Annotated[str, StringConstraints(max_length=MAX_TEXT, pattern=_NUL_FREE)]
"""A text without NUL, which PostgreSQL's ``text`` and ``jsonb`` refuse."""
Document = Annotated[str, StringConstraints(max_length=MAX_DOCUMENT, pattern=_NUL_FREE)]
"""PEM, or base64 of a signed plan."""
ProbeId = Annotated[str, StringConstraints(pattern=r"^[0-9a-hjkmnp-tv-z]{16}$")]
"""80 random bits in Crockford's base32, lower case: a pseudonym, never a serial number or a MAC address."""
BootId = UUID
"""The kernel's ``/proc/sys/kernel/random/boot_id``: changes with every start of the device."""
Nonce = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
"""16 random bytes in hex: nobody can guess a digest from the content."""
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
CountryCode = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
"""ISO 3166-1 alpha-2; ``ZZ`` where the country is not known."""
Asn = Annotated[int, Field(ge=0, le=4294967295)]
"""Autonomous system number (RFC 6793), 0 where it is not known. Kept in an ``int8`` column."""
PublicKey = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""An Ed25519 public key, 32 bytes in hex."""
