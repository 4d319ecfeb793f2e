"""What one kind costs an agent: ``python -m tests.bench.kind_cost KIND N CONFIG PLAN``, in a home of the lab.

A program for each kind, so that what one has loaded is not free for the next. Prints one JSON line.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

from civobs_agent import apart
from civobs_agent.config import load
from civobs_agent.probes import KINDS, measure_of
from civobs_agent.surroundings import clock_of, net_of
from civobs_wire.failure import Outcome
from civobs_wire.plan import Plan, Target


async def runs(kind: str, n: int, config: Path, plan: Plan) -> dict[str, float]:
    """Run it ``n`` times, as the schedule does, and take the mean."""
    settings = load(config)
    clock = clock_of(settings)
    net = net_of(settings, clock)
    targets = [
        target for task in plan.tasks if task.kind == kind for target in plan.targets if target.id in task.targets
    ]
    of_home = [Target(id=kind, url="")]
    before_kib, n_rows, n_ok, n_bytes, cpu_s, peak_kib = rss_kib(), 0, 0, 0, 0.0, 0
    began, began_cpu = time.monotonic(), time.process_time()
    for number in range(n):
        context = net.context(clock.moment().at, plan, KINDS[kind].usual_bytes)
        target = (targets or of_home)[number % len(targets or of_home)]
        if KINDS[kind].apart:
            rows = await apart.run(kind, target, context)
        else:
            rows = await measure_of(kind)(target, context)
        n_rows += len(rows)
        n_ok += sum(row.outcome is Outcome.OK for row in rows)
        n_bytes += context.meter.spent
        cpu_s += context.meter.cpu_s
        peak_kib = max(peak_kib, context.meter.peak_kib)
        for row in rows:
            if row.outcome is Outcome.FAILED:
                sys.stderr.write(f"{kind}: {row.failure} {row.note or ''}\n")
    return {
        "runs": n,
        "rows": n_rows / n,
        "ok": n_ok / n,
        "seconds": (time.monotonic() - began) / n,
        "cpu_s": (time.process_time() - began_cpu + cpu_s) / n,
        "bytes": n_bytes / n,
        "kib": peak_kib or rss_kib() - before_kib,
    }


def rss_kib() -> int:
    """Memory of this program now."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


if __name__ == "__main__":
    _, chosen, count, settings_path, plan_path = sys.argv
    signed_for = Plan.model_validate_json(Path(plan_path).read_bytes())
    print(json.dumps(asyncio.run(runs(chosen, int(count), Path(settings_path), signed_for))))
