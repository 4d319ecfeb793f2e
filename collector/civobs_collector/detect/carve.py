"""A part of an event as an event of its own, and two events as one, from what their records hold.

Counts of a part come from the rows of its chart. A household of two networks is counted in both, as in the chart.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from civobs_collector.detect.record import (
    Affected,
    EventKind,
    EventRecord,
    GridRow,
    Level,
    Status,
    Transition,
)

_MAJORITY, _DEGRADED = 0.5, 0.25
"""Of the letters of a row (``record.GridRow``)."""
NOT_COUNTED = "Counts are those of the whole event before it was taken apart: its chart does not tell its parts apart."
JOINED = "Another event was merged into this one by a reviewer: counts, chart and measurements are of this one alone."


def carved(record: EventRecord, *, asns: Collection[int], targets: Collection[str], keep: bool) -> EventRecord:
    """The part of these networks, or of these services if any are named; without ``keep`` the rest of it."""
    scope = record.scope
    parted = set(targets)
    mine = tuple(one for one in scope.targets if (one in parted) is keep) if parted else scope.targets
    networks = scope.asns if parted else tuple(asn for asn in scope.asns if (asn in asns) is keep)
    others = set() if parted else set(scope.asns) - set(networks)
    observed = tuple(asn for asn in scope.asns_observed if asn not in others)
    level = scope.level
    if level is not Level.PROBE and len(networks) == 1 < len(scope.asns):
        level = Level.NETWORK
    renamed = record.kind is EventKind.SHUTDOWN_SUSPECTED and level is Level.NETWORK
    changes: dict[str, Any] = {
        "scope": scope.model_copy(
            update={"asns": networks, "targets": mine, "asns_observed": observed, "level": level},
        ),
        "kind": EventKind.OUTAGE if renamed else record.kind,
        "per_signal": tuple(one for one in record.per_signal if not _of(one.signal, others)) or record.per_signal,
    }
    return record.model_copy(update=changes | _counted(record, _rows(record, others, mine if parted else None)))


def joined(record: EventRecord, other: Mapping[str, Any]) -> EventRecord:
    """The event with the places, services and times of another that was merged into it.

    ``other`` has ``asns``, ``targets``, ``layers``, ``mechanisms``, ``admin1``, ``names`` and the stored ``onset`` and
    ``resolution``.
    """
    scope = record.scope
    onset = Transition.model_validate(other["onset"])
    end = None if other["resolution"] is None else Transition.model_validate(other["resolution"])
    asns = _union(scope.asns, other["asns"])
    single = scope.level is Level.NETWORK and len(asns) > 1
    return record.model_copy(
        update={
            "scope": scope.model_copy(
                update={
                    "asns": asns,
                    "asns_observed": _union(scope.asns_observed, asns),
                    "names": {**{int(asn): name for asn, name in other["names"].items()}, **scope.names},
                    "level": Level.COUNTRY if single else scope.level,
                    **{
                        name: _union(getattr(scope, name), other[name])
                        for name in ("targets", "layers", "mechanisms", "admin1")
                    },
                }
            ),
            "onset": min(record.onset, onset, key=lambda one: one.earliest),
            "resolution": _later(record, end),
            "limits": (JOINED, *record.limits),
        }
    )


def _later(record: EventRecord, end: Transition | None) -> Transition | None:
    if record.status is Status.OPEN or record.resolution is None or end is None:
        return record.resolution
    return max(record.resolution, end, key=lambda one: one.latest)


def _union(these: Sequence[Any], those: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(sorted({*these, *those}))


def _of(signal: str, asns: Collection[int]) -> bool:
    """Whether a signal is of one of these networks alone (``tls.AS33771``)."""
    head, _, number = signal.rpartition(".AS")
    return bool(head) and number.isdecimal() and int(number) in asns


def _rows(record: EventRecord, others: Collection[int], targets: Sequence[str] | None) -> tuple[GridRow, ...]:
    """Rows of the chart that remain, with those over several of them made anew; none where it does not tell."""
    rows = [row for row in record.grid.rows if row.asn is not None and row.asn not in others]
    if targets is not None:
        cells = [row for row in rows if row.target in targets]
        networks = [_over([row for row in cells if row.asn == asn], asn, total=False) for asn in _asns(cells)]
        rows = [*networks, *cells]
    else:
        networks = [row for row in rows if not row.target]
    if not networks:
        return ()
    whole = next((row for row in record.grid.rows if row.asn is None), None)
    if whole is None:
        return tuple(rows)
    total = _over(networks, None, total=True)
    return (total.model_copy(update={"label": whole.label}), *rows)


def _asns(rows: Sequence[GridRow]) -> list[int]:
    return sorted({row.asn for row in rows if row.asn is not None})


def _over(rows: Sequence[GridRow], asn: int | None, *, total: bool) -> GridRow:
    """One row for several: of networks the sum; of services in one network, at each moment the one that failed most."""
    if total:
        n = sum(row.n for row in rows)
        down = [sum(some) for some in zip(*(row.down for row in rows), strict=True)]
        up = [sum(some) for some in zip(*(row.up for row in rows), strict=True)]
    else:
        n = max(row.n for row in rows)
        worst = [max(some) for some in zip(*(zip(row.down, row.up, strict=True) for row in rows), strict=True)]
        down, up = [one for one, _ in worst], [one for _, one in worst]
    return GridRow(
        label="" if asn is None else rows[0].label,
        asn=asn,
        n=n,
        up=tuple(up),
        down=tuple(down),
        unknown=tuple(n - bad - good for bad, good in zip(down, up, strict=True)),
        state="".join(_letter(bad, bad + good) for bad, good in zip(down, up, strict=True)),
    )


def _letter(down: int, known: int) -> str:
    if known == 0:
        return "?"
    return "d" if down >= _MAJORITY * known else "g" if down >= _DEGRADED * known else "u"


def _counted(record: EventRecord, rows: Sequence[GridRow]) -> dict[str, Any]:
    """Chart and counts of what remains."""
    networks = [row for row in rows if row.asn is not None and not row.target]
    if not networks:
        return {"limits": (NOT_COUNTED, *record.limits)}
    # Imported here: scipy takes most of a second, and every command would wait for it.
    from civobs_collector.detect.scope import fraction_bounds

    total = _over(networks, None, total=True)
    at = max(range(len(total.down)), key=lambda bin_: total.down[bin_])
    down, known = total.down[at], total.down[at] + total.up[at]
    low, high = fraction_bounds(down, known)
    homes = sum(max(row.down) for row in networks)
    severity = record.severity
    share = down / known if known else 0.0
    return {
        "grid": record.grid.model_copy(update={"rows": tuple(rows)}),
        "affected": Affected(
            n_probes=homes,
            n_households=homes,
            n_observed=known,
            n_down=down,
            fraction_lo=low,
            fraction_hi=high,
        ),
        "severity": severity.model_copy(update={"area": round(severity.depth * share * severity.hours, 4)}),
    }
