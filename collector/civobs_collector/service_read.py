"""Between the tables and the detectors of blocking and throttling: stored runs become votes.

Only targets that failed more than now and then are read, around the times in which they did; and only probes that had
such a failure are asked what else they reached then.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import median

from civobs_collector.db import target_input
from civobs_collector.db.connect import Connection
from civobs_collector.detect.blockpages import Certainty, weigh
from civobs_collector.detect.fingerprints import Fingerprints
from civobs_collector.detect.flapping import Flapping
from civobs_collector.detect.fold import columns, fold
from civobs_collector.detect.goodput import Transfer
from civobs_collector.detect.inputs import Inputs, ProbeInfo
from civobs_collector.detect.params import Params
from civobs_collector.detect.run_columns import PAGES, cadences, spoken, whole
from civobs_collector.detect.target_addresses import AddressFact, known_addresses
from civobs_collector.detect.target_runs import Detail, Page, Word
from civobs_collector.detect.targets import Votes
from civobs_collector.detect.throttling import Trial, Verdict, judge, pair_up
from civobs_collector.detect.votes import Line, Reached, Said, beside, bin_of, borne_out, failing, telling
from civobs_collector.fingerprint_lists import stored_fingerprints
from civobs_collector.service_days import Days, Failing, Memory

PageJudge = Callable[[Detail], Certainty | None]
"""How surely an answer is a page that says that the request was forbidden."""
_HOUR = timedelta(hours=1)
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""From which hours are put together."""
_PAGE = {None: Page.USUAL, Certainty.LIKELY: Page.LIKELY_BLOCK, Certainty.ARTEFACT: Page.BLOCK}


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
    conn: Connection,
    inputs: Inputs,
    since: datetime,
    params: Params,
    judge_page: PageJudge,
    *,
    memory: Memory | None = None,
) -> Votes | None:
    """All votes on the targets that failed since then; None if none did.

    With the ``memory`` of the run before, days that are as they were are not read again; the votes are the same.
    """
    days = Days(conn, inputs, since, params, memory)
    suspects = _suspects(days.failing(), params)
    spans = _spans(suspects, since, inputs.now, timedelta(seconds=params["service.pad"]))
    keys = {key for key, _, _ in spans}
    if not keys:
        return None
    known = known_addresses((AddressFact(*row) for row in days.addresses(sorted(keys))), params)
    runs = whole(days.runs(spans, lambda row: PAGES.index(_PAGE[judge_page(row)])), days.facts)
    bin_s = bin_of(cadences(runs), params)
    said = spoken(runs, known, days.facts)
    bad = said.flags(lambda word: word.bad)
    failed = said.only(bad).said()
    kept = said.only(~bad).and_these(_believed(failed, days, Line(inputs.runs), bin_s, params))
    names = target_input.read_target_names(conn, keys)
    return fold(kept, _active(inputs), names, bin_s, params, flapping=Flapping(inputs, params))


def _believed(failed: Sequence[Said], days: Days, line: Line, bin_s: float, params: Params) -> list[Said]:
    """Failures that count, by what else was reached then."""
    together = failing(failed, bin_s)
    places = {place for one, bad in together.items() for place in beside(one, bad)}
    found, doubtful = telling(failed, Reached(days.reached(places, bin_s)), line, bin_s, params)
    if not doubtful:
        return found
    return found + borne_out(doubtful, days.known(doubtful, bin_s) | together.keys(), line, bin_s, params)


def _suspects(hours: Iterable[Failing], params: Params) -> list[tuple[int, datetime]]:
    """Targets that more failed to reach than one household at about the same time, with those hours, in order.

    What one household alone sees is published nowhere.
    """
    together = timedelta(seconds=max(params["target.cluster"], _HOUR.total_seconds()))
    homes: dict[tuple[str, int, datetime], set[int]] = defaultdict(set)
    found: dict[tuple[str, int, datetime], set[datetime]] = defaultdict(set)
    for cc, household, target, hour in hours:
        key = cc, target, _EPOCH + (hour - _EPOCH) // together * together
        homes[key].add(household)
        found[key].add(hour)
    least = params.count("rule.network_households")
    return sorted({(key[1], hour) for key, all_ in found.items() if len(homes[key]) >= least for hour in all_})


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
    return fold(columns(said), active, names, bin_s, params, flapping=Flapping(inputs, params))


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


def _cadence(slots: Collection[datetime]) -> float:
    """The usual time from one to the next, in seconds."""
    times = sorted(slots)
    return median((after - before).total_seconds() for before, after in pairwise(times))
