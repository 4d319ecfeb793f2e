"""Presence: from what the broker said to when a probe was lost, within bounds.

A will is published one and a half keepalives after the last packet, and the few seconds the broker takes to look, so
the loss lies between the last sign of life and the will. A loss followed by a connection within the debounce is none.
A collector that loses its probes all over the world has lost itself: the guard.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

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
    ELSEWHERE = 6
    """Online by another broker than the first, which probes of other countries still have (``detours``)."""


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
    back_late: bool = False
    """It may have been back for as long as the collector had been away."""


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
        back_late=back is not None and back.late,
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
    if not ordered:
        return set()
    world = _World.of(online, probes)
    who = np.array([world.index[one.probe_key] for one in ordered])
    earliest, latest = (np.array([getattr(one, name) for one in ordered]) for name in ("earliest", "latest"))
    ends = np.searchsorted(latest, latest + width)
    blamed = np.zeros(len(ordered), dtype=bool)
    blamed_until = 0
    for first, end in enumerate(ends):
        part = slice(first, end)
        countries = world.country[who[part]]
        # All of them are blamed already, or none of the rules can speak.
        if end <= blamed_until or (countries.min() == countries.max() and not world.anchor[who[part]].any()):
            continue
        gone = np.zeros(len(world.index), dtype=bool)
        gone[who[part]] = True
        if _guard_fires(gone, gone | world.online(earliest[part].min()), world, params):
            blamed[part] = True
            blamed_until = end
    return {one for one, is_blamed in zip(ordered, blamed, strict=True) if is_blamed}


@dataclass(frozen=True, slots=True)
class _World:
    """All probes as arrays, so that many losses are judged against many probes in one step."""

    index: dict[int, int]
    """Row of each probe, by its key."""
    country: NDArray[np.int64]
    anchor: NDArray[np.bool_]
    spans: tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]
    """When probes were online: row of the probe, start, end."""

    @classmethod
    def of(cls, online: Mapping[int, Sequence[Span]], probes: Mapping[int, ProbeInfo]) -> "_World":
        index = {key: row for row, key in enumerate(sorted(probes))}
        numbers = {cc: number for number, cc in enumerate(sorted({one.cc for one in probes.values()}))}
        there = [(index[key], span) for key, said in online.items() for span in said if span.seen is Seen.ONLINE]
        return cls(
            index,
            np.array([numbers[probes[key].cc] for key in index], dtype=np.int64),
            np.array([probes[key].is_anchor for key in index], dtype=bool),
            (
                np.array([row for row, _ in there], dtype=np.int64),
                np.array([span.start for _, span in there], dtype=np.float64),
                np.array([span.end for _, span in there], dtype=np.float64),
            ),
        )

    def online(self, at: float) -> NDArray[np.bool_]:
        """Which probes were online, by row."""
        rows, starts, ends = self.spans
        found = np.zeros(len(self.index), dtype=bool)
        found[rows[(starts <= at) & (at <= ends)]] = True
        return found


def _guard_fires(gone: NDArray[np.bool_], there: NDArray[np.bool_], world: _World, params: Params) -> bool:
    anchors = there & world.anchor
    n_gone, n_there = int(gone.sum()), int(there.sum())
    if anchors.any() and not (anchors & ~gone).any() and n_gone > anchors.sum():
        return True
    observed = np.bincount(world.country[there])
    lost = np.bincount(world.country[gone], minlength=len(observed))
    if (observed > 0).sum() > 1 and n_gone == n_there:
        return True
    share = params["guard.share"]
    hit = (lost > 0) & (lost >= share * observed)
    return bool(n_gone >= share * n_there and hit.sum() >= params["guard.countries"])
