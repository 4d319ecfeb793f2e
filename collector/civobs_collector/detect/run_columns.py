"""Runs against targets in columns, and the words they say: millions of runs, a few hundred ways to go.

What the rows of a run that failed said is kept once for all runs that said the same, and words are asked for once for
all runs that are alike. A run whose rows were read in parts is put together here, so it matters to nobody where a
reading was cut.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from civobs_collector.detect.fold import Spoken
from civobs_collector.detect.target_addresses import Known
from civobs_collector.detect.target_runs import Detail, Page, Run, Word, words
from civobs_wire.measurement import KIND_CODES

Ints = NDArray[np.int64]
Table = NDArray[Any]
"""Of dtype ``RUN``."""

RUN = np.dtype(
    [
        ("target", np.int32),
        ("probe", np.int32),
        ("kind", np.int16),
        ("family", np.int16),
        ("slot", np.int64),
        ("first", np.int64),
        ("last", np.int64),
        ("n_ok", np.int32),
        ("failed", np.int32),
        ("page", np.int16),
        ("status", np.float64),
    ]
)
"""One run. Times in microseconds since 1970; ``failed`` as numbered by ``Facts``, ``page`` as in ``PAGES`` where one
that was not the usual one was kept, else -1; ``status`` NaN where there is none."""
FACTS = ("failure", "stage", "address", "named", "resolver", "qtype", "transport", "tcp_failure")
"""What ``words`` asks of a row that failed, as ``target_runs.sql`` gives it: nothing else of it is read."""
PAGES = tuple(Page)
_KEY = ("target", "probe", "kind", "family", "slot")
_HOUR_US = 3_600_000_000
_HTTP = KIND_CODES["http"]
_KIND_OF = {code: kind for kind, code in KIND_CODES.items()}


class Facts:
    """Lists of what failed rows said, numbered; 0 is the empty one. A list comes as JSON, each row as ``FACTS``."""

    def __init__(self) -> None:
        self._numbers = {"": 0}
        self._texts = [""]

    def __len__(self) -> int:
        return len(self._texts)

    def number(self, text: str | None) -> int:
        """The number of a list, the same for the same text."""
        found = self._numbers.setdefault(text or "", len(self._texts))
        if found == len(self._texts):
            self._texts.append(text or "")
        return found

    def joined(self, numbers: Sequence[int]) -> int:
        """The number of these lists one after another."""
        inner = [self._texts[number][1:-1] for number in numbers if number]
        return self.number(f"[{', '.join(inner)}]" if inner else None)

    def rows(self, number: int) -> tuple[Detail, ...]:
        """The rows of a list."""
        text = self._texts[number]
        return tuple(dict(zip(FACTS, row, strict=True)) for row in json.loads(text)) if text else ()


def whole(parts: Sequence[Table], facts: Facts) -> Table:
    """All runs, by ``target``, probe, kind, family and slot; parts of one run, in order of time, are put together."""
    runs = np.concatenate(parts) if parts else np.empty(0, RUN)
    runs = runs[np.lexsort([runs[name] for name in reversed(_KEY)])]
    again = np.ones(len(runs), dtype=np.bool_)
    again[:1] = False
    for name in _KEY:
        again[1:] &= runs[name][1:] == runs[name][:-1]
    if not again.any():
        return runs
    begin = np.flatnonzero(~again)
    end = np.append(begin[1:], len(runs))
    for first, until in zip(begin[end - begin > 1].tolist(), end[end - begin > 1].tolist(), strict=True):
        mine = runs[first:until].copy()
        pages = mine["page"][mine["page"] >= 0]
        runs[first]["first"], runs[first]["last"] = mine["first"].min(), mine["last"].max()
        runs[first]["n_ok"], runs[first]["status"] = mine["n_ok"].sum(), np.fmax.reduce(mine["status"])
        runs[first]["failed"] = facts.joined(mine["failed"].tolist())
        runs[first]["page"] = pages[0] if len(pages) else -1
    return runs[begin]


def spoken(runs: Table, known: Mapping[int, Known], facts: Facts) -> Spoken:
    """What whole runs say, in their order."""
    page = _pages(runs)
    alike, ones = _alike((runs["target"], runs["kind"], runs["n_ok"], runs["failed"], page))
    numbers: dict[Word, int] = {}
    told: list[int] = []
    count = np.zeros(len(ones), dtype=np.int64)
    for index, one in enumerate(ones.tolist()):
        run = Run(_KIND_OF[int(runs["kind"][one])], int(runs["n_ok"][one]), failed=facts.rows(int(runs["failed"][one])))
        found = words(run, known.get(int(runs["target"][one]), Known()), PAGES[page[one]])
        told += [numbers.setdefault(word, len(numbers)) for word in found]
        count[index] = len(found)
    by_run = count[alike]
    which = np.repeat(np.arange(len(runs), dtype=np.int32), by_run)
    start = (np.cumsum(count) - count)[alike] - (np.cumsum(by_run) - by_run)
    word = np.array(told, dtype=np.int32)[start[which] + np.arange(len(which))]
    return Spoken(
        runs["probe"].astype(np.int64),
        runs["target"].astype(np.int64),
        runs["first"] / 1e6,
        runs["last"] / 1e6,
        runs["family"].astype(np.int64),
        which,
        word,
        np.zeros(len(word), dtype=np.bool_),
        tuple(numbers),
    )


def cadences(runs: Table) -> list[float]:
    """The usual time from one slot to the next, in seconds, of each probe, target and kind that has several."""
    order = np.lexsort((runs["slot"], runs["kind"], runs["target"], runs["probe"]))
    mine = runs[["probe", "target", "kind", "slot"]][order]
    step = np.diff(mine["slot"]) / 1e6
    same = np.ones(len(step), dtype=np.bool_)
    for name in ("probe", "target", "kind"):
        same &= mine[name][1:] == mine[name][:-1]
    # A slot of both families is one.
    inner = same & (step > 0)
    series = np.concatenate(([0], np.cumsum(~same)))[1:][inner] if len(step) else np.empty(0, np.int64)
    step = step[inner]
    by = np.lexsort((step, series))
    series, step = series[by], step[by]
    begin = np.flatnonzero(np.append(True, np.diff(series) != 0)) if len(series) else np.empty(0, np.int64)
    n = np.diff(np.append(begin, len(series)))
    found: list[float] = ((step[begin + (n - 1) // 2] + step[begin + n // 2]) / 2).tolist()
    return found


def _pages(runs: Table) -> Ints:
    """What came in place of a page, by run; also where only the first such row of an hour was kept whole.

    docs/ontology.md: of answers of one status within an hour only the first has its text. If all that were kept are
    alike, so are the others.
    """
    usual = PAGES.index(Page.USUAL)
    found = np.where(runs["page"] >= 0, runs["page"], usual).astype(np.int64)
    mine = np.flatnonzero((runs["kind"] == _HTTP) & (runs["n_ok"] > 0))
    found[(runs["kind"] != _HTTP) | (runs["n_ok"] == 0)] = usual
    some = runs[mine]
    if not (some["page"] >= 0).any():
        return found
    hour = some["first"] // _HOUR_US
    group, ones = _alike((some["target"], some["probe"], some["family"], hour, some["status"]))
    odd = np.zeros(len(ones), dtype=np.bool_)
    odd[group[some["page"] >= 0]] = True
    seen: dict[int, set[int]] = {}
    for index in np.flatnonzero(odd[group]).tolist():
        before = seen.setdefault(int(group[index]), set())
        if some["page"][index] >= 0:
            before.add(int(some["page"][index]))
        else:
            found[mine[index]] = next(iter(before), usual) if len(before) <= 1 else PAGES.index(Page.UNKNOWN)
    return found


def _alike(columns: Sequence[NDArray[Any]]) -> tuple[Ints, Ints]:
    """Rows of equal values numbered alike, and one row of each number."""
    number = np.zeros(len(columns[0]), dtype=np.int64)
    ones = np.arange(min(1, len(number)))
    for column in columns:
        values, of = np.unique(column, return_inverse=True)
        _, ones, number = np.unique(number * max(1, len(values)) + of, return_index=True, return_inverse=True)
    return number.astype(np.int64), ones.astype(np.int64)
