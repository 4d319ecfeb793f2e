"""Between the tables and the detectors of blocking and throttling: stored runs become votes.

Only targets that failed more than now and then are read, around the times in which they did; and only probes that had
such a failure are asked what else they reached then.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Any

from civobs_collector.db import target_input
from civobs_collector.db.connect import Connection
from civobs_collector.detect.blockpages import Certainty, weigh
from civobs_collector.detect.fingerprints import Fingerprints
from civobs_collector.detect.flapping import Flapping
from civobs_collector.detect.goodput import Transfer
from civobs_collector.detect.inputs import Inputs, ProbeInfo
from civobs_collector.detect.params import Params
from civobs_collector.detect.target_addresses import AddressFact, Known, known_addresses
from civobs_collector.detect.target_runs import Detail, Page, Run, Word, words
from civobs_collector.detect.targets import Votes
from civobs_collector.detect.throttling import Trial, Verdict, judge, pair_up
from civobs_collector.detect.votes import Line, Said, bin_of, fold, telling
from civobs_collector.fingerprint_lists import stored_fingerprints
from civobs_wire.measurement import KIND_CODES

PageJudge = Callable[[Detail], Certainty | None]
"""How surely an answer is a page that says that the request was forbidden."""
_KIND_OF = {code: kind for kind, code in KIND_CODES.items()}
_HOUR = timedelta(hours=1)
_PAGE = {None: Page.USUAL, Certainty.LIKELY: Page.LIKELY_BLOCK, Certainty.ARTEFACT: Page.BLOCK}


@dataclass(slots=True)
class _Runs:
    """What was read, as it comes: words, and the slots they come from, to tell how often is measured."""

    said: list[Said] = field(default_factory=list)
    slots: dict[tuple[int, int, str], set[datetime]] = field(default_factory=lambda: defaultdict(set))


def block_pages(conn: Connection, params: Params) -> PageJudge:
    """What tells a page of blocking, by the fingerprints of the database; they are read when the first page comes."""
    known: list[Fingerprints] = []

    def judged(row: Detail) -> Certainty | None:
        if not known:
            known.append(stored_fingerprints(conn))
        headers = [(one["name"], one["value"]) for one in row.get("headers", ())]
        led_to = next(iter(reversed(row.get("redirects", ()))), None)
        found = weigh(
            row.get("status"),
            headers,
            row.get("title"),
            row.get("sample"),
            led_to,
            known[0],
            asked=row.get("url"),
            verified=row.get("verified"),
            params=params,
        ).match
        return None if found is None else found.certainty

    return judged


def read_votes(
    conn: Connection, inputs: Inputs, since: datetime, params: Params, judge_page: PageJudge
) -> Votes | None:
    """All votes on the targets that failed since then; None if none did."""
    together = timedelta(seconds=max(params["target.cluster"], _HOUR.total_seconds()))
    which = target_input.Suspicion(params["service.suspect"], params.count("rule.network_households"), together)
    suspects = target_input.read_suspects(conn, since, inputs.now, which)
    spans = _spans(suspects, since, inputs.now, timedelta(seconds=params["service.pad"]))
    keys = {key for key, _, _ in spans}
    if not keys:
        return None
    told = target_input.read_addresses(conn, keys, since, inputs.now)
    known = known_addresses((AddressFact(*row) for row in told), params)
    rows = target_input.read_runs(conn, spans, clock_s=params["target.bin"])
    runs = _judged(rows, known, judge_page)
    bin_s = bin_of([_cadence(slots) for slots in runs.slots.values() if len(slots) > 1], params)
    reached = _reached(conn, [one for one in runs.said if one.word.bad], bin_s)
    kept = telling(runs.said, reached, Line(inputs.runs), bin_s, params)
    names = target_input.read_target_names(conn, keys)
    return fold(kept, _active(inputs), names, bin_s, params, flapping=Flapping(inputs, params))


def read_transfers(conn: Connection, inputs: Inputs, since: datetime, params: Params) -> Votes | None:
    """The same of names that are slowed, from pairs of transfers: over TCP at layer ``tls``, over QUIC at ``quic``."""
    trials: dict[tuple[int, int, str, str], list[tuple[datetime, Detail]]] = defaultdict(list)
    active = _active(inputs)
    for probe_key, target, at, row in target_input.read_throttling(conn, active, since, inputs.now):
        if row.get("test", "-") != "-":
            trials[probe_key, target, row["test"], row.get("transport", "tcp")].append((at, row))
    said: list[Said] = []
    taken: dict[tuple[int, int], set[datetime]] = defaultdict(set)
    for (probe_key, target, test, transport), rows in sorted(trials.items()):
        first, last = rows[0][0], rows[-1][0]
        word = _slowed(_verdict(_trial(test, rows), params), "quic" if transport == "quic" else "tls", params)
        if word is not None:
            said.append(Said(probe_key, target, first.timestamp(), last.timestamp(), word))
            taken[probe_key, target].add(first)
    if not any(one.word.bad for one in said):
        return None
    bin_s = bin_of([_cadence(times) for times in taken.values() if len(times) > 1], params)
    names = target_input.read_target_names(conn, {one.target for one in said})
    return fold(said, active, names, bin_s, params, flapping=Flapping(inputs, params))


_VERDICTS: dict[tuple[bytes, str], Verdict] = {}
_MOST_VERDICTS = 100_000


def _verdict(trial: Trial, params: Params) -> Verdict:
    """A trial is judged once: its tests cost a tenth of a second, and its rows come again with every run.

    It is remembered by its digest: its samples are a hundred kilobytes.
    """
    key = hashlib.sha256(repr(trial).encode()).digest(), params.params_id
    if key not in _VERDICTS:
        if len(_VERDICTS) >= _MOST_VERDICTS:
            _VERDICTS.clear()
        _VERDICTS[key] = judge(trial, params)
    return _VERDICTS[key]


def _slowed(verdict: Verdict, layer: str, params: Params) -> Word | None:
    """What a verdict says; nothing where the name was slower and the line may have been the reason.

    On a line that is slow or uneven for both names alike, the name is not slowed either.
    """
    if verdict.kind == "throttling_targeted":
        sure = verdict.label == "probable"
        return Word(layer, True, f"{layer}.throttle.sni" if sure else f"{layer}.throttle", True)
    alike = verdict.ratio is not None and verdict.ratio < params["throttling.moderate"]
    return Word(layer, False) if alike else None


def _trial(test: str, rows: Sequence[tuple[datetime, Detail]]) -> Trial:
    arms: dict[str, dict[int, Transfer]] = {"target": {}, "neutral": {}}
    for _, row in rows:
        samples = tuple((one["ms"] / 1000, float(one["bytes"])) for one in row.get("samples", ()))
        rtt = row.get("rtt_receiver_ms")
        arms[row.get("arm", "neutral")][row.get("replicate", 0)] = Transfer(
            samples=samples,
            rtt_ms=() if rtt is None else (rtt,),
            retransmitted=row.get("lost_packets"),
            cross_bytes=row.get("validity", {}).get("cross_bytes"),
        )
    pairs, left, right = pair_up(arms["target"], arms["neutral"])
    return Trial(test, pairs, rows[0][0].timestamp(), left, right)


def _active(inputs: Inputs) -> dict[int, ProbeInfo]:
    return {probe.probe_key: probe for probe in inputs.probes if probe.active}


def _spans(
    suspects: Iterable[tuple[int, datetime]], since: datetime, now: datetime, pad: timedelta
) -> list[target_input.TargetSpan]:
    """Stretches around the hours in which a target failed, merged."""
    found: list[target_input.TargetSpan] = []
    for key, hour in suspects:
        start, end = max(since, hour - pad), min(now, hour + _HOUR + pad)
        if found and found[-1][0] == key and start <= found[-1][2]:
            found[-1] = (key, found[-1][1], max(end, found[-1][2]))
        else:
            found.append((key, start, end))
    return found


def _judged(rows: Iterable[tuple[Any, ...]], known: dict[int, Known], judge_page: PageJudge) -> _Runs:
    found, pages = _Runs(), _Pages(judge_page)
    for probe_key, target, code, family, first, last, slot, n_ok, status, failed, odd in rows:
        kind = _KIND_OF[code]
        run = Run(kind, n_ok, status, tuple(failed or ()), tuple(odd or ()))
        told = words(run, known.get(target, Known()), pages.of((probe_key, target, family), run, first))
        at = first.timestamp(), last.timestamp()
        found.said.extend(Said(probe_key, target, *at, word, family) for word in told)
        found.slots[probe_key, target, kind].add(slot)
    return found


class _Pages:
    """What came in place of a page, also where only the first such row of an hour was kept whole (docs/ontology.md)."""

    def __init__(self, judge_page: PageJudge) -> None:
        self._judge = judge_page
        self._seen: dict[tuple[object, ...], set[Page]] = {}

    def of(self, key: tuple[int, int, int], run: Run, at: datetime) -> Page:
        """What came, as far as is known."""
        if run.kind != "http" or not run.n_ok:
            return Page.USUAL
        seen = self._seen.setdefault((*key, at.replace(minute=0, second=0, microsecond=0), run.status), set())
        if run.pages:
            found = _PAGE[self._judge(run.pages[0])]
            seen.add(found)
            return found
        return next(iter(seen), Page.USUAL) if len(seen) <= 1 else Page.UNKNOWN


def _reached(conn: Connection, failing: Sequence[Said], bin_s: float) -> dict[tuple[int, int], frozenset[int]]:
    """Which targets the probes of these reached, by bin."""
    if not failing:
        return {}
    margin = timedelta(seconds=2 * bin_s)
    first = datetime.fromtimestamp(min(one.first_at for one in failing), UTC) - margin
    last = datetime.fromtimestamp(max(one.last_at for one in failing), UTC) + margin
    rows = target_input.read_reached(conn, {one.probe_key for one in failing}, first, last, bin_s)
    return {(probe_key, at): frozenset(targets) for probe_key, at, targets in rows}


def _cadence(slots: Collection[datetime]) -> float:
    """The usual time from one to the next, in seconds."""
    times = sorted(slots)
    return median((after - before).total_seconds() for before, after in pairwise(times))
