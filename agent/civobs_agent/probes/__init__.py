"""One file for each kind of measurement, and the exchanges they are made of.

A probe is imported when it is first needed: an agent whose plan has no HTTP does not carry it in memory.
"""

from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from civobs_agent.net import Context
    from civobs_wire.measurement import AnyMeasurement
    from civobs_wire.plan import Target

    Measure = Callable[[Target, Context], Awaitable[list[AnyMeasurement]]]


def _loader(kind: str) -> "Callable[[], Measure]":
    def load() -> "Measure":
        measure: Measure = import_module(f"civobs_agent.probes.{kind}").measure
        return measure

    return load


PROBES: "dict[str, Callable[[], Measure]]" = {kind: _loader(kind) for kind in ("ping", "dns", "tcp", "tls", "http")}
"""Kind to a function that gives its ``measure``."""
HEAVY = frozenset({"http"})
"""Kinds that move a body: never two at a time, so that neither slows the other."""


def heavy(kind: str) -> bool:
    """Whether runs of this kind must not overlap."""
    return kind in HEAVY
