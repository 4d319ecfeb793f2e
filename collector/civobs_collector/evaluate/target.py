"""The form ``target``: tries of targets by households, through the very detector of blocking the service runs."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from civobs_collector.detect import blocking
from civobs_collector.detect.blocking import Blocking
from civobs_collector.detect.campaigns import Span, campaigns
from civobs_collector.detect.params import Params
from civobs_collector.detect.record import ConfidenceLabel, EventKind, Level
from civobs_collector.detect.targets import LAYERS, Votes
from civobs_collector.evaluate.forms import TargetRows, asn_of
from civobs_collector.evaluate.found import Between, Found, Piece
from civobs_collector.evaluate.steps import Step

_MECHANISMS = (
    ("reset", "reset"),
    ("nxdomain", "nxdomain"),
    ("inject", "injection"),
    ("blockpage", "blockpage"),
    ("unreachable", "unreachable"),
    ("refused", "refused"),
    ("cert", "certificate"),
    ("eof", "eof"),
    ("time", "timeout"),
)
"""Parts of words of failure, as tools write them, and what they mean."""
_EVEN = 0.5
"""Share of equal steps from which on a file has a pace of its own."""


def find(rows: TargetRows, params: Params) -> list[Found]:
    """Every blocking in a file with its place in a campaign, and every failure that is none."""
    given = votes(rows, params)
    blockings = blocking.find(given, float(rows.at.max()), params)
    return _numbered([(one, _found(one, rows, params)) for one in blockings], given.bin_s, params)


def _numbered(some: Sequence[tuple[Blocking, Found]], bin_s: float, params: Params) -> list[Found]:
    """With their places in campaigns: windows of the same targets in one country."""
    spans = [
        Span(
            group="/".join((one.cc, one.held, *one.targets)),
            start=one.first_bad if one.likely[0] is None else one.likely[0],
            end=one.likely[1],
            key=f"{one.first_bad:.0f}",
        )
        for one, _ in some
    ]
    return [
        found
        if place is None or not found.is_event
        else replace(
            found,
            campaign=str(place.campaign_id),
            occurrence=place.occurrence,
            n_occurrences=place.n_occurrences,
        )
        for (_, found), place in zip(some, campaigns(spans, params, width_s=bin_s), strict=True)
    ]


def _found(one: Blocking, rows: TargetRows, params: Params) -> Found:
    networks = tuple(sorted(rows.network.names[number] for number in one.asns))
    kind = {"": EventKind.BLOCKING.value, "no_comparison": "insufficient"}.get(one.held, one.held)
    level = _level(one, rows)
    sure = one.posterior >= params["confidence.probable"] and one.n_down >= params["confidence.households"]
    return Found(
        group=_group(one, networks),
        kind=kind,
        level=level,
        cc=one.cc,
        networks=networks,
        asns=tuple(sorted(asn_of(name) for name in networks if asn_of(name))),
        targets=one.targets,
        layers=one.layers,
        mechanisms=mechanisms(one.layers, one.failures),
        start=_between(one.start, one.likely[0]),
        end=_between(one.end, one.likely[1]),
        ongoing=one.ongoing,
        alert_at=one.opened_at,
        posterior=one.posterior,
        # With nobody to compare with, a site that failed here cannot be told from one that failed.
        confidence=ConfidenceLabel.PROBABLE if sure and one.out_n and not one.held else ConfidenceLabel.UNCONFIRMED,
        depth=one.n_down / one.n_observed,
        n_down=one.n_down,
        n_observed=one.n_observed,
        rules=one.rules,
        why=_why(one),
        numbers=(
            ("log10_bayes_factor", one.log10_bf),
            ("rate_difference", one.rate_difference),
            ("elsewhere_bad", one.out_bad),
            ("elsewhere_votes", one.out_n),
            ("before_bad", one.past_bad),
            ("before_votes", one.past_n),
        ),
        pieces=_pieces(one, rows),
        held=one.held,
    )


def mechanisms(layers: Sequence[str], failures: Sequence[tuple[str, int]]) -> tuple[str, ...]:
    """Where it failed first and how, as far as the commonest word tells."""
    words = [word.lower() for word, _ in failures]
    how = next((name for word in words[:1] for part, name in _MECHANISMS if part in word), "")
    return (f"{layers[0]}.{how}",) if layers and how else ()


def _level(one: Blocking, rows: TargetRows) -> Level:
    """A country where most of its networks in the file are blocked, and more than one."""
    code = rows.country.names.index(one.cc)
    observed = len(np.unique(rows.network.codes[rows.country.codes == code]))
    return Level.COUNTRY if len(one.asns) > 1 and 2 * len(one.asns) > observed else Level.NETWORK


def _group(one: Blocking, networks: tuple[str, ...]) -> str:
    place = networks[0] if len(networks) == 1 else one.cc
    return f"{place}/{one.targets[0]}" if len(one.targets) == 1 else place


def _between(one: tuple[float, float] | None, likely: float | None) -> Between | None:
    return None if one is None or likely is None else Between(one[0], one[1], likely)


def _pieces(one: Blocking, rows: TargetRows) -> tuple[Piece, ...]:
    return tuple(
        Piece(
            network=rows.network.names[span.asn],
            target=piece.target,
            layers=piece.layers,
            start=_between(piece.start, piece.likely[0]),
            end=_between(piece.end, piece.likely[1]),
            alert_at=piece.opened_at,
        )
        for span in one.networks
        for piece in span.pieces
    )


def _why(one: Blocking) -> str:
    what = one.targets[0] if len(one.targets) == 1 else f"{len(one.targets)} targets"
    said = [f"{what} failed for {one.n_down} of {one.n_observed} households at {', '.join(one.layers)}"]
    said.append(
        f"elsewhere {one.out_bad} of {one.out_n} votes were bad" if one.out_n else "nobody looked from elsewhere"
    )
    if one.start is None:
        said.append("ongoing since before the file began" if one.ongoing else "there since before the file began")
    match one.held:
        case "site_failure":
            said.append("the site failed itself")
        case "common_cause":
            said.append("it changed in several countries at once")
        case "no_comparison":
            said.append("nobody is known to reach it")
    return "; ".join(said)


def votes(rows: TargetRows, params: Params) -> Votes:
    """One vote a household, target, layer and bin: what most of its tries said; of a tie that it worked.

    Networks are numbered by their place among the names, for a file may name them as it likes.
    """
    bin_s = bin_width(rows.step, params)
    bins = np.floor(rows.at / bin_s).astype(np.int64)
    columns = (bins, rows.household.codes, rows.network.codes, rows.country.codes, rows.target.codes, rows.layer)
    by = np.lexsort((rows.at, *columns))
    fresh = np.zeros(len(by), dtype=bool)
    fresh[:1] = True
    for column in columns:
        fresh[1:] |= np.diff(column[by]) != 0
    begin = np.flatnonzero(fresh)
    which = np.cumsum(fresh) - 1
    bad = ~rows.ok[by]
    n_bad = np.bincount(which, bad)
    voted_bad = 2 * n_bad > np.diff(np.append(begin, len(by)))
    agrees = bad == voted_bad[which]
    at, agreeing = rows.at[by][agrees], which[agrees]
    starts = np.searchsorted(agreeing, np.arange(len(begin)))
    one = by[begin]
    found = Votes(
        bin_s=bin_s,
        bin=bins[one],
        # Some files number the households of each network from one.
        household=rows.network.codes[one] * np.int64(len(rows.household.names)) + rows.household.codes[one],
        weight=np.ones(len(begin)),
        asn=rows.network.codes[one].astype(np.int64),
        cc=rows.country.codes[one],
        target=rows.target.codes[one],
        layer=rows.layer[one],
        failure=np.where(voted_bad, _commonest(rows.failure.codes[by] + 1, which, agrees & bad, len(begin)), 0).astype(
            np.int32
        ),
        countries=rows.country.names,
        targets=rows.target.names,
        failures=("", *rows.failure.names),
        bad=voted_bad,
        first_at=at[starts],
        last_at=at[np.append(starts[1:], len(at)) - 1],
        control=np.zeros(len(begin), dtype=bool),
    )
    return _implied(found)


def bin_width(step: Step, params: Params) -> float:
    """Seconds: hours, where the file is not evenly coarser: one try in five minutes is no vote of its own."""
    if step.given:
        return step.seconds
    return max(step.seconds, params["target.bin"]) if step.share >= _EVEN else params["target.bin"]


def _implied(given: Votes) -> Votes:
    """With the good votes that go without saying: who has read a page has had its handshake, address and answer.

    Some files have rows of the lower layers only where these failed.
    """
    for layer in range(LAYERS.index("http") - 1, -1, -1):
        asked = given.layer == layer
        above = ~given.bad & (given.layer > layer) & (given.layer <= LAYERS.index("http"))
        if not asked.any() or not above.any():
            continue
        series = (given.cc * np.int64(given.asn.max() + 1) + given.asn) * len(given.targets) + given.target
        homes, home = np.unique(given.household, return_inverse=True)
        bins = given.bin - given.bin.min()
        place = (series * len(homes) + home) * np.int64(bins.max() + 1) + bins
        rows = np.flatnonzero(above & np.isin(series, series[asked]) & ~np.isin(place, place[asked]))
        _, first = np.unique(place[rows], return_index=True)
        added = rows[first]
        columns: dict[str, Any] = {
            field.name: np.concatenate((column, column[added]))
            for field in fields(given)
            if isinstance(column := getattr(given, field.name), np.ndarray)
        }
        columns["layer"][len(given.bin) :] = layer
        given = replace(given, **columns)
    return given


def _commonest(
    words: NDArray[np.int32], which: NDArray[np.int64], counted: NDArray[np.bool_], n: int
) -> NDArray[np.int64]:
    """The commonest of the counted words of each vote, of equals the first by name; 0 where none is counted."""
    size = int(words.max(initial=0)) + 1
    pairs, times = np.unique(which[counted] * size + words[counted], return_counts=True)
    found = np.zeros(n, dtype=np.int64)
    best = np.lexsort((-pairs, times))
    found[pairs[best] // size] = pairs[best] % size
    return found
