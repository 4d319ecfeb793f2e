"""Disks, certificates, lists of revoked certificates and backups: what is left of each, and what cannot be read."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from civobs_collector.config import CollectorSettings
from civobs_collector.operate.manifest import DUMP, MANIFEST, stamp
from civobs_collector.surroundings import crl_end, look_around

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
KEY = generate_private_key(SECP256R1())
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])


def certificate(days):
    made = (
        x509.CertificateBuilder(NAME, NAME, KEY.public_key(), x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=400))
        .not_valid_after(NOW + timedelta(days=days))
        .sign(KEY, SHA256())
    )
    return made.public_bytes(Encoding.PEM)


def revoked(days):
    made = x509.CertificateRevocationListBuilder(NAME, NOW - timedelta(days=400), NOW + timedelta(days=days)).sign(
        KEY, SHA256()
    )
    return made.public_bytes(Encoding.PEM)


@pytest.fixture
def look(tmp_path):
    def look(**watch):
        settings = CollectorSettings(watch=watch, ingest={"archive_dir": tmp_path})
        return {(one.name, one.label): one.value for one in look_around(settings, NOW)}

    return look


def days(found, name, file=""):
    return found[name, str(file)] / 86_400


def test_a_file_of_certificates_ends_with_the_first_of_them(look, tmp_path):
    file = tmp_path / "chain.pem"
    file.write_bytes(certificate(90) + certificate(10) + certificate(3650))
    assert days(look(certificates=[file]), "certificate_left_s", file) == 10


def test_what_has_expired_is_below_zero(look, tmp_path):
    server, lists = tmp_path / "server.pem", tmp_path / "revoked.pem"
    server.write_bytes(certificate(-2))
    lists.write_bytes(revoked(30) + revoked(-1))
    found = look(certificates=[server], crls=[lists])
    assert (days(found, "certificate_left_s", server), days(found, "crl_left_s", lists)) == (-2, -1)


def test_the_brokers_authority_is_looked_at_without_being_named(tmp_path):
    file = tmp_path / "ca.pem"
    file.write_bytes(certificate(5))
    settings = CollectorSettings(broker={"tls_ca": file}, watch={"certificates": [file]})
    assert [one.value / 86_400 for one in look_around(settings, NOW) if one.name == "certificate_left_s"] == [5]


@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAA==\n"])
def test_what_cannot_be_read_counts_as_ended(look, tmp_path, content):
    file = tmp_path / "file.pem"
    if content is not None:
        file.write_bytes(content)
    found = look(certificates=[file], crls=[file], folders=[tmp_path / "gone"], backup_dir=tmp_path / "gone")
    assert days(found, "certificate_left_s", file) == days(found, "crl_left_s", file) == 0
    assert found["disk_free_share", str(tmp_path / "gone")] == 0
    assert found["backup_age_s", ""] > 50 * 365 * 86_400


def test_a_list_is_read_from_the_bytes_between_its_own_lines(tmp_path):
    file = tmp_path / "revoked.pem"
    file.write_bytes(b"made by hand\n" + revoked(7) + b"\n")
    assert crl_end(file) == NOW + timedelta(days=7)


def test_the_archives_disk_is_looked_at_and_is_neither_full_nor_empty(look, tmp_path):
    assert 0 < look()["disk_free_share", str(tmp_path)] < 1


def test_a_backup_without_its_manifest_is_none(look, tmp_path):
    for hours, last in ((48, MANIFEST), (5, MANIFEST), (1, DUMP)):
        backup = tmp_path / stamp(NOW - timedelta(hours=hours))
        backup.mkdir()
        (backup / last).write_bytes(b"")
    assert look(backup_dir=tmp_path)["backup_age_s", ""] == 5 * 3600


def test_a_backup_of_a_clock_that_ran_ahead_does_not_hide_that_none_is_made(look, tmp_path):
    for hours in (-24 * 365, 48):
        backup = tmp_path / stamp(NOW - timedelta(hours=hours))
        backup.mkdir()
        (backup / MANIFEST).write_bytes(b"")
    assert look(backup_dir=tmp_path)["backup_age_s", ""] == 48 * 3600
