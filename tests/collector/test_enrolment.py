"""A claim code and a device's keys make one probe, however often the device asks and whoever else asks too."""

import base64
import os
import re
import stat
import threading
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from civobs_collector import crockford
from civobs_collector.db.probes import Place, make_claim, make_household
from civobs_collector.enrolment import MAX_REQUEST_BYTES, claim_digest, enrol, signed_time
from civobs_collector.errors import (
    ClaimExpiredError,
    ClaimUnknownError,
    ClaimUsedError,
    ForgedError,
    KeyFileError,
    KeyRegisteredError,
    MalformedError,
    ProbeRevokedError,
)
from civobs_collector.keys import make_key, read_private, read_public
from civobs_wire.enrol import CONTEXT, TIME_CONTEXT, Consent, EnrolRequest, TimeResponse
from civobs_wire.envelope import key_hex, open_sealed, seal
from civobs_wire.plan import unpack_plan


def certificate_request(curve=None):
    key = ec.generate_private_key(curve or ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "probe")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


CSR = certificate_request()


def new_claim(conn, *, days=7.0, place=None):
    code = crockford.new_claim_code()
    with conn.transaction():
        make_claim(conn, claim_digest(code), make_household(conn), place or Place("KE", 37100), days=days)
    return code


def request(code, key, **other):
    values = {"claim": code, "signing_key": key_hex(key.public_key()), "csr_pem": CSR, "agent": "civobs-agent/0.1"}
    return seal(key, CONTEXT, EnrolRequest(**{**values, **other}).model_dump_json().encode())


def enrolled(conn, settings, key=None):
    """The answer to a device that enrols with a fresh claim."""
    answer = enrol(conn, request(new_claim(conn), key or Ed25519PrivateKey.generate()), settings)
    conn.commit()
    return answer


@pytest.fixture
def conn(dsn):
    with psycopg.connect(dsn) as one:
        yield one


@pytest.fixture
def settings(keyed):
    return keyed.settings


@pytest.mark.db
def test_a_device_becomes_a_probe_in_its_household_with_an_empty_receipt(conn, settings):
    key = Ed25519PrivateKey.generate()
    consent = Consent(version="2026-11", tier=2, accepted_at=datetime(2026, 11, 22, tzinfo=UTC))
    code = new_claim(conn, place=Place("KE", 37100, "Nairobi", is_anchor=True))
    answer = enrol(conn, request(code, key, consent=consent, board="Raspberry Pi 4"), settings)
    assert re.fullmatch("[0-9a-hjkmnp-tv-z]{16}", answer.probe_id)
    assert answer.receipt_key == key_hex(read_public(settings.keys.receipt_key))
    assert answer.plan_key == key_hex(read_public(settings.keys.plan_key))
    assert answer.brokers == settings.enrol.brokers
    assert answer.plan is None
    row = conn.execute(
        "SELECT p.cc, p.asn, p.admin1, p.is_anchor, p.status, p.consent_tier, p.board, p.signing_key,"
        " p.household_key = c.household_key, r.committed::text"
        " FROM probe p JOIN claim c USING (probe_key) JOIN receipt r USING (probe_key)"
    ).fetchone()
    raw = key.public_key().public_bytes_raw()
    assert row == ("KE", 37100, "Nairobi", True, "active", 2, "Raspberry Pi 4", raw, True, "{}")


@pytest.mark.db
def test_asking_again_gives_the_same_probe_also_after_the_claim_has_expired(conn, settings):
    key, code = Ed25519PrivateKey.generate(), new_claim(conn)
    first = enrol(conn, request(code, key), settings)
    conn.execute("UPDATE claim SET expires_at = now() - interval '1 day'")
    assert enrol(conn, request(code, key, agent="civobs-agent/0.2"), settings) == first
    assert conn.execute("SELECT count(*) FROM probe").fetchone() == (1,)


@pytest.mark.db
def test_the_plan_in_force_comes_with_the_answer(conn, settings, keyed):
    (keyed.folder / "plan.toml").write_text('cc = "KE"\n')
    assert keyed.civobs("plan", "build", "plan.toml", "--publish").code == 0
    answer = enrolled(conn, settings)
    plan = unpack_plan(base64.b64decode(answer.plan), read_public(settings.keys.plan_key))
    assert plan.cc == "KE"


@pytest.mark.db
def test_a_claim_serves_one_device_only(conn, settings):
    code = new_claim(conn)
    enrol(conn, request(code, Ed25519PrivateKey.generate()), settings)
    with pytest.raises(ClaimUsedError):
        enrol(conn, request(code, Ed25519PrivateKey.generate()), settings)


@pytest.mark.db
def test_a_claim_that_is_unknown_mistyped_or_expired_is_told_apart(conn, settings):
    key = Ed25519PrivateKey.generate()
    with pytest.raises(ClaimUnknownError, match="never given out"):
        enrol(conn, request(crockford.new_claim_code(), key), settings)
    code = new_claim(conn)
    swapped = code[1] + code[0] + code[2:]
    wrong = swapped if swapped != code else ("1" if code[0] != "1" else "2") + code[1:]
    with pytest.raises(ClaimUnknownError, match="typing error"):
        enrol(conn, request(wrong, key), settings)
    with pytest.raises(ClaimExpiredError):
        enrol(conn, request(new_claim(conn, days=0), key), settings)
    assert conn.execute("SELECT count(*) FROM probe").fetchone() == (0,)


@pytest.mark.db
def test_a_device_that_is_a_probe_already_cannot_become_a_second_one(conn, settings):
    key = Ed25519PrivateKey.generate()
    enrolled(conn, settings, key)
    with pytest.raises(KeyRegisteredError):
        enrolled(conn, settings, key)


@pytest.mark.db
def test_a_revoked_probe_is_told_so(conn, settings):
    key, code = Ed25519PrivateKey.generate(), new_claim(conn)
    enrol(conn, request(code, key), settings)
    conn.execute("UPDATE probe SET status = 'revoked'")
    with pytest.raises(ProbeRevokedError):
        enrol(conn, request(code, key), settings)


@pytest.mark.db
def test_a_request_that_another_key_signed_is_refused(conn, settings):
    mine, theirs = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    code = new_claim(conn)
    body = request(code, theirs)[64 + len(CONTEXT) + 1 :]
    with pytest.raises(ForgedError):
        enrol(conn, seal(mine, CONTEXT, body), settings)
    assert conn.execute("SELECT probe_key FROM claim").fetchone() == (None,)


@pytest.mark.db
@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x00" * 200,
        b"\x00" * 64 + b"civobs.batch/1\n{}",
        b"\x00" * 64 + CONTEXT.encode() + b"\n{",
        b"\x00" * 64 + CONTEXT.encode() + b"\n" + b" " * MAX_REQUEST_BYTES,
        request("XXXX-XXXX-X", Ed25519PrivateKey.generate(), csr_pem="not PEM"),
        request("XXXX-XXXX-X", Ed25519PrivateKey.generate(), csr_pem=certificate_request(ec.SECP384R1())),
    ],
    ids=["empty", "zeros", "context", "json", "size", "no-csr", "curve"],
)
def test_what_is_no_request_is_malformed(conn, settings, message):
    with pytest.raises(MalformedError):
        enrol(conn, message, settings)


@pytest.mark.db
def test_of_many_devices_with_one_claim_exactly_one_wins(dsn, settings):
    with psycopg.connect(dsn) as conn:
        code = new_claim(conn)
    ends = _race(dsn, settings, [request(code, Ed25519PrivateKey.generate()) for _ in range(6)])
    assert sorted(ends) == ["ClaimUsedError"] * 5 + ["EnrolResponse"]
    with psycopg.connect(dsn) as conn:
        assert conn.execute("SELECT count(*) FROM probe").fetchone() == (1,)


@pytest.mark.db
def test_one_device_that_asks_many_times_at_once_is_one_probe(dsn, settings):
    key = Ed25519PrivateKey.generate()
    with psycopg.connect(dsn) as conn:
        code = new_claim(conn)
    assert _race(dsn, settings, [request(code, key)] * 6) == ["EnrolResponse"] * 6
    with psycopg.connect(dsn) as conn:
        assert conn.execute("SELECT count(*) FROM probe").fetchone() == (1,)


@pytest.mark.db
def test_one_device_with_many_claims_at_once_is_one_probe(dsn, settings):
    key = Ed25519PrivateKey.generate()
    with psycopg.connect(dsn) as conn:
        codes = [new_claim(conn) for _ in range(6)]
    ends = _race(dsn, settings, [request(code, key) for code in codes])
    assert sorted(ends) == ["EnrolResponse"] + ["KeyRegisteredError"] * 5


def _race(dsn, settings, messages):
    """What each message came to, all sent at the same moment on connections of their own."""
    ends: list[str] = []
    start = threading.Barrier(len(messages))

    def one(message):
        with psycopg.connect(dsn) as conn:
            start.wait()
            try:
                ends.append(type(enrol(conn, message, settings)).__name__)
            except (ClaimUsedError, KeyRegisteredError) as error:
                ends.append(type(error).__name__)

    threads = [threading.Thread(target=one, args=(message,)) for message in messages]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ends


@pytest.mark.db
def test_the_time_is_signed_with_the_nonce_that_was_asked(settings):
    before = datetime.now(UTC)
    nonce = os.urandom(16).hex()
    body = open_sealed(read_public(settings.keys.receipt_key), TIME_CONTEXT, signed_time(nonce, settings))
    answer = TimeResponse.model_validate_json(body)
    assert answer.nonce == nonce
    assert before <= answer.at <= before + timedelta(seconds=10)
    with pytest.raises(MalformedError):
        signed_time("short", settings)


@given(st.integers(0, 2**40 - 1))
def test_crockford_codes_can_be_read_back(number):
    assert crockford.decode(crockford.encode(number, 40)) == number


@given(st.data())
def test_the_check_character_finds_any_wrong_character(data):
    code = crockford.new_claim_code()
    place = data.draw(st.sampled_from([i for i, character in enumerate(code) if character != "-"][:-1]))
    other = data.draw(st.sampled_from([c for c in crockford.ALPHABET if c != code[place]]))
    assert crockford.check_character_fits(code)
    assert not crockford.check_character_fits(code[:place] + other + code[place + 1 :])


def test_keys_are_written_for_their_owner_only_and_never_overwritten(tmp_path):
    path = tmp_path / "deep" / "plan.key"
    key = make_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert key_hex(read_private(path).public_key()) == key_hex(key.public_key())
    assert key_hex(read_public(path.with_suffix(".pub"))) == key_hex(key.public_key())
    with pytest.raises(KeyFileError, match="exists already"):
        make_key(path)
    with pytest.raises(KeyFileError, match="only the public half"):
        read_private(path.with_suffix(".pub"))


def test_a_key_that_others_can_read_is_refused_with_the_command_that_helps(tmp_path):
    path = tmp_path / "plan.key"
    make_key(path)
    path.chmod(0o640)
    with pytest.raises(KeyFileError, match="mode 0640") as caught:
        read_private(path)
    assert caught.value.remedy.startswith(f"chmod 600 {path}")


def test_what_is_no_key_is_a_clear_error(tmp_path):
    path = tmp_path / "plan.key"
    with pytest.raises(KeyFileError, match="there is no key"):
        read_private(path)
    path.write_bytes(b"nonsense")
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="holds no Ed25519 key"):
        read_private(path)
