"""From words to votes: one a household, target, layer and bin.

Words are in columns: a year of a country has tens of millions, nearly all of which say that a target was reached.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from civobs_collector.detect.flapping import Flapping
from civobs_collector.detect.inputs import ProbeInfo
from civobs_collector.detect.params import Params
from civobs_collector.detect.target_runs import Word
from civobs_collector.detect.targets import LAYERS, Votes
from civobs_collector.detect.votes import Said

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_AT_ONCE = 200_000
"""Words folded at once: what that takes is some ten times as much memory as they do."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """Words of runs. ``probe`` to ``family`` are by run, ``run`` and ``word`` by word. Times in seconds since 1970."""

    probe: Ints
    target: Ints
    first_at: Floats
    last_at: Floats
    family: Ints
    run: NDArray[np.int32]
    """Which run said it."""
    word: NDArray[np.int32]
    """Which of ``words`` it is."""
    alive: Flags
    """By word (``Said.alive``)."""
    words: tuple[Word, ...]

    def flags(self, of: Callable[[Word], bool]) -> Flags:
        """By word that was said, what ``of`` tells of it."""
        found: Flags = np.array([of(word) for word in self.words], dtype=np.bool_)[self.word]
        return found

    def only(self, chosen: NDArray[np.bool_] | Ints) -> "Spoken":
        """Some of the words."""
        return replace(self, run=self.run[chosen], word=self.word[chosen], alive=self.alive[chosen])

    def said(self) -> list[Said]:
        """Each word by itself, for those that are few."""
        by_run = (self.probe, self.target, self.first_at, self.last_at, self.family)
        columns = [column[self.run].tolist() for column in by_run]
        return [
            Said(probe, target, first, last, self.words[word], family)
            for probe, target, first, last, family, word in zip(*columns, self.word.tolist(), strict=True)
        ]

    def and_these(self, more: Sequence[Said]) -> "Spoken":
        """With words of other runs."""
        words = tuple(dict.fromkeys((*self.words, *(one.word for one in more))))
        code = {word: index for index, word in enumerate(words)}
        return Spoken(
            np.append(self.probe, _ints(one.probe_key for one in more)),
            np.append(self.target, _ints(one.target for one in more)),
            np.append(self.first_at, np.array([one.first_at for one in more], dtype=np.float64)),
            np.append(self.last_at, np.array([one.last_at for one in more], dtype=np.float64)),
            np.append(self.family, _ints(one.family for one in more)),
            np.append(self.run, len(self.probe) + np.arange(len(more), dtype=np.int32)).astype(np.int32),
            np.append(self.word, np.array([code[one.word] for one in more], dtype=np.int32)),
            np.append(self.alive, np.array([one.alive for one in more], dtype=np.bool_)),
            words,
        )


def columns(said: Sequence[Said]) -> Spoken:
    """The same words in columns."""
    none, times = _ints(()), np.empty(0)
    few = none.astype(np.int32)
    return Spoken(none, none, times, times, none, few, few, none.astype(np.bool_), ()).and_these(said)


def _ints(values: Iterable[int]) -> Ints:
    return np.fromiter(values, dtype=np.int64)


def fold(
    said: Spoken,
    probes: Mapping[int, ProbeInfo],
    names: Mapping[int, str],
    bin_s: float,
    params: Params,
    *,
    flapping: Flapping,
) -> Votes:
    """One vote a household, target, layer and bin: what most of its runs say; of two equally many, that it failed."""
    said = said.only(np.isin(said.probe, list(probes))[said.run])
    countries = tuple(sorted({probe.cc for probe in probes.values()}))
    # The same name with and without encryption is one target.
    names = {key: name.removeprefix("http://") for key, name in names.items()}
    targets = tuple(sorted(set(names.values())))
    used = np.unique(said.word).tolist()
    failures = ("", *sorted({said.words[one].how for one in used} - {""}))
    at = {name: index for index, name in enumerate(targets)}
    by_target = _coded(said.target, {key: at[name] for key, name in names.items()})[said.run]
    cells = _Cells([_cells(said.only(part), by_target[part], probes, bin_s, failures) for part in _parts(by_target)])
    owner, number = cells["owner"], cells["bin"]
    cc_at = {cc: index for index, cc in enumerate(countries)}
    return Votes(
        bin_s=bin_s,
        bin=number,
        household=cells["household"],
        weight=_weights(owner, number, probes, bin_s, partial(_weight, flapping=flapping, params=params)),
        asn=_coded(owner, {key: probe.asn for key, probe in probes.items()}),
        cc=_coded(owner, {key: cc_at[probe.cc] for key, probe in probes.items()}).astype(np.int32),
        target=cells["target"],
        layer=cells["layer"],
        failure=cells["failure"],
        countries=countries,
        targets=targets,
        failures=failures,
        bad=cells["bad"],
        first_at=cells["first_at"],
        last_at=cells["last_at"],
        over_at=cells["over_at"],
        control=_coded(owner, {key: int(probe.is_anchor) for key, probe in probes.items()}).astype(np.bool_),
        alive=cells["alive"],
    )


class _Cells:
    """Votes of all parts by household, target, layer and bin: a column at a time, never all of them twice."""

    def __init__(self, parts: Sequence[NDArray[np.void]]) -> None:
        self._parts = [np.empty(0, _CELL), *parts]
        self._order = np.lexsort([self._column(name) for name in ("bin", "layer", "target", "household")])

    def _column(self, name: str) -> NDArray[Any]:
        return np.concatenate([part[name] for part in self._parts])

    def __getitem__(self, name: str) -> NDArray[Any]:
        found: NDArray[Any] = self._column(name)[self._order]
        return found


_CELL = np.dtype(
    [
        ("bin", np.int64),
        ("household", np.int64),
        ("first_at", np.float64),
        ("last_at", np.float64),
        ("over_at", np.float64),
        ("owner", np.int64),
        ("target", np.int32),
        ("failure", np.int32),
        ("layer", np.int8),
        ("bad", np.bool_),
        ("alive", np.bool_),
    ]
)
"""A vote before it is given weight and network, which are its owner's: of several probes the one enrolled first."""


def _parts(by_target: Ints) -> Iterator[Ints]:
    """Which words to fold together: all of a target, of as many targets as make so many words."""
    order = np.argsort(by_target, kind="stable")
    edges = np.append(np.flatnonzero(np.diff(by_target[order], prepend=-1)), len(order))
    begin = 0
    for end, following in zip(edges[1:].tolist(), [*edges[2:].tolist(), None], strict=False):
        if following is None or following - begin > _AT_ONCE:
            # In the order in which they were said.
            yield np.sort(order[begin:end])
            begin = end


def _cells(
    said: Spoken, target: Ints, probes: Mapping[int, ProbeInfo], bin_s: float, failures: Sequence[str]
) -> NDArray[np.void]:
    """Votes of some targets, by household, target, layer and bin."""
    run = said.run
    home = _coded(said.probe[run], {key: probe.household for key, probe in probes.items()})
    layer = np.array([LAYERS.index(word.layer) for word in said.words], dtype=np.int64)[said.word]
    number = np.floor(said.first_at[run] / bin_s).astype(np.int64)
    order = np.lexsort((number, layer, target, home))
    columns = [column[order] for column in (home, target, layer, number)]
    begin = np.flatnonzero(np.logical_or.reduce([np.diff(column, prepend=-1) != 0 for column in columns]))
    said, run = said.only(order), run[order]
    n = np.diff(np.append(begin, len(run)))
    bad = said.flags(lambda word: word.bad)
    forged = said.flags(lambda word: word.bad and word.sure and word.layer in _FORGED)
    n_bad = np.add.reduceat(bad, begin, dtype=np.int64)
    failed = np.logical_or.reduceat(forged, begin) | ((n_bad > 0) & (2 * n_bad >= n))
    mine = bad == np.repeat(failed, n)
    found = np.empty(len(begin), dtype=_CELL)
    for name, column in zip(("household", "target", "layer", "bin"), columns, strict=True):
        found[name] = column[begin]
    found["owner"] = np.minimum.reduceat(said.probe[run], begin)
    found["first_at"] = np.minimum.reduceat(np.where(mine, said.first_at[run], np.inf), begin)
    # A run looks several times and waits: what changed meanwhile did so after it began and before it was over.
    found["over_at"] = np.minimum.reduceat(np.where(mine, said.last_at[run], np.inf), begin)
    found["last_at"] = np.maximum.reduceat(np.where(mine, said.first_at[run], -np.inf), begin)
    found["bad"] = failed
    found["alive"] = np.logical_or.reduceat(said.alive, begin)
    found["failure"] = _failures(said, begin, n, failed, failures)
    return found


def _failures(said: Spoken, begin: Ints, n: Ints, failed: Flags, failures: Sequence[str]) -> Ints:
    """By cell, how it failed; the number of no failure where it did not."""
    code = {how: index for index, how in enumerate(failures)}
    by_word = np.array([code.get(word.how, 0) if word.bad else -1 for word in said.words], dtype=np.int64)[said.word]
    most = np.maximum.reduceat(by_word, begin)
    least = np.minimum.reduceat(np.where(by_word < 0, len(failures), by_word), begin)
    found = np.where(failed, most, 0)
    for cell in np.flatnonzero(failed & (most != least)).tolist():
        there = by_word[begin[cell] : begin[cell] + n[cell]]
        found[cell] = code[_how([failures[one] for one in there[there >= 0].tolist()])]
    return found


def _coded(keys: Ints, code: Mapping[int, int]) -> Ints:
    """What stands for each key."""
    known = _ints(sorted(code))
    found: Ints = _ints(code[key] for key in known.tolist())[np.searchsorted(known, keys)]
    return found


def _weights(
    owner: Ints, at: Ints, probes: Mapping[int, ProbeInfo], bin_s: float, weight: Callable[[ProbeInfo, float], float]
) -> Floats:
    """By cell what its owner's word weighs then, asked for once for each probe and bin."""
    place, of = np.unique((owner << 32) | at, return_inverse=True)
    by_place = [weight(probes[one >> 32], (one & 0xFFFFFFFF) * bin_s) for one in place.tolist()]
    found: Floats = np.array(by_place, dtype=np.float64)[of]
    return found


_FORGED = frozenset({"dns", "http"})
"""Layers at which an answer may be seen to be somebody else's: one is enough, whatever else came."""


def _how(words: Sequence[str]) -> str:
    """The commonest word, as exactly as any run said it: ``tls.reset.sni`` and not ``tls.reset``."""
    usual = min(set(words), key=lambda word: (-words.count(word), word))
    return max((word for word in words if word == usual or word.startswith(f"{usual}.")), key=len)


def _weight(probe: ProbeInfo, at: float, flapping: Flapping, params: Params) -> float:
    """Of a household's word at a moment, in seconds since 1970."""
    new = at - probe.enrolled_at.timestamp() < params["confidence.new_age"]
    weight = params["confidence.new_weight"] if new else 1.0
    return weight * params["confidence.flapping_weight"] if flapping.at(probe.probe_key, at) else weight
