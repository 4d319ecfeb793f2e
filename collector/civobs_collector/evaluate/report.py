"""The document ``civobs.evaluation/1``: what an evaluation read, found and scored, for other programs.

It is stable (docs/evaluation.md): a field may be added, none is taken away or changes its meaning.
"""

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from civobs_collector import __version__
from civobs_collector.evaluate.found import Between, Found, Piece
from civobs_collector.evaluate.run import Evaluation, Input
from civobs_collector.evaluate.score import Errors, KindScore, Score, Scored

SCHEMA = "civobs.evaluation/1"
_LISTED = 100
"""Bad rows that the document names; it counts them all."""
Json = dict[str, object]


def document(made: Evaluation) -> Json:
    """``civobs.evaluation/1``."""
    tally = made.tally
    listed = [{"file": one.file, "line": one.line, "problem": one.what} for one in tally.problems[:_LISTED]]
    return {
        "schema": SCHEMA,
        "form": made.form.value,
        "detector_version": f"civobs {__version__}",
        "params_id": made.params.params_id,
        "inputs": [_input(one) for one in made.inputs],
        "n_rows": sum(one.n_rows for one in made.inputs),
        "n_bad_rows": tally.n_bad,
        "bad_rows": listed,
        "notes": made.notes,
        "n_events": len(made.events),
        "events": [_finding(one) for one in made.events],
        "conclusions": [_finding(one) for one in made.conclusions],
        "campaigns": campaigns(made.events),
        "score": _score(made.score, made.found) if made.score is not None else None,
    }


def _input(one: Input) -> Json:
    return {
        "file": one.file,
        "rows": one.n_rows,
        "bad_rows": one.n_bad,
        "first": iso(one.first),
        "last": iso(one.last),
        "bin_s": one.bin_s,
        "bin_from": None if one.bin_s is None else "option" if one.given else "file",
        "even_steps": round(one.even, 4),
    }


def iso(at: float | None) -> str | None:
    """Seconds since the epoch as ISO 8601 in UTC."""
    if at is None or not math.isfinite(at):
        return None
    found = datetime.fromtimestamp(round(at, 3), UTC)
    return found.isoformat(timespec="milliseconds" if found.microsecond else "seconds").replace("+00:00", "Z")


def _times(start: Between | None, end: Between | None) -> Json:
    said: Json = {}
    for name, one in (("start", start), ("end", end)):
        said[name] = iso(one.likely) if one is not None else None
        said[f"{name}_earliest"] = iso(one.earliest) if one is not None else None
        said[f"{name}_latest"] = iso(one.latest) if one is not None else None
    return said


def _finding(one: Found) -> Json:
    return {
        "group": one.group,
        "kind": str(one.kind),
        "level": str(one.level),
        "country": one.cc,
        "networks": list(one.networks),
        "asns": list(one.asns),
        "targets": list(one.targets),
        "layers": list(one.layers),
        "mechanisms": list(one.mechanisms),
        **_times(one.start, one.end),
        "ongoing": one.ongoing,
        "alert_at": iso(one.alert_at),
        "posterior": _number(one.posterior),
        "confidence": str(one.confidence),
        "campaign": one.campaign or None,
        "occurrence": one.occurrence or None,
        "n_occurrences": one.n_occurrences or None,
        "depth": _number(one.depth),
        "n_down": one.n_down,
        "n_observed": one.n_observed,
        "rules": list(one.rules),
        "why": one.why,
        "held": one.held or None,
        "numbers": {name: _number(value) for name, value in one.numbers},
        "pieces": [_piece(piece) for piece in one.pieces],
    }


def _piece(one: Piece) -> Json:
    return {
        "network": one.network,
        "target": one.target,
        "layers": list(one.layers),
        **_times(one.start, one.end),
        "alert_at": iso(one.alert_at),
    }


def _number(value: float | None) -> float | None:
    """Six digits; what is not finite is no number in JSON."""
    return float(f"{value:.6g}") if value is not None and math.isfinite(value) else None


def campaigns(events: Sequence[Found]) -> list[Json]:
    """Each campaign once: whose it is, how often, from when until when."""
    members: dict[str, list[Found]] = {}
    for one in events:
        if one.campaign:
            members.setdefault(one.campaign, []).append(one)
    return [
        {
            "campaign": campaign,
            "group": some[0].group,
            "kind": str(some[0].kind),
            "n_occurrences": len(some),
            "first_start": _times(some[0].start, None)["start"],
            "last_end": None if some[-1].ongoing else _times(None, some[-1].end)["end"],
            "ongoing": some[-1].ongoing,
        }
        for campaign, some in members.items()
    ]


def _score(made: Score, found: Sequence[Found]) -> Json:
    numbers = _places(found)
    return {
        **_kind(made.all),
        "by_kind": {one.kind: _kind(one) for one in made.kinds},
        "n_unnamed": made.n_unnamed,
        "precision_named": _number(made.precision_named),
        "n_quiet": made.n_quiet,
        "n_quiet_kept": made.n_quiet_kept,
        "n_not_scoreable": made.n_unscoreable,
        "false_alarms": [numbers[place] for place in made.false_alarms],
        "rows": [_row(one, numbers) for one in made.rows],
    }


def _places(found: Sequence[Found]) -> list[Json]:
    """For every finding, which list of the document has it, and where, from 0."""
    counts = {"events": 0, "conclusions": 0}
    places: list[Json] = []
    for one in found:
        where = "events" if one.is_event else "conclusions"
        places.append({"in": where, "index": counts[where]})
        counts[where] += 1
    return places


def _kind(one: KindScore) -> Json:
    return {
        "n_truth": one.n_truth,
        "n_found": one.n_found,
        "n_missed": one.n_truth - one.n_found,
        "n_events": one.n_events,
        "n_right": one.n_right,
        "n_false": one.n_events - one.n_right,
        "precision": _number(one.precision),
        "recall": _number(one.recall),
        "delay_s": _errors(one.delay_s),
        "start_error_s": _errors(one.start_error_s),
        "end_error_s": _errors(one.end_error_s),
        "start_within_bounds": _number(one.start_within),
        "end_within_bounds": _number(one.end_within),
    }


def _errors(one: Errors) -> Json:
    return {"n": one.n, "median": _number(one.median), "p90": _number(one.p90)}


def _row(one: Scored, places: Sequence[Json]) -> Json:
    return {
        "group_or_target": one.row.said,
        "kind": one.row.kind,
        "start": iso(one.row.start),
        "end": iso(one.row.end),
        "scoreable": one.scoreable,
        "right": bool(one.found) != one.row.quiet if one.scoreable else None,
        "by": [places[place] for place in one.found],
        "delay_s": _number(one.delay_s),
        "start_error_s": _number(one.start_error_s),
        "end_error_s": _number(one.end_error_s),
        "start_within_bounds": one.start_within,
        "end_within_bounds": one.end_within,
    }
