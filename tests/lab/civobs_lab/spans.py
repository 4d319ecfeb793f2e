"""Spans of time as people write them in a scenario: ``90s``, ``20m``, ``1h30m``, ``7d``."""

import re
from datetime import timedelta
from typing import Annotated

import durationpy
from pydantic import BeforeValidator, Field

_FORM = re.compile(r"(\d+(\.\d+)?(ms|[smhdw]))+", re.ASCII)
"""Stricter than the library, to which ``5mm`` is five months and ``1h-5m`` more than an hour."""
LONGEST_S = 366 * 86400.0
"""More is a slip of the pen, and datetime has its limits."""


def seconds(text: object) -> float:
    """Seconds of a span such as ``1h30m``. Raises ValueError for anything else, also for a number without a unit."""
    if isinstance(text, str) and _FORM.fullmatch(text):
        try:
            span_s = float(durationpy.from_str(text).total_seconds())
        except durationpy.DurationError:
            span_s = float("inf")
        if span_s <= LONGEST_S:
            return span_s
        raise ValueError(f"{text!r} is more than a year; write less")
    raise ValueError(f"{text!r} is not a span of time; write one such as '90s', '20m', '1h30m' or '7d', in quotes")


def words(span_s: float) -> str:
    """A span in the same form."""
    return str(durationpy.to_str(timedelta(seconds=span_s))) if span_s else "0s"


Span = Annotated[float, BeforeValidator(seconds), Field(ge=0)]
"""Seconds of the lab's time."""
