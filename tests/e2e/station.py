"""A whole observatory with its probes in one network namespace, every part of which can be killed.

Real agents, Mosquitto, collector and PostgreSQL. The namespace has a loopback device and nothing else; the addresses
that the plan's anchors have are on it, so the ladder's upper rungs answer and no packet can leave.
"""

import json
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
from pyroute2 import IPRoute

from civobs_agent import status as agent_status
from civobs_agent.errors import NotFoundError
from civobs_agent.status import Status
from civobs_lab.broker import Broker
from civobs_lab.namespace import Namespace
from civobs_lab.postgres import Kind, PostgresServer
from civobs_lab.processes import Program, command_in, program

ANCHORS = {3: ("198.51.100.1", "198.51.100.2", "198.51.100.3"), 4: tuple(f"203.0.113.{n}" for n in range(1, 5))}
BROKER_PORT, API_PORT = 1883, 8080

PLAN = """\
cc = "ZZ"
valid_days = 30
keepalive_s = 60
[budget]
bytes_per_day = 100000000000
[ladder]
interval_s = 300
trouble_interval_s = 60
quorum = 1
[[targets]]
id = "site"
url = "http://203.0.113.1/"
[[tasks]]
kind = "tcp"
targets = ["site"]
interval_s = {task_interval_s}
[[tasks]]
kind = "ping"
targets = ["site"]
interval_s = {task_interval_s}
"""


class Station:
    """Everything, built by ``start`` and gone with ``close``."""

    def __init__(
        self,
        folder: Path,
        *,
        probes: int,
        time_scale: float,
        persistence: bool = True,
        task_interval_s: float = 60,
        seal_interval_s: float = 60,
    ) -> None:
        self.folder = folder
        self._task_interval_s = task_interval_s
        self._seal_interval_s = seal_interval_s
        self.time_scale = time_scale
        self.namespace = Namespace("station")
        self.namespace.run(_with_addresses)
        self.database = PostgresServer(Kind.TIMESCALE, folder / "pg", fsync=True)
        self._pg_programs = self.database.client_programs(folder / "pg-programs")
        conf = Broker(folder / "broker", host="127.0.0.1", port=BROKER_PORT, persistence=persistence).write_config()
        self._broker_words = ["/usr/sbin/mosquitto", "-c", str(conf)]
        self._broker: Program | None = None
        self._collector: Program | None = None
        self._agents: list[Program | None] = [None] * probes

    # Building.

    def start(self) -> None:
        """Start all parts; returns when every probe is enrolled."""
        self.database.start()
        self.make_database()
        self._write_collector_config()
        self.civobs("migrate")
        self.civobs("plan", "keygen")
        plan = self.folder / "plan.toml"
        anchors = "".join(
            f'[[anchors]]\nid = "a{address}"\nrung = {rung}\naddress = "{address}"\nfamily = 4\nmethod = "icmp"\n'
            for rung, addresses in ANCHORS.items()
            for address in addresses
        )
        plan.write_text(PLAN.format(task_interval_s=self._task_interval_s) + anchors)
        self.civobs("plan", "build", str(plan), "--publish")
        self.start_broker()
        self.start_collector()
        for index in range(len(self._agents)):
            self._set_up_agent(index)
        self.wait(lambda: len(self.recorded()) == len(self._agents), 120, "every probe to enrol")

    def make_database(self) -> None:
        """Make an empty one."""
        with psycopg.connect(self.database.dsn(), autocommit=True) as conn:
            conn.execute("CREATE DATABASE civobs")

    def add_agent(self) -> int:
        """Set one more probe up; gives its place once it is enrolled."""
        index = len(self._agents)
        self._agents.append(None)
        self._set_up_agent(index)
        self.wait(lambda: len(self.recorded()) == len(self._agents), 60, "one more probe to enrol")
        return index

    def _set_up_agent(self, index: int) -> None:
        claim = json.loads(self.civobs("probes", "claim", "--cc", "ZZ", "--asn", str(64500 + index), "--json"))
        self._write_agent_config(index, claim["claim"])
        self.start_agent(index)

    def close(self) -> None:
        """Kill what is left."""
        for each in (*self._agents, self._collector, self._broker):
            if each is not None:
                each.kill()
        self.database.kill()
        self.namespace.close()

    # Parts.

    def start_broker(self) -> None:
        self._broker = self._started("broker", self._broker_words)

    def kill_broker(self) -> None:
        _killed(self._broker)

    def start_collector(self) -> None:
        words = [program("civobs"), "--config", str(self.folder / "collector.toml"), "serve"]
        self._collector = self._started("collector", words)

    def kill_collector(self) -> None:
        _killed(self._collector)

    def start_agent(self, index: int) -> None:
        words = [program("civobs-agent"), "--config", str(self.home(index) / "agent.toml"), "run"]
        self._agents[index] = self._started(f"agent-{index}", words)

    def kill_agent(self, index: int) -> None:
        _killed(self._agents[index])

    def stop_agent(self, index: int) -> None:
        agent = self._agents[index]
        assert agent is not None
        agent.stop()

    def home(self, index: int) -> Path:
        """The folder of one probe."""
        return self.folder / f"home-{index}"

    def kill_something(self, chance: random.Random, *, down_s: float) -> str:
        """Kill one part with SIGKILL, leave it down for a moment, and start it again; says which it was."""
        choice = chance.choice(["agent", "broker", "collector", "database"])
        index = chance.randrange(len(self._agents))
        kill: dict[str, Callable[[], None]] = {
            "agent": lambda: self.kill_agent(index),
            "broker": self.kill_broker,
            "collector": self.kill_collector,
            "database": self.database.kill,
        }
        start: dict[str, Callable[[], None]] = {
            "agent": lambda: self.start_agent(index),
            "broker": self.start_broker,
            "collector": self.start_collector,
            "database": self.database.start,
        }
        kill[choice]()
        time.sleep(down_s)
        start[choice]()
        return choice

    # Looking.

    def civobs(self, *words: str) -> str:
        """Run a command of the collector, where the broker is."""
        command = [program("civobs"), "--config", str(self.folder / "collector.toml"), *words]
        done = subprocess.run(command_in(self.namespace, command), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def query(self, text: str, *values: object) -> list[tuple[object, ...]]:
        with psycopg.connect(self.database.dsn("civobs")) as conn:
            return conn.execute(text, values).fetchall()

    def status(self, index: int) -> Status | None:
        try:
            return agent_status.read(self.home(index) / "status.json")
        except NotFoundError:
            return None

    def recorded(self) -> dict[str, int]:
        """The number of the last row each probe has recorded, by its own count."""
        found = (self.status(index) for index in range(len(self._agents)))
        return {each.probe_id: each.last_seq for each in found if each is not None and each.probe_id is not None}

    def wait(self, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Wait for something to become true."""
        end = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end, f"waited {timeout_s} s for {what}\n{self.logs()}"
            time.sleep(0.25)

    def logs(self) -> str:
        """The end of every part's log, for a test that failed."""
        return "\n".join(f"--- {log.name}\n" + "\n".join(_tail(log)) for log in sorted(self.folder.glob("log/*")))

    # Inside.

    def _started(self, name: str, words: list[str]) -> Program:
        return Program(name, command_in(self.namespace, words), self.folder / "log" / name)

    def _write_collector_config(self) -> None:
        (self.folder / "collector.toml").write_text(f"""\
[database]
dsn = "{self.database.dsn("civobs")}"
[broker]
port = {BROKER_PORT}
keepalive_s = 5
[ingest]
archive_dir = "{self.folder / "archive"}"
[detect]
tick_s = 5
time_scale = {self.time_scale}
[api]
port = {API_PORT}
[backup]
programs_dir = "{self._pg_programs}"
also = ["{self.folder / "broker"}"]
[keys]
plan_key = "{self.folder / "keys/plan.key"}"
receipt_key = "{self.folder / "keys/receipt.key"}"
""")

    def _write_agent_config(self, index: int, claim: str) -> None:
        home = self.home(index)
        home.mkdir(parents=True, exist_ok=True)
        (home / "agent.toml").write_text(f"""\
state_dir = "{home / "state"}"
runtime_dir = "{home}"
[observatory]
url = "http://127.0.0.1:{API_PORT}"
claim = "{claim}"
[spool]
write_interval_s = 0
seal_interval_s = {self._seal_interval_s}
[uplink]
# In seconds of the clock: the collector is no faster for a fast lab.
retry_s = {2 * self.time_scale}
silence_s = {10 * self.time_scale}
backoff_max_s = {2 * self.time_scale}
drain_per_s = 50
[lab]
enabled = true
time_scale = {self.time_scale}
lab_ranges = true
trust_system_clock = true
""")


def _with_addresses() -> None:
    with IPRoute() as route:
        loopback = route.link_lookup(ifname="lo")[0]
        route.link("set", index=loopback, state="up")
        for addresses in ANCHORS.values():
            for address in addresses:
                route.addr("add", index=loopback, address=address, prefixlen=32)


def _killed(part: Program | None) -> None:
    assert part is not None
    part.kill()


def _tail(log: Path) -> list[str]:
    return log.read_text(errors="replace").splitlines()[-12:]
