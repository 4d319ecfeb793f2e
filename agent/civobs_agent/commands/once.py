"""``civobs-agent once``: one climb of the ladder, now, in words; with a target, its stages one after the other."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from civobs_agent.commands import Commands

if TYPE_CHECKING:
    from civobs_agent.clock import Clock
    from civobs_agent.config import AgentSettings
    from civobs_agent.net import Context, Net
    from civobs_wire.measurement import AnyMeasurement, Ladder
    from civobs_wire.plan import Plan, Target

STAGES = {
    "dns": "the name",
    "tcp": "connections",
    "tls": "TLS by name",
    "http": "the page",
    "quic": "QUIC",
}
"""The kinds a target is measured by, in this order, and what a person waits for meanwhile."""

_EPILOG = """\
With --target a picture follows: each stage of the way to the page is a line, and
its bar stands where the stage lay in time. TLS is set up with the page's own
name, with one that nobody objects to and with none: where only its own name
fails, the name makes the difference, not the address. "resolver" is the one this
device was given; A and AAAA are its IPv4 and IPv6 addresses of the page.

What was measured is put into the record, and delivered with the rest of it, unless
the agent is running at the same time.

examples:
  civobs-agent once
  civobs-agent once --target https://example.org/
  civobs-agent once --target https://example.org/ --json | jq .seen
"""


def register(commands: Commands) -> None:
    parser = commands.add_parser(
        "once",
        help="ask the whole ladder once, now, and say what it means",
        description=(
            "Asks, rung by rung, whether power, home network, provider, hosts in the country,\n"
            "hosts abroad and one page answer. Needs no plan and no root; what needs a\n"
            "permission is then left out and said so."
        ),
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--target",
        action="append",
        default=[],
        metavar="URL",
        help="also measure this page end to end: name by resolver, address by address, page, QUIC; may be repeated",
    )
    parser.add_argument("--json", action="store_true", help="as one JSON document: all rows, and what was seen")
    parser.set_defaults(run=_once)


def _once(arguments: argparse.Namespace) -> int:
    import asyncio
    import json
    import textwrap

    from civobs_agent import seen, show
    from civobs_agent.config import load
    from civobs_agent.surroundings import clock_of, net_of

    settings = load(arguments.config)
    clock = clock_of(settings)
    net = net_of(settings, clock)
    targets = _targets(arguments.target, net)
    rungs, measured = asyncio.run(_measure(net, _plan(settings), targets))
    rows = [*rungs, *(row for of_one in measured for row in of_one)]
    kept = _keep(settings, clock, rows)
    said = show.meaning(rungs)
    if arguments.json:
        document: dict[str, object] = {"rows": [row.model_dump(mode="json", exclude_none=True) for row in rows]}
        document |= {"meaning": said, "kept": kept is None}
        if targets:
            document["seen"] = {one.url: seen.sentences(rows) for one, rows in zip(targets, measured, strict=True)}
        sys.stdout.write(json.dumps(document, indent=1) + "\n")
        return 0
    width = _width()
    _write(show.ladder_table(rungs, width))
    _write(f"\n{textwrap.fill(said, width)}")
    for target, of_one in zip(targets, measured, strict=True):
        _write_target(target, of_one)
    sent = "; they are delivered with all others" if settings.uplink.send else ""
    _write(
        f"\n({len(rows)} rows kept in {settings.state_dir}{sent}.)"
        if kept is None
        else f"\n(Not kept in the record: {kept}.)"
    )
    return 0


def _width() -> int:
    """Columns to write in."""
    import shutil

    from civobs_agent.picture import NARROWEST, WIDEST

    return min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST)


def _write(text: str) -> None:
    from civobs_agent.picture import written

    sys.stdout.write(written(text, sys.stdout.encoding) + "\n")


def _write_target(target: "Target", rows: "Sequence[AnyMeasurement]") -> None:
    import textwrap

    from civobs_agent import picture, seen, stages

    width = _width()
    bullet = textwrap.TextWrapper(width, initial_indent="  - ", subsequent_indent="    ", break_on_hyphens=False)
    _write(f"\n{'─' * width}\n{picture.printable(target.url)}\n")
    _write(picture.draw(stages.sections(rows), width))
    for heading, told in (("Where it ended", seen.ended(rows)), ("What was seen", seen.sentences(rows))):
        _write(f"\n{heading}")
        for sentence in map(picture.printable, told):
            _write(bullet.fill(sentence))


def _targets(urls: Sequence[str], net: "Net") -> "list[Target]":
    """Raises ConfigError for a URL that cannot be measured, or that this probe refuses to speak to."""
    from civobs_agent.errors import ConfigError
    from civobs_agent.probes.place import place_of
    from civobs_wire.limits import MAX_NAME, MAX_TEXT
    from civobs_wire.plan import Target

    refusal = net.context(net.clock.moment().at, None).refusal if urls else None
    for url in urls:
        try:
            place = place_of(url)
        except ValueError as error:
            raise ConfigError(f"--target: {error}", "give it as https://example.org/path") from None
        if len(url) > MAX_TEXT:
            raise ConfigError(f"--target: a URL of {len(url)} characters", f"at most {MAX_TEXT} can be recorded")
        if "@" in url.partition("//")[2].partition("/")[0]:
            raise ConfigError(
                "--target: the URL carries a name or a password", "leave out what stands before the @: rows are kept"
            )
        refused = refusal.refuses(place.host) if refusal is not None and place.literal is not None else None
        if refused is not None:
            raise ConfigError(
                f"--target: {place.host} is refused ({refused})",
                "a probe speaks to public addresses only, never into the network it stands in",
            )
    return [Target(id=url[:MAX_NAME], url=url) for url in urls]


def _plan(settings: "AgentSettings") -> "Plan | None":
    """The plan this device keeps; None where there is none or it may not be read."""
    from contextlib import suppress

    from civobs_agent.errors import CivobsAgentError
    from civobs_agent.identity import FOLDER, load_or_make
    from civobs_agent.keys import PublicKey
    from civobs_agent.plan_store import PlanStore

    key = settings.observatory.plan_key
    if key is None and _readable(settings, FOLDER):
        with suppress(CivobsAgentError):
            enrolment = load_or_make(settings.state_dir).enrolment()
            key = None if enrolment is None else enrolment.plan_key
    return None if key is None else PlanStore(settings.state_dir, PublicKey.from_hex(key)).current


def _readable(settings: "AgentSettings", name: str) -> bool:
    import os

    return os.access(settings.state_dir / name, os.R_OK | os.X_OK)


async def _measure(
    net: "Net", plan: "Plan | None", targets: "Sequence[Target]"
) -> "tuple[list[Ladder], list[list[AnyMeasurement]]]":
    """The ladder, then each target by every kind, one after the other: the rows of each target."""
    from civobs_agent.ladder import climb

    slot_at = net.clock.moment().at
    _waiting("the ladder")
    rungs = await climb(plan, net.context(slot_at, plan))
    net.climbed(rungs)
    measured: list[list[AnyMeasurement]] = []
    for target in targets:
        of_one: list[AnyMeasurement] = []
        for kind, what in STAGES.items():
            if kind == "tls" and target.url.startswith("http:"):
                continue  # its port speaks none
            _waiting(f"{what} of {target.url}")
            of_one += await _run(kind, target, net.context(slot_at, plan))
        measured.append(of_one)
    _waiting("")
    return rungs, measured


async def _run(kind: str, target: "Target", context: "Context") -> "list[AnyMeasurement]":
    from civobs_agent import apart
    from civobs_agent.probes import KINDS, measure_of

    if KINDS[kind].apart:
        return await apart.run(kind, target, context)
    return await measure_of(kind)(target, context)


def _waiting(what: str) -> None:
    """On a terminal, one line that says what is being asked; nothing to wait for wipes it."""
    import shutil

    from civobs_agent.picture import printable, written

    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns - 1
        line = written(printable(f"asking {what} …"), sys.stderr.encoding) if what else ""
        sys.stderr.write(f"\r{line[:width]:<{width}}\r")
        sys.stderr.flush()


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
