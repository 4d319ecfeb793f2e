"""From a batch to rows of ``measurement``, packed as PostgreSQL's binary COPY wants them.

psycopg's compiled COPY wraps an integer that is too large for its column without a word (ingest.md §3.3). ``struct``
raises instead, so packing here is a second wall behind the models, and it costs half the time of a row by row copy.
Format: PostgreSQL manual, COPY, "Binary Format"; timestamps are microseconds since 2000-01-01 UTC.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from operator import attrgetter
from typing import Any

import msgspec
import orjson

from civobs_collector.ingest.decode import Sound
from civobs_wire.batch import Batch
from civobs_wire.failure import FAILURE_CODES, Outcome
from civobs_wire.measurement import (
    KIND_CODES,
    KINDS,
    Agent,
    AnyMeasurement,
    ClockState,
    Dns,
    Echo,
    Family,
    FamilyState,
    Http,
    Ipv6,
    Ladder,
    LinkKind,
    Nat,
    Ntp,
    Path,
    Ping,
    Portal,
    Quic,
    Reach,
    ResolverFacts,
    Responsiveness,
    Tcp,
    Throttling,
    Throughput,
    Tls,
    Validity,
)

COPY_ROWS = (
    "COPY measurement (ts, slot_at, probe_key, target_key, seq, clock_err_ms, kind, outcome, family, validity,"
    " value, ms, failure, detail) FROM STDIN (FORMAT binary)"
)
COPY_HEAD = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
COPY_END = b"\xff\xff"

OUTCOME_CODES: dict[Outcome, int] = {Outcome.OK: 0, Outcome.FAILED: 1, Outcome.NOT_RUN: 2}
_OK = Outcome.OK
CLOCK_BITS: dict[ClockState, int] = {ClockState.SYNCED: 0, ClockState.HOLDOVER: 1, ClockState.UNKNOWN: 2}
FAMILY_BITS: dict[FamilyState, int] = {
    FamilyState.UNKNOWN: 0,
    FamilyState.ABSENT: 1,
    FamilyState.BROKEN: 2,
    FamilyState.WORKING: 3,
}
FLAG_BITS: dict[bool | None, int] = {None: 0, False: 1, True: 2}
LINK_BITS: dict[LinkKind | None, int] = {None: 0, LinkKind.WIRED: 1, LinkKind.WIFI: 2, LinkKind.CELLULAR: 3}
"""``validity``: bits 0–1 clock, 2–3 IPv4, 4–5 IPv6, 6–7 portal, 8–9 interception, 10–11 tunnel, 12–13 link, 14 whether
the device itself was short of power, cooling or processor (docs/ontology.md)."""

BUCKET_S = 300
"""Length of the buckets that roll-ups are made of."""

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_BUCKETS_EPOCH = int(_EPOCH.timestamp()) // BUCKET_S
_US = timedelta(microseconds=1)
_BUCKET_US = BUCKET_S * 1_000_000
_BUCKETS_AN_HOUR = 3600 // BUCKET_S

# A field is its length and its value; lengths stand in front, where they can, as part of the constant bytes before.
_START = struct.pack(">hi", 14, 8)
"""Number of fields, length of ``ts``."""
_KEYS = struct.Struct(">iiiii")
"""``probe_key``, ``target_key``, and the length of ``seq``."""
_KEYS_BYTES = _KEYS.size
_CODES = struct.Struct(">ihihihih")
"""``kind``, ``outcome``, ``family`` and ``validity``."""
_ROW = f">6sqiq{_KEYS_BYTES}sqii{_CODES.size}s"
_VALUE_AND_MS = struct.Struct(f"{_ROW}idifq")
_MS_ONLY = struct.Struct(f"{_ROW}iifq")
"""Rows that ended well, without failure and detail (the last number, two lengths of -1): nearly all of them."""
_HEAD = struct.Struct(_ROW)
_VALUE = struct.Struct(">id")
_MS = struct.Struct(">if")
_FAILURE = struct.Struct(">ih")
_LENGTH = struct.Struct(">i")
_NULL = _LENGTH.pack(-1)
_JSONB_VERSION = b"\x01"

Principal = tuple[float | None, float | None]
"""A row's ``value`` and ``ms``."""


def _ladder(row: Ladder) -> Principal:
    times = [check.ms for check in row.checks if check.outcome is _OK and check.ms is not None]
    return (row.n_ok / row.n if row.n else None), _median(times)


def _ping(row: Ping) -> Principal:
    return (row.received / row.sent if row.sent else None), row.rtt_avg_ms


def _dns(row: Dns) -> Principal:
    return float(len(row.answers)), row.duration_ms


def _tcp(row: Tcp) -> Principal:
    return None, row.duration_ms


def _tls(row: Tls) -> Principal:
    return None, row.handshake_ms


def _quic(row: Quic) -> Principal:
    return (None if row.status is None else float(row.status)), row.handshake_ms


def _resolver(row: ResolverFacts) -> Principal:
    return _flag(row.no_resolver_answered), row.reply_ms


def _ipv6(row: Ipv6) -> Principal:
    return _flag(None if row.preferred is None else row.preferred == "6"), row.v6_ms


def _nat(row: Nat) -> Principal:
    return _flag(row.carrier_nat), None


def _portal(row: Portal) -> Principal:
    return _flag(row.as_expected), row.duration_ms


def _echo(row: Echo) -> Principal:
    reached = [one for one in row.tries if one.outcome is _OK]
    return (float(len(row.altered)) if reached else None), row.duration_ms


def _path(row: Path) -> Principal:
    last = row.hops[-1] if row.reached and row.hops else None
    return (None if row.last_answer_ttl is None else float(row.last_answer_ttl)), (
        min(last.rtt_ms) if last is not None and last.rtt_ms else None
    )


def _throughput(row: Throughput) -> Principal:
    return row.goodput_bps, row.rtt_min_ms


def _responsiveness(row: Responsiveness) -> Principal:
    return row.rpm, row.idle_ms


def _throttling(row: Throttling) -> Principal:
    return row.goodput_bps, row.rtt_min_ms


def _reach(row: Reach) -> Principal:
    return (None if row.status is None else float(row.status)), row.first_byte_ms


def _ntp(row: Ntp) -> Principal:
    return row.offset_ms, row.delay_ms


def _flag(value: bool | None) -> float | None:  # noqa: FBT001 - it is what is packed
    return None if value is None else float(value)


def _http(row: Http) -> Principal:
    return (None if row.status is None else float(row.status)), row.first_byte_ms


def _agent(row: Agent) -> Principal:
    return float(row.n_lost), None


PRINCIPAL: dict[str, Callable[[Any], Principal]] = {
    "ladder": _ladder,
    "ping": _ping,
    "dns": _dns,
    "tcp": _tcp,
    "tls": _tls,
    "http": _http,
    "quic": _quic,
    "resolver": _resolver,
    "ipv6": _ipv6,
    "nat": _nat,
    "portal": _portal,
    "echo": _echo,
    "path": _path,
    "throughput": _throughput,
    "responsiveness": _responsiveness,
    "throttling": _throttling,
    "reach": _reach,
    "ntp": _ntp,
    "agent": _agent,
}
"""The principal number and duration of each kind, as docs/ontology.md defines them."""

_FIELDS: dict[str, frozenset[str]] = {kind: frozenset(model.model_fields) for kind, model in KINDS.items()}


def _dns_facts(row: Dns) -> object:
    # Balanced names come with their addresses in another order each time.
    return row.resolver, row.transport, row.qtype, frozenset(row.answers), row.aliases, row.flags, row.nsid, row.others


FACTS: dict[str, Callable[[Any], object]] = {
    "ladder": lambda _: None,
    "ping": lambda _: None,
    "tcp": attrgetter("address"),
    "dns": _dns_facts,
    "tls": attrgetter("address", "named", "resolvers", "cert_sha256", "version", "alpn", "covers", "root_sha256"),
    "http": attrgetter("address", "status", "body_sha256", "redirects", "title", "verified"),
}
"""What a row of a frequent kind says besides its numbers. While it ends well, one whole row an hour is kept of those
that say the same; the rest say all in ``value`` and ``ms``. Of a kind that is not here every whole row is kept."""


SampleKey = tuple[int, str, str, int, object]
"""Probe, kind, target, hour, facts."""


class HourlySample:
    """Says which row is the first of its probe, kind, target and facts in its hour; remembers the newest ``size``."""

    def __init__(self, size: int = 200_000) -> None:
        self._size = size
        self._seen: dict[SampleKey, None] = {}

    def is_first(self, key: SampleKey) -> bool:
        """Whether it comes for the first time."""
        if key in self._seen:
            return False
        if len(self._seen) >= self._size:
            del self._seen[next(iter(self._seen))]
        self._seen[key] = None
        return True


@dataclass(frozen=True, slots=True)
class Packed:
    """A batch's rows, ready to be copied; ``days`` need a partition, ``buckets`` (starts) need new roll-ups."""

    rows: bytes
    n: int
    days: frozenset[date]
    buckets: frozenset[datetime]


def pack_rows(sound: Sound, targets: Mapping[str, int], sample: HourlySample) -> Packed:
    """Pack a batch's rows. Raises ValueError for a number that no column holds.

    An undated row gets the time of arrival, so that it makes no chunk of its own, and keeps what it said of its time
    in ``detail``.
    """
    probe_key = sound.sender.probe_key
    keys = _KeyBytes(probe_key, targets)
    texts = _Texts(sound)
    parts: list[bytes] = []
    buckets: set[int] = set()
    start = end = hour = 0
    undated, arrived_us = sound.undated, (sound.arrived.received_at - _EPOCH) // _US
    try:
        for index, row in enumerate(sound.batch.measurements):
            at_us = arrived_us if index in undated else (row.at - _EPOCH) // _US
            if not start <= at_us < end:
                bucket = at_us // _BUCKET_US
                buckets.add(bucket)
                start, hour = bucket * _BUCKET_US, bucket // _BUCKETS_AN_HOUR
                end = start + _BUCKET_US
            told = FACTS.get(row.kind)
            kept = told is None or row.outcome is not _OK or index in undated
            if told is not None and sample.is_first((probe_key, row.kind, row.target, hour, told(row))):
                kept = True
            detail = texts.of(index) if kept else None
            parts.append(_packed(row, at_us, keys[row.target], detail))
    except (struct.error, OverflowError) as error:
        raise ValueError(f"a number that no column holds: {error}") from None
    starts = frozenset(datetime.fromtimestamp((_BUCKETS_EPOCH + bucket) * BUCKET_S, UTC) for bucket in buckets)
    return Packed(b"".join(parts), len(parts), frozenset(start.date() for start in starts), starts)


def _packed(row: AnyMeasurement, at_us: int, keys: bytes, detail: bytes | None) -> bytes:
    kind, slot_us, validity = row.kind, (row.slot_at - _EPOCH) // _US, row.validity
    codes = _CODE_BYTES[kind, row.outcome, row.family, _state(validity)]
    value, ms = PRINCIPAL[kind](row)
    if ms is not None and row.failure is None and detail is None:
        if value is not None:
            return _VALUE_AND_MS.pack(
                *(_START, at_us, 8, slot_us, keys, row.seq, 4, row.clock_err_ms, codes, 8, value, 4, ms, -1)
            )
        return _MS_ONLY.pack(_START, at_us, 8, slot_us, keys, row.seq, 4, row.clock_err_ms, codes, -1, 4, ms, -1)
    return b"".join(
        (
            _HEAD.pack(_START, at_us, 8, slot_us, keys, row.seq, 4, row.clock_err_ms, codes),
            _NULL if value is None else _VALUE.pack(8, value),
            _NULL if ms is None else _MS.pack(4, ms),
            _NULL if row.failure is None else _FAILURE.pack(2, FAILURE_CODES[row.failure]),
            _NULL if detail is None else _LENGTH.pack(len(detail) + 1) + _JSONB_VERSION + detail,
        )
    )


class _KeyBytes(dict[str, bytes]):
    """A target's name to the packed keys of one probe's row about it."""

    def __init__(self, probe_key: int, targets: Mapping[str, int]) -> None:
        super().__init__()
        self._probe_key = probe_key
        self._targets = targets

    def __missing__(self, target: str) -> bytes:
        made = self[target] = _KEYS.pack(4, self._probe_key, 4, self._targets[target], 8)
        return made


class _Texts:
    """The rows of a batch as they were sent, without what is in no field; taken apart when first asked for."""

    def __init__(self, sound: Sound) -> None:
        self._sound = sound
        self._texts: Sequence[msgspec.Raw] | None = None
        # A twin takes no field that it does not know, so there is nothing to leave out.
        self._as_sent = not isinstance(sound.batch, Batch)

    def of(self, index: int) -> bytes:
        """One row's JSON."""
        if self._texts is None:
            self._texts = _TEXTS.decode(self._sound.text).measurements
        text = bytes(self._texts[index])
        if self._as_sent:
            return text
        fields = _FIELDS[self._sound.batch.measurements[index].kind]
        return orjson.dumps({name: value for name, value in orjson.loads(text).items() if name in fields})


class _RowTexts(msgspec.Struct):
    measurements: list[msgspec.Raw]


_TEXTS = msgspec.json.Decoder(_RowTexts)


_State = tuple[ClockState, FamilyState, FamilyState, bool | None, bool | None, bool | None, LinkKind | None, bool]


def _state(validity: Validity) -> _State:
    short = validity.busy or validity.hot or validity.undervoltage or False
    return (
        *(validity.clock, validity.ipv4, validity.ipv6),
        *(validity.portal, validity.interception, validity.tunnel, validity.link, short),
    )


def validity_bits(validity: Validity) -> int:
    """Pack the validity of the moment into its column's bits."""
    return _bits(_state(validity))


def _bits(state: _State) -> int:
    clock, ipv4, ipv6, portal, interception, tunnel, link, short = state
    return (
        CLOCK_BITS[clock]
        | FAMILY_BITS[ipv4] << 2
        | FAMILY_BITS[ipv6] << 4
        | FLAG_BITS[portal] << 6
        | FLAG_BITS[interception] << 8
        | FLAG_BITS[tunnel] << 10
        | LINK_BITS[link] << 12
        | short << 14
    )


class _Codes(dict[tuple[str, Outcome, Family, _State], bytes]):
    """Packed when first asked for: of the million there could be a few hundred occur."""

    def __missing__(self, key: tuple[str, Outcome, Family, _State]) -> bytes:
        kind, outcome, family, state = key
        made = self[key] = _CODES.pack(2, KIND_CODES[kind], 2, OUTCOME_CODES[outcome], 2, family, 2, _bits(state))
        return made


_CODE_BYTES = _Codes()


def _median(times: list[float]) -> float | None:
    """As ``statistics.median``, in a third of its time: every rung of the ladder wants one."""
    times.sort()
    half, odd = divmod(len(times), 2)
    if odd:
        return times[half]
    return (times[half - 1] + times[half]) / 2 if times else None
