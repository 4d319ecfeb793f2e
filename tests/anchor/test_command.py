"""The anchor's command line and its file: one line of cause, one of remedy, and nothing that is a surprise."""

import signal
import socket
import time
import tomllib
import urllib.request
from pathlib import Path

import pytest

from civobs_anchor.__main__ import main
from civobs_anchor.allowance import MAX_CLIENTS, Allowance, RefusedError
from civobs_anchor.config import AnchorSettings, LimitSettings
from tests.anchor.clients import fetch_h1, fetch_h3, shake_hands
from tests.anchor.fix_anchor import NAME, Program, ports, toml

EXAMPLE = Path(__file__).parents[2] / "deploy" / "anchor.example.toml"


def said(capsys):
    cause, remedy = capsys.readouterr().err.splitlines()
    assert cause.startswith("civobs-anchor: ")
    assert remedy.startswith("  ")
    return f"{cause}\n{remedy}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("colour = 1", "colour"),
        ("[ports]\nhttps = 70000", "ports.https"),
        ("[limits]\nidle_s = 0", "limits.idle_s"),
        ('addresses = ["0.0.0.0"]', "STUN"),
        ('addresses = ["here"]', "addresses"),
        ('addresses = ["127.0.0.1", "127.0.0.2"]', "one of IPv6"),
        ('second_addresses = ["127.0.0.1"]', "another one"),
        ('addresses = ["::1"]\nsecond_addresses = ["127.0.0.2"]', "of its family"),
        ('certificate = "/nowhere.pem"', "belong together"),
        ("[ports]\nhttp = 8443", "the same"),
        ("name =", "not TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_cause_and_remedy(tmp_path, capsys, text, words):
    file = tmp_path / "anchor.toml"
    file.write_text(text)
    assert main(["check", "--config", str(file)]) == 2
    assert words in said(capsys)


def test_a_file_that_is_not_there_is_named(capsys):
    assert main(["run", "--config", "/nowhere/anchor.toml"]) == 2
    assert "/nowhere/anchor.toml" in said(capsys)


def test_a_port_that_is_taken_is_named(tmp_path, capsys):
    file = tmp_path / "anchor.toml"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        file.write_text(toml({"ports": ports() | {"http": number}}))
        assert main(["check", "--config", str(file)]) == 2
    assert f"127.0.0.1 port {number} of TCP" in said(capsys)


def test_an_address_that_is_not_here_is_named(tmp_path, capsys):
    file = tmp_path / "anchor.toml"
    file.write_text(toml({"addresses": ["192.0.2.1"], "ports": ports()}))
    assert main(["check", "--config", str(file)]) == 2
    assert "ip address" in said(capsys)


@pytest.mark.parametrize("content", ["", "no certificate"])
def test_a_certificate_that_is_none_is_named(tmp_path, capsys, content):
    pem = tmp_path / "chain.pem"
    if content:
        pem.write_text(content)
    file = tmp_path / "anchor.toml"
    file.write_text(toml({"certificate": str(pem), "key": str(pem), "ports": ports()}))
    assert main(["check", "--config", str(file)]) == 2
    assert str(pem) in said(capsys)


def test_check_says_what_would_be_served_and_what_is_missing(tmp_path, capsys):
    file = tmp_path / "anchor.toml"
    file.write_text(toml({"ports": ports()}))
    assert main(["check", "--config", str(file)]) == 0
    told = capsys.readouterr().out
    assert "addresses=127.0.0.1,::1" in told
    assert "no certificate" in told
    assert "no second address" in told


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    told = capsys.readouterr().out
    assert "first steps" in told
    assert "3478" in told


def test_the_example_says_every_setting_and_its_default():
    uncommented = "\n".join(
        line.removeprefix("#") if line.startswith("#") and not line.startswith("# ") else line
        for line in EXAMPLE.read_text().splitlines()
    )
    every = tomllib.loads(uncommented)
    assert set(every) == set(AnchorSettings.model_fields)
    given = AnchorSettings.model_validate(every)
    for section in ("ports", "limits", "metrics"):
        assert set(every[section]) == set(getattr(AnchorSettings(), section).model_dump())
    assert given.limits == AnchorSettings().limits


def test_a_renewed_certificate_is_shown_without_a_restart(tmp_path, certificates):
    pem, numbers = tmp_path / "chain.pem", ports()
    pem.write_bytes((certificates.folder / "good.pem").read_bytes())
    program = Program(tmp_path, name=NAME, certificate=str(pem), key=str(pem), ports=numbers)
    try:
        before = shake_hands("127.0.0.1", numbers["https"], NAME)
        pem.write_bytes((certificates.folder / "expired.pem").read_bytes())
        program.process.send_signal(signal.SIGHUP)
        wait_for(lambda: shake_hands("127.0.0.1", numbers["https"], NAME) != before)
        pem.write_text("broken")
        program.process.send_signal(signal.SIGHUP)
        wait_for(lambda: any("certificate_not_reloaded" in line for line in program.said))
        assert shake_hands("127.0.0.1", numbers["https"], NAME) != before
    finally:
        assert program.stop() == 0


def wait_for(condition, within_s=10):
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_metrics_count_and_name_nobody(tmp_path):
    numbers = ports()
    where = {"port": ports()["http"], "address": "127.0.0.1"}
    program = Program(tmp_path, ports=numbers, metrics=where)
    anchor = type("Running", (), numbers)
    try:
        fetch_h1(anchor, "127.0.0.1", "GET", "/bytes?n=1000")
        fetch_h3(anchor, "::1", "GET", "/bytes?n=1000", name="localhost")
        with urllib.request.urlopen(f"http://127.0.0.1:{where['port']}/metrics", timeout=5) as answer:
            told = answer.read().decode()
    finally:
        assert program.stop() == 0
    assert 'civobs_anchor_connections_total{port="https"} 1.0' in told
    assert 'civobs_anchor_connections_total{port="quic"} 1.0' in told
    assert "civobs_anchor_bytes_total 2000.0" in told
    assert "::1" not in told
    assert "127.0.0.1" not in told


def test_a_client_is_a_network_and_only_known_by_a_hash():
    allowance = Allowance(LimitSettings(bytes_per_day=100))
    allowance.spend("198.51.100.7", 60)
    assert [allowance.left(each) for each in ("198.51.100.200", "198.51.101.7")] == [40, 100]
    allowance.spend("2001:db8:1:2::3", 100)
    assert [allowance.left(each) for each in ("2001:db8:1:ffff::1", "2001:db8:2::1")] == [0, 100]
    assert "198.51.100" not in repr(allowance)
    assert all(len(name) == 16 for name in allowance._accounts)


def test_a_day_and_a_second_end():
    now = [1000.0]
    allowance = Allowance(LimitSettings(bytes_per_day=100, datagrams_per_s=2), now=lambda: now[0])
    allowance.spend("192.0.2.1", 100)
    assert [allowance.datagram("192.0.2.1") for _ in range(3)] == [True, True, False]
    now[0] += 1
    assert allowance.datagram("192.0.2.1")
    assert allowance.left("192.0.2.1") == 0
    now[0] += 86_400
    assert allowance.left("192.0.2.1") == 100


def test_places_are_given_back_and_clients_forgotten():
    allowance = Allowance(LimitSettings(connections=2, connections_per_client=1))
    with allowance.connection("192.0.2.1", "tcp"), allowance.connection("198.51.100.1", "tcp"):
        for client in ("192.0.2.9", "203.0.113.1"):
            with pytest.raises(RefusedError), allowance.connection(client, "tcp"):
                pass
        with allowance.connection("203.0.113.1", "quic"):
            pass
    with allowance.connection("192.0.2.9", "tcp"):
        assert allowance.open.total() == 1
    for number in range(MAX_CLIENTS + 100):
        allowance.left(f"{1 + number // 65_536}.{number // 256 % 256}.{number % 256}.1")
    assert len(allowance._accounts) == MAX_CLIENTS
