"""How much goes over the device's own link: what the kernel has counted on one interface (proc(5), ``net/dev``)."""

import os
from dataclasses import dataclass
from pathlib import Path

from civobs_agent.host import Host

PAGE = 4_096
"""Bytes that the kernel gives at once of its list: some thirty interfaces, far more than a home's device has."""


@dataclass(frozen=True, slots=True)
class Line:
    """The interface that the default route leaves by."""

    counters: str
    """Path of the kernel's list of interfaces."""
    interface: str

    def moved(self) -> int | None:
        """Bytes received and sent since the interface came up; None if it is gone."""
        # Twice for each row, so without the layers of a file object.
        try:
            handle = os.open(self.counters, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            listed = b" " + os.read(handle, PAGE).replace(b"\n", b" ")
        except OSError:
            return None
        finally:
            os.close(handle)
        _, found, rest = listed.partition(f" {self.interface}:".encode())
        fields = rest.split(None, 9)
        return int(fields[0]) + int(fields[8]) if found and len(fields) > 8 else None


def line_of(proc: Path, host: Host) -> Line | None:
    """The line of a device; None where it has no default route."""
    routes = (*host.v4.routes, *host.v6.routes)
    return Line(str(proc / "net" / "dev"), routes[0].interface) if routes else None
