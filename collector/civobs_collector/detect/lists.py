"""Lists: where of the hosts abroad only a few go on answering, somebody has let these through and nothing else.

Rows alone do not tell that from a plan with dead hosts, so what counts is that the observatory was lost meanwhile. A
family that is asked of one host only may find it on the list, and looks as well as ever: then the other family tells.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from civobs_collector.detect.inputs import LadderRun, RunOutcome
from civobs_collector.detect.presence import Seen, Span


def settled(families: Sequence[Sequence[LadderRun]], said: Iterable[Span]) -> list[list[LadderRun]]:
    """The runs of L4, family by family and in order of time: ``FEW`` where a list was in force, else ``OK``."""
    lost = [span for span in said if span.seen in (Seen.LOST, Seen.LOST_REBOOT)]
    found = [[_settled(run, lost) for run in runs] for runs in families]
    lists = [
        (number, runs[at - 1].last_at if at else run.first_at, run, _next(runs, at))
        for number, runs in enumerate(found)
        for at, run in enumerate(runs)
        if run.outcome is RunOutcome.FEW
    ]
    for number, before, few, after in lists:
        for other, runs in enumerate(found):
            if other != number:
                found[other] = [part for run in runs for part in _cut(run, before, few, after)]
    return found


def _settled(run: LadderRun, lost: Sequence[Span]) -> LadderRun:
    """Few hosts are a list only where presence was lost for most of the time: else they are all that ever answered."""
    if run.outcome is not RunOutcome.FEW:
        return run
    start, end = run.first_at.timestamp(), run.last_at.timestamp()
    together = sum(max(0.0, min(end, span.end) - max(start, span.start)) for span in lost)
    return run if together > 0 and together * 2 >= end - start else replace(run, outcome=RunOutcome.OK)


def _next(runs: Sequence[LadderRun], at: int) -> datetime:
    return runs[at + 1].first_at if at + 1 < len(runs) else runs[at].last_at


def _cut(run: LadderRun, before: datetime, few: LadderRun, after: datetime) -> list[LadderRun]:
    """A run of another family that was well all the time: by the list while there was one. Both are asked together."""
    if run.outcome is not RunOutcome.OK or run.last_at < few.first_at or run.first_at > few.last_at:
        return [run]
    parts = [
        replace(run, last_at=before) if run.first_at < few.first_at else None,
        replace(
            run,
            outcome=RunOutcome.FEW,
            first_at=max(run.first_at, few.first_at),
            last_at=min(run.last_at, few.last_at),
        ),
        replace(run, first_at=after) if run.last_at > few.last_at else None,
    ]
    whole = (run.last_at - run.first_at).total_seconds() or 1.0
    return [
        replace(part, n=max(1, round(run.n * (part.last_at - part.first_at).total_seconds() / whole)))
        for part in parts
        if part is not None and part.first_at <= part.last_at
    ]
