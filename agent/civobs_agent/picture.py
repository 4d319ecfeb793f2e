"""Draws stages with their times as bars of text, one line a stage, on one scale.

Everything is laid out in Unicode, one column a character; a terminal that cannot write that gets the same picture in
ASCII. What stands in it may come from a hostile server, so nothing that could move a cursor passes.
"""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

NARROWEST, WIDEST = 60, 120
"""Columns. Eighty is what a terminal has unless somebody makes it wider; below sixty lines wrap."""
LABEL = 22
TIME = 9
MOST_LINES = 3
"""Of the text beside a stage: a server may have written it."""
_ASCII = str.maketrans({"─": "-", "█": "#", "░": "-", "×": "x", "…": "~", "·": "|", "→": ">", "“": '"', "”": '"'})


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One stage: when it began, how long it took, how it ended. Times are milliseconds."""

    label: str
    before_ms: float = 0.0
    """Since the first stage of its section began."""
    took_ms: float | None = None
    failed: bool = False
    text: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """Stages that belong together under a title, with a few words to its right."""

    title: str
    text: str
    steps: Sequence[Step]


def draw(sections: Sequence[Section], width: int = 80) -> str:
    """All sections on one scale, in lines no longer than ``width``."""
    width = min(WIDEST, max(NARROWEST, width))
    bar = (width - LABEL - TIME) // 3
    scale_ms = _scale_ms([step for section in sections for step in section.steps])
    lines: list[str] = []
    for section in sections:
        lines += ["", *_beside(f"{section.title:<{LABEL}} ", printable(section.text), width)]
        lines += [line for step in section.steps for line in _lines(step, scale_ms, bar, width)]
    legend = f"Column: {scale_ms / bar:.3g} ms.  ░ before it  █ stage  × failed (long waits end at the edge)"
    return "\n".join([*lines, "", *_beside("", legend, width)] if scale_ms else lines).lstrip("\n")


def written(text: str, encoding: str | None) -> str:
    """The text as an output of this encoding can take it."""
    try:
        text.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return text.translate(_ASCII).encode("ascii", "replace").decode()
    return text


def printable(text: str) -> str:
    """Text without anything that a terminal would obey."""
    return "".join(character if character.isprintable() else " " for character in text)


def span(ms: float) -> str:
    """A time in a few characters."""
    if ms < 1:
        return f"{ms:.1f} ms"
    return f"{ms:.0f} ms" if ms < 9999.5 else f"{ms / 1000:.1f} s"


def _scale_ms(steps: Iterable[Step]) -> float:
    """The end of the last stage that went well; where none did, of the last at all."""
    timed = [(step.before_ms + step.took_ms, step.failed) for step in steps if step.took_ms is not None]
    return max([end for end, failed in timed if not failed] or [end for end, _ in timed], default=0.0)


def _lines(step: Step, scale_ms: float, bar: int, width: int) -> list[str]:
    label = _fit(printable(f"  {step.label}"), LABEL)
    time = "" if step.took_ms is None else span(step.took_ms)
    head = f"{label:<{LABEL}} {_bar(step, scale_ms, bar):<{bar}}{time:>{TIME}}"
    return _beside(f"{head}  ", printable(step.text), width)


def _beside(head: str, text: str, width: int) -> list[str]:
    """Text to the right of something, in a column of its own; at most so many lines of it."""
    indent = " " * len(head)
    wrapped = textwrap.wrap(
        text, width, initial_indent=head, subsequent_indent=indent, max_lines=MOST_LINES, placeholder=" …"
    )
    return wrapped or [head.rstrip()]


def _bar(step: Step, scale_ms: float, bar: int) -> str:
    """Light up to its beginning, dark while it took. What failed ends in a cross, at the edge if it took longer."""
    if step.took_ms is None or not scale_ms:
        return ""
    begin = min(bar - 1, round(step.before_ms / scale_ms * bar))
    end = min(bar, max(begin + 1, round((step.before_ms + step.took_ms) / scale_ms * bar)))
    inner = "█" * (end - begin)
    return "░" * begin + (inner[:-1] + "×" if step.failed else inner)


def _fit(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
