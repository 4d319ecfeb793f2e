"""``civobs evaluate``: run the detectors on a file of observations, and score them where the truth is known."""

import argparse
import json
import math
import re
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from civobs_collector.errors import EvaluationError, ResourceError
from civobs_collector.evaluate.names import HEADINGS, Form
from civobs_collector.printing import print_line, print_table
from civobs_collector.publish.times import count

if TYPE_CHECKING:
    from civobs_collector.evaluate.found import Found
    from civobs_collector.evaluate.run import Evaluation
    from civobs_collector.evaluate.score import Errors, KindScore, Score

_SHOWN_BAD = 10
"""Bad rows that are named on standard error; the JSON names more."""
_UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_EPILOG = """\
forms, by the columns of the file (in any order; others are ignored):
{forms}

Times are ISO 8601 with an offset: 2026-01-08T16:30:00Z, 2026-01-08T23:00:00+06:30. Files are CSV, plain or gzipped;
- is standard input. A bad row is named by file and line and left out, the rest goes on.

examples:
  civobs evaluate --form roster probing.csv
  civobs evaluate --form counts january.csv.gz february.csv.gz --truth known.csv
  civobs evaluate --form target votes.csv --json > found.json
  civobs evaluate --form throughput transfers.csv -o found.json
  zcat pings.csv.gz | civobs evaluate --form counts --bin 1h -

the truth is a CSV file too, with the columns group_or_target,kind,start,end:
  AS33771/telegram.org,blocking,2023-11-08T05:00Z,2023-11-08T13:30Z
  Bago,shutdown,2021-02-15T01:00+06:30,2021-02-15T09:00+06:30
  AS15399,quiet,2023-10-15T00:00Z,2023-11-30T00:00Z
  test-17,throttling_targeted,,
A row of kind quiet says that no event may overlap it; an end that is left out, that it goes on.
All of it, and the document that --json prints, stand in docs/evaluation.md.
"""


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "evaluate",
        help="run the detectors on a file, and score them",
        description="Run the detectors on files of observations; print the events, and how right they are.",
        epilog=_EPILOG.format(forms="\n".join(f"  {form:<14} {heading}" for form, heading in HEADINGS.items())),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="*", metavar="FILE", help="CSV, plain or gzipped; - is standard input")
    parser.add_argument("--form", required=True, choices=[form.value for form in Form], help="what the rows mean")
    parser.add_argument("--truth", metavar="FILE", help="what is known to have happened: adds precision, recall, delay")
    parser.add_argument("--bin", dest="bin_s", type=duration, metavar="5m", help="width of a bin (default: the file's)")
    parser.add_argument("--strict", action="store_true", help="stop at the first bad row")
    parser.add_argument(
        "--json", nargs="?", const="-", metavar="OUT.json", help="print the document civobs.evaluation/1, or write it"
    )
    parser.add_argument("-o", "--output", metavar="OUT.json", help="write the document to a file, and print the table")
    parser.set_defaults(run=run)


def duration(text: str) -> float:
    """``300``, ``5m``, ``1h``, ``1d`` in seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
    if found is None or found[2] not in _UNITS or not float(found[1]):
        raise argparse.ArgumentTypeError(f"not a duration: {text!r}; write it as 300, 5m, 1h or 1d")
    return float(found[1]) * _UNITS[found[2]]


def run(arguments: argparse.Namespace) -> int:
    """Read, find, score, print. Raises EvaluationError."""
    # Imported here: scipy takes most of a second, and every command would wait for it.
    from civobs_collector.detect.params import Params
    from civobs_collector.evaluate.report import document
    from civobs_collector.evaluate.run import Wanted, evaluate

    files, output = list(arguments.files), arguments.json
    if output is not None and output != "-" and not output.endswith(".json"):
        # ``--json FILE.csv``: the file is to be read, not to be written over.
        files, output = [output, *files], "-"
    if not files:
        raise EvaluationError("no file is named", f"give one with the columns {HEADINGS[Form(arguments.form)]}, or -")
    wanted = Wanted(Form(arguments.form), files, arguments.truth, arguments.bin_s, arguments.strict)
    made = evaluate(wanted, Params())
    _tell_bad(made)
    text = json.dumps(document(made), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    for path in {arguments.output, output} - {None, "-"}:
        _write(path, text)
    if output == "-":
        sys.stdout.write(text)
    else:
        _print(made)
    return 0


def _write(path: str, text: str) -> None:
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ResourceError(f"{path} cannot be written: {error.strerror}", "choose another file") from None


def _tell_bad(made: "Evaluation") -> None:
    tally = made.tally
    for one in tally.problems[:_SHOWN_BAD]:
        sys.stderr.write(f"{one}\n")
    if tally.n_bad:
        more = f"; {_SHOWN_BAD} are named" if tally.n_bad > _SHOWN_BAD else ""
        sys.stderr.write(f"civobs: {count(tally.n_bad, 'bad row')} left out{more}\n")


def _print(made: "Evaluation") -> None:
    for one in made.inputs:
        bins = "" if one.bin_s is None else f", bins of {_long(one.bin_s)}"
        when = "" if one.first is None else f", {_time(one.first)} to {_time(one.last)}"
        print_line(f"{one.file}: {count(one.n_rows, 'row')}{bins}{when}")
    for note in made.notes:
        print_line(note)
    events, others = made.events, made.conclusions
    print_line(f"{count(len(events), 'event')} found" if events else "no event found")
    _print_findings(events)
    if others:
        print_line(f"{count(len(others), 'conclusion')} that would not be published as an event")
        _print_findings(others)
    if made.score is not None:
        _print_score(made.score)


_COLUMNS = ("where", "kind", "start UTC", "±", "end UTC", "lasted", "alert UTC", "sure", "confidence", "no.", "why")
_FIRST = ("where", "kind", "start UTC", "end UTC")
_THEN = ("sure", "lasted", "alert UTC", "no.", "confidence", "±", "why")
"""Columns that a narrow terminal has no room for, the most wanted first."""


def _print_findings(found: Sequence["Found"]) -> None:
    """A line each, with as many columns as there is room for; columns with nothing in them are left out."""
    if not found:
        return
    lines = [_COLUMNS, *(_line(one) for one in found)]
    widths = {name: max(len(line[place]) for line in lines) for place, name in enumerate(_COLUMNS)}
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else math.inf
    shown = [name for name in _FIRST if any(line[_COLUMNS.index(name)] != "-" for line in lines[1:])]
    for name in _THEN:
        needed = sum(widths[one] + 2 for one in (*shown, name)) - 2
        if needed <= room and any(line[_COLUMNS.index(name)] != "-" for line in lines[1:]):
            shown.append(name)
    places = [place for place, name in enumerate(_COLUMNS) if name in shown]
    for line in lines:
        print_line("  ".join(line[place].ljust(widths[_COLUMNS[place]]) for place in places).rstrip())


def _line(one: "Found") -> tuple[str, ...]:
    start, end = one.start, one.end
    return (
        one.group,
        one.held or f"{one.kind}{f', {one.level}' if one.level in _STRENGTHS else ''}",
        _time(start.likely if start is not None else None),
        _long((start.latest - start.earliest) / 2) if start is not None and start.latest > start.earliest else "-",
        "ongoing" if one.ongoing else _time(end.likely if end is not None else None),
        _long(end.likely - start.likely) if start is not None and end is not None else "-",
        _time(one.alert_at),
        f"{one.posterior:.3f}" if one.posterior is not None else "-",
        one.confidence or "-",
        f"{one.occurrence} of {one.n_occurrences}" if one.campaign else "-",
        one.why or "-",
    )


_STRENGTHS = ("moderate", "extreme")


def _print_score(made: "Score") -> None:
    print_line("")
    if made.all.n_truth or made.all.n_events:
        head = ("kind", "true", "found", "recall", "events", "right", "precision", "delay", "start off", "end off")
        print_table(head, [_scores(one) for one in (*made.kinds, made.all)])
        print_line("delay, start off, end off: median and 90th percentile")
    if made.n_unnamed:
        print_line(
            f"{count(made.n_unnamed, 'event')} at places that the truth does not name, counted as false;"
            f" precision without them: {_share(made.precision_named)}"
        )
    if made.n_quiet:
        print_line(f"quiet: {made.n_quiet_kept} of {made.n_quiet} without an event")


def _scores(one: "KindScore") -> tuple[str, ...]:
    return (
        one.kind,
        str(one.n_truth),
        str(one.n_found),
        _share(one.recall),
        str(one.n_events),
        str(one.n_right),
        _share(one.precision),
        _off(one.delay_s),
        _off(one.start_error_s),
        _off(one.end_error_s),
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _off(one: "Errors") -> str:
    return "-" if one.median is None or one.p90 is None else f"{_long(one.median)}, {_long(one.p90)}"


def _time(at: float | None) -> str:
    return "-" if at is None else f"{datetime.fromtimestamp(round(at), UTC):%Y-%m-%d %H:%M}"


def _long(seconds: float) -> str:
    """A duration in the largest unit of which it is one or at least two."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size or seconds == size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
