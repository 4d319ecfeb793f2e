"""Rows as a person reads them: what was asked, what answered, and what that means, claiming no more than it shows."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from statistics import median

from civobs_agent.picture import printable
from civobs_agent.words import failed_words, not_asked
from civobs_wire.failure import Outcome
from civobs_wire.measurement import Agent, AnyMeasurement, Check, Dns, Http, Ladder, MeasurementBase, Ping, Quic, Tls

RUNGS = {
    0: "Power",
    1: "Home network",
    2: "Your provider",
    3: "In your country",
    4: "Beyond your country",
    5: "A page, end to end",
}
CHECKS = {
    "carrier": "cable or Wi-Fi",
    "address": "address",
    "route": "way out",
    "gateway": "your router answers",
    "hop": "the provider's next hop answers",
    "resolver": "your resolver answers",
    "name": "name",
    "connect": "connection",
    "tls": "encryption",
    "http": "page",
}
_SHARED = frozenset({*MeasurementBase.model_fields, "kind", "stage"})
MOST_FIELDS = 5
"""Of a kind that has no words of its own; the rest is in ``--json``."""


def ladder_table(rows: Iterable[Ladder], width: int = 80) -> str:
    """For each rung and family a line, or as many as it takes at this width."""
    lines = []
    for row in sorted(rows, key=lambda one: (one.rung, one.family)):
        family = f"IPv{row.family}" if row.family else ""
        head = f"L{row.rung}  {RUNGS[row.rung]:<20} {family:<5} "
        lines += textwrap.wrap(_rung(row), width, initial_indent=head, subsequent_indent=" " * len(head))
    return "\n".join(lines)


def meaning(rows: Sequence[Ladder]) -> str:
    """The last sentence: what the climb shows, and what one home cannot know."""
    state = {rung: _state(rung, rows) for rung in RUNGS}
    for pattern, words in _PATTERNS:
        if all(state[rung] in allowed for rung, allowed in pattern.items()):
            return words
    return "The answers do not fit one simple picture. The observatory compares them with those of other probes."


_OK = frozenset({"ok"})
_BAD = frozenset({"failed"})
_NOT_OK = frozenset({"failed", "not_run"})
_UNASKED = frozenset({"not_run"})
_ANY = frozenset({"ok", "not_run"})

_PATTERNS: tuple[tuple[dict[int, frozenset[str]], str], ...] = (
    (
        {4: _OK, 5: _BAD},
        (
            "Hosts abroad answer by address, but the page did not come through. That can be the page itself, the"
            " resolver or something on the way: one attempt from one home cannot tell."
        ),
    ),
    ({3: _ANY, 4: _OK}, "From here the Internet answers at this moment, at least one host abroad included."),
    (
        {3: _BAD, 4: _OK},
        "Hosts abroad answer, those asked in your country do not. They may be down themselves.",
    ),
    (
        {3: _OK, 4: _BAD},
        (
            "Hosts in your country answer, hosts abroad do not. Whether that is your provider or the whole country only"
            " other probes can tell; the observatory compares them."
        ),
    ),
    (
        {2: _OK, 3: _NOT_OK, 4: _BAD},
        (
            "Your provider answers, but nothing that was asked beyond it does. Whether others see the same only other"
            " probes can tell."
        ),
    ),
    (
        {1: _OK, 2: _NOT_OK, 3: _NOT_OK, 4: _BAD},
        (
            "Your home network works, but beyond your router nothing answers as it should. One home cannot tell whether"
            " that is the line, the provider or more."
        ),
    ),
    (
        {1: _BAD, 4: _BAD},
        (
            "This device does not get as far as your router, or not beyond it. Look at cable, Wi-Fi and router first:"
            " it says nothing yet about the provider or the country."
        ),
    ),
    (
        {4: _UNASKED},
        "Beyond your provider nothing could be asked, so nothing can be said about it.",
    ),
)
"""Outcome of each rung over both families to what it means; the first that fits counts."""


def row_line(row: AnyMeasurement) -> str:
    """One recorded row on one line."""
    family = f"IPv{row.family}" if row.family else ""
    at = row.at.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(row, Ladder):
        return f"{at}  {row.kind:<14} {RUNGS[row.rung] + ' ' + family:<28} {_rung(row)}"
    return printable(f"{at}  {row.kind:<14} {row.target + ' ' + family:<28} {_verdict(row)}")


def _state(rung: int, rows: Sequence[Ladder]) -> str:
    outcomes = {row.outcome for row in rows if row.rung == rung}
    for outcome in (Outcome.OK, Outcome.FAILED):
        if outcome in outcomes:
            return str(outcome)
    return str(Outcome.NOT_RUN)


def _rung(row: Ladder) -> str:
    if row.rung == 0:
        return _power(row)
    if row.rung in {3, 4} and row.checks:
        return _hosts(row.checks)
    if row.checks:
        return " · ".join(f"{CHECKS.get(check.id, check.id)}: {_check(check)}" for check in row.checks)
    return _verdict(row)


def _power(row: Ladder) -> str:
    if row.uptime_s is None:
        return _verdict(row)
    dark = "" if row.dark_s is None else f", after {duration(row.dark_s)} without a sign of life"
    low = ", supply voltage too low" if row.undervoltage else ""
    return f"the device has been on for {duration(row.uptime_s)}{dark}{low}"


def _hosts(checks: Sequence[Check]) -> str:
    made = [check for check in checks if check.outcome is not Outcome.NOT_RUN]
    if not made:
        return not_asked(checks[0].failure)
    times = [check.ms for check in made if check.outcome is Outcome.OK and check.ms is not None]
    n_ok = sum(check.outcome is Outcome.OK for check in made)
    if not n_ok:
        asked = f"{len(made)} hosts" if len(made) > 1 else "the one host"
        return f"no answer from {asked} asked ({_most_common(made)})"
    answering = f"{n_ok} of {len(made)} hosts answer" if len(made) > 1 else "the one host asked answers"
    return f"{answering}{f', {median(times):.0f} ms' if times else ''}"


def _most_common(checks: Sequence[Check]) -> str:
    failures = [check.failure for check in checks if check.failure is not None]
    return failed_words(max(failures, key=failures.count)) if failures else "no reason given"


def _check(check: Check) -> str:
    match check.outcome:
        case Outcome.OK:
            return "yes" if not check.ms else f"yes, {check.ms:.0f} ms"
        case Outcome.NOT_RUN:
            return not_asked(check.failure)
        case Outcome.FAILED:
            return f"no ({failed_words(check.failure)})"


def _verdict(row: AnyMeasurement) -> str:
    if row.outcome is Outcome.NOT_RUN:
        return not_asked(row.failure)
    if row.outcome is Outcome.FAILED:
        stage = getattr(row, "stage", None)
        return f"no{f' at {stage}' if stage else ''} ({failed_words(row.failure)}){_which(row)}"
    return ", ".join(("yes", *_details(row)))


def _which(row: AnyMeasurement) -> str:
    """Which of the questions to one target it was, where there are several."""
    match row:
        case Dns():
            return f", {_question(row)}"
        case Tls() | Quic():
            return f", {row.named} name"
        case _:
            return ""


def _question(row: Dns) -> str:
    return f"{row.qtype} from {row.resolver}{' by TCP' if row.transport == 'tcp' else ''}"


def _details(row: AnyMeasurement) -> Iterator[str]:
    match row:
        case Ping():
            yield f"{row.received} of {row.sent} echoes"
        case Dns():
            yield f"{_question(row)}: {' '.join(row.answers)}"
        case Http():
            yield f"status {row.status}"
        case Agent():
            yield str(row.event)
        case _:
            yield from _plain_fields(row)
    if row.duration_ms:
        yield f"{row.duration_ms:.0f} ms"


def _plain_fields(row: AnyMeasurement) -> Iterator[str]:
    """What a kind has beside what all have: its first plain values, by their names; of lists their length."""
    shown = 0
    for name in type(row).model_fields:
        value = getattr(row, name)
        if name in _SHARED or value is None or value == "" or shown >= MOST_FIELDS:
            continue
        if isinstance(value, tuple):
            value = len(value) or None
        elif isinstance(value, float):
            value = f"{value:.1f}"
        elif isinstance(value, bool):
            value = "yes" if value else "no"
        if isinstance(value, str | int):
            shown += 1
            yield f"{name} {value}"


def duration(seconds: float) -> str:
    """Seconds in the two units a person would use."""
    minutes = int(seconds // 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} days {hours % 24} h"
