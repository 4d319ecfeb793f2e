"""Spans of time as people write them in a scenario: ``90s``, ``20m``, ``1h30m``, ``7d``."""

from datetime import timedelta
from typing import Annotated

import durationpy
from pydantic import BeforeValidator, Field


def seconds(text: object) -> float:
    """Seconds of a span such as ``1h30m``. Raises ValueError for anything else, also for a number without a unit."""
    try:
        # A bare number is not one to durationpy, except for 0.
        return float(durationpy.from_str(text.strip()).total_seconds()) if isinstance(text, str) else _refuse(text)
    except durationpy.DurationError:
        return _refuse(text)


def _refuse(text: object) -> float:
    raise ValueError(f"{text!r} is not a span of time such as 90s, 20m, 1h30m or 7d")


def words(span_s: float) -> str:
    """A span in the same form."""
    return str(durationpy.to_str(timedelta(seconds=span_s))) if span_s else "0s"


Span = Annotated[float, BeforeValidator(seconds), Field(ge=0)]
"""Seconds of the lab's time."""
