"""The five forms a file may have, and their rows as columns of numbers.

Stable: other programs write these files (docs/evaluation.md). Names are coded by their place in a sorted tuple, so that
the order of the rows decides nothing; the rows themselves stay in the order of the files.
"""

import math
import re
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from civobs_collector.detect.targets import LAYERS
from civobs_collector.errors import EvaluationError
from civobs_collector.evaluate.lines import Column, Tally, rows
from civobs_collector.evaluate.names import Form
from civobs_collector.evaluate.steps import Step, step_of

ARMS = ("target", "neutral")
TARGET_ARM, NEUTRAL_ARM = 0, 1


@dataclass(frozen=True, slots=True)
class Coded:
    """A column of names: ``names`` sorted, ``codes`` the place of each row's name among them."""

    codes: NDArray[np.int32]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RosterRows:
    """``time,group,n_expected,n_up``: how many households of a group were expected, and how many were up."""

    at: NDArray[np.float64]
    """Seconds since the epoch, as in every form: the start of what the row tells of."""
    group: Coded
    n_expected: NDArray[np.int64]
    n_up: NDArray[np.int64]
    step: Step


@dataclass(frozen=True, slots=True)
class ProbeRows:
    """``time,group,household,up``: whether one household was up."""

    at: NDArray[np.float64]
    group: Coded
    household: Coded
    up: NDArray[np.bool_]
    step: Step


@dataclass(frozen=True, slots=True)
class CountRows:
    """``time,group,count``: how many answers or sightings, where nobody knows how many could have been."""

    at: NDArray[np.float64]
    group: Coded
    count: NDArray[np.int64]
    step: Step


@dataclass(frozen=True, slots=True)
class TargetRows:
    """``time,network,country,target,layer,household,ok,failure``: one household's try of one target at one layer."""

    at: NDArray[np.float64]
    network: Coded
    """``AS33771`` where the file has a number; see `asn_of`."""
    country: Coded
    target: Coded
    layer: NDArray[np.int8]
    """Place in ``LAYERS``."""
    household: Coded
    ok: NDArray[np.bool_]
    failure: Coded
    """The empty name, which is the first, where there was none."""
    step: Step


@dataclass(frozen=True, slots=True)
class ThroughputRows:
    """``test,arm,replicate,sample_s,bytes``: samples of transfers; ``time`` and ``rtt_ms`` too if there."""

    test: Coded
    arm: NDArray[np.int8]
    """``TARGET_ARM`` or ``NEUTRAL_ARM``."""
    replicate: Coded
    sample_s: NDArray[np.float64]
    """Seconds since the replicate's start."""
    bytes: NDArray[np.float64]
    """As in the file: cumulative, or since the previous sample; the form's module finds out which."""
    at: NDArray[np.float64]
    """When the replicate ran, seconds since the epoch; NaN where the file does not say."""
    rtt_ms: NDArray[np.float64]
    """NaN where the file does not say."""


Rows = RosterRows | ProbeRows | CountRows | TargetRows | ThroughputRows


def asn_of(network: str) -> int:
    """The number of a network named ``AS33771``; 0 where the name is not one."""
    return int(network[2:]) if re.fullmatch(r"AS\d{1,10}", network) else 0


def read(form: Form, path: str, tally: Tally, bin_s: float | None = None) -> Rows:
    """All readable rows of one file. Raises EvaluationError where it is not of the form, or has only bad rows."""
    columns = _COLUMNS[form]
    bad, good = tally.n_bad, tally.n_rows
    names = {one.name: _Names() for one in columns if one.parse in _TEXTS}
    numbers = {one.name: array("d") for one in columns if one.name not in names}
    keeps: list[Callable[[Any], None]] = [
        names[one.name].keep if one.name in names else numbers[one.name].append for one in columns
    ]
    for values in rows(path, columns, tally, _more_than_expected if form is Form.ROSTER else None):
        for keep, value in zip(keeps, values, strict=True):
            keep(value)
    if tally.n_bad > bad and tally.n_rows == good:
        raise EvaluationError(
            f"no row of {path} could be read; the last: {tally.problems[-1]}", f"see docs/evaluation.md, form {form}"
        )
    read = _Read(
        {key: one.column() for key, one in names.items()}, {key: np.array(one) for key, one in numbers.items()}
    )
    return _BUILD[form](read, bin_s)


@dataclass(frozen=True, slots=True)
class _Read:
    names: dict[str, Coded]
    numbers: dict[str, NDArray[np.float64]]

    def whole(self, name: str) -> NDArray[np.int64]:
        return self.numbers[name].astype(np.int64)

    def flag(self, name: str) -> NDArray[np.bool_]:
        return self.numbers[name] > 0

    def small(self, name: str) -> NDArray[np.int8]:
        return self.numbers[name].astype(np.int8)


class _Names:
    """A column of names as it is read: each name is kept once."""

    def __init__(self) -> None:
        self.codes = array("i")
        self.known: dict[str, int] = {}

    def keep(self, name: str) -> None:
        self.codes.append(self.known.setdefault(name, len(self.known)))

    def column(self) -> Coded:
        """Coded by place among the sorted names, so that the order of rows decides nothing."""
        names = tuple(sorted(self.known))
        places = np.empty(len(names), dtype=np.int32)
        for place, name in enumerate(names):
            places[self.known[name]] = place
        return Coded(places[np.array(self.codes, dtype=np.int32)], names)


def _roster(read: _Read, bin_s: float | None) -> Rows:
    at, group = read.numbers["time"], read.names["group"]
    return RosterRows(at, group, read.whole("n_expected"), read.whole("n_up"), step_of(at, [group.codes], bin_s))


def _probes(read: _Read, bin_s: float | None) -> Rows:
    at, group, household = read.numbers["time"], read.names["group"], read.names["household"]
    return ProbeRows(at, group, household, read.flag("up"), step_of(at, [group.codes, household.codes], bin_s))


def _counts(read: _Read, bin_s: float | None) -> Rows:
    at, group = read.numbers["time"], read.names["group"]
    return CountRows(at, group, read.whole("count"), step_of(at, [group.codes], bin_s))


def _target(read: _Read, bin_s: float | None) -> Rows:
    at, layer, names = read.numbers["time"], read.small("layer"), read.names
    series = [names["network"].codes, names["target"].codes, layer.astype(np.int32), names["household"].codes]
    step = step_of(at, series, bin_s)
    places = (names["network"], names["country"], names["target"])
    return TargetRows(at, *places, layer, names["household"], read.flag("ok"), names["failure"], step)


def _throughput(read: _Read, _bin_s: float | None) -> Rows:
    numbers = read.numbers
    samples = (numbers["sample_s"], numbers["bytes"], numbers["time"], numbers["rtt_ms"])
    return ThroughputRows(read.names["test"], read.small("arm"), read.names["replicate"], *samples)


@lru_cache(maxsize=1 << 16)
def _time(text: str) -> float:
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} is not a time; write it as 2026-01-08T16:30:00Z") from None
    if found.tzinfo is None:
        raise ValueError(f"{text!r} has no offset; write it as 2026-01-08T16:30:00Z or …+06:30")
    if not _FIRST_YEAR <= found.year <= _LAST_YEAR:
        raise ValueError(f"{text!r} is not of these times")
    return found.timestamp()


def time_or_none(text: str) -> float:
    return _time(text) if text.strip() else math.nan


def _number(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number" if text.strip() else "is empty") from None
    if not math.isfinite(found) or found < 0:
        raise ValueError(f"{text!r} is not a number from 0 up")
    return found


def _number_or_none(text: str) -> float:
    return _number(text) if text.strip() else math.nan


def _whole(text: str) -> float:
    found = _number(text)
    if found != int(found) or found >= _MOST:
        raise ValueError(f"{text!r} is not a whole number")
    return found


def _flag(text: str) -> float:
    found = _FLAGS.get(text.strip().lower())
    if found is None:
        raise ValueError(f"{text!r} is none of 0, 1, true, false")
    return found


def name(text: str) -> str:
    found = text.strip()
    if not found:
        raise ValueError("is empty")
    return found


def _words(text: str) -> str:
    return text.strip()


def network(text: str) -> str:
    """``33771``, ``as33771`` and ``AS33771`` are one network."""
    found = name(text)
    number = re.fullmatch(r"(?:AS)?0*(\d{1,10})(?:\.0)?", found, re.IGNORECASE)
    return f"AS{number[1]}" if number else found


def _country(text: str) -> str:
    return name(text).upper()


def _choice(choices: Sequence[str]) -> Callable[[str], float]:
    places = {name: float(place) for place, name in enumerate(choices)}

    def parse(text: str) -> float:
        found = places.get(text.strip().lower())
        if found is None:
            raise ValueError(f"{text!r} is none of {', '.join(choices)}")
        return found

    return parse


def _more_than_expected(values: tuple[Any, ...]) -> None:
    """Of a row of the roster."""
    _, _, n_expected, n_up = values
    if n_up > n_expected:
        raise ValueError(f"n_up {n_up:.0f} is more than n_expected {n_expected:.0f}")


_MOST = 2.0**53
_FIRST_YEAR, _LAST_YEAR = 1990, 2100
_FLAGS = {"0": 0.0, "1": 1.0, "false": 0.0, "true": 1.0, "0.0": 0.0, "1.0": 1.0, "f": 0.0, "t": 1.0}
_TEXTS = (name, _words, network, _country)
_AT = Column("time", _time)
_GROUP = Column("group", name)
_COLUMNS = {
    Form.ROSTER: (_AT, _GROUP, Column("n_expected", _whole), Column("n_up", _whole)),
    Form.ROSTER_PROBES: (_AT, _GROUP, Column("household", name), Column("up", _flag)),
    Form.COUNTS: (_AT, _GROUP, Column("count", _whole)),
    Form.TARGET: (
        _AT,
        Column("network", network),
        Column("country", _country),
        Column("target", name),
        Column("layer", _choice(LAYERS)),
        Column("household", name),
        Column("ok", _flag),
        Column("failure", _words, default=""),
    ),
    Form.THROUGHPUT: (
        Column("test", name),
        Column("arm", _choice(ARMS)),
        Column("replicate", name),
        Column("sample_s", _number),
        Column("bytes", _number),
        Column("time", time_or_none, default=math.nan),
        Column("rtt_ms", _number_or_none, default=math.nan),
    ),
}
_BUILD = {
    Form.ROSTER: _roster,
    Form.ROSTER_PROBES: _probes,
    Form.COUNTS: _counts,
    Form.TARGET: _target,
    Form.THROUGHPUT: _throughput,
}
