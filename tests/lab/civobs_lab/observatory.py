"""The observatory of a lab: real database, real broker, real collector, set up with the project's own commands.

Broker, ingest, detection and enrolment stand in the observatory's place of the lab, where probes reach them over the
lab's network. The database is reached through its Unix socket, from there as from the machine itself, so the pages
can be shown on the machine's own loopback without any way between the two networks.
"""

import contextlib
import io
import json
import shutil
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from civobs_collector.__main__ import main as civobs_main
from civobs_lab.broker import Broker
from civobs_lab.network import LabNetwork
from civobs_lab.plans import plan_text
from civobs_lab.postgres import Kind, PostgresServer
from civobs_lab.processes import Program, command_in, program
from civobs_lab.topology import Household

BROKER_PORT = 1883
API_PORT = 8080
START_S = 60.0
"""For a loaded two-core machine; what has died is noticed at once."""
_DATABASE = "civobs"


class ObservatoryError(RuntimeError):
    """A part of the observatory did not start; the text says which and why."""


class Observatory:
    """Everything on the collector's side."""

    def __init__(self, network: LabNetwork, folder: Path, time_scale: float) -> None:
        self._network = network
        self._folder = folder
        self._scale = time_scale
        self._here = network.topology.observatory()
        self._config = folder / "collector.toml"
        self._programs: list[Program] = []
        self.database = PostgresServer(Kind.PLAIN, folder / "db")

    @property
    def address(self) -> str:
        """Where probes find it."""
        return str(self._here[2].address)

    @property
    def url(self) -> str:
        """Base of the enrolment service, for probes."""
        return f"http://{self.address}:{API_PORT}"

    @property
    def dsn(self) -> str:
        return self.database.dsn(_DATABASE)

    def start_database(self) -> None:
        """Start it, make the tables, and tell it of countries that exist in this lab only."""
        self.database.start()
        with psycopg.connect(self.database.dsn(), autocommit=True) as conn:
            conn.execute(f"CREATE DATABASE {_DATABASE}")
        self._write_config(self._config, host=self.address, port=API_PORT)
        self.civobs("migrate")
        topology = self._network.topology
        with psycopg.connect(self.dsn) as conn:
            for country in topology.countries:
                conn.execute("INSERT INTO country (cc, name) VALUES (%s, %s)", (country.cc, country.name))
        for network in topology.networks:
            share = [] if network.user_share is None else ["--user-share", str(network.user_share)]
            cc = ["--cc", network.cc] if topology.country(network.cc) else []
            self.civobs("probes", "network", "--asn", str(network.asn), "--name", network.name, *cc, *share)

    def publish_plans(self, time_scales: Mapping[str, float] | None = None) -> None:
        """Make the keys, then build, sign and publish a plan for each country; ``time_scales`` names odd ones."""
        self.civobs("plan", "keygen")
        for country in self._network.topology.countries:
            file = self._folder / f"plan-{country.cc}.toml"
            scale = (time_scales or {}).get(country.cc, self._scale)
            file.write_text(plan_text(self._network.topology, country.cc, scale))
            self.civobs("plan", "build", str(file), "--publish")

    def start_broker(self) -> None:
        """Start Mosquitto and return once it listens."""
        broker = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
        if broker is None:
            raise ObservatoryError("mosquitto is not installed: run scripts/demo, which installs it")
        conf = Broker(self._folder / "broker", host="0.0.0.0", port=BROKER_PORT).write_config()
        self._run("broker", [broker, "-c", str(conf)], BROKER_PORT)

    def start_collector(self) -> None:
        """Start all roles and return once the enrolment service listens."""
        self._run("collector", [program("civobs"), "--config", str(self._config), "serve"], API_PORT)

    def show_pages(self) -> str:
        """Serve the pages on the machine's own loopback as well; gives their address."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port: int = free.getsockname()[1]
        config = self._folder / "pages.toml"
        self._write_config(config, host="127.0.0.1", port=port)
        command = command_in(None, [program("civobs"), "--config", str(config), "serve", "--roles", "api"])
        pages = Program("pages", command, self._folder / "log" / "pages")
        self._programs.append(pages)
        _wait_for_port(pages, "127.0.0.1", port)
        return f"http://127.0.0.1:{port}/"

    def claim(self, household: Household) -> str:
        """A claim code for one household."""
        words = ("--cc", household.network.cc, "--asn", str(household.network.asn), "--admin1", household.region)
        return str(json.loads(self.civobs("probes", "claim", *words, "--json"))["claim"])

    def civobs(self, *words: str) -> str:
        """Run one command of ``civobs``, in this process because an interpreter's start costs a second."""
        said, complained = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
            code = civobs_main(["--config", str(self._config), *words])
        if code != 0:
            raise ObservatoryError(f"civobs {' '.join(words)}: {complained.getvalue().strip()}")
        return said.getvalue()

    def query(self, text: str, values: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """Rows of one query."""
        with psycopg.connect(self.dsn, row_factory=dict_row) as conn:
            return conn.execute(text, values).fetchall()

    def check(self) -> None:
        """Raise ProgramError if a part has died."""
        for each in self._programs:
            each.check()

    def stop(self) -> None:
        """Stop all, the collector first."""
        for each in reversed(self._programs):
            each.stop()
        self._programs.clear()
        self.database.kill()

    def _run(self, name: str, words: list[str], port: int) -> None:
        place = self._network[self._here[1].name].namespace
        started = Program(name, command_in(place, words), self._folder / "log" / name)
        self._programs.append(started)
        place.run(lambda: _wait_for_port(started, self.address, port))

    def _write_config(self, file: Path, *, host: str, port: int) -> None:
        scale = self._scale
        file.write_text(f"""\
[database]
dsn = {json.dumps(self.dsn)}

[broker]
host = "127.0.0.1"
port = {BROKER_PORT}

[ingest]
archive_dir = {json.dumps(str(self._folder / "archive"))}

[detect]
tick_s = {max(0.5, 30 / scale)}
time_scale = {scale}

[api]
host = {json.dumps(host)}
port = {port}
public_url = "http://{host}:{port}"

[enrol]
brokers = [{{ host = {json.dumps(self.address)}, port = {BROKER_PORT}, tls = false }}]

[keys]
plan_key = {json.dumps(str(self._folder / "keys" / "plan.key"))}
receipt_key = {json.dumps(str(self._folder / "keys" / "receipt.key"))}
""")


def _wait_for_port(started: Program, host: str, port: int) -> None:
    end = time.monotonic() + START_S
    while True:
        started.check()
        try:
            socket.create_connection((host, port), timeout=1).close()
        except OSError:
            if time.monotonic() > end:
                raise ObservatoryError(f"{started.name} does not listen on port {port}: {started.tail()}") from None
            time.sleep(0.1)
        else:
            return
