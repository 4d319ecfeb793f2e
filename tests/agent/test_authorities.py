"""The system's authorities by its folder, by its file, and by neither."""

import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from civobs_agent.authorities import verifying_context


@pytest.fixture
def system(tmp_path, certificates, monkeypatch):
    """A system whose folder holds the test's authority, and which has no file beside it."""
    shutil.copy(certificates.authority, tmp_path / "test-authority.pem")
    subprocess.run(["openssl", "rehash", tmp_path], check=True)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    return tmp_path


def shaken(port, context):
    """The context after a handshake with a server of the laboratory."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as connection,
        context.wrap_socket(connection, server_hostname="site.test"),
    ):
        return context


@pytest.mark.usefixtures("system")
def test_the_folder_is_looked_into_only_for_what_a_chain_ends_at(sites):
    context = verifying_context(None)
    assert context.get_ca_certs() == []
    assert len(shaken(sites.https, context).get_ca_certs()) == 1


@pytest.mark.usefixtures("system")
@pytest.mark.parametrize("how", ["unknown", "other", "expired"])
def test_the_folder_refuses_what_a_file_would_refuse(sites, how):
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken(sites.ports[how], verifying_context(None))


def test_a_file_the_environment_names_comes_before_the_folder(system, certificates, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    assert len(verifying_context(None).get_ca_certs()) == 1


def test_a_folder_without_hashed_names_is_not_relied_on(system, certificates):
    for link in system.iterdir():
        if link.is_symlink():
            link.unlink()
    standard = Path(ssl.get_default_verify_paths().openssl_cafile)
    assert bool(verifying_context(None).get_ca_certs()) is standard.exists()


def test_what_verifies_does_not_depend_on_the_version_of_python(certificates):
    for file in (None, certificates.authority):
        assert verifying_context(file).verify_flags == ssl.VERIFY_DEFAULT | ssl.VERIFY_X509_TRUSTED_FIRST


def test_a_file_of_the_settings_is_the_only_authority(sites, certificates):
    assert len(shaken(sites.https, verifying_context(certificates.authority)).get_ca_certs()) == 1
