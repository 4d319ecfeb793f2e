"""Looks at everything a probe needs, one finding a line, each with what to do about it.

It measures nothing and speaks to nobody but the broker and the observatory of the settings.
"""

import asyncio
import os
import shutil
import socket
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from civobs_agent import status
from civobs_agent.clock import Clock
from civobs_agent.config import DEFAULT_PATH, AgentSettings, load
from civobs_agent.errors import CivobsAgentError, NotFoundError
from civobs_agent.host import Host, Sources, look
from civobs_agent.identity import FOLDER, SIGNING_KEY, Identity, load_or_make
from civobs_agent.keys import PublicKey
from civobs_agent.plan_store import FILE as PLAN
from civobs_agent.plan_store import PlanStore
from civobs_agent.spool_salvage import FILE
from civobs_agent.surroundings import clock_of
from civobs_wire.enrol import BrokerEndpoint, EnrolResponse
from civobs_wire.measurement import ClockState

LOW_DISK_BYTES = 300_000_000
"""The spool's cap and half of it again."""
CONNECT_S = 5.0


class Verdict(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line."""

    subject: str
    verdict: Verdict
    text: str
    remedy: str = ""


def _ok(subject: str, text: str) -> Finding:
    return Finding(subject, Verdict.OK, text)


def _warn(subject: str, text: str, remedy: str) -> Finding:
    return Finding(subject, Verdict.WARN, text, remedy)


def _fail(subject: str, text: str, remedy: str) -> Finding:
    return Finding(subject, Verdict.FAIL, text, remedy)


async def examine(config: Path | None) -> list[Finding]:
    """All findings. Settings that cannot be read end it at once."""
    try:
        settings = load(config)
    except CivobsAgentError as error:
        return [_fail("settings", error.cause, error.remedy)]
    where = config or (DEFAULT_PATH if DEFAULT_PATH.exists() else None)
    findings = [_ok("settings", "defaults and variables" if where is None else str(where)), _running(settings)]
    identity, enrolment, keys = _identity(settings)
    findings += keys
    findings += [_spool(settings.state_dir), _disk(settings.state_dir)]
    if settings.state_dir.is_dir():
        findings.append(_clock(clock_of(settings)))
    findings.append(_raw_socket())
    findings += _network(look(Sources()))
    if identity is not None:
        findings.append(_plan(settings, enrolment))
        findings += await _brokers(settings, enrolment)
    return findings


def _running(settings: AgentSettings) -> Finding:
    try:
        seen = status.read(settings.status_file)
    except NotFoundError as error:
        return _warn("agent", error.cause, error.remedy)
    if not seen.running:
        return _fail("agent", "not running", "start it: systemctl start civobs-agent")
    if seen.problems:
        return _fail("agent", "; ".join(seen.problems), "read its log: journalctl -u civobs-agent")
    return _ok("agent", seen.state)


def _identity(settings: AgentSettings) -> tuple[Identity | None, EnrolResponse | None, list[Finding]]:
    if not (settings.state_dir / FOLDER / SIGNING_KEY).exists():
        missing = _fail("keys", f"none in {settings.state_dir}", "start the agent once, or: civobs-agent enrol CODE")
        return None, None, [missing]
    try:
        identity = load_or_make(settings.state_dir)
        enrolment = identity.enrolment()
    except CivobsAgentError as error:
        return None, None, [_fail("keys", error.cause, error.remedy)]
    keys = _ok("keys", f"signing key {identity.public_hex[:16]}…")
    if enrolment is None and not settings.uplink.send:
        return identity, None, [keys, _ok("enrolment", "not enrolled, and [uplink] send is false: nothing is sent")]
    if enrolment is None:
        return identity, None, [keys, _fail("enrolment", "not enrolled", "run: civobs-agent enrol XXXX-XXXX-C")]
    return identity, enrolment, [keys, _ok("enrolment", f"probe {enrolment.probe_id}")]


def _spool(folder: Path) -> Finding:
    path = folder / FILE
    if not path.exists():
        return _warn("spool", "none yet", "it is made when the agent starts")
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=2.0)) as spool:
            said = spool.execute("PRAGMA quick_check(1)").fetchone()[0]
            batches, size = spool.execute("SELECT count(*), coalesce(sum(length(message)), 0) FROM batch").fetchone()
    except sqlite3.Error as error:
        return _fail(
            "spool", f"cannot be read: {error}", "run as root; if it is damaged, restart the agent: it repairs"
        )
    if said != "ok":
        return _fail(
            "spool", f"damaged: {said}", "restart the agent: it sets the file aside and goes on; check the card"
        )
    return _ok("spool", f"sound; {batches} batches, {size / 1_000_000:.1f} MB wait for a receipt")


def _disk(folder: Path) -> Finding:
    place = next((parent for parent in (folder, *folder.parents) if parent.exists()), Path("/"))
    free = shutil.disk_usage(place).free
    text = f"{free / 1_000_000:.0f} MB free at {place}"
    if free < LOW_DISK_BYTES / 10:
        return _fail("disk", text, "free some space: the agent keeps what it measures in memory meanwhile")
    if free < LOW_DISK_BYTES:
        return _warn("disk", text, "free some space, or lower max_mb under [spool]")
    return _ok("disk", text)


def _clock(clock: Clock) -> Finding:
    now = clock.moment()
    text = f"{now.at:%Y-%m-%d %H:%M:%S} UTC, {now.state}, wrong by at most {now.err_ms} ms"
    if now.state is ClockState.UNKNOWN:
        return _warn(
            "clock", text, "start a time service (systemd-timesyncd, chrony); rows wait for the time meanwhile"
        )
    return _ok("clock", text)


def _raw_socket() -> Finding:
    """Ping needs one of two permissions; without, its rows say ``no_permission``."""
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP).close()
        except OSError:
            continue
        return _ok("ping", "permitted")
    return _warn("ping", "not permitted for this user", "give the service CAP_NET_RAW, as civobs-agent.service does")


def _network(host: Host) -> list[Finding]:
    """Never with an address: what doctor prints is pasted into tickets."""
    findings = [
        _ok("link", "carrier") if host.carrier else _fail("link", "no carrier", "plug the cable in or set Wi-Fi up")
    ]
    families = [name for name, facts in (("IPv4", host.v4), ("IPv6", host.v6)) if facts.present]
    if families:
        findings.append(_ok("gateway", f"default route for {' and '.join(families)}"))
    else:
        findings.append(_fail("gateway", "no default route", "check the home router; the agent records this as it is"))
    if host.resolvers:
        findings.append(_ok("resolver", f"{len(host.resolvers)} given"))
    else:
        findings.append(_warn("resolver", "none given", "check /etc/resolv.conf"))
    return findings


def _plan(settings: AgentSettings, enrolment: EnrolResponse | None) -> Finding:
    key = settings.observatory.plan_key or (None if enrolment is None else enrolment.plan_key)
    plan = None if key is None else PlanStore(settings.state_dir, PublicKey.from_hex(key)).current
    if plan is None:
        remedy = (
            "it comes with the first connection to the broker"
            if settings.uplink.send
            else f"lay a signed one into {settings.state_dir / PLAN}, its key into [observatory] plan_key"
        )
        return _warn("plan", "none yet: only the ladder runs", remedy)
    left_d = (plan.expires_at - datetime.now(UTC)).total_seconds() / 86_400
    if left_d <= 0:
        return _fail(
            "plan", f"{plan.plan_id} has expired", "only the ladder runs until the broker can be reached again"
        )
    return _ok("plan", f"{plan.plan_id}, {len(plan.tasks)} tasks, valid for {left_d:.1f} d")


async def _brokers(settings: AgentSettings, enrolment: EnrolResponse | None) -> list[Finding]:
    mine = settings.broker
    if not settings.uplink.send:
        return []
    if mine.host is not None:
        endpoints: tuple[BrokerEndpoint, ...] = (BrokerEndpoint(host=mine.host, port=mine.port, tls=mine.tls),)
    else:
        endpoints = () if enrolment is None else enrolment.brokers
    return [await _broker(endpoint) for endpoint in endpoints]


async def _broker(endpoint: BrokerEndpoint) -> Finding:
    name = f"{endpoint.host}:{endpoint.port}"
    try:
        async with asyncio.timeout(CONNECT_S):
            _, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
    except (OSError, TimeoutError) as error:
        return _fail(
            "broker",
            f"{name} cannot be reached: {os.strerror(error.errno) if error.errno else 'no answer in time'}",
            "nothing to do at home if the Internet is down: rows are kept and delivered later",
        )
    writer.close()
    return _ok("broker", f"{name} answers")
