"""A batch survives packing byte for byte, and nothing else is let in."""

import json
import zlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from civobs_wire import batch
from civobs_wire.envelope import open_sealed, peek, seal
from civobs_wire.errors import ContentError, EnvelopeError, PackingError, SignatureError, SizeError, WireError
from civobs_wire.limits import MAX_MEASUREMENTS, MAX_PACKED_BYTES, MAX_UNPACKED_BYTES
from civobs_wire.measurement import parse_row

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
EXAMPLE = json.loads((Path(__file__).parents[2] / "wire/examples/batch.json").read_text())


def text(**changes):
    return json.dumps({**EXAMPLE, **changes}).encode()


def row(**changes):
    return {"measurements": [{**EXAMPLE["measurements"][1], **changes}]}


def sealed(body):
    return seal(KEY, batch.CONTEXT, body)


def test_a_batch_comes_back_as_it_was():
    original = batch.parse(text())
    message = batch.pack(original, KEY)
    assert len(message) <= MAX_PACKED_BYTES
    assert batch.unpack(message, KEY.public_key()) == original


def test_a_batch_packed_row_by_row_is_the_same_batch():
    original = batch.parse(text())
    head = batch.BatchHead.model_validate(original.model_dump(exclude={"measurements"}))
    message = batch.pack_rows(head, original.measurements, KEY)
    assert message == batch.pack(original, KEY)


def test_a_row_is_read_by_the_model_of_its_own_kind():
    for one in batch.parse(text()).measurements:
        assert parse_row(one.model_dump_json(exclude_none=True)) == one
    sly = batch.parse(text()).measurements[1].model_copy(update={"note": '"kind":"http"'})
    assert parse_row(sly.model_dump_json()) == sly
    for wrong in ("", "{}", '{"kind":"smoke"}', '{"kind":"agent"}'):
        with pytest.raises(ValueError, match=r"kind|validation"):
            parse_row(wrong)


def test_another_key_is_refused_before_anything_is_unpacked():
    message = Ed25519PrivateKey.generate().sign(b"x") + b"civobs.batch/1\n" + b"not zlib at all"
    with pytest.raises(SignatureError):
        batch.unpack(message, KEY.public_key())


def test_a_signature_for_one_purpose_is_worthless_for_another():
    message = seal(KEY, "civobs.presence/1", zlib.compress(text()))
    with pytest.raises(EnvelopeError):
        batch.unpack(message, KEY.public_key())


def test_every_flipped_byte_is_noticed():
    message = batch.pack(batch.parse(text()), KEY)
    for place in range(0, len(message), 37):
        broken = bytearray(message)
        broken[place] ^= 0x01
        with pytest.raises(EnvelopeError):
            batch.unpack(bytes(broken), KEY.public_key())


def test_a_zip_bomb_is_refused_at_the_limit():
    bomb = zlib.compress(b" " * (MAX_UNPACKED_BYTES * 40), 9)
    assert len(bomb) < MAX_PACKED_BYTES
    with pytest.raises(SizeError, match="unpacks to more"):
        batch.unpack(sealed(bomb), KEY.public_key())


def test_a_message_over_the_limit_is_refused_unopened():
    with pytest.raises(SizeError):
        batch.unpack(bytes(MAX_PACKED_BYTES + 1), KEY.public_key())


@pytest.mark.parametrize("body", [b"", b"plain", zlib.compress(text())[:-4], zlib.compress(text()) + b"tail"])
def test_what_is_not_exactly_one_zlib_stream_is_refused(body):
    with pytest.raises(PackingError):
        batch.unpack(sealed(body), KEY.public_key())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"v": 2}, "unknown_version"),
        (row(kind="telepathy"), "unknown_kind"),
        (row(note="a\x00b"), "nul_in_text"),
        (row(at="2026-03-01T18:05:00"), "naive_time"),
        (row(at="1969-12-31T00:00:00Z"), "out_of_range"),
        (row(at=1772388300), "invalid"),
        (row(sent=32768), "out_of_range"),
        (row(sent=-1), "out_of_range"),
        (row(sent=10**30), "out_of_range"),
        (row(duration_ms=1e39), "out_of_range"),
        (row(clock_err_ms=2**31), "out_of_range"),
        (row(seq=2**63), "out_of_range"),
        (row(seq=0), "out_of_range"),
        (row(seq=1.5), "invalid"),
        (row(sent=True), "invalid"),
        (row(family=5), "invalid"),
        (row(outcome="ok", failure="connection_reset"), "invalid"),
        (row(outcome="failed"), "invalid"),
        (row(outcome="failed", failure="paused"), "invalid"),
        (row(outcome="not_run", failure="connection_reset"), "invalid"),
        (row(outcome="failed", failure="made_up"), "invalid"),
        ({"measurements": []}, "out_of_range"),
        ({"measurements": EXAMPLE["measurements"][:1] * (MAX_MEASUREMENTS + 1)}, "out_of_range"),
        ({"measurements": EXAMPLE["measurements"][:1] * 2}, "invalid"),
        ({"probe_id": "../../etc/passwd"}, "invalid"),
        ({"batch_seq": 0}, "out_of_range"),
        ({"nonce": "short"}, "invalid"),
    ],
)
def test_bad_content_is_refused_with_its_reason(change, reason):
    with pytest.raises(ContentError) as caught:
        batch.parse(text(**change))
    assert caught.value.reason == reason


@pytest.mark.parametrize("broken", [b"", b"{", b"\xff\xfe", b"null", b"[]", b'{"v": NaN}', b'{"nonce": "\\ud800"}'])
def test_what_is_not_a_document_is_refused(broken):
    with pytest.raises(ContentError):
        batch.parse(broken)


def test_fields_of_a_newer_agent_are_passed_over():
    assert batch.parse(text(colour="blue")) == batch.parse(text())


def test_a_batch_that_cannot_travel_is_not_packed():
    noisy = [
        {
            **EXAMPLE["measurements"][1],
            "seq": number,
            "note": "".join(chr(33 + (number * i * 7919) % 90) for i in range(900)),
        }
        for number in range(1, 900)
    ]
    with pytest.raises(SizeError):
        batch.pack(batch.parse(text(measurements=noisy)), KEY)


@given(st.binary(max_size=400))
def test_no_bytes_raise_anything_but_a_wire_error(noise):
    for message in (noise, sealed(noise), sealed(zlib.compress(noise))):
        with pytest.raises(WireError):
            batch.unpack(message, KEY.public_key())


@given(st.binary(max_size=200), st.sampled_from(["civobs.batch/1", "civobs.plan/1"]))
def test_an_envelope_gives_back_exactly_what_was_sealed(body, context):
    message = seal(KEY, context, body)
    assert open_sealed(KEY.public_key(), context, message) == body == peek(context, message)
