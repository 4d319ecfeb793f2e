"""Event records of blocking and throttling, as the detector of services writes them.

The grid has a row for the whole (no network, no target), a row for each network over all targets, and a row for each
target in each network; ``down`` counts households that could not reach the target, or found it slow. Signals are the
layers, each over all networks and in each network: ``tls``, ``tls.AS33771``.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg

from civobs_collector.detect.record import (
    Affected,
    Bounds,
    CampaignPart,
    Confidence,
    ConfidenceLabel,
    DatingPosterior,
    Depth,
    EventKind,
    EventRecord,
    EvidenceSummary,
    Grid,
    GridRow,
    Level,
    Method,
    Scope,
    Severity,
    SignalTimes,
    Status,
    Transition,
)
from tests.collector.fix_web import NETWORKS, add_event, shutdown_record

BLOCKED_AT = datetime(2023, 11, 9, 5, 10, tzinfo=UTC)
UNBLOCKED_AT = datetime(2023, 11, 9, 13, 20, tzinfo=UTC)
SERVICES_GRID = datetime(2023, 11, 9, 0, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
TARGETS = ("web.telegram.example", "telegram.example")
HOMES = {33771: 4, 36926: 3, 36866: 2}
OPEN_NETWORK = 36866
CAMPAIGN = UUID("018bb2f0-0000-7000-8000-0000000000c1")
BLOCKING_KEY = UUID("018bb2f0-0000-7000-8000-000000000001")
THROTTLING_KEY = UUID("018bb2f0-0000-7000-8000-000000000002")
BLOCKING_ID = "CIV-2023-KE-0001"
THROTTLING_ID = "CIV-2023-KE-0002"


def cell(asn: int | None, target: str, n: int, n_down: int) -> GridRow:
    """Return a row in which ``n_down`` of ``n`` households fail during the event, and none has reported at 17:00."""
    down, state = [], []
    for index in range(20):
        at = SERVICES_GRID + HOUR * index
        bad = 0 if index == 17 or not BLOCKED_AT < at + HOUR <= UNBLOCKED_AT + HOUR else n_down
        down.append(bad)
        state.append("?" if index == 17 else "d" if bad * 2 >= n and bad else "g" if bad * 4 >= n and bad else "u")
    unknown = [n if letter == "?" else 0 for letter in state]
    return GridRow(
        label=NETWORKS[asn] if asn else "Kenya",
        asn=asn,
        target=target,
        n=n,
        up=tuple(n - bad - away for bad, away in zip(down, unknown, strict=True)),
        down=tuple(down),
        unknown=tuple(unknown),
        state="".join(state),
    )


def service_grid(targets: tuple[str, ...] = TARGETS) -> Grid:
    """All targets in two networks of three; in the second network one household gets through to the second target."""
    rows = [cell(None, "", 9, 7)]
    rows += [cell(asn, "", n, 0 if asn == OPEN_NETWORK else n) for asn, n in HOMES.items()]
    for number, target in enumerate(targets):
        for asn, n in HOMES.items():
            rows.append(cell(asn, target, n, 0 if asn == OPEN_NETWORK else n - (asn == 36926 and number == 1) * 2))
    return Grid(start=SERVICES_GRID, bin_s=HOUR.total_seconds(), rows=tuple(rows))


def _bounds(at: datetime, minutes: int) -> Bounds:
    return Bounds(earliest=at - timedelta(minutes=minutes), latest=at + timedelta(minutes=minutes))


def _signal(signal: str, minutes: int, value: float) -> SignalTimes:
    late = timedelta(minutes=20 if "36926" in signal else 0)
    return SignalTimes(
        signal=signal,
        onset=_bounds(BLOCKED_AT + late, minutes),
        resolution=_bounds(UNBLOCKED_AT + late, minutes),
        value=value,
        baseline=1.0,
    )


def blocking_record(**changes: object) -> EventRecord:
    """Two names reset by the name in the handshake, in two of three networks, for eight hours of an exam day."""
    values: dict[str, object] = {
        "event_key": BLOCKING_KEY,
        "kind": EventKind.BLOCKING,
        "depth": Depth.PARTIAL,
        "scope": Scope(
            level=Level.COUNTRY,
            cc="KE",
            asns=(33771, 36926),
            asns_observed=(33771, 36866, 36926),
            country="Kenya",
            names=NETWORKS,
            targets=TARGETS,
            layers=("tls", "quic"),
            mechanisms=("tls.reset.sni", "quic.timeout.sni"),
        ),
        "onset": Transition(
            earliest=BLOCKED_AT - timedelta(minutes=4),
            latest=BLOCKED_AT + timedelta(minutes=5),
            likely=BLOCKED_AT,
            t10=BLOCKED_AT,
            t50=BLOCKED_AT + timedelta(minutes=6),
            t90=BLOCKED_AT + timedelta(minutes=21),
        ),
        "resolution": Transition(
            earliest=UNBLOCKED_AT - timedelta(minutes=4), latest=UNBLOCKED_AT + timedelta(minutes=5)
        ),
        "per_signal": (
            _signal("tls", 4, 0.22),
            _signal("quic", 10, 0.22),
            _signal("tls.AS33771", 4, 0.0),
            _signal("tls.AS36926", 6, 0.1),
        ),
        "affected": Affected(n_probes=7, n_households=7, n_observed=9, n_down=7, fraction_lo=0.44, fraction_hi=0.93),
        "severity": Severity(depth=1.0, hours=8.17, area=6.3),
        "hypotheses": {"blocking": 0.97, "site_failure": 0.01, "common_cause": 0.02},
        "likeliest": "blocking",
        "confidence": Confidence(
            label=ConfidenceLabel.PROBABLE,
            posterior=0.998,
            families=("inside_out", "control"),
            reasons=(
                "The same addresses answered to another name.",
                "The services were reached from 41 households in 6 other countries in the same hours.",
            ),
        ),
        "coverage_note": "9 households in 3 networks of Kenya. Mobile access was not observed.",
        "limits": ("Services that are not on the list of targets were not tested.",),
        "method": Method(detector_version="1.1.0", params_id="2026-11-22 sha256:9f2b6c01", rules=("target.filter",)),
        "grid": service_grid(),
        "evidence": EvidenceSummary(
            n_measurements=2214,
            n_batches=0,
            query="/api/v1/measurements?cc=KE&asn=33771&asn=36926&kind=tls"
            "&from=2023-11-09T00:00:00Z&to=2023-11-09T20:00:00Z",
            backfill=1.0,
        ),
        "campaign": CampaignPart(campaign_id=CAMPAIGN, occurrence=3, n_occurrences=28),
        "dating": DatingPosterior(onset=_bounds(BLOCKED_AT, 2), resolution=_bounds(UNBLOCKED_AT, 3)),
        "cross_checks": {"cusum.nats": 21.5, "kleinberg.level": 9.0},
    }
    return shutdown_record(**(values | changes))


def throttling_record(**changes: object) -> EventRecord:
    """One name slowed to a fixed rate in two networks, still so."""
    base = blocking_record()
    grid = service_grid(TARGETS[:1])
    values: dict[str, object] = {
        "event_key": THROTTLING_KEY,
        "kind": EventKind.THROTTLING_TARGETED,
        "status": Status.OPEN,
        "provisional": True,
        "scope": base.scope.model_copy(
            update={"targets": TARGETS[:1], "layers": ("tls",), "mechanisms": ("tls.throttle.sni",)}
        ),
        "resolution": None,
        "per_signal": (_signal("throughput", 30, 0.06).model_copy(update={"resolution": None}),),
        "hypotheses": {},
        "likeliest": "undetermined",
        "confidence": Confidence(
            label=ConfidenceLabel.UNCONFIRMED,
            posterior=0.9,
            families=("inside_out",),
            reasons=("The service ran at 138 kbit/s, a neutral transfer in the same minutes at 18 Mbit/s.",),
        ),
        "grid": grid.model_copy(update={"rows": tuple(row for row in grid.rows if row.target)}),
        "campaign": None,
        "dating": None,
        "cross_checks": {},
    }
    return blocking_record(**(values | changes))


def seed_services(conn: psycopg.Connection) -> None:
    """Store a blocking in two versions, and a throttling that goes on."""
    first = blocking_record(status=Status.OPEN, resolution=None, provisional=True, campaign=None, dating=None)
    add_event(conn, BLOCKING_ID, [("new", "detected", first), ("closed", "detected", blocking_record())])
    add_event(conn, THROTTLING_ID, [("new", "detected", throttling_record())])
