"""``civobs-agent once``: one climb of the ladder, now, in words."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from civobs_agent.commands import Commands

if TYPE_CHECKING:
    from civobs_agent.clock import Clock
    from civobs_agent.config import AgentSettings
    from civobs_agent.net import Net
    from civobs_wire.measurement import AnyMeasurement, Ladder
    from civobs_wire.plan import Plan, Target


def register(commands: Commands) -> None:
    parser = commands.add_parser(
        "once",
        help="ask the whole ladder once, now, and say what it means",
        description=(
            "Asks, rung by rung, whether power, home network, provider, hosts in the country, hosts abroad and one"
            " page answer. Needs no plan and no root; what needs a permission is then left out and said so."
        ),
        epilog="examples:\n  civobs-agent once\n  civobs-agent once --target https://example.org/ --json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--target", action="append", default=[], metavar="URL", help="also measure this page; may be repeated"
    )
    parser.add_argument("--json", action="store_true", help="as one JSON document")
    parser.set_defaults(run=_once)


def _once(arguments: argparse.Namespace) -> int:
    import asyncio
    import json

    from civobs_agent import show
    from civobs_agent.config import load
    from civobs_agent.surroundings import clock_of, net_of

    settings = load(arguments.config)
    targets = _targets(arguments.target)
    clock = clock_of(settings)
    rungs, others = asyncio.run(_measure(net_of(settings, clock), _plan(settings), targets))
    rows = [*rungs, *others]
    kept = _keep(settings, clock, rows)
    said = show.meaning(rungs)
    if arguments.json:
        document = {"rows": [row.model_dump(mode="json", exclude_none=True) for row in rows]}
        sys.stdout.write(json.dumps({**document, "meaning": said, "kept": kept is None}, indent=1) + "\n")
        return 0
    sys.stdout.write(show.ladder_table(rungs) + "\n")
    for row in others:
        sys.stdout.write(show.row_line(row) + "\n")
    sys.stdout.write(f"\n{said}\n")
    sys.stdout.write(
        f"({len(rows)} rows kept in {settings.state_dir}.)\n"
        if kept is None
        else f"(Not kept in the record: {kept}.)\n"
    )
    return 0


def _targets(urls: Sequence[str]) -> "list[Target]":
    from civobs_agent.errors import ConfigError
    from civobs_agent.probes.place import place_of
    from civobs_wire.limits import MAX_NAME
    from civobs_wire.plan import Target

    for url in urls:
        try:
            place_of(url)
        except ValueError as error:
            raise ConfigError(f"--target: {error}", "give it as https://example.org/path") from None
    return [Target(id=url[:MAX_NAME], url=url) for url in urls]


def _plan(settings: "AgentSettings") -> "Plan | None":
    """The plan this device keeps; None where there is none or it may not be read."""
    from civobs_agent.errors import CivobsAgentError
    from civobs_agent.identity import FOLDER, load_or_make
    from civobs_agent.keys import PublicKey
    from civobs_agent.plan_store import PlanStore

    if not _readable(settings, FOLDER):
        return None
    try:
        enrolment = load_or_make(settings.state_dir).enrolment()
    except CivobsAgentError:
        return None
    return None if enrolment is None else PlanStore(settings.state_dir, PublicKey.from_hex(enrolment.plan_key)).current


def _readable(settings: "AgentSettings", name: str) -> bool:
    import os

    return os.access(settings.state_dir / name, os.R_OK | os.X_OK)


async def _measure(
    net: "Net", plan: "Plan | None", targets: "Sequence[Target]"
) -> "tuple[list[Ladder], list[AnyMeasurement]]":
    """The ladder, then each target by every kind, one after the other."""
    from civobs_agent.ladder import climb
    from civobs_agent.probes import measure_of

    slot_at = net.clock.moment().at
    rungs = await climb(plan, net.context(slot_at, plan))
    net.climbed(rungs)
    others: list[AnyMeasurement] = []
    for target in targets:
        for kind in ("ping", "dns", "tcp", "tls", "http"):
            others += await measure_of(kind)(target, net.context(slot_at, plan))
    return rungs, others


def _keep(settings: "AgentSettings", clock: "Clock", rows: "Sequence[AnyMeasurement]") -> str | None:
    """Put the rows into the record. None if that was done, otherwise why not."""
    from civobs_agent import status
    from civobs_agent.errors import CivobsAgentError, NotFoundError
    from civobs_agent.identity import load_or_make
    from civobs_agent.spool import Spool

    try:
        if status.read(settings.status_file).running:
            return "the agent is running and keeps its own"
    except NotFoundError:
        pass
    try:
        spool = Spool(settings.state_dir, clock, load_or_make(settings.state_dir).signing_key)
    except CivobsAgentError as error:
        return error.cause
    spool.record(rows)
    spool.close()
    return None
