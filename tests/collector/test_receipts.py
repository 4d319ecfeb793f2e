"""Receipts: as many ranges as fit, the ones just handled first; and a key that is fit to sign them."""

from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range

from civobs_collector.errors import ConfigError
from civobs_collector.ingest.receipts import fitting, read_receipt_key, sign_receipt
from civobs_collector.ingest.store import Settled
from civobs_wire.limits import MAX_RANGES
from civobs_wire.receipt import unpack_receipt

HOLES = Multirange([Range(2 * n, 2 * n + 1) for n in range(1, 1001)])


def test_all_ranges_are_given_while_they_fit():
    assert fitting(Multirange([Range(1, 4), Range(7, 8)]), {7}) == ((1, 3), (7, 7))
    assert fitting(Multirange([]), set()) == ()


def test_the_newest_ranges_are_kept_beside_those_just_handled():
    ranges = fitting(HOLES, {2, 500})
    assert len(ranges) == MAX_RANGES
    assert ranges[:2] == ((2, 2), (500, 500))
    assert ranges[-1] == (2000, 2000)
    assert ranges[2] == (2 * (1000 - (MAX_RANGES - 2)) + 2,) * 2


@given(st.sets(st.integers(1, 1000).map(lambda n: 2 * n), max_size=MAX_RANGES))
def test_a_receipt_always_names_what_was_just_handled(handled):
    key = Ed25519PrivateKey.generate()
    message = sign_receipt(key, "0123456789abcdef", Settled(HOLES, Multirange([])), handled, datetime.now(UTC))
    receipt = unpack_receipt(message, key.public_key())
    assert all(receipt.settles(number) for number in handled)
    assert not receipt.settles(3)


def test_a_key_is_read_from_its_file(tmp_path):
    key = Ed25519PrivateKey.generate()
    path = tmp_path / "key"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert read_receipt_key(path).public_key() == key.public_key()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot read"),
        (b"no key", "not an unencrypted PEM key"),
        (
            generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            "not an Ed25519 key",
        ),
    ],
)
def test_a_file_that_is_no_key_is_refused_in_one_line(tmp_path, content, words):
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=words) as caught:
        read_receipt_key(path)
    assert "\n" not in caught.value.cause
    assert "openssl genpkey" in caught.value.remedy
