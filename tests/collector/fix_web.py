"""A realistic event record, a seeded database, the served application and a browser."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from civobs_collector.detect.record import (
    Affected,
    Bounds,
    Cause,
    Confidence,
    ConfidenceLabel,
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

ONSET = datetime(2026, 11, 22, 5, 9, 30, tzinfo=UTC)
END = datetime(2026, 11, 22, 9, 41, 0, tzinfo=UTC)
GRID_START = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
BIN = timedelta(minutes=2)
KEY = UUID("019aa9a0-0000-7000-8000-000000000001")

NETWORKS = {33771: "Safaricom", 36926: "Airtel Kenya", 37061: "Telkom Kenya", 36866: "Jamii Telecommunications"}
HOUSEHOLDS = {33771: 6, 36926: 4, 37061: 3, 36866: 2}
SPARED = 36866


def grid_row(label: str, asn: int | None, members: Sequence[int], *, closed: bool = True) -> GridRow:
    """One network's households over time: ``members`` are seconds by which each went down after the onset, -1 never."""
    up, down, unknown, state = [], [], [], []
    bins = int(timedelta(hours=7) / BIN)
    for index in range(bins):
        at = GRID_START + BIN * index
        n_down = sum(
            1 for lag in members if lag >= 0 and at >= ONSET + timedelta(seconds=lag) and (not closed or at < END)
        )
        away = 20 <= index < 24
        n_down = 0 if away else n_down
        up.append(0 if away else len(members) - n_down)
        down.append(n_down)
        unknown.append(len(members) if away else 0)
        share = n_down / len(members)
        state.append("?" if away else "d" if share >= 0.6 else "g" if share > 0 else "u")
    return GridRow(
        label=label,
        asn=asn,
        n=len(members),
        up=tuple(up),
        down=tuple(down),
        unknown=tuple(unknown),
        state="".join(state),
    )


def shutdown_record(**changes) -> EventRecord:
    """Three of four networks of Kenya go dark for four and a half hours; the observatory itself was away before it."""
    closed = changes.get("status", Status.CLOSED) is not Status.OPEN
    lags = {
        asn: [-1] * n if asn == SPARED else [40 * number for number in range(n)] for asn, n in HOUSEHOLDS.items()
    }
    rows = [grid_row("Kenya", None, [lag for some in lags.values() for lag in some], closed=closed)]
    rows += [grid_row(f"{NETWORKS[asn]} (AS{asn})", asn, some, closed=closed) for asn, some in lags.items()]
    values = {
        "event_key": KEY,
        "kind": EventKind.SHUTDOWN_SUSPECTED,
        "status": Status.CLOSED,
        "provisional": False,
        "depth": Depth.INTERNATIONAL_ONLY,
        "scope": Scope(
            level=Level.COUNTRY, cc="KE", asns=(33771, 36926, 37061), asns_observed=(33771, 36866, 36926, 37061)
        ),
        "onset": Transition(
            earliest=ONSET - timedelta(seconds=30),
            latest=ONSET + timedelta(seconds=45),
            t10=ONSET,
            t50=ONSET + timedelta(seconds=80),
            t90=ONSET + timedelta(seconds=200),
        ),
        "resolution": Transition(earliest=END - timedelta(seconds=60), latest=END + timedelta(seconds=60))
        if closed
        else None,
        "per_signal": (
            SignalTimes(
                signal="presence",
                onset=Bounds(earliest=ONSET, latest=ONSET + timedelta(seconds=90)),
                resolution=Bounds(earliest=END, latest=END + timedelta(seconds=150)) if closed else None,
                value=0.13,
                baseline=1.0,
            ),
            SignalTimes(
                signal="ladder.L4",
                onset=Bounds(earliest=ONSET - timedelta(seconds=30), latest=ONSET + timedelta(seconds=30)),
                resolution=Bounds(earliest=END - timedelta(seconds=60), latest=END) if closed else None,
                value=0.13,
                baseline=0.98,
            ),
        ),
        "affected": Affected(
            n_probes=14, n_households=15, n_down=13, fraction_lo=0.6, fraction_hi=0.98, user_share=None
        ),
        "severity": Severity(depth=0.87, hours=4.53, area=0.87 * 4.53 * 0.79),
        "hypotheses": {"shutdown": 0.93, "power": 0.01, "collector": 0.02, "chance": math.exp(-12)},
        "confidence": Confidence(
            label=ConfidenceLabel.PROBABLE,
            posterior=0.997,
            families=("presence", "inside_out"),
            reasons=(
                "13 of 15 households in 3 networks lost the Internet within 4 minutes.",
                "Tests stored by the probes while they were cut off agree with their absence.",
            ),
        ),
        "cause": Cause(),
        "coverage_note": "15 households in 4 networks of Kenya. Mobile access was not observed. "
        "The share of the country's users in these networks is not known.",
        "limits": (
            "Probes are in volunteers' homes on fixed lines: nothing can be said about mobile networks.",
            "Networks without a probe were not observed.",
        ),
        "method": Method(
            detector_version="1.0.0",
            params_id="2026-11-01 sha256:9f2b6c01",
            rules=("SHUT-1 two networks together", "DEPTH-2 domestic answers"),
        ),
        "grid": Grid(start=GRID_START, bin_s=BIN.total_seconds(), rows=tuple(rows)),
        "evidence": EvidenceSummary(
            n_measurements=18412,
            n_batches=391,
            query="/api/v1/measurements?cc=KE&asn=33771&asn=36926&asn=37061&kind=ladder"
            "&from=2026-11-22T04:00:00Z&to=2026-11-22T11:00:00Z",
            backfill=1.0,
        ),
    }
    return EventRecord.model_validate(values | changes)
