"""From a TOML file that people write to a plan that probes can verify.

The wire's models take unknown keys from newer versions in silence; a file written by hand must not have any, because
a misspelt key would switch a measurement off without a word. What no probe would do is refused here, where it can be
mended, instead of turning up as ``not_run`` rows from the field.
"""

import json
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from psycopg.errors import UniqueViolation
from pydantic import ValidationError

from civobs_collector.db.connect import Connection
from civobs_collector.db.plans import newest_serial, store_plan
from civobs_collector.errors import PlanError
from civobs_collector.target_list import expand, measurable, read_target_lists
from civobs_wire.categories import CATEGORIES
from civobs_wire.errors import WireError
from civobs_wire.plan import AIMED, Anchor, Plan, Target, unpack_plan

DEFAULT_VALID_D = 90.0
"""A probe that is cut off goes on with its last plan for as long as that is valid (architecture.md §5)."""

_LAB_NETWORKS = tuple(
    ip_network(text) for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15", "2001:db8::/32")
)
"""RFC 5737, RFC 2544, RFC 3849: only a laboratory answers there."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a plan that its author should know."""

    rule: str
    text: str
    fatal: bool


def read_plan_file(path: Path, issued_at: datetime, lists: Sequence[Path] = ()) -> Plan:
    """Read a TOML file; ids, times and the serial follow from ``issued_at`` unless given. Raises PlanError.

    ``lists`` are files with more targets, in the Citizen Lab's CSV form.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PlanError(f"cannot read {path}: {error.strerror}", "name a readable file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PlanError(f"{path} is not TOML: {error}", "mend the line it names") from None
    own = values.get("targets", [])
    if isinstance(own, list):
        known = {one.get("url") for one in own if isinstance(one, dict)}
        values["targets"] = own + [one for one in read_target_lists(lists) if one["url"] not in known]
        if isinstance(values.get("tasks"), list):
            values["tasks"] = expand(values["tasks"], values["targets"])
    return _plan(path, values, issued_at)


def findings(plan: Plan) -> list[Finding]:
    """What is wrong with a plan that its schema cannot say."""
    return [*_anchor_findings(plan), *_target_findings(plan), *_ladder_findings(plan)]


def refuse_unfit(plan: Plan) -> list[str]:
    """The warnings about a plan. Raises PlanError for the first thing that makes it useless."""
    found = findings(plan)
    for finding in found:
        if finding.fatal:
            raise PlanError(f"{finding.rule}: {finding.text}", "correct the plan's file and build it again")
    return [f"{finding.rule}: {finding.text}" for finding in found]


def refuse_stale(plan: Plan, newest_serial: int, now: datetime) -> None:
    """Raises PlanError if a plan must not be published any more, or not yet, or not after the newest of its country."""
    if plan.expires_at <= now:
        raise PlanError(f"plan {plan.plan_id} has expired", "build it again")
    if plan.issued_at > now + timedelta(minutes=10):
        raise PlanError(f"plan {plan.plan_id} is issued in the future", "set this machine's clock and build it again")
    if plan.serial <= newest_serial:
        raise PlanError(
            f"serial {plan.serial} is not above {newest_serial}, the newest for {plan.cc}",
            "build it again: probes refuse a serial that falls",
        )


def publish(conn: Connection, message: bytes, key: Ed25519PublicKey, now: datetime) -> Plan:
    """Keep a signed plan, for the probes of its country from now on. Raises PlanError."""
    plan = opened(message, key)
    refuse_unfit(plan)
    try:
        with conn.transaction():
            refuse_stale(plan, newest_serial(conn, plan.cc), now)
            store_plan(conn, plan, message)
    except UniqueViolation:
        raise PlanError(f"there is a plan {plan.plan_id} already", "build it again: plans are never changed") from None
    return plan


def opened(message: bytes, key: Ed25519PublicKey) -> Plan:
    """A signed plan, verified. Raises PlanError."""
    try:
        return unpack_plan(message, key)
    except WireError as error:
        raise PlanError(
            f"not a plan signed with the observatory's key: {error}", "build it again with that key"
        ) from None


def _plan(path: Path, values: dict[str, Any], issued_at: datetime) -> Plan:
    issued = issued_at.astimezone(UTC).replace(microsecond=0)
    days = values.pop("valid_days", DEFAULT_VALID_D)
    if not isinstance(days, int | float) or not 0 < days <= 3650:
        raise PlanError(f"{path}: valid_days is not a number of days up to 3650", "write it like: valid_days = 90")
    for given in ("v", "issued_at", "expires_at"):
        if given in values:
            raise PlanError(
                f"{path}: {given} is not for the author to say", "remove it; valid_days says how long it is in force"
            )
    # Seconds since 1970 rise by themselves, so a machine without the database can number plans too.
    values.setdefault("serial", int(issued.timestamp()))
    values.setdefault("plan_id", f"{str(values.get('cc', 'zz')).lower()}-{values['serial']}")
    values.setdefault("cc", "ZZ")
    values |= {"issued_at": issued, "expires_at": issued + timedelta(days=days)}
    try:
        return Plan.model_validate_json(json.dumps(values, default=str), extra="forbid")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the plan"
        raise PlanError(
            f"{path}: {where}: {first['msg'].removeprefix('Value error, ')}",
            "correct it; deploy/plan.example.toml shows all keys",
        ) from None


def _anchor_findings(plan: Plan) -> Iterator[Finding]:
    ids = [anchor.id for anchor in plan.anchors]
    for name in sorted({name for name in ids if ids.count(name) > 1}):
        yield Finding("anchor-id", f"two anchors are called {name}", fatal=True)
    for anchor in plan.anchors:
        yield from _address_findings(f"anchor {anchor.id}", anchor.address, anchor)
        if anchor.method == "tcp" and anchor.port == 0:
            yield Finding("anchor-port", f"anchor {anchor.id} is asked by TCP and has no port", fatal=True)
    for resolver in plan.resolvers:
        yield from _address_findings(f"resolver {resolver.id}", resolver.address, None)
    for time_server in plan.time_servers:
        yield from _address_findings(f"time server {time_server.id}", time_server.address, None)
    for server in plan.servers:
        for address in filter(None, (server.address, server.address6)):
            yield from _address_findings(f"server {server.id}", address, None)


def _address_findings(who: str, text: str, anchor: Anchor | None) -> Iterator[Finding]:
    try:
        address = ip_address(text)
    except ValueError:
        yield Finding("address", f"{who}: {text} is not an address (a name would need a resolver)", fatal=True)
        return
    if anchor is not None and anchor.family != address.version:
        yield Finding("address-family", f"{who}: {text} is not of family {anchor.family}", fatal=True)
    if any(address in network for network in _LAB_NETWORKS):
        yield Finding("address-lab", f"{who}: {text} is answered in a laboratory only", fatal=False)
    elif not address.is_global or address.is_multicast:
        yield Finding("address-refused", f"{who}: {text} is not public, every probe refuses it", fatal=True)


def _target_findings(plan: Plan) -> Iterator[Finding]:
    used = {name for task in plan.tasks for name in task.targets} | {plan.ladder.service}
    for target in plan.targets:
        if not measurable(target.url):
            what = f"{target.url[:100]!r} is no http or https URL that can be asked for"
            yield Finding("target-url", f"target {target.id}: {what}", fatal=True)
        elif _is_address(host := urlsplit(target.url).hostname or ""):
            yield from _address_findings(f"target {target.id}", host, None)
        if target.id not in used:
            yield Finding("target-unused", f"no task names target {target.id}: it is not measured", fatal=False)
        yield from _category_findings(target)
    for task in plan.tasks:
        if not task.known:
            yield Finding("task-kind", f"this version knows no kind {task.kind}", fatal=True)
        elif task.kind == "ladder":
            yield Finding("task-ladder", "the ladder is set in [ladder], not by a task", fatal=True)
        elif task.kind in AIMED and not task.targets:
            yield Finding("task-empty", f"task {task.kind} names no target", fatal=True)
        elif task.kind not in AIMED and task.targets:
            yield Finding("task-aimed", f"task {task.kind} is against the plan's servers, not targets", fatal=True)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _category_findings(target: Target) -> Iterator[Finding]:
    category = CATEGORIES.get(target.category)
    if category is None:
        yield Finding("target-category", f"target {target.id}: no category {target.category}", fatal=True)
    elif target.tier < category.least_tier:
        text = f"target {target.id}: {target.category} asks for tier {category.least_tier}"
        yield Finding("target-tier", text, fatal=True)


def _ladder_findings(plan: Plan) -> Iterator[Finding]:
    for rung, name in ((3, "domestic"), (4, "international")):
        there = [anchor for anchor in plan.anchors if anchor.rung == rung]
        if not there:
            text = f"no anchor for L{rung}: a {name} outage cannot be told; add [[anchors]] with rung = {rung}"
            yield Finding("ladder-empty", text, fatal=False)
        elif len(there) < plan.ladder.quorum:
            yield Finding("ladder-quorum", f"L{rung} has {len(there)} anchors, fewer than its quorum", fatal=True)
    if plan.ladder.service is None:
        yield Finding("ladder-service", "the ladder names no service: L5 will not run; name a target", fatal=False)
    if plan.ladder.trouble_interval_s > plan.ladder.interval_s:
        yield Finding("ladder-interval", "the ladder runs more slowly in trouble than in peace", fatal=True)
