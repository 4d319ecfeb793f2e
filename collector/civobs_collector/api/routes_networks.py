"""``/api/v1/probes``, ``/networks`` and ``/quarantine``: who measures where and what was refused, in counts."""

from datetime import UTC, datetime

from fastapi import APIRouter

from civobs_collector.api.deps import ConnDep
from civobs_collector.api.models import NetworkLine, NetworkList, ProbeCounts, Quarantine, QuarantineLine
from civobs_collector.db.read_events import read_country_names
from civobs_collector.db.read_health import count_quarantine
from civobs_collector.db.read_probes import count_networks
from civobs_collector.web.overview_page import HEARD_WITHIN
from civobs_wire.scalars import CountryCode

router = APIRouter(prefix="/api/v1", tags=["observatory"])


@router.get("/probes", summary="Probes by country and network")
def probes(conn: ConnDep, cc: CountryCode | None = None) -> NetworkList:
    """Counts only: a probe is a home, and no list of homes is public."""
    at = datetime.now(UTC)
    names = read_country_names(conn)
    lines = tuple(
        NetworkLine(
            cc=one.cc,
            country=names.get(one.cc, one.cc),
            asn=one.asn,
            name=one.name,
            user_share=one.user_share,
            households=one.households,
            households_heard=one.heard,
            probes=ProbeCounts(
                active=one.probes_active, quarantined=one.probes_quarantined, revoked=one.probes_revoked
            ),
        )
        for one in count_networks(conn, at - HEARD_WITHIN, cc)
    )
    return NetworkList(as_of=at, items=lines)


@router.get("/quarantine", summary="Batches that were refused, by reason")
def quarantine(conn: ConnDep) -> Quarantine:
    """Nothing that comes in is dropped without a trace: what cannot be stored is counted here."""
    return Quarantine(
        items=tuple(
            QuarantineLine(reason=one.reason, n=one.n, first_at=one.first_at, last_at=one.last_at)
            for one in count_quarantine(conn)
        )
    )
