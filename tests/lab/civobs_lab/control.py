"""A lab obeyed by hand: what is typed at the prompt of ``scripts/lab shell``, or with ``lab`` inside one of its places.

All of it happens in the main thread, because programs live as long as the thread that started them.
"""

import json
import os
import select
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from civobs_lab import faults, scenario_check, strict_toml, timeline
from civobs_lab.fault_kinds import Fault, ForgedProbes, ObservatoryDown
from civobs_lab.lab import Lab
from civobs_lab.network import LabNetwork
from civobs_lab.play import one_line
from civobs_lab.scenario import Scenario
from civobs_lab.tell import MESSAGE_BYTES, SOCKET

HELP = """\
begin KIND SCOPE [KEY=VALUE ...]   break something: begin national_shutdown XA
begin ID                           a fault of the scenario, by its id
end KIND SCOPE, end ID, end all    mend it
kinds                              what can be broken, and to what it happens
broken                             what is broken now
places                             where one can go, with addresses
enter PLACE                        a shell there: a home's name, or any place
status                             what the probes say of themselves
quit                               take everything down (as do Ctrl-D and Ctrl-C)
"""
_TELL_S = 5.0


class CommandError(ValueError):
    """What was typed cannot be done; the text says why and what to type."""


class Control:
    """Faults begun and mended one by one, outside any timeline."""

    def __init__(self, lab: Lab, known: tuple[Fault, ...] = ()) -> None:
        self._lab = lab
        self._known = {fault.id: fault for fault in known if fault.id is not None}
        self._faults: list[Fault] = []
        self._socket = _listening(lab.folder)

    def obey(self, line: str) -> str:
        """Do what a line says and give the answer. Raises CommandError."""
        verb, *words = line.split() or [""]
        if verb in ("begin", "end"):
            return self._begin(words) if verb == "begin" else self._end(words)
        lists: dict[str, tuple[Callable[[], Iterable[str]], str]] = {
            "": (list, ""),
            "broken": (lambda: map(_label, self._broken()), "nothing is broken\n"),
            "kinds": (_kinds, ""),
            "places": (lambda: _places(self._lab.network), ""),
            "status": (self._status, "there are no probes: start with --probes\n"),
        }
        if verb in ("help", "--help", "-h"):
            return HELP
        if verb not in lists:
            raise CommandError(f"there is no command {verb!r}; `help` lists them")
        make, otherwise = lists[verb]
        return "".join(f"{each}\n" for each in make()) or otherwise

    def wait_for(self, ready: Callable[[], bool], descriptor: int | None = None) -> None:
        """Obey what comes by the socket until ``ready`` holds or the descriptor can be read."""
        watched: list[Any] = [self._socket] if descriptor is None else [self._socket, descriptor]
        while not ready():
            found, _, _ = select.select(watched, [], [], 0.2)
            if self._socket in found:
                self._answer_one()
            if descriptor in found:
                return

    def close(self) -> None:
        self._socket.close()

    def _answer_one(self) -> None:
        connection, _ = self._socket.accept()
        with connection, suppress(OSError):
            connection.settimeout(_TELL_S)
            line = connection.recv(MESSAGE_BYTES).decode(errors="replace")
            try:
                answer = "say that at the lab's own prompt\n" if line.startswith(("enter", "quit")) else self.obey(line)
            except CommandError as error:
                answer = f"{error}\n"
            connection.sendall(answer.encode())

    def _begin(self, words: list[str]) -> str:
        fault = self._fault(words)
        if any(_label(each) == _label(fault) for each in self._broken()):
            raise CommandError(f"{_label(fault)} is broken already")
        if isinstance(fault, ForgedProbes | ObservatoryDown) and not self._lab.probes:
            raise CommandError(f"{fault.kind} needs the observatory, which does not run; start with --probes")
        # Without its id, because it may be begun again when it is mended.
        self._faults.append(fault.model_copy(update={"id": None}))
        scenario = Scenario(title="by hand", resembles="", fault=tuple(self._faults))
        problems = list(scenario_check.problems(scenario, self._lab.network.topology))
        if problems:
            self._faults.pop()
            raise CommandError(f"{problems[0].cause}; {problems[0].remedy}")
        index = len(self._faults) - 1
        first: dict[str, timeline.Step] = {}
        for step in timeline.steps(scenario, self._lab.network.topology):
            if step.fault == index and step.verb == "begin":
                first.setdefault(step.item, step)
        with _told(f"{_label(fault)} cannot be done here"):
            try:
                for step in first.values():
                    faults.perform(self._lab, scenario, step)
            except BaseException:
                self._mend(index)
                raise
        return f"{_label(fault)}: broken\n"

    def _end(self, words: list[str]) -> str:
        if words == ["all"]:
            with _told("not everything could be mended"):
                self._lab.mend()
            return "nothing is broken\n"
        if not words:
            raise CommandError("say what to mend, as in: end national_shutdown XA, or: end all")
        wanted = _label(self._known[words[0]]) if words[0] in self._known else " ".join(words[:2])
        for index, fault in enumerate(self._faults):
            with _told(f"{wanted} could not be mended"):
                if _label(fault) == wanted and self._mend(index):
                    return f"{wanted}: mended\n"
        raise CommandError(f"{wanted} is not broken; `broken` lists what is")

    def _mend(self, index: int) -> bool:
        keys = [key for key in self._lab.broken if key[0] == index]
        for key in reversed(keys):
            self._lab.broken.pop(key)()
        return bool(keys)

    def _broken(self) -> list[Fault]:
        return [self._faults[index] for index in dict.fromkeys(index for index, _ in self._lab.broken)]

    def _fault(self, words: list[str]) -> Fault:
        if words and words[0] in self._known:
            return self._known[words[0]]
        if len(words) < 2:
            raise CommandError("say what to break and where, as in: begin national_shutdown XA")
        kind, scope, *settings = words
        values: dict[str, Any] = {"kind": kind, "scope": scope, "start": "0s"}
        for setting in settings:
            key, equals, value = setting.partition("=")
            if not equals:
                raise CommandError(f"{setting!r} is not KEY=VALUE")
            values[key] = _value(value)
        written = {"title": "by hand", "resembles": "", "fault": [values]}
        try:
            return Scenario.model_validate_json(json.dumps(written), strict=True).fault[0]
        except ValidationError as error:
            problem = strict_toml.problems(error, Scenario)[0]
            cause = problem.cause.replace(strict_toml.place(("fault", 0)), kind)
            raise CommandError(f"{cause}; {problem.remedy}") from None

    def _status(self) -> Iterator[str]:
        for probe in self._lab.probes:
            status = probe.status()
            said = "not started" if status is None else status.state
            yield f"{probe.household.name:<16} {said}"


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Whatever a fault's doing or mending fails of, the lab stands: the person at the prompt is told, in a line."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - of netlink, nft, tc, servers, the collector's commands: all alike here
        raise CommandError(f"{what}: {one_line(error)}") from None


def _value(text: str) -> object:
    """As TOML and JSON have it, a bare word as text; ``[a,b]`` needs no quotes."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        if text.startswith("[") and text.endswith("]"):
            return [_value(each) for each in text[1:-1].split(",")]
        return text


def _label(fault: Fault) -> str:
    return f"{fault.kind} {fault.scope}"


def _kinds() -> Iterator[str]:
    for kind in get_args(get_args(Fault)[0]):
        (name,) = get_args(kind.model_fields["kind"].annotation)
        summary = (kind.__doc__ or "").splitlines()[0]
        yield f"{name:<20} {' or '.join(kind.scopes):<42} {summary}"


def _places(network: LabNetwork) -> Iterator[str]:
    for name, place in network.places.items():
        addresses = " ".join(f"{address}/{length}" for _, address, length in place.addresses if address.version == 4)
        yield f"{name:<24} {addresses}"


def _listening(folder: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # By the descriptor, because a socket's path may have 107 bytes and a folder's more.
        made.bind(f"/proc/self/fd/{directory}/{SOCKET}")
    finally:
        os.close(directory)
    made.listen()
    return made
