"""How much goes over the device's own link: what the kernel has counted on one interface (proc(5), ``net/dev``)."""

from dataclasses import dataclass
from pathlib import Path

from civobs_agent.host import Host


@dataclass(frozen=True, slots=True)
class Line:
    """The interface that the default route leaves by."""

    proc: Path
    interface: str

    def moved(self) -> int | None:
        """Bytes received and sent since the interface came up; None if it is gone."""
        try:
            counters = (self.proc / "net" / "dev").read_bytes()
        except OSError:
            return None
        for row in counters.splitlines():
            name, _, numbers = row.partition(b":")
            if name.strip() == self.interface.encode():
                fields = numbers.split()
                return int(fields[0]) + int(fields[8])
        return None


def line_of(proc: Path, host: Host) -> Line | None:
    """The line of a device; None where it has no default route."""
    routes = (*host.v4.routes, *host.v6.routes)
    return Line(proc, routes[0].interface) if routes else None
