"""A Mosquitto of one's own: the real program on a free port of 127.0.0.1, to be stopped, killed and started again."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from civobs_lab.machine import PROGRAM_PATH
from civobs_wire.topics import ROOT, Leaf

START_S = 10.0
STOP_S = 10.0
_BRIDGE_RETRY_S = 1
"""Between two tries of a bridge to connect; by itself Mosquitto waits for up to half a minute."""


class BrokerStartError(RuntimeError):
    """Mosquitto is missing or did not start; the text ends with its log."""


class Broker:
    """One broker over one folder, without passwords unless ``options`` say otherwise.

    With ``persistence`` its queues outlive ``stop`` and, because each change is saved within a second, nearly always
    ``kill``; without, a restart forgets sessions and retained messages.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        host: str = "127.0.0.1",
        persistence: bool = False,
        max_queued: int = 100_000,
        options: tuple[str, ...] = (),
    ) -> None:
        self.folder = folder
        self.host = host
        self.port = port or _free_port(host)
        self._persistence = persistence
        self._max_queued = max_queued
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The broker's process id. Raises BrokerStartError when it does not run."""
        if self._process is None or self._process.poll() is not None:
            raise BrokerStartError("the broker is not running")
        return self._process.pid

    def start(self) -> None:
        """Start and return once it listens."""
        program = find()
        if program is None:
            raise BrokerStartError("install mosquitto")
        config = self.write_config()
        with (self.folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen([program, "-c", str(config)], stdout=log, stderr=subprocess.STDOUT)
        self._wait_until_it_listens()

    def write_config(self) -> Path:
        """Write what it is started with, for whoever starts it in another place."""
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "mosquitto.conf"
        config.write_text("\n".join(self._lines()) + "\n")
        return config

    def stop(self) -> None:
        """SIGTERM: wills are not sent, persistence is saved."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: nothing is saved."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start on the same port."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: connections stand and nothing moves."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def _lines(self) -> list[str]:
        lines = [
            f"listener {self.port} {self.host}",
            "allow_anonymous true",
            "max_queued_bytes 0",
            f"max_queued_messages {self._max_queued}",
            "sys_interval 1",
            "log_type error",
            "log_type warning",
            "log_type notice",
        ]
        if os.geteuid() == 0:
            # Otherwise it becomes the user mosquitto, who may not write into a test's folder.
            lines.append("user root")
        if self._persistence:
            lines += [
                "persistence true",
                f"persistence_location {self.folder}/",
                "autosave_interval 1",
                "autosave_on_changes true",
            ]
        return [*lines, *self._options]

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(how)
        self._process.wait(STOP_S)
        self._process = None

    def _wait_until_it_listens(self) -> None:
        end = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection((self.host, self.port), timeout=1).close()
            except OSError:
                if self._process is None or self._process.poll() is not None or time.monotonic() > end:
                    log = (self.folder / "mosquitto.log").read_text(errors="replace")[-2000:]
                    raise BrokerStartError(f"mosquitto did not start:\n{log}") from None
                time.sleep(0.02)
            else:
                return


def find() -> str | None:
    """Mosquitto's program, also where a user's PATH does not look; None if it is not installed."""
    return shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:{PROGRAM_PATH}")


def bridge_to(host: str, port: int = 1883) -> tuple[str, ...]:
    """Options for a broker that hands on to another, the collector's, what probes say, and brings what it answers.

    What is retained stays retained (MQTT v5), so a probe finds receipts and plans at either, and its will reaches
    the collector. Receipts make up for what a bridge loses.
    """
    leaves = ((Leaf.BATCH, "out"), (Leaf.PRESENCE, "out"), (Leaf.RECEIPT, "in"), (Leaf.PLAN, "in"))
    return (
        "connection collector",
        f"address {host}:{port}",
        "bridge_protocol_version mqttv50",
        "cleansession false",
        "notifications false",
        f"restart_timeout {_BRIDGE_RETRY_S}",
        *(f"topic {ROOT}/+/+/{leaf} {direction} 1" for leaf, direction in leaves),
    )


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
