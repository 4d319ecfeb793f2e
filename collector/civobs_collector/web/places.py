"""Which time zones a country keeps, from the IANA time zone database."""

from functools import cache
from importlib import resources
from zoneinfo import ZoneInfo

from civobs_collector.publish.times import LocalClock


@cache
def local_clock(cc: str) -> LocalClock:
    """Return the zones of a country (``zone.tab``); none for a code that has none."""
    return LocalClock(tuple(ZoneInfo(name) for name in _zones().get(cc, ())))


@cache
def _zones() -> dict[str, tuple[str, ...]]:
    text = (resources.files("tzdata.zoneinfo") / "zone.tab").read_text(encoding="utf-8")
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            cc, _coordinates, name = line.split("\t")[:3]
            found[cc] = (*found.get(cc, ()), name)
    return found
