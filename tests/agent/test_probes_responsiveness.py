"""Latency under load: the arithmetic by hand-worked numbers, the measurement against a real anchor."""

import asyncio
from dataclasses import replace

import pytest

from civobs_agent.probes.responsiveness import measure
from civobs_wire.failure import Failure, Outcome
from civobs_wire.plan import Target
from tests.agent.fix_net import plan_with

TARGET = Target(id="-", url="")


def measured(context, *servers):
    """Rows by their direction."""
    rows = asyncio.run(measure(TARGET, replace(context, plan=plan_with(servers=servers))))
    return {row.direction: row for row in rows}


def test_both_directions_have_figures_that_fit_together(context, anchor):
    rows = measured(replace(context, left=lambda: 30_000_000), anchor.server)
    assert set(rows) == {"download", "upload"}
    for row in rows.values():
        print(row)
        assert row.outcome is Outcome.OK, row
