"""The writer: takes what the link queued, commits it, sends receipts, and acknowledges, in that order and for ever.

What is wrong with a message costs that message: it goes to quarantine. What is wrong with the database, the disk or
the network costs time: nothing is acknowledged, the same flush is tried again, the window fills, the broker queues and
the probes keep their spools. Memory stays bounded by the window.

A session lock of PostgreSQL on each shard makes a process the only one to serve it. A spare that is started with the
same instance and shards waits for the locks and then takes over the MQTT session, queue and all.
"""

import logging
import threading
import time
from datetime import timedelta
from queue import Empty

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from civobs_collector.config import CollectorSettings
from civobs_collector.db.connect import Connection, connect
from civobs_collector.db.roster import read_enrolled
from civobs_collector.errors import DatabaseError
from civobs_collector.evidence.roster import Roster
from civobs_collector.ingest import store
from civobs_collector.ingest.ages import BatchAges
from civobs_collector.ingest.commit import Committed, Committer, Flush, refuse_after_database_error
from civobs_collector.ingest.decode import Arrived, Heard, Judged, Refused, Sender, Sound, Window, judge, utc_now
from civobs_collector.ingest.link import Link
from civobs_collector.ingest.plans import PlanDesk
from civobs_collector.ingest.presence import BEAT_S, Pulse
from civobs_collector.ingest.receipts import sign_receipt
from civobs_collector.ingest.statements import Statements
from civobs_collector.metrics import IngestMetrics
from civobs_wire.topics import Leaf, Topic, all_shards

logger = logging.getLogger(__name__)

SHARD_LOCKS = 0x6369_7368
"""Class of the advisory locks, one a shard: "cish" in ASCII."""
_BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)
_STANDBY_S = 2.0
_REFRESH_S = 5.0
"""How soon a revoked probe is refused and a new plan is sent. A probe not known yet is looked up at once."""
_QUARANTINE_S = 60.0
_ROSTER_S = 60.0
"""How soon it is kept beside the archive that a probe was changed. One not known yet is noted with its first batch."""
_FAREWELL_S = 10.0
"""How long a stopping writer goes on trying to commit what it holds; the rest stays unacknowledged at the broker."""


class Writer:
    """Owns the database connection, the link and the archive; runs in a thread of its own."""

    def __init__(
        self,
        settings: CollectorSettings,
        link: Link,
        committer: Committer,
        receipt_key: Ed25519PrivateKey,
        metrics: IngestMetrics,
    ) -> None:
        self._settings = settings
        self._roster = Roster(settings.ingest.archive_dir, settings.ingest.instance)
        self._link = link
        self._committer = committer
        self._receipt_key = receipt_key
        self._metrics = metrics
        self._window = accepted_window(settings)
        self._pulse = Pulse(link, BEAT_S / settings.detect.time_scale)
        self._plans = PlanDesk(link, settings.ingest.shards)
        self._statements = Statements(settings.detect.time_scale)
        self._ages = BatchAges()
        self._conn: Connection | None = None
        self._senders: dict[str, Sender] = {}
        self._held: Flush | None = None
        self._said = ""
        self._failures = 0
        self._refresh_at = 0.0
        self._quarantine_at = 0.0
        self._roster_at = 0.0
        self.ready = threading.Event()
        """Set once the locks are held and the allow-list is known."""

    def run(self, halt: threading.Event) -> None:
        """Work until ``halt`` is set; then commit what was taken, acknowledge and disconnect."""
        try:
            while not halt.is_set():
                self._turn(halt)
            self._farewell()
        finally:
            self._link.close()
            self._committer.close()
            self._disconnect()

    def _turn(self, halt: threading.Event) -> None:
        try:
            conn = self._connection()
            if conn is None:
                halt.wait(_STANDBY_S)
                return
            self._link.tend()
            self._chores(conn)
            if self._held is None:
                self._held = self._gather()
            if self._held.order or self._held.items:
                self._settle(conn, self._held)
            self._held = None
        except (psycopg.Error, DatabaseError, OSError) as error:
            self._endure(error, halt)
        else:
            self._recovered()

    def _endure(self, error: Exception, halt: threading.Event) -> None:
        """Say once what is wrong, wait, and let the next turn try again with what is held."""
        self._pulse.flaw()
        what = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if what != self._said:
            self._said = what
            logger.error("ingest waits, nothing is acknowledged: cause=%r", what)
        if self._conn is not None and (self._conn.closed or self._conn.broken):
            self._disconnect()
        halt.wait(_BACKOFF_S[min(self._failures, len(_BACKOFF_S) - 1)])
        self._failures += 1

    def _recovered(self) -> None:
        self._failures = 0
        if self._said:
            self._said = ""
            logger.warning("ingest goes on")

    def _connection(self) -> Connection | None:
        """The connection that holds our locks; None while another process serves one of our shards."""
        if self._conn is not None:
            return self._conn
        conn = connect(self._settings.database, "ingest", autocommit=True)
        try:
            if not self._lock_shards(conn):
                conn.close()
                self._stand_by()
                return None
            self._senders = {one.probe_id: one for one in store.read_senders(conn)}
            self._committer.begin(conn)
            if self._held is not None:
                # Packed with the keys of targets that the last server gave.
                self._held.packed.clear()
        except BaseException:
            conn.close()
            raise
        self._conn = conn
        self._metrics.serving.set(1)
        self._refresh_at = self._quarantine_at = self._roster_at = 0.0
        self.ready.set()
        return conn

    def _lock_shards(self, conn: Connection) -> bool:
        for shard in sorted(self._settings.ingest.shards):
            row = conn.execute("SELECT pg_try_advisory_lock(%s, %s)", (SHARD_LOCKS, int(shard, 16))).fetchone()
            if row is None or not row[0]:
                what = f"standby: shard {shard} is served by another process"
                if what != self._said:
                    self._said = what
                    logger.info("ingest %s", what)
                return False
        return True

    def _stand_by(self) -> None:
        """Leave the broker to the process that has the locks; what we hold was not acknowledged and comes to it."""
        self._link.close()
        self._committer.close()
        self._held = None
        self._statements = Statements(self._settings.detect.time_scale)
        while not self._link.queue.empty():
            self._link.queue.get()

    def _disconnect(self) -> None:
        if self._conn is not None:
            self._conn.close()
        self._conn = None
        self._metrics.serving.set(0)

    def _chores(self, conn: Connection) -> None:
        """What is done now and then between flushes."""
        now = time.monotonic()
        if self._pulse.due():
            store.insert_beat(conn, utc_now(), self._settings.ingest.instance, ok=self._pulse.take())
        if now >= self._refresh_at:
            self._senders = {one.probe_id: one for one in store.read_senders(conn)}
            self._plans.publish(self._senders.values(), store.read_plans(conn))
            self._metrics.batch_age_p99.set(self._ages.p99())
            self._refresh_at = now + _REFRESH_S
        if now >= self._quarantine_at:
            self._committer.measure_quarantine(conn)
            self._quarantine_at = now + _QUARANTINE_S
        if now >= self._roster_at:
            self._roster.note(read_enrolled(conn), utc_now())
            self._roster_at = now + _ROSTER_S
        self._metrics.queue.set(self._link.queue.qsize())
        self._metrics.unacked.set(self._link.unacked)
        self._metrics.broker_connected.set(self._link.generation > 0)

    def _gather(self) -> Flush:
        """Take and judge messages until there is enough for a transaction or the time is up."""
        limits = self._settings.ingest
        flush, rows = Flush([*self._statements.due()]), 0
        end = time.monotonic() + limits.flush_ms / 1000
        while len(flush.order) < limits.flush_batches and rows < limits.flush_rows:
            try:
                arrived = self._link.queue.get(timeout=max(0.0, end - time.monotonic()))
            except Empty:
                break
            flush.order.append(arrived)
            if self._is_work(arrived):
                item = judge(arrived, self._senders, self._window)
                if isinstance(item, Heard) and not self._statements.admit(item):
                    self._metrics.presence_held.inc()
                    continue
                flush.items.append(item)
                rows += len(item.batch.measurements) if isinstance(item, Sound) else 1
        return flush

    def _is_work(self, arrived: Arrived) -> bool:
        """Whether a message is more than a mark of ours or the removal of a retained one."""
        return not self._link.is_mark(arrived) and bool(arrived.payload or not arrived.topic.endswith("/presence"))

    def _settle(self, conn: Connection, flush: Flush) -> None:
        """Commit, then receipts, then acknowledgements in the order of arrival."""
        flush.items = self._look_up_strangers(conn, flush.items)
        if flush.items:
            began = time.monotonic()
            done = store_flush(self._committer, conn, flush)
            self._metrics.commit.observe(time.monotonic() - began)
            for item in flush.items:
                if isinstance(item, Heard):
                    self._ages.greeted(item)
            self._count(done)
            self._send_receipts(done)
        for arrived in flush.order:
            self._link.ack(arrived)

    def _look_up_strangers(self, conn: Connection, items: list[Judged]) -> list[Judged]:
        """Ask the database about probes that the allow-list does not have yet: they may have enrolled just now."""
        strangers = {
            item.probe_id
            for item in items
            if isinstance(item, Refused) and item.reason == "unknown_probe" and item.probe_id is not None
        }
        found = {one.probe_id: one for one in store.read_senders(conn, sorted(strangers))} if strangers else {}
        if not found:
            return items
        self._senders |= found
        self._roster_at = 0.0
        return [
            judge(item.arrived, self._senders, self._window)
            if isinstance(item, Refused) and item.probe_id in found
            else item
            for item in items
        ]

    def _count(self, done: Committed) -> None:
        metrics, now = self._metrics, time.time()
        metrics.messages.labels("stored").inc(len(done.stored))
        metrics.messages.labels("duplicate").inc(len(done.duplicates))
        metrics.messages.labels("rejected").inc(len(done.refused))
        for refused in done.refused:
            metrics.rejected.labels(refused.reason).inc()
        for one in done.stored:
            sealed = one.batch.sealed_at.timestamp()
            metrics.results.inc(len(one.batch.measurements))
            metrics.batch_age.observe(max(0.0, now - sealed))
            self._ages.committed(one, now)
            metrics.clock_skew.observe(max(0.0, sealed - one.arrived.received_at.timestamp()))
        metrics.last_commit.set(now)

    def _send_receipts(self, done: Committed) -> None:
        handled: dict[int, set[int]] = {}
        for sound in (*done.stored, *done.duplicates):
            handled.setdefault(sound.sender.probe_key, set()).add(sound.batch.batch_seq)
        for refused in done.refused:
            if refused.probe_key is not None and refused.batch_seq is not None:
                handled.setdefault(refused.probe_key, set()).add(refused.batch_seq)
        ids = {one.sender.probe_key: one.sender.probe_id for one in (*done.stored, *done.duplicates)}
        ids |= {one.probe_key: one.probe_id for one in done.refused if one.probe_key and one.probe_id}
        now = utc_now()
        for probe_key, settled in done.receipts.items():
            probe_id = ids[probe_key]
            message = sign_receipt(self._receipt_key, probe_id, settled, handled[probe_key], now)
            # One that is lost on the way is made again when the probe sends the batch again.
            self._link.publish(str(Topic(probe_id, Leaf.RECEIPT)), message)

    def _farewell(self) -> None:
        """Commit and acknowledge what was taken, if the database lets us in time."""
        end = time.monotonic() + _FAREWELL_S
        pause = threading.Event()
        while time.monotonic() < end and (self._held is not None or not self._link.queue.empty()):
            if self._conn is None and self._held is None:
                return
            self._turn(pause)


def shard_locks() -> list[tuple[int, int]]:
    """What a process holds that serves every shard."""
    return [(SHARD_LOCKS, int(shard, 16)) for shard in all_shards()]


def accepted_window(settings: CollectorSettings) -> Window:
    """Which times of rows are accepted."""
    return Window(timedelta(days=settings.ingest.oldest_d), timedelta(seconds=settings.ingest.newest_s))


def store_flush(committer: Committer, conn: Connection, flush: Flush) -> Committed:
    """Commit a flush; if the database refuses a value, each item by itself, and the culprit goes to quarantine.

    Raises psycopg.Error or OSError for trouble that will pass.
    """
    try:
        return committer.commit(conn, flush, utc_now())
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        # SQLSTATE classes 22 and 23: the values' fault, and trying again would end the same.
        if isinstance(error, psycopg.errors.CheckViolation) and error.diag.constraint_name is None:
            # "No partition of relation found for row" has the code of a violated check, but names none: the fault is
            # the database's, which lost a partition or is another one than before.
            committer.forget_days()
            raise
        if len(flush.items) > 1:
            done = Committed()
            for single in flush.singles():
                done.add(store_flush(committer, conn, single))
            return done
        detail = f"{error.sqlstate} {error.diag.message_primary or error}"
    item = flush.items[0]
    if isinstance(item, Refused) and item.reason == "database_error":
        logger.error("cannot even be refused: topic=%s sha256=%s", item.arrived.topic, item.sha256.hex())
        return Committed(refused=[item])
    return store_flush(committer, conn, Flush([refuse_after_database_error(item, detail)]))
