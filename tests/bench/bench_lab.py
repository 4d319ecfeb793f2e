"""What forty agents at once take of this machine, with all of the observatory on it, and whether they lose anything.

Plays a scenario as ``scripts/lab run`` does and then looks at what it left behind while everything still runs: memory
and processor time by program, slots that have no measurement, rows lost or stored twice. Prints numbers and judges
nothing.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from civobs_collector.errors import CivobsCollectorError
from civobs_lab import machine, scenario_file
from civobs_lab.lab import Lab
from civobs_lab.leaving import leave_on_signals
from civobs_lab.play import Progress, at_scale, play
from civobs_lab.results import RunResult
from civobs_lab.scenario_file import ScenarioError
from civobs_wire.measurement import KIND_CODES

_TASKS = [code for kind, code in KIND_CODES.items() if kind not in {"ladder", "agent"}]
_NOT_RUN = """
SELECT f.name AS why, count(*) AS n
FROM measurement m JOIN failure f USING (failure)
WHERE f.outcome = 'not_run' GROUP BY 1 ORDER BY 2 DESC
"""
_SLOTS = """
WITH slot AS (
  SELECT DISTINCT probe_key, kind, target_key, slot_at FROM measurement WHERE kind = ANY(%(kinds)s)
), step AS (
  SELECT probe_key, kind, target_key, extract(epoch FROM slot_at - lag(slot_at) OVER series) AS s
  FROM slot WINDOW series AS (PARTITION BY probe_key, kind, target_key ORDER BY slot_at)
), usual AS (
  SELECT probe_key, kind, target_key, percentile_disc(0.5) WITHIN GROUP (ORDER BY s) AS s FROM step GROUP BY 1, 2, 3
)
SELECT coalesce(sum(greatest(round(step.s / usual.s) - 1, 0)), 0)::int8 AS without, (SELECT count(*) FROM slot) AS slots
FROM step JOIN usual USING (probe_key, kind, target_key)
"""
"""A task's usual step is the median of its steps; a longer one jumps over slots. The ladder's changes with trouble."""


@dataclass(slots=True)
class Found:
    """What was seen."""

    result: RunResult
    not_run: dict[str, int]
    """Rows that say that a slot was not measured, by reason."""
    slots: int
    """Of the plan's tasks, with a row."""
    slots_without: int
    rss_mib: dict[str, float]
    """Resident memory at the end, by program; of agents, the largest."""
    cpu_s: dict[str, float]
    """Processor seconds by program, of all agents together."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench lab", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("scenario", nargs="?", default="forty-homes", help="file or name (default: %(default)s)")
    parser.add_argument("--scale", type=float, metavar="N", help="lab seconds in one second; the scenario says it else")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers as JSON")
    parser.add_argument("--logs", type=Path, metavar="DIR", help="keep what all programs said in this folder")
    arguments = parser.parse_args(argv)
    try:
        machine.require()
        loaded = at_scale(scenario_file.load(scenario_file.find([arguments.scenario])[0]), arguments.scale)
    except CivobsCollectorError as error:
        sys.stderr.write(f"bench: {error.cause}\n       {error.remedy}\n")
        return error.exit_code
    except ScenarioError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    leave_on_signals()
    console = Console(stderr=True)
    seen: list[Found] = []
    with console.status(loaded.name) as status:

        def say(progress: Progress) -> None:
            status.update(f"{loaded.name}: {progress.phase}, {progress.elapsed_s:.0f} s")

        result = play(loaded, say=say, logs=arguments.logs, look=lambda lab, run: seen.append(_look(lab, run)))
    if result.broke is not None or not seen:
        sys.stderr.write(f"bench: {loaded.name} broke down: {result.broke}\n       --logs DIR keeps what was said\n")
        return 1
    Console().print(_table(seen[0]))
    if arguments.json is not None:
        document = {**asdict(seen[0]), "result": seen[0].result.model_dump(mode="json")}
        arguments.json.write_text(json.dumps(document, indent=2) + "\n")
    return 0


def _look(lab: Lab, result: RunResult) -> Found:
    """While everything still runs."""
    slots = lab.observatory.query(_SLOTS, {"kinds": _TASKS})[0]
    agents = {probe.pid for probe in lab.probes}
    rss_mib: dict[str, float] = {}
    cpu_s: dict[str, float] = {}
    for process in psutil.Process().children(recursive=True):
        try:
            name = "agent" if process.pid in agents else process.name()
            rss, spent = process.memory_info().rss / 2**20, sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue
        rss_mib[name] = max(rss_mib.get(name, 0.0), rss) if name == "agent" else rss_mib.get(name, 0.0) + rss
        cpu_s[name] = cpu_s.get(name, 0.0) + spent
    return Found(
        result=result,
        not_run={row["why"]: row["n"] for row in lab.observatory.query(_NOT_RUN)},
        slots=slots["slots"],
        slots_without=slots["without"],
        rss_mib=rss_mib,
        cpu_s=cpu_s,
    )


def _table(found: Found) -> Table:
    result = found.result
    made = Table(title=f"{result.scenario} at {result.time_scale:g} times life's speed", title_justify="left")
    made.add_column("what")
    made.add_column("measured")
    if result.load is not None:
        load = result.load
        made.add_row("agents", f"{load.agents}")
        made.add_row("memory of an agent", f"{load.rss_mib:.1f} MiB, the largest {found.rss_mib['agent']:.1f} MiB")
        made.add_row("processor, an agent", f"{load.cpu_share:.1%} of a core")
        made.add_row("processor, all", f"{load.machine_cpu_share:.0%} of {os.cpu_count()} cores")
    if result.ledger is not None:
        ledger = result.ledger
        made.add_row("rows", f"{ledger.recorded} recorded, {ledger.lost} lost, {ledger.doubled} stored twice")
    missed = ", ".join(f"{n} {why}" for why, n in found.not_run.items()) or "none"
    made.add_row("slots not measured", missed)
    made.add_row("slots without a row", f"{found.slots_without} of {found.slots_without + found.slots}")
    made.add_row("load of the machine, 1 min", f"{os.getloadavg()[0]:.1f}")
    others = sorted((name for name in found.cpu_s if name != "agent"), key=lambda name: -found.cpu_s[name])
    for name in others[:5]:
        made.add_row(f"besides: {name}", f"{found.rss_mib[name]:.0f} MiB, {found.cpu_s[name]:.0f} s of processor")
    for event in result.events:
        last = event.versions[-1]
        made.add_row("event", f"{last.kind} {last.cc} {last.status}, {last.households_down} of {last.households} homes")
    made.add_row("clock", f"{result.seconds:.0f} s: " + ", ".join(f"{name} {s:g}" for name, s in result.phases.items()))
    return made


if __name__ == "__main__":
    sys.exit(main())
