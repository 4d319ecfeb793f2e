"""``/api/v1/probes``, ``/countries`` and ``/quarantine``: who measures where and what was refused, in counts."""

from datetime import UTC, datetime

from fastapi import APIRouter

from civobs_collector.api.deps import ConnDep
from civobs_collector.api.models import (
    AccessLine,
    CountryLine,
    CountryList,
    NetworkLine,
    NetworkList,
    ProbeCounts,
    Quarantine,
    QuarantineLine,
)
from civobs_collector.db.read_events import read_country_names
from civobs_collector.db.read_health import count_quarantine
from civobs_collector.db.read_probes import count_access, count_networks
from civobs_collector.detect.access import sights, unseen
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


@router.get("/countries", summary="Countries, and the kinds of access that are observed in each")
def countries(conn: ConnDep, cc: CountryCode | None = None) -> CountryList:
    """Where no household has a mobile line, a shutdown of mobile networks cannot be seen, and that is said here."""
    names = read_country_names(conn)
    items = [
        CountryLine(
            cc=one.cc,
            country=names.get(one.cc, one.cc),
            households=one.households,
            access=tuple(
                AccessLine(access=kind, sight=sight, households=one.told(n))
                for (kind, sight), n in zip(sights(one.kinds).items(), (one.fixed, one.mobile), strict=True)
            ),
            not_seen=unseen(one.kinds),
        )
        for one in count_access(conn, cc)
    ]
    return CountryList(as_of=datetime.now(UTC), items=tuple(items))


@router.get("/quarantine", summary="Batches that were refused, by reason")
def quarantine(conn: ConnDep) -> Quarantine:
    """Nothing that comes in is dropped without a trace: what cannot be stored is counted here."""
    return Quarantine(
        items=tuple(
            QuarantineLine(reason=one.reason, n=one.n, first_at=one.first_at, last_at=one.last_at)
            for one in count_quarantine(conn)
        )
    )
