"""Receipts: as many ranges as fit, the ones just handled first; and a key that is fit to sign them."""

from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range

from civobs_collector.ingest.receipts import fitting, sign_receipt
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
