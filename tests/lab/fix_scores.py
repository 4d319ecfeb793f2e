"""Invented runs to score: times are lab seconds from the timeline's zero, one national shutdown from 1200 to 3600."""

from datetime import UTC, datetime, timedelta

from civobs_lab.results import EventRun, Interval, LedgerRun, RunResult, Span, TruthRun, VersionRun

SCALE = 30.0
ZERO = datetime(2026, 11, 22, 9, tzinfo=UTC)
START, END, UNTIL = 1200.0, 3600.0, 9000.0


def at(lab_s):
    return ZERO + timedelta(seconds=lab_s / SCALE)


def bounds(earliest, latest, likely=None):
    return Interval(earliest=at(earliest), latest=at(latest), likely=None if likely is None else at(likely))


def truth(kind="shutdown_suspected", spans=((START, END),), **known):
    values = {"name": kind, "kind": kind, "cc": "XA", "level": "country"} | known
    times = tuple(Span(start=at(start), end=None if end is None else at(end)) for start, end in spans)
    return TruthRun(spans=times, **values)


def version(published=1700.0, **known):
    """The first, from presence alone."""
    values = {
        "published_at": at(published),
        "kind": "shutdown_suspected",
        "status": "open",
        "provisional": True,
        "level": "country",
        "cc": "XA",
        "asns": (64500, 64501),
        "depth": "unknown",
        "confidence": "unconfirmed",
        "likeliest": "undetermined",
        "onset": bounds(START - 60, START + 30),
    }
    return VersionRun.model_validate(values | known)


def closed(published=4200.0, start=START, end=END, **known):
    """The last, with all rows in."""
    values = {
        "status": "closed",
        "provisional": False,
        "depth": "full",
        "confidence": "probable",
        "likeliest": "national",
        "onset": bounds(start - 20, start + 25, start + 5),
        "resolution": bounds(end - 20, end + 30, end + 7),
    }
    return version(published, **(values | known))


def event(*versions, number=1, **known):
    chain = versions or (version(), closed())
    return EventRun(public_id=f"CIV-2026-XA-{number:04d}", versions=chain, **known)


def household_event(*versions):
    return EventRun(public_id=None, versions=versions)


def run(truths, events=(), **known):
    values = {
        "scenario": "invented",
        "title": "What did not happen",
        "resembles": "nothing",
        "version": "0",
        "time_scale": SCALE,
        "bin_s": 300.0,
        "started_at": ZERO - timedelta(seconds=30),
        "seconds": 400.0,
        "zero": ZERO,
        "played_until": at(UNTIL),
        "countries": ("XA", "XB"),
        "ledger": LedgerRun(recorded=1000, stored=1000, lost=0, doubled=0),
    }
    return RunResult(truths=tuple(truths), events=tuple(events), **(values | known))
