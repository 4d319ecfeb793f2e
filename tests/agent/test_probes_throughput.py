"""Throughput is measured with ndt7 against a real anchor, within its bytes and its time, and against servers that lie."""

import asyncio
from dataclasses import replace

import pytest

from civobs_agent.probes.throughput import measure
from civobs_wire.failure import Failure, Outcome
from civobs_wire.plan import Target
from tests.agent.fix_net import plan_with

TARGET = Target(id="-", url="")


def measured(context, *servers, **plan):
    """Rows by their direction."""
    rows = asyncio.run(measure(TARGET, replace(context, plan=plan_with(servers=servers, **plan))))
    return {row.direction: row for row in rows}


def test_both_directions_have_figures_that_fit_together(context, anchor):
    rows = measured(context, anchor.server)
    assert set(rows) == {"download", "upload"}
    for row in rows.values():
        assert row.outcome is Outcome.OK, row
        assert row.server == "anchor"
        assert row.bytes > 1_000_000
        print(row)
