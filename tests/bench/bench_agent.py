"""What one agent costs a household a day: memory, processor, bytes on the line, bytes on the card.

Two real agents run the default plan in homes of the lab, against the real broker and collector, one thirty times as
fast as life and one as fast as life. A day's work is taken from the fast one: what it sent and wrote in so many lab
hours. What an agent costs by merely being there is taken from the slow one, whose work in these minutes is next to
nothing, because that part does not grow with the speed. Prints numbers and judges nothing.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from civobs_collector.errors import CivobsCollectorError
from civobs_lab import machine
from civobs_lab.household import HomeProbe
from civobs_lab.lab import Lab, build
from civobs_lab.network import UPLINK
from civobs_lab.topology import load

FAST_CC, SLOW_CC = "XA", "XB"
SCALE = 30.0
WARM_UP_S = 20.0
"""Enrolment, first plan and imports belong to an agent's first minute, not to its day."""
DAY_S = 86_400.0
PI_FACTOR = 4.0
"""A core of a Raspberry Pi 4 against one of a current server, single thread, roughly: an assumption, not measured."""
BARS = {"rss_mib": 48.0, "cpu_share_pi": 0.01, "line_mb_day": 25.0, "card_mb_day": 50.0}
"""architecture.md §6."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters of one agent at one moment."""

    at: float
    cpu_s: float
    line_bytes: int
    """Received and sent, as the device's interface counts them, headers included."""
    card_bytes: int
    """Handed to the file system's storage by the kernel, in whole pages; a journal's own writes are not in it."""
    rows: int

    def since(self, earlier: "Reading") -> "Reading":
        return Reading(
            self.at - earlier.at,
            self.cpu_s - earlier.cpu_s,
            self.line_bytes - earlier.line_bytes,
            self.card_bytes - earlier.card_bytes,
            self.rows - earlier.rows,
        )


@dataclass(frozen=True, slots=True)
class Cost:
    """What a day costs."""

    rss_mib: float
    cpu_share: float
    cpu_share_idle: float
    cpu_share_pi: float
    line_mb_day: float
    line_mb_day_idle: float
    card_mb_day: float
    rows_day: float
    lab_hours: float


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench agent", description=__doc__)
    parser.add_argument("--minutes", type=float, default=4.0, help="how long to measure (default: %(default)g)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers as JSON")
    arguments = parser.parse_args(argv)
    try:
        machine.require()
    except CivobsCollectorError as error:
        sys.stderr.write(f"bench: {error.cause}\n       {error.remedy}\n")
        return error.exit_code
    cost = measure(arguments.minutes * 60)
    Console().print(_table(cost))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({**asdict(cost), "bars": BARS}, indent=2) + "\n")
    return 0


def measure(seconds: float) -> Cost:
    """Run the two agents for so many seconds of the clock."""
    with build(load(Path("two-countries")), time_scale=SCALE) as lab:
        lab.observatory.start_database()
        lab.observatory.publish_plans(time_scales={SLOW_CC: 1.0})
        lab.observatory.start_broker()
        lab.observatory.start_collector()
        homes = {
            cc: next(h for h in lab.network.topology.households() if h.network.cc == cc) for cc in (FAST_CC, SLOW_CC)
        }
        fast = lab.start_probe(homes[FAST_CC], SCALE)
        slow = lab.start_probe(homes[SLOW_CC], 1.0)
        _wait(lab, WARM_UP_S)
        before = _read(lab, fast), _read(lab, slow)
        _wait(lab, seconds)
        work, idle = _read(lab, fast).since(before[0]), _read(lab, slow).since(before[1])
        rss_mib = max(_rss_bytes(fast.pid), _rss_bytes(slow.pid)) / 2**20
    idle_share = idle.cpu_s / idle.at
    # The fast agent does a lab second's work in a thirtieth of a second, on top of what being there costs.
    share = idle_share + max(0.0, work.cpu_s / work.at - idle_share) / SCALE
    days = work.at * SCALE / DAY_S
    return Cost(
        rss_mib=rss_mib,
        cpu_share=share,
        cpu_share_idle=idle_share,
        cpu_share_pi=share * PI_FACTOR,
        line_mb_day=work.line_bytes / days / 1e6,
        line_mb_day_idle=idle.line_bytes / (idle.at / DAY_S) / 1e6,
        card_mb_day=work.card_bytes / days / 1e6,
        rows_day=work.rows / days,
        lab_hours=days * 24,
    )


def _wait(lab: Lab, seconds: float) -> None:
    lab.wait_until(lambda: False, seconds)


def _read(lab: Lab, probe: HomeProbe) -> Reading:
    stat = Path(f"/proc/{probe.pid}/stat").read_text().rpartition(")")[2].split()
    io = dict(line.split(": ") for line in Path(f"/proc/{probe.pid}/io").read_text().splitlines())
    status = probe.status()
    return Reading(
        at=time.monotonic(),
        cpu_s=(int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK"),
        line_bytes=_line_bytes(probe.pid),
        card_bytes=int(io["write_bytes"]) - int(io["cancelled_write_bytes"]),
        rows=0 if status is None else status.rows,
    )


def _line_bytes(pid: int) -> int:
    """Both directions of the device's one interface."""
    for line in Path(f"/proc/{pid}/net/dev").read_text().splitlines():
        name, _, counters = line.partition(":")
        if name.strip() == UPLINK:
            fields = counters.split()
            return int(fields[0]) + int(fields[8])
    raise LookupError(f"process {pid} has no interface {UPLINK}")


def _rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _table(cost: Cost) -> Table:
    made = Table(title="One agent, default plan", title_justify="left")
    for name in ("", "measured", "bar"):
        made.add_column(name)
    made.add_row("memory (RSS)", f"{cost.rss_mib:.1f} MiB", f"≤ {BARS['rss_mib']:g} MiB")
    made.add_row("one core of this machine", f"{cost.cpu_share:.2%} (idle {cost.cpu_share_idle:.2%})", "")
    made.add_row(
        f"one Pi core, if {PI_FACTOR:g} times slower", f"{cost.cpu_share_pi:.2%}", f"≤ {BARS['cpu_share_pi']:.0%}"
    )
    made.add_row("line, up and down", f"{cost.line_mb_day:.1f} MB a day", f"≤ {BARS['line_mb_day']:g} MB")
    made.add_row("card, written", f"{cost.card_mb_day:.1f} MB a day", f"≤ {BARS['card_mb_day']:g} MB")
    made.add_row("rows", f"{cost.rows_day:.0f} a day", "")
    made.caption = (
        f"From {cost.lab_hours:.1f} lab hours at {SCALE:g} times life's speed. Lab sites send small pages and the "
        "broker speaks without TLS: real pages add their size, TLS about 30 bytes a packet and 5 kB a connection."
    )
    return made


if __name__ == "__main__":
    sys.exit(main())
