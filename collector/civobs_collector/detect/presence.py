"""Presence: from what the broker said to when a probe was lost, within bounds.

A will is published one and a half keepalives after the last packet, and the few seconds the broker takes to look, so
the loss lies between the last sign of life and the will. A loss followed by a connection within the debounce is none.
A collector that loses its probes all over the world has lost itself: the guard.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from civobs_collector.detect.inputs import PresenceFact, ProbeInfo
from civobs_collector.detect.params import Params


class Seen(IntEnum):
    """What presence says of a probe in a cell of the grid."""

    NOTHING = 0
    ONLINE = 1
    LOST = 2
    LOST_REBOOT = 3
    """Lost, and back with another boot id."""
    PENDING = 4
    """Lost, and the debounce has not passed yet."""
    STOPPED = 5
    """The agent took leave: no evidence."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A probe lost by the broker. Seconds since the epoch."""

    probe_key: int
    earliest: float
    latest: float
    back: float | None
    rebooted: bool
    pending: bool
    short: bool
    """Back within the debounce: no loss, but of interest to the guard."""


@dataclass(frozen=True, slots=True)
class Span:
    """What presence says of a probe from ``start`` until ``end``."""

    start: float
    end: float
    seen: Seen


_ORDER = {"stopped": 0, "offline": 1, "online": 2}


def by_probe(facts: Iterable[PresenceFact]) -> dict[int, list[PresenceFact]]:
    """Facts of each probe in the order of receipt; ties are broken so that any input order gives the same."""
    found: dict[int, list[PresenceFact]] = defaultdict(list)
    for fact in sorted(facts, key=lambda f: (f.received_at, _ORDER[f.state], f.session)):
        found[fact.probe_key].append(fact)
    return found


def losses(facts: Sequence[PresenceFact], now: float, params: Params) -> list[Loss]:
    """The losses of one probe, short ones included."""
    found: list[Loss] = []
    greeting: PresenceFact | None = None
    left: set[str] = set()
    for index, fact in enumerate(facts):
        if fact.state == "online":
            greeting = fact
        if fact.state == "stopped":
            left.add(fact.session)
        if fact.state != "offline":
            continue
        # An agent that took leave and was cut off before its connection was closed, or whose old will is played again.
        if fact.session in left:
            continue
        # The will of a session that a newer one has replaced: the broker took the old connection away.
        if greeting is not None and greeting.session != fact.session:
            continue
        back = next((later for later in facts[index + 1 :] if later.state == "online"), None)
        found.append(_loss(fact, greeting, back, now, params))
    return found


def _loss(
    will: PresenceFact, greeting: PresenceFact | None, back: PresenceFact | None, now: float, params: Params
) -> Loss:
    latest = will.received_at.timestamp()
    lower = [fact_at.timestamp() for fact_at in (will.live_at, greeting and greeting.received_at) if fact_at]
    if not will.late:
        silence = params["presence.will_keepalives"] * will.keepalive_s + params["presence.broker_step"]
        lower.append(latest - silence)
    debounce = params["presence.debounce"]
    back_at = back.received_at.timestamp() if back else None
    return Loss(
        probe_key=will.probe_key,
        earliest=min(max(lower, default=latest), latest),
        latest=latest,
        back=back_at,
        rebooted=back is not None and back.boot_id != will.boot_id,
        pending=back_at is None and now - latest < debounce,
        short=back_at is not None and back_at - latest <= debounce,
    )


def spans(facts: Sequence[PresenceFact], lost: Sequence[Loss], now: float) -> list[Span]:
    """What presence says of one probe over time; where nothing is said there is no span."""
    wills = {loss.latest: loss for loss in lost}
    left = {fact.session for fact in facts if fact.state == "stopped"}
    found: list[Span] = []
    for index, fact in enumerate(facts):
        start = fact.received_at.timestamp()
        end = facts[index + 1].received_at.timestamp() if index + 1 < len(facts) else now
        match fact.state:
            case "online":
                following = wills.get(end)
                until = following.earliest if following and not following.short else end
                found.append(Span(start, max(until, start), Seen.ONLINE))
            case "stopped":
                found.append(Span(start, end, Seen.STOPPED))
            case _ if start in wills:
                loss = wills[start]
                found.append(Span(start, loss.back if loss.back is not None else now, _seen(loss)))
            case _ if fact.session in left and found and found[-1].seen is Seen.STOPPED:
                found.append(Span(start, end, Seen.STOPPED))
            case _:  # the will of a replaced session: the newer connection goes on
                found.append(Span(start, end, Seen.ONLINE))
    return found


def _seen(loss: Loss) -> Seen:
    if loss.short:
        return Seen.ONLINE
    if loss.pending:
        return Seen.PENDING
    return Seen.LOST_REBOOT if loss.rebooted else Seen.LOST


def suspect_losses(
    lost: Sequence[Loss], online: dict[int, list[Span]], probes: dict[int, ProbeInfo], params: Params
) -> set[Loss]:
    """Losses that say more about the collector than about the probes (rules ``guard.*``).

    Either a share of all probes in several countries, or every probe of two countries or more, or every anchor
    (an anchor stands in an uncensored network) is lost within two bins.
    """
    width = params["grid.bin"] * params["guard.bins"]
    ordered = sorted(lost, key=lambda one: (one.latest, one.probe_key))
    found: set[Loss] = set()
    for index, first in enumerate(ordered):
        together = [one for one in ordered[index:] if one.latest < first.latest + width]
        if len({probes[one.probe_key].cc for one in together}) < 2 and not any(
            probes[one.probe_key].is_anchor for one in together
        ):
            continue
        before = min(one.earliest for one in together)
        there = {key for key, said in online.items() if _online_at(said, before)} | {o.probe_key for o in together}
        if _guard_fires({one.probe_key for one in together}, there, probes, params):
            found.update(together)
    return found


def _online_at(said: Sequence[Span], at: float) -> bool:
    return any(span.seen is Seen.ONLINE and span.start <= at <= span.end for span in said)


def _guard_fires(gone: set[int], there: set[int], probes: dict[int, ProbeInfo], params: Params) -> bool:
    anchors = {key for key in there if probes[key].is_anchor}
    if anchors and anchors <= gone and len(gone) > len(anchors):
        return True
    countries: dict[str, list[bool]] = defaultdict(list)
    for key in there:
        countries[probes[key].cc].append(key in gone)
    if len(countries) > 1 and there == gone:
        return True
    share = params["guard.share"]
    hit = [cc for cc, lost in countries.items() if any(lost) and sum(lost) >= share * len(lost)]
    return len(gone) >= share * len(there) and len(hit) >= params["guard.countries"]
