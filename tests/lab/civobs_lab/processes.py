"""Programs that run in a place of the lab and cannot outlive it.

Each has the kernel's parent-death signal set before anything else, so it is killed when the thread that started it
ends, in whatever way. Start them from the main thread.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from civobs_lab.namespace import Namespace

STOP_S = 10.0
"""Longer than any of our programs needs to leave in order; then it is killed."""

_TIED = """
[ "$PPID" = "$1" ] || exit 1
shift
exec "$@"
"""
"""The signal is for parents that end later; the comparison sees one that ended before the signal was asked for."""

_WITH_FILES = """
set -e
while [ "$1" != -- ]; do mount --bind "$1" "$2"; shift 2; done
shift
exec "$@"
"""


class ProgramError(RuntimeError):
    """A program of the lab failed; the text ends with what it said."""


def program(name: str) -> str:
    """A console script of the environment this runs in."""
    return str(Path(sys.executable).with_name(name))


def tied(words: Sequence[str]) -> list[str]:
    """The command line of a program that does not outlive the process that builds it, from its first moment on.

    Holds through every ``exec``, but not through a change of user: who makes one asks for the signal again.
    """
    return ["setpriv", "--pdeathsig", "KILL", "sh", "-c", _TIED, "tied", str(os.getpid()), *words]


def command_in(
    namespace: Namespace | None, words: Sequence[str], files: Mapping[Path, Path] | None = None
) -> list[str]:
    """The command line that runs ``words`` in a place, with other files mounted over ``files``' keys for it alone."""
    command = namespace.enter_command() if namespace is not None else []
    if files:
        mounts = [str(path) for target, source in files.items() for path in (source, target)]
        # Propagation is private from the start: no mount is ever seen outside.
        command += ["unshare", "--mount", "--propagation", "private", "sh", "-c", _WITH_FILES, "lab", *mounts, "--"]
    return tied([*command, *words])


class Program:
    """A running program with its log."""

    def __init__(self, name: str, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                # Ctrl-C is for the runner, which then stops its programs in order.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def check(self) -> None:
        """Raise ProgramError if it has ended."""
        code = self._process.poll()
        if code is not None:
            raise ProgramError(f"{self.name} ended with {code}: {self.tail()}")

    def wait(self, timeout_s: float) -> None:
        """Wait for its end. Raises ProgramError if that is not a success in time."""
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ProgramError(f"{self.name} did not finish within {timeout_s:g} s: {self.tail()}") from None
        if code != 0:
            raise ProgramError(f"{self.name} ended with {code}: {self.tail()}")

    def tail(self) -> str:
        """The last lines of what it said."""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-15:]) or "it said nothing"

    def ask_to_stop(self) -> None:
        """SIGTERM; follow with ``stop``."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """End it in order, or by force when it takes too long."""
        self.ask_to_stop()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL, as a power cut."""
        self._process.kill()
        self._process.wait()
