"""What one agent costs a household a day: memory, processor, bytes on the line, bytes on the card.

Two real agents run the lab's form of the default plan in homes of the lab, against the real broker and collector, one
thirty times as fast as life and one as fast as life. What ladder, uplink and the frequent kinds cost is taken from the
fast one: what it sent and wrote in so many lab hours. What an agent costs by merely being there is taken from the slow
one, whose work in these minutes is next to nothing, because that part does not grow with the speed. Then each kind is
run by itself a few times, and a day is put together from that: what the default plan asks of a kind beyond what the
fast agent did is added at the kind's own price. Prints numbers and judges nothing.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from civobs_agent.probes import KINDS
from civobs_collector.errors import CivobsCollectorError
from civobs_collector.plan_file import read_plan_file
from civobs_lab import machine
from civobs_lab.household import HomeProbe
from civobs_lab.lab import Lab, build
from civobs_lab.network import UPLINK
from civobs_lab.plans import DEFAULT_PLAN, plan_text
from civobs_lab.scenario import PlanChanges
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
REPEATS = 3
LARGE_REPEATS = 1
"""Of kinds that move megabytes."""


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
    runs: tuple[tuple[str, int], ...]
    """By kind."""

    def since(self, earlier: "Reading") -> "Reading":
        return Reading(
            self.at - earlier.at,
            self.cpu_s - earlier.cpu_s,
            self.line_bytes - earlier.line_bytes,
            self.card_bytes - earlier.card_bytes,
            self.rows - earlier.rows,
            tuple((kind, runs - dict(earlier.runs).get(kind, 0)) for kind, runs in self.runs),
        )


@dataclass(frozen=True, slots=True)
class KindCost:
    """What a run of one kind costs, and how many the default plan asks for."""

    kind: str
    runs_day: float
    rows: float
    ok: float
    """Of these rows."""
    seconds: float
    cpu_s: float
    bytes: float
    kib: float
    """In the agent, what stays; of a program beside it, the most that it has."""

    @property
    def planned_mb_day(self) -> float:
        """By what a run usually takes in the world, where pages are large."""
        return self.runs_day * KINDS[self.kind].usual_bytes / 1e6


@dataclass(frozen=True, slots=True)
class Cost:
    """What a day costs."""

    rss_mib: float
    apart_mib: float
    """The largest program beside the agent."""
    cpu_share: float
    cpu_share_idle: float
    cpu_share_pi: float
    line_mb_day: float
    """Ladder, uplink and keepalives as measured, and the kinds' runs at what they usually take."""
    line_mb_day_idle: float
    card_mb_day: float
    rows_day: float
    lab_hours: float
    kinds: tuple[KindCost, ...]


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
    Console(width=110).print(_table(cost), _kinds_table(cost))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({**asdict(cost), "bars": BARS}, indent=2) + "\n")
    return 0


def measure(seconds: float) -> Cost:
    """Run the two agents for so many seconds of the clock, then each kind by itself."""
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
        for probe in (fast, slow):
            probe.stop()
        kinds = tuple(_cost_of(lab, slow, kind, _runs_a_day(kind)) for kind in KINDS)
    return _day(work, idle, rss_mib, kinds)


def _day(work: Reading, idle: Reading, rss_mib: float, kinds: tuple[KindCost, ...]) -> Cost:
    """Put a day together from what was measured."""
    idle_share = idle.cpu_s / idle.at
    days = work.at * SCALE / DAY_S
    done = {kind: runs / days for kind, runs in work.runs}
    # The fast agent does a lab second's work in a thirtieth of a second, on top of what being there costs.
    share = idle_share + max(0.0, work.cpu_s / work.at - idle_share) / SCALE
    share += sum((one.runs_day - done.get(one.kind, 0.0)) * one.cpu_s for one in kinds) / DAY_S
    rows_day = work.rows / days + sum((one.runs_day - done.get(one.kind, 0.0)) * one.rows for one in kinds)
    in_kinds = sum(done.get(one.kind, 0.0) * one.bytes for one in kinds) / 1e6
    return Cost(
        rss_mib=rss_mib,
        apart_mib=max(one.kib for one in kinds if KINDS[one.kind].apart) / 1024,
        cpu_share=share,
        cpu_share_idle=idle_share,
        cpu_share_pi=share * PI_FACTOR,
        line_mb_day=work.line_bytes / days / 1e6
        - in_kinds
        + sum(one.planned_mb_day for one in kinds if not KINDS[one.kind].optional),
        line_mb_day_idle=idle.line_bytes / (idle.at / DAY_S) / 1e6,
        card_mb_day=work.card_bytes / days / 1e6 * rows_day / (work.rows / days),
        rows_day=rows_day,
        lab_hours=days * 24,
        kinds=kinds,
    )


def _runs_a_day(kind: str) -> float:
    """By the default plan, in the field."""
    plan = read_plan_file(DEFAULT_PLAN, datetime.now(UTC))
    return sum(max(1, len(task.targets)) * DAY_S / task.interval_s for task in plan.tasks if task.kind == kind)


def _cost_of(lab: Lab, probe: HomeProbe, kind: str, runs_day: float) -> KindCost:
    """Run one kind by itself, in a home and with the settings of its probe."""
    plan_file = probe.config.with_name("plan.toml")
    plan_file.write_text(plan_text(lab.network.topology, SLOW_CC, 1.0, PlanChanges()))
    plan = plan_file.with_suffix(".json")
    plan.write_text(read_plan_file(plan_file, datetime.now(UTC)).model_dump_json())
    n = LARGE_REPEATS if KINDS[kind].usual_bytes > 10_000_000 else REPEATS
    words = [sys.executable, "-m", "tests.bench.kind_cost", kind, str(n), str(probe.config), str(plan)]
    done = subprocess.run(probe.command(words), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"kind {kind}: {done.stderr}")
    sys.stderr.write(done.stderr)
    told = json.loads(done.stdout.splitlines()[-1])
    return KindCost(kind, runs_day, *(told[name] for name in ("rows", "ok", "seconds", "cpu_s", "bytes", "kib")))


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
        runs=() if status is None else tuple((kind, cost.runs) for kind, cost in status.kinds.items()),
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
    made.add_row("largest program beside it, while it runs", f"{cost.apart_mib:.1f} MiB", "")
    made.add_row("one core of this machine", f"{cost.cpu_share:.2%} (idle {cost.cpu_share_idle:.2%})", "")
    made.add_row(
        f"one Pi core, if {PI_FACTOR:g} times slower", f"{cost.cpu_share_pi:.2%}", f"≤ {BARS['cpu_share_pi']:.0%}"
    )
    made.add_row("line, up and down", f"{cost.line_mb_day:.1f} MB a day", f"≤ {BARS['line_mb_day']:g} MB")
    made.add_row("card, written", f"{cost.card_mb_day:.1f} MB a day", f"≤ {BARS['card_mb_day']:g} MB")
    made.add_row("rows", f"{cost.rows_day:.0f} a day", "")
    made.caption = (
        f"From {cost.lab_hours:.1f} lab hours at {SCALE:g} times life's speed, and each kind by itself. Kinds count at"
        " what a run usually takes in the world; the broker speaks without TLS, which adds 30 bytes a packet."
    )
    return made


def _kinds_table(cost: Cost) -> Table:
    made = Table(title="By kind, one run", title_justify="left")
    for name in ("kind", "runs a day", "rows (ok)", "time", "cpu", "line in the lab", "usually", "memory"):
        made.add_column(name, justify="left" if name == "kind" else "right")
    for one in cost.kinds:
        kind = KINDS[one.kind]
        made.add_row(
            one.kind + (" (opt-in)" if kind.optional else ""),
            f"{one.runs_day:.1f}",
            f"{one.rows:.1f} ({one.ok:.1f})",
            f"{one.seconds:.2f} s",
            f"{one.cpu_s * 1000:.0f} ms",
            f"{one.bytes / 1000:.1f} kB",
            f"{kind.usual_bytes / 1000:.0f} kB",
            f"{one.kib / 1024:.1f} MiB {'beside' if kind.apart else 'stays'}",
        )
    return made


if __name__ == "__main__":
    sys.exit(main())
