"""One anchor for all tests: the real program on the loopback, in both families, with a certificate of the tests."""

import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from civobs_wire.plan import Server
from tests.agent.fix_net import free_port

NAME = "site.test"
"""The anchor's own name, which the fixture ``certificates`` has a certificate for."""
SECOND = "127.0.0.2"
"""A second address for STUN, of IPv4; the loopback has one address of IPv6."""
START_S = 20


@dataclass(frozen=True)
class RunningAnchor:
    """Where it listens, and what a plan says of it."""

    https: int
    http: int
    stun: int
    stun_other: int
    ca: Path
    """What its certificate ends at."""
    server: Server
    pid: int


class Program:
    """``civobs-anchor run`` with these settings; ``said`` is all it wrote."""

    def __init__(self, folder, **settings):
        self.file = folder / "anchor.toml"
        self.file.write_text(toml(settings))
        command = [sys.executable, "-m", "civobs_anchor", "run", "--config", str(self.file)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.said = []
        self._serving = threading.Event()
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()
        ends = time.monotonic() + START_S
        while not self._serving.wait(0.1):
            if self.process.poll() is not None or time.monotonic() > ends:
                self.stop()
                raise RuntimeError("".join(self.said))

    def _listen(self):
        for line in self.process.stderr:
            self.said.append(line)
            if " serving " in line:
                self._serving.set()

    def stop(self):
        self.process.terminate()
        code = self.process.wait(10)
        self._listener.join()
        self.process.stderr.close()
        return code


def toml(settings):
    """Settings as the file has them, one level of tables."""
    tables = {name: value for name, value in settings.items() if isinstance(value, dict)}
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items() if name not in tables]
    for name, table in tables.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def ports():
    return dict(zip(("https", "http", "stun", "stun_other"), (free_port() for _ in range(4)), strict=True))


def started(folder, settings):
    """The program and its ports; others where somebody took one of them between the choice and the start."""
    for tries in (2, 1, 0):
        numbers = ports()
        try:
            return Program(folder, **settings, ports=numbers), numbers
        except RuntimeError:
            if not tries:
                raise
    raise AssertionError


@pytest.fixture(scope="session")
def anchor(tmp_path_factory, certificates):
    pem = str(certificates.folder / "good.pem")
    settings = {
        "name": NAME,
        "addresses": ["127.0.0.1", "::1"],
        "second_addresses": [SECOND],
        "certificate": pem,
        "key": pem,
        "limits": {"idle_s": 2, "handshake_s": 2, "datagrams_per_s": 1000, "bytes_per_day": 10**12},
    }
    program, numbers = started(tmp_path_factory.mktemp("anchor"), settings)
    server = Server(
        id="anchor",
        name=NAME,
        address="127.0.0.1",
        address6="::1",
        https_port=numbers["https"],
        http_port=numbers["http"],
        stun_port=numbers["stun"],
    )
    yield RunningAnchor(**numbers, ca=certificates.authority, server=server, pid=program.process.pid)
    assert program.stop() == 0
    # Nothing about clients, and no traceback, which would be a fault that no client has noticed.
    assert len(program.said) == 1, "".join(program.said)
