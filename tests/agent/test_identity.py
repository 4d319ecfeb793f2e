import asyncio
import os
import stat
import subprocess
from dataclasses import dataclass

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from civobs_agent.config import AgentSettings, ObservatorySettings
from civobs_agent.enrol import enrol
from civobs_agent.enrol import observatory as observatory_of
from civobs_agent.errors import EnrolmentError, IdentityError, UnreachableError
from civobs_agent.identity import load_or_make
from civobs_agent.keys import PublicKey
from civobs_wire.envelope import key_hex
from civobs_wire.errors import SignatureError
from tests.agent.fix_agent import PROBE_ID, free_port

CLAIM = "7K3M-9QXP-4"
AGENT = 61_184
"""The first user that systemd gives to a service for a while (systemd.exec(5))."""


def settings_for(tmp_path, url, plan_key=None):
    return AgentSettings(
        state_dir=tmp_path / "state", observatory=ObservatorySettings(url=url, claim=CLAIM, plan_key=plan_key)
    )


def test_keys_are_made_once_and_only_their_owner_can_read_them(tmp_path):
    identity = load_or_make(tmp_path)
    again = load_or_make(tmp_path)
    assert identity.public_hex == again.public_hex
    requests = [x509.load_pem_x509_csr(one.csr_pem().encode()) for one in (identity, again)]
    assert requests[0].public_key() == requests[1].public_key()
    assert stat.S_IMODE(identity.folder.stat().st_mode) == 0o700
    for name in ("signing.key", "tls.key"):
        assert stat.S_IMODE((identity.folder / name).stat().st_mode) == 0o600


def test_what_root_writes_belongs_to_the_agents_user(tmp_path):
    folder = tmp_path / "identity"
    folder.mkdir()
    os.chown(folder, AGENT, AGENT)
    identity = load_or_make(tmp_path)
    assert identity.csr_pem()
    made = [(path.stat().st_uid, path.stat().st_gid) for path in folder.iterdir()]
    assert set(made) == {(AGENT, AGENT)}


def test_a_key_open_to_others_is_refused_with_what_to_do(tmp_path):
    folder = load_or_make(tmp_path).folder
    (folder / "signing.key").chmod(0o644)
    with pytest.raises(IdentityError) as refused:
        load_or_make(tmp_path)
    assert "chmod 600" in refused.value.remedy


def test_a_damaged_key_is_an_error_and_never_silently_replaced(tmp_path):
    path = load_or_make(tmp_path).folder / "signing.key"
    path.write_bytes(b"nonsense")
    with pytest.raises(IdentityError):
        load_or_make(tmp_path)
    assert path.read_bytes() == b"nonsense"


def test_the_signing_key_is_an_ordinary_pem_file(tmp_path):
    identity = load_or_make(tmp_path)
    key = load_pem_private_key((identity.folder / "signing.key").read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    assert key_hex(key.public_key()) == identity.public_hex
    assert key.sign(b"x") == identity.signing_key.sign(b"x")


def test_a_key_from_openssl_is_read_and_one_of_another_kind_refused(tmp_path):
    path = load_or_make(tmp_path).folder / "signing.key"
    openssl = subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519"], capture_output=True, check=True)
    path.write_bytes(openssl.stdout)
    assert load_or_make(tmp_path).signing_key.pem() == openssl.stdout
    path.write_bytes(
        subprocess.run(["openssl", "genpkey", "-algorithm", "x25519"], capture_output=True, check=True).stdout
    )
    with pytest.raises(IdentityError, match="not an Ed25519 key"):
        load_or_make(tmp_path)


def test_a_damaged_tls_key_is_an_error_and_never_silently_replaced(tmp_path):
    identity = load_or_make(tmp_path)
    identity.tls_key_path.write_bytes(b"nonsense")
    identity.tls_key_path.chmod(0o600)
    with pytest.raises(IdentityError, match="not a P-256 key"):
        identity.csr_pem()
    assert identity.tls_key_path.read_bytes() == b"nonsense"


def test_own_and_foreign_signatures_are_told_apart(tmp_path):
    theirs = Ed25519PrivateKey.generate()
    believed = PublicKey.from_hex(key_hex(theirs.public_key()))
    believed.verify(theirs.sign(b"x"), b"x")
    for signature in (load_or_make(tmp_path).signing_key.sign(b"x"), theirs.sign(b"y"), b"", bytes(64)):
        with pytest.raises(SignatureError):
            believed.verify(signature, b"x")


def test_the_certificate_request_names_nobody(tmp_path):
    request = x509.load_pem_x509_csr(load_or_make(tmp_path).csr_pem().encode())
    assert request.is_signature_valid
    assert request.subject.rfc4514_string() == "CN=civobs-probe"


def test_a_claim_becomes_an_identity_that_is_kept(tmp_path, observatory):
    identity = load_or_make(tmp_path / "state")
    response = asyncio.run(enrol(identity, CLAIM, settings_for(tmp_path, observatory.url)))
    assert response.probe_id == PROBE_ID
    assert load_or_make(tmp_path / "state").enrolment() == response
    assert observatory.requests[0].claim == CLAIM
    assert observatory.requests[0].signing_key == identity.public_hex


def test_an_observatory_with_another_plan_key_than_the_pinned_one_is_refused(tmp_path, observatory):
    identity = load_or_make(tmp_path / "state")
    pinned = key_hex(Ed25519PrivateKey.generate().public_key())
    with pytest.raises(EnrolmentError, match="another key"):
        asyncio.run(enrol(identity, CLAIM, settings_for(tmp_path, observatory.url, pinned)))
    assert identity.enrolment() is None


@dataclass
class Case:
    status: int
    again: bool


@pytest.mark.parametrize("case", [Case(400, again=False), Case(409, again=False), Case(503, again=True)])
def test_what_may_pass_is_told_from_what_will_not(tmp_path, observatory, case):
    observatory.refuse_with = case.status
    identity = load_or_make(tmp_path / "state")
    with pytest.raises(EnrolmentError, match="the code was used") as refused:
        asyncio.run(enrol(identity, CLAIM, settings_for(tmp_path, observatory.url)))
    assert isinstance(refused.value, UnreachableError) is case.again


def test_an_observatory_that_is_away_can_be_asked_again(tmp_path):
    identity = load_or_make(tmp_path / "state")
    with pytest.raises(UnreachableError, match="cannot reach"):
        asyncio.run(enrol(identity, CLAIM, settings_for(tmp_path, f"http://127.0.0.1:{free_port()}")))


def test_the_time_is_believed_only_if_the_observatory_signed_it(tmp_path, observatory):
    asked = observatory_of(settings_for(tmp_path, observatory.url))
    told = asyncio.run(asked.time(observatory.receipt_key.public_key()))
    assert told.err_ms < 5_000
    with pytest.raises(EnrolmentError, match="not signed"):
        asyncio.run(asked.time(Ed25519PrivateKey.generate().public_key()))
