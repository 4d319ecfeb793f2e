"""The observatory of a lab: real database, real broker, real collector, set up with the project's own commands.

Broker, ingest, detection and enrolment stand in the observatory's place of the lab, where probes reach them over the
lab's network. The database is reached through its Unix socket, from there as from the machine itself, so the pages
can be shown on the machine's own loopback without any way between the two networks.
"""

import contextlib
import io
import json
import socket
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import psycopg
from psycopg.rows import dict_row

from civobs_collector.__main__ import main as civobs_main
from civobs_collector.config import DetectSettings
from civobs_lab import lab_map
from civobs_lab.broker import Broker, bridge_to, find
from civobs_lab.network import LabNetwork
from civobs_lab.pauses import SHORTEST_TICK_S
from civobs_lab.plans import plan_text
from civobs_lab.postgres import Kind, PostgresServer
from civobs_lab.processes import Program, command_in, program
from civobs_lab.scenario import PlanChanges
from civobs_lab.topology import Network, Placed

BROKER_PORT = 1883
API_PORT = 8080
START_S = 60.0
"""For a loaded two-core machine; what has died is noticed at once."""
ANSWER_S = 10.0
_DATABASE = "civobs"

Part = Literal["broker", "collector", "database", "second broker"]
PARTS: tuple[Part, ...] = ("broker", "collector", "database")
"""What there always is."""
SECOND_BROKER: Part = "second broker"


class ObservatoryError(RuntimeError):
    """A part of the observatory did not start; the text says which and why."""


class Observatory:
    """Everything on the collector's side."""

    def __init__(self, network: LabNetwork, folder: Path, time_scale: float) -> None:
        self._network = network
        self._folder = folder
        self._scale = time_scale
        self._here = network.topology.observatory()
        self._second = network.topology.second_broker()
        self._config = folder / "collector.toml"
        self._programs: dict[str, Program] = {}
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

    @property
    def map_file(self) -> Path:
        """Which prefix of the lab is in which country and network, as MMDB; made when it is first asked for."""
        file = self._folder / "lab.mmdb"
        if not file.exists():
            lab_map.write(self._network.topology, file)
        return file

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

    def publish_plans(
        self, changes: PlanChanges | None = None, *, time_scales: Mapping[str, float] | None = None
    ) -> None:
        """Make the keys, then build, sign and publish a plan for each country; ``time_scales`` names odd ones."""
        self.civobs("plan", "keygen")
        for country in self._network.topology.countries:
            file = self._folder / f"plan-{country.cc}.toml"
            scale = (time_scales or {}).get(country.cc, self._scale)
            file.write_text(plan_text(self._network.topology, country.cc, scale, changes or PlanChanges()))
            self.civobs("plan", "build", str(file), "--publish")

    def start_broker(self) -> None:
        """Start Mosquitto, also the second where the topology has one, and return once each listens."""
        self.start("broker")
        if self._second is not None:
            self.start(SECOND_BROKER)

    def start_collector(self) -> None:
        """Start all roles and return once the enrolment service listens."""
        self.start("collector")

    def start(self, part: Part) -> None:
        """Start one part, for the first time or after it was killed, and return once it answers."""
        match part:
            case "database":
                self.database.start()
            case "broker":
                own = Broker(self._folder / "broker", host="0.0.0.0", port=BROKER_PORT)
                self._start_broker(part, own, self._here)
            case "second broker":
                assert self._second is not None  # the topology has one, or nobody asks for it
                bridged = Broker(
                    self._folder / "second-broker", host="0.0.0.0", port=BROKER_PORT, options=bridge_to(self.address)
                )
                self._start_broker(part, bridged, self._second)
            case "collector":
                words = [program("civobs"), "--config", str(self._config), "serve"]
                self._run(part, words, self._here, API_PORT)

    def kill(self, part: Part) -> None:
        """SIGKILL to one part. It is not missed by ``check`` until it is started again."""
        if part == "database":
            self.database.kill()
        elif part in self._programs:
            self._programs.pop(part).kill()

    def show_pages(self) -> str:
        """Serve the pages on the machine's own loopback as well; gives their address."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port: int = free.getsockname()[1]
        config = self._folder / "pages.toml"
        self._write_config(config, host="127.0.0.1", port=port)
        command = command_in(None, [program("civobs"), "--config", str(config), "serve", "--roles", "api"])
        pages = Program("pages", command, self._folder / "log" / "pages")
        self._programs["pages"] = pages
        _wait_for_port(pages, "127.0.0.1", port)
        return f"http://127.0.0.1:{port}/"

    def claim(self, network: Network, region: str) -> str:
        """A claim code for one household."""
        words = ("--cc", network.cc, "--asn", str(network.asn), "--admin1", region, "--access", network.access)
        return str(json.loads(self.civobs("probes", "claim", *words, "--json"))["claim"])

    def ask(self, path: str) -> dict[str, Any]:
        """What its public API answers, as somebody in its own place asks it. Raises OSError."""

        def asked() -> dict[str, Any]:
            with urllib.request.urlopen(f"{self.url}{path}", timeout=ANSWER_S) as answer:
                found: dict[str, Any] = json.load(answer)
                return found

        return self._network[self._here[1].name].namespace.run(asked)

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
        """Raise ProgramError if a part has died that was not killed here."""
        for each in self._programs.values():
            each.check()

    def stop(self) -> None:
        """Stop all, the collector first."""
        for each in reversed(self._programs.values()):
            each.stop()
        self._programs.clear()
        self.database.kill()

    def _start_broker(self, part: Part, broker: Broker, at: Placed) -> None:
        mosquitto = find()
        if mosquitto is None:
            raise ObservatoryError("mosquitto is not installed: run scripts/demo, which installs it")
        self._run(part, [mosquitto, "-c", str(broker.write_config())], at, BROKER_PORT)

    def _run(self, part: Part, words: list[str], at: Placed, port: int) -> None:
        place = self._network[at[1].name].namespace
        started = Program(part, command_in(place, words), self._folder / "log" / part.replace(" ", "-"))
        self._programs[part] = started
        place.run(lambda: _wait_for_port(started, str(at[2].address), port))

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
tick_s = {max(DetectSettings().tick_s, SHORTEST_TICK_S * scale)}
time_scale = {scale}

[api]
host = {json.dumps(host)}
port = {port}
public_url = "http://{host}:{port}"

[enrol]
brokers = [{", ".join(self._brokers())}]

[keys]
plan_key = {json.dumps(str(self._folder / "keys" / "plan.key"))}
receipt_key = {json.dumps(str(self._folder / "keys" / "receipt.key"))}
""")

    def _brokers(self) -> Iterator[str]:
        for at in (self._here, self._second):
            if at is not None:
                yield f'{{ host = "{at[2].address}", port = {BROKER_PORT}, tls = false }}'


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
