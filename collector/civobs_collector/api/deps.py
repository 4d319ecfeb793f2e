"""What routes are given: a connection, the settings, the sealer, the drawings and who draws them ahead."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request
from psycopg_pool import ConnectionPool
from pydantic import Field

from civobs_collector.api.rate import TokenBuckets
from civobs_collector.api.sealing import Sealer, make_sealer
from civobs_collector.config import CollectorSettings
from civobs_collector.db.connect import Connection, make_pool
from civobs_collector.web.ahead import Ahead
from civobs_collector.web.country_page import Period, View, country_page
from civobs_collector.web.draw import Drawings
from civobs_collector.web.places import local_clock

POOL_SIZE = 8
POOL_WAIT_S = 3.0
"""How long a request waits for a connection before it answers 503: a reader has not gone away by then."""

PAGE_DEFAULT, PAGE_MOST = 100, 1000
"""Rows of one page of a list."""


@dataclass(frozen=True, slots=True)
class Served:
    """What the application holds as long as it runs."""

    settings: CollectorSettings
    pool: ConnectionPool[Connection]
    sealer: Sealer
    drawings: Drawings
    ahead: Ahead
    enrolments: TokenBuckets
    times: TokenBuckets
    sign_ins: TokenBuckets
    """By address."""
    logins: TokenBuckets
    """By the login that was typed, whoever's it is: the answer does not tell whether there is such a one."""
    strangers: TokenBuckets
    """Bounds what is written down of people who are not signed in."""
    hashing: asyncio.Semaphore
    """Bounds how many passwords are hashed at once."""


def make_served(settings: CollectorSettings) -> Served:
    """Make it all; the pool opens with the application and does not insist on a database that is away."""
    pool = make_pool(settings.database, "api", size=POOL_SIZE, wait_s=POOL_WAIT_S)
    drawings = Drawings()

    def render(cc: str, period: Period, at: datetime) -> None:
        with pool.connection() as conn:
            country_page(conn, cc, period, View(at, local_clock(cc), drawings, settings.api.public_url))

    return Served(
        settings=settings,
        pool=pool,
        sealer=make_sealer(settings),
        drawings=drawings,
        ahead=Ahead(render),
        enrolments=TokenBuckets(burst=10, refill_s=30.0),
        times=TokenBuckets(burst=30, refill_s=2.0),
        sign_ins=TokenBuckets(burst=5, refill_s=30.0),
        logins=TokenBuckets(burst=5, refill_s=60.0),
        strangers=TokenBuckets(burst=100, refill_s=60.0),
        hashing=asyncio.Semaphore(2),
    )


def _served(request: Request) -> Served:
    served: Served = request.app.state.served
    return served


ServedDep = Annotated[Served, Depends(_served)]


def _connection(served: ServedDep) -> Iterator[Connection]:
    with served.pool.connection() as conn:
        yield conn


ConnDep = Annotated[Connection, Depends(_connection)]
Cursor = Annotated[str | None, Field(description="From `next` of the page before", max_length=1000)]
Limit = Annotated[int, Field(ge=1, le=PAGE_MOST, description="Rows on a page")]
