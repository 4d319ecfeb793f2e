"""Detours: a probe that its first broker no longer has, and that comes by another one.

The way to the first may be blocked, or the first may have failed: where probes of other countries stay with it, it
works. A probe that never had the first has lost nothing, and one that is back within the debounce was never away.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from civobs_collector.detect.inputs import PresenceFact, ProbeInfo
from civobs_collector.detect.params import Params
from civobs_collector.detect.presence import Loss, Seen, Span

_FIRST = 0


def detours(facts: Sequence[PresenceFact], now: float, params: Params) -> list[Loss]:
    """When one probe was lost to its first broker and not to the observatory; ``facts`` in the order of receipt.

    ``latest`` is when it came by another broker at the latest, ``back`` when the first had it again.
    """
    found: list[Loss] = []
    wills = {fact.session: fact for fact in facts if fact.state == "offline"}
    first: PresenceFact | None = None
    left: PresenceFact | None = None
    for fact in facts:
        if fact.state != "online" or fact.broker is None:
            continue
        if fact.broker != _FIRST:
            left = left or fact
            continue
        if first is not None and left is not None:
            found.append(_detour((first, left, fact), wills.get(first.session), now, params))
        first, left = fact, None
    if first is not None and left is not None:
        found.append(_detour((first, left, None), wills.get(first.session), now, params))
    return [one for one in found if not one.short and not one.pending]


def _detour(
    greetings: tuple[PresenceFact, PresenceFact, PresenceFact | None],
    will: PresenceFact | None,
    now: float,
    params: Params,
) -> Loss:
    """Between the last greeting by the first broker, the first by another, and the return; ``will`` of the first."""
    first, left, back = greetings
    came = left.received_at.timestamp()
    # It noticed within two keepalives that nothing came any more, and the first of the others let it in soon after.
    silence = params["detour.keepalives"] * first.keepalive_s + params["presence.broker_step"]
    lower = [first.received_at.timestamp()]
    if not left.late:
        lower.append(came - silence)
    if will is not None and not will.late:
        told = will.received_at.timestamp()
        lower.append(told - params["presence.will_keepalives"] * will.keepalive_s - params["presence.broker_step"])
        came = min(came, told)
    back_at = None if back is None else back.received_at.timestamp()
    away = (now if back_at is None else back_at) - left.received_at.timestamp()
    brief = away <= params["presence.debounce"]
    return Loss(
        probe_key=left.probe_key,
        earliest=min(max(lower), came),
        latest=came,
        back=back_at,
        rebooted=False,
        pending=brief and back_at is None,
        short=brief and back_at is not None,
        back_late=back is not None and back.late,
    )


def around_a_block(
    facts: Mapping[int, Sequence[PresenceFact]], probes: Mapping[int, ProbeInfo], now: float, params: Params
) -> dict[int, tuple[Loss, ...]]:
    """Detours that say something of the way: those during which probes elsewhere stayed with the first broker."""
    all_found = {key: detours(said, now, params) for key, said in facts.items()}
    if not any(all_found.values()):
        return {}
    others = _Others.of(facts, probes, now)
    return {
        key: kept
        for key, found in all_found.items()
        if (kept := tuple(one for one in found if others.stay(one, probes[key], now, params)))
    }


def told_apart(said: Iterable[Span], away: Sequence[Loss], now: float) -> list[Span]:
    """What presence says of one probe, with being online by another broker as a state of its own."""
    found: list[Span] = []
    for span in said:
        start = span.start
        for one in away if span.seen is Seen.ONLINE else ():
            left, back = max(start, one.latest), min(span.end, now if one.back is None else one.back)
            if left < back:
                found += [Span(start, left, Seen.ONLINE)] if start < left else []
                found.append(Span(left, back, Seen.ELSEWHERE))
                start = back
        if start < span.end or start == span.start:
            found.append(Span(start, span.end, span.seen))
    return found


class _Others:
    """Who was with the first broker when, as arrays: many detours are judged against many probes."""

    def __init__(self, probes: Sequence[ProbeInfo], times: NDArray[np.float64]) -> None:
        self._country = np.array([one.cc for one in probes], dtype=np.str_)
        self._anchor = np.array([one.is_anchor for one in probes], dtype=np.bool_)
        self._home = np.array([one.household for one in probes], dtype=np.int64)
        self._starts, self._ends = times

    @classmethod
    def of(cls, facts: Mapping[int, Sequence[PresenceFact]], probes: Mapping[int, ProbeInfo], now: float) -> "_Others":
        rows = [(probes[key], span) for key in sorted(facts) for span in _with_first(facts[key], now)]
        return cls(
            [probe for probe, _ in rows],
            np.array([(span.start, span.end) for _, span in rows], dtype=np.float64).reshape(-1, 2).T,
        )

    def stay(self, detour: Loss, probe: ProbeInfo, now: float, params: Params) -> bool:
        """Whether enough of those elsewhere that had the first broker before still have it some time after.

        A household counts once, and one alone says nothing, whatever it sends. An anchor is the observatory's own and
        stands in a network that is not censored, so also one alone or of the same country tells.
        """
        # When what waited for the collector began, no one knows: those count who had the first shortly before it came.
        before = max(detour.earliest, detour.latest - params["presence.reconnect"])
        after = min(now, detour.latest + params["presence.debounce"])
        elsewhere = (self._country != probe.cc) | self._anchor
        had = elsewhere & (self._starts < before) & (self._ends > before)
        keep = elsewhere & (self._starts < before) & (self._ends >= after)
        n_had, n_keep = len(np.unique(self._home[had])), len(np.unique(self._home[keep]))
        enough = n_keep >= params.count("rule.network_households") or bool(self._anchor[keep].any())
        return enough and n_keep >= params["detour.stay"] * n_had


def _with_first(facts: Iterable[PresenceFact], now: float) -> Iterable[Span]:
    """Stretches in which one probe was with the first broker; connections that follow each other are one."""
    start: float | None = None
    session = ""
    for fact in facts:
        here = fact.state == "online" and fact.broker == _FIRST
        if here:
            start = fact.received_at.timestamp() if start is None else start
            session = fact.session
        # The will of a session that a newer one has replaced ends nothing.
        elif start is not None and (fact.state == "online" or fact.session == session):
            yield Span(start, fact.received_at.timestamp(), Seen.ONLINE)
            start = None
    if start is not None:
        yield Span(start, now, Seen.ONLINE)
