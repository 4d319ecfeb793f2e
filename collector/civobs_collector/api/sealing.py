"""What keeps the public from following a probe: quarterly pseudonyms, and cursors nobody can read.

Both keys come from the receipt key, so every process of an observatory gives the same answers. A pseudonym lasts for
one quarter (volunteers.md §3): rows of two quarters cannot be joined by it. A cursor has to name a row of the table,
with keys that would join them, and is therefore encrypted.
"""

import hashlib
import hmac
import json
import logging
import secrets
from base64 import urlsafe_b64encode
from datetime import datetime
from http import HTTPStatus

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from civobs_collector.api.problems import ApiProblem
from civobs_collector.config import CollectorSettings
from civobs_collector.errors import KeyFileError
from civobs_collector.keys import read_private

logger = logging.getLogger(__name__)

PSEUDONYM_HEX = 16
"""64 bits: among a million probes a chance of 1 in 37 million that two share a name."""


class Sealer:
    """Makes pseudonyms and cursors from one secret."""

    def __init__(self, secret: bytes) -> None:
        self._name_key = _derived(secret, b"civobs.public-probe/1")
        self._fernet = Fernet(urlsafe_b64encode(_derived(secret, b"civobs.cursor/1")))

    def pseudonym(self, probe_id: str, at: datetime) -> str:
        """Name a probe for the quarter of ``at``."""
        quarter = f"{at.year}Q{(at.month + 2) // 3}"
        digest = hmac.digest(self._name_key, f"{quarter}|{probe_id}".encode(), hashlib.sha256)
        return digest.hex()[:PSEUDONYM_HEX]

    def seal_cursor(self, name: str, *parts: str | int) -> str:
        """Write where the list of this name goes on."""
        return self._fernet.encrypt(json.dumps([name, *parts]).encode()).decode("ascii")

    def open_cursor(self, name: str, text: str) -> list[str | int]:
        """Read where a list goes on. Raises ApiProblem when it is no cursor of this list and this observatory."""
        try:
            parts: list[str | int]
            sealed_for, *parts = json.loads(self._fernet.decrypt(text.encode()))
        except InvalidToken:
            sealed_for, parts = None, []
        if sealed_for != name:
            raise ApiProblem(
                HTTPStatus.UNPROCESSABLE_ENTITY, "This cursor is not valid (any more). Start the list again without it."
            )
        return parts


def make_sealer(settings: CollectorSettings) -> Sealer:
    """Derive from the receipt key; without one, names and cursors last until this process ends."""
    try:
        secret = read_private(settings.keys.receipt_key).private_bytes_raw()
    except KeyFileError as error:
        logger.warning("public_names_not_lasting cause=%s", error.cause)
        secret = secrets.token_bytes(32)
    return Sealer(secret)


def _derived(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(secret)
