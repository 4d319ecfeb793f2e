"""Rows of measurements against targets, written into the tables as ingest leaves them."""

import json
from dataclasses import dataclass, field
from itertools import count

from civobs_collector.config import CollectorSettings, DatabaseSettings, DetectSettings
from civobs_wire.failure import FAILURE_CODES, Failure
from civobs_wire.measurement import KIND_CODES
from tests.collector.fix_detect import LONG_AGO, at

TIMEOUT, RESET, NXDOMAIN = Failure.GENERIC_TIMEOUT_ERROR, Failure.CONNECTION_RESET, Failure.DNS_NXDOMAIN_ERROR
TRUE, FALSE = "198.51.100.7", "203.0.113.66"
"""The address of every site, and one at which nobody is."""
PAGE = "<html><head><title>Forbidden</title></head><body>Access to this site is forbidden.</body></html>"
BOTH_WORK = 3 << 2 | 3 << 4
IPV6_BROKEN = 3 << 2 | 2 << 4


_COPY = (
    "COPY measurement (ts, slot_at, probe_key, target_key, seq, value, clock_err_ms, kind, failure, outcome, family,"
    " validity, detail) FROM STDIN"
)


def settings_for(dsn):
    return CollectorSettings(database=DatabaseSettings(dsn=dsn), detect=DetectSettings())


@dataclass
class Rows:
    """A database in the making; minutes count from T0."""

    conn: object
    numbers: "count[int]" = field(default_factory=lambda: count(1))
    keys: dict[str, int] = field(default_factory=dict)
    waiting: list[tuple[object, ...]] = field(default_factory=list)

    def probe(self, cc, asn, *, anchor=False):
        number = next(self.numbers)
        (home,) = self.conn.execute("INSERT INTO household DEFAULT VALUES RETURNING household_key").fetchone()
        (key,) = self.conn.execute(
            "INSERT INTO probe (probe_id, household_key, signing_key, csr_pem, cc, asn, agent, enrolled_at, is_anchor)"
            " VALUES (%s, %s, %s, '', %s, %s, 'test', %s, %s) RETURNING probe_key",
            (f"{number:016d}", home, number.to_bytes(32, "big"), cc, asn, LONG_AGO, anchor),
        ).fetchone()
        return key

    def target(self, name):
        self.conn.execute("INSERT INTO target (name) VALUES (%s) ON CONFLICT DO NOTHING", (name,))
        (key,) = self.conn.execute("SELECT target_key FROM target WHERE name = %s", (name,)).fetchone()
        self.keys[name] = key
        return key

    def row(self, probe, kind, target, minute, failure=None, *, family=4, validity=BOTH_WORK, **detail):
        """Every row keeps its detail: of those that end well, ingest keeps one an hour."""
        said = {"kind": kind, "failure": failure, **detail}
        text = json.dumps({name: value for name, value in said.items() if value is not None})
        key = self.keys.get(target) or self.target(target)
        code = None if failure is None else FAILURE_CODES[failure]
        numbers = KIND_CODES[kind], code, int(failure is not None), family, validity, text
        slot = at(minute // 60 * 60)
        value = detail.get("goodput_bps", detail.get("status", detail.get("share")))
        self.waiting.append((at(minute), slot, probe, key, next(self.numbers), value, 10, *numbers))

    def store(self):
        """Write what waits, marked as not rolled up yet."""
        for day in sorted({time.date() for time, *_ in self.waiting}):
            self.conn.execute("SELECT ensure_day(%s)", (day,))
        with self.conn.cursor().copy(_COPY) as copy:
            for row in self.waiting:
                copy.write_row(row)
        self.conn.cursor().executemany(
            "INSERT INTO dirty_bucket VALUES (date_bin('5 minutes', %s, '2000-01-01'), %s) ON CONFLICT DO NOTHING",
            sorted({(row[0], row[2]) for row in self.waiting}),
        )
        self.waiting.clear()
        self.conn.commit()

    def works(self, probe, target, minute, **more):
        """A handshake under each name, at the right address, and the page."""
        for named in ("target", "neutral", "none"):
            self.row(probe, "tls", target, minute, named=named, address=TRUE, stage="done", **more)
        self.row(probe, "reach", target, minute + 1, address=TRUE, stage="done", status=200, verified=True, **more)

    def reset_by_name(self, probe, target, minute, **more):
        """Reset where the handshake names the target, and not elsewhere at the same address."""
        self.row(probe, "tls", target, minute, RESET, named="target", address=TRUE, stage="handshake", **more)
        self.row(probe, "tls", target, minute, named="neutral", address=TRUE, stage="done", **more)
        self.row(probe, "reach", target, minute + 1, RESET, address=TRUE, stage="tls", **more)

    def page(self, probe, target, minute, **more):
        """The site's own page, over verified TLS."""
        self.row(probe, "http", target, minute, address=TRUE, status=200, verified=True, stage="done", **more)

    def forbidden(self, probe, target, minute, **more):
        """A page of the censor's comes in place of the site's."""
        page = {"status": 403, "title": "Forbidden", "sample": PAGE, "url": f"http://{target}/", "stage": "done"}
        self.row(probe, "http", target, minute, address=TRUE, **page, **more)

    def silent(self, probe, target, minute, **more):
        """No answer to a connect, whatever the name."""
        for named in ("target", "neutral", "none"):
            self.row(probe, "tls", target, minute, TIMEOUT, named=named, address=TRUE, stage="connect", **more)
        self.row(probe, "reach", target, minute + 1, TIMEOUT, address=TRUE, stage="connect", **more)

    def lied_to(self, probe, target, minute, **more):
        """The given resolver leads to an address at which nobody is; an independent one knows the right one."""
        given = ["resolver"]
        self.row(probe, "tls", target, minute, TIMEOUT, address=FALSE, stage="connect", resolvers=given, **more)
        for named in ("neutral", "none"):
            self.row(probe, "tls", target, minute, TIMEOUT, named=named, address=FALSE, stage="connect", **more)
        self.row(probe, "tls", target, minute, address=TRUE, stage="done", resolvers=["quad"], **more)
        self.row(probe, "reach", target, minute + 1, TIMEOUT, address=FALSE, stage="connect", **more)

    def dead_node(self, probe, target, minute, **more):
        """All resolvers lead to an address at which nobody is: a machine of a delivery network, for all one knows."""
        told = {"address": FALSE, "stage": "connect"}
        for named in ("target", "neutral", "none"):
            self.row(probe, "tls", target, minute, TIMEOUT, named=named, resolvers=["resolver", "quad"], **told, **more)
        self.row(probe, "reach", target, minute + 1, TIMEOUT, **told, **more)

    def raced(self, probe, target, minute, **more):
        """The same, and after the answer to one question comes another one, which is right."""
        asked = {"resolver": "quad", "transport": "udp", "qtype": "A", "answers": [FALSE]}
        self.row(probe, "dns", target, minute, others=[{"ms": 31.5, "answers": [TRUE]}], **asked, **more)
        self.dead_node(probe, target, minute, **more)

    def unresolved(self, probe, target, minute, failure=TIMEOUT, **more):
        """The given resolver says nothing of the name."""
        for qtype in ("A", "AAAA"):
            asked = {"resolver": "resolver", "transport": "udp", "qtype": qtype}
            self.row(probe, "dns", target, minute, failure, **asked, **more)
        self.row(probe, "reach", target, minute + 1, failure, stage="resolve", **more)

    def abroad(self, probe, minute, *, share):
        """That share of the hosts abroad answers."""
        self.row(probe, "ladder", "L4", minute, share=share)

    def pairs(self, probe, target, minute, *, slow_bps, fast_bps=8e6, n=7):
        """Pairs of transfers of four seconds, the target's at one rate and the neutral one's at another."""
        for pair in range(1, n + 1):
            for arm, bps in (("target", slow_bps), ("neutral", fast_bps)):
                wobble = 1 + 0.03 * ((pair * 7 + (arm == "neutral") * 3) % 5 - 2)
                samples = [{"ms": 150.0 * i, "bytes": round(bps / 8 * 0.15 * i * wobble)} for i in range(1, 25)]
                facts = {"test": f"{probe}-{minute}", "replicate": pair, "arm": arm, "transport": "tcp"}
                self.row(probe, "throttling", target, minute + pair / 10, samples=samples, **facts)

    def all(self, probes, targets, hours, what, **more):
        """The same of each, once an hour."""
        for hour in hours:
            for index, probe in enumerate(probes):
                for number, target in enumerate(targets):
                    what(probe, target, 60 * hour + 7 * index % 40 + number, **more)
