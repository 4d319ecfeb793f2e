"""The role ``notify``: tells subscribers what was published, once, and tries again what did not arrive.

One process tells at a time, by an advisory lock; a second one waits. An attempt is counted before it is made, so that
a message that ends the process is not tried for ever.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Concatenate, ParamSpec, Protocol, TypeVar
from uuid import UUID

import psycopg

from civobs_collector.config import CollectorSettings
from civobs_collector.db.connect import Connection, connect
from civobs_collector.db.migrate import require_current
from civobs_collector.db.notices import lock_telling
from civobs_collector.errors import CivobsCollectorError, DatabaseError
from civobs_collector.notify import outbox
from civobs_collector.notify.mail import MailSender
from civobs_collector.notify.sending import SendError
from civobs_collector.notify.settings import SubscriberSettings
from civobs_collector.notify.texts import Content, content
from civobs_collector.notify.webhook import WebhookSender

logger = logging.getLogger(__name__)

_RETRY_S = 5.0
"""A database that is away is asked again this often."""

P = ParamSpec("P")
T = TypeVar("T")


class Sender(Protocol):
    """A way to one subscriber."""

    async def send(self, content: Content, message: UUID, now: datetime) -> None:
        """Deliver once. Raises SendError."""


def make_sender(settings: CollectorSettings, subscriber: SubscriberSettings) -> Sender:
    """The way to a subscriber. Raises ConfigError or KeyFileError for files that cannot be used."""
    notify = settings.notify
    if subscriber.mail is not None:
        return MailSender(settings.mail, subscriber.mail, base_url=settings.api.public_url, timeout_s=notify.timeout_s)
    return WebhookSender(subscriber, notify.timeout_s)


async def run(settings: CollectorSettings, stop: asyncio.Event) -> None:
    """Tell until ``stop`` is set. A database that is away is waited for."""
    senders = {one.name: make_sender(settings, one) for one in settings.notify.subscribers}
    desk: _Desk | None = None
    try:
        while not stop.is_set():
            wait = settings.notify.every_s
            try:
                desk = desk or await asyncio.to_thread(_open, settings, senders)
                if desk is not None:
                    await desk.round(stop)
            except (DatabaseError, psycopg.Error) as error:
                logger.warning("notify failed error=%s", str(error).strip().partition("\n")[0])
                desk = await asyncio.to_thread(_close, desk)
                wait = max(wait, _RETRY_S)
            except CivobsCollectorError:
                raise
            except Exception:
                # Ingest, detection and pages share the process, and must not end for what was not foreseen here.
                logger.exception("nobody was told")
                desk = await asyncio.to_thread(_close, desk)
                wait = max(wait, _RETRY_S)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), wait)
    finally:
        await asyncio.to_thread(_close, desk)


def _open(settings: CollectorSettings, senders: Mapping[str, Sender]) -> "_Desk | None":
    """A connection that may tell; None while another process tells."""
    connection = connect(settings.database, "notify", autocommit=True)
    try:
        require_current(connection)
        if lock_telling(connection):
            outbox.begin(connection, settings.notify, datetime.now(UTC))
            return _Desk(settings, senders, connection)
    except BaseException:
        connection.close()
        raise
    connection.close()
    return None


def _close(desk: "_Desk | None") -> None:
    if desk is not None:
        with suppress(psycopg.Error):
            desk.connection.close()


@dataclass(slots=True)
class _Desk:
    """What a round needs: one connection, which subscribers that are told at once take in turn."""

    settings: CollectorSettings
    senders: Mapping[str, Sender]
    connection: Connection
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def round(self, stop: asyncio.Event) -> None:
        """Look for what is new, and tell everybody what is due."""
        await self._ask(outbox.collect, self.settings.notify, datetime.now(UTC))
        # One who does not answer keeps nobody else waiting, save for the next round.
        subscribers = self.settings.notify.subscribers
        ended = await asyncio.gather(*(self._tell(one, stop) for one in subscribers), return_exceptions=True)
        # Raised when all have ended, because they share the connection.
        for one in ended:
            if one is not None:
                raise one

    async def _tell(self, subscriber: SubscriberSettings, stop: asyncio.Event) -> None:
        """Send what is due, the oldest first, until one does not arrive: the rest would not either."""
        notify, name = self.settings.notify, subscriber.name
        await self._ask(outbox.put_together, notify, subscriber, datetime.now(UTC))
        base_url = self.settings.api.public_url.rstrip("/")
        while not stop.is_set():
            now = datetime.now(UTC)
            letter = await self._ask(outbox.claim, notify, subscriber, now, base_url)
            if letter is None:
                return
            try:
                await self.senders[name].send(_worded(letter, base_url), letter.message, now)
            except SendError as error:
                words, final = str(error), error.final
                ended = datetime.now(UTC)
                dead = await self._ask(outbox.failed, notify, letter, ended, error=words, final=final)
                level = logging.ERROR if dead else logging.WARNING
                logger.log(
                    level, "notice subscriber=%s dead=%s attempts=%d error=%s", name, dead, letter.attempts, words
                )
                if not dead:
                    return
            else:
                await self._ask(outbox.sent, letter, datetime.now(UTC))
                logger.info("notice subscriber=%s sent attempts=%d", name, letter.attempts)

    async def _ask(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do something with the connection, away from the loop and one at a time."""
        async with self.turn:
            return await asyncio.to_thread(work, self.connection, *args, **kwargs)


def _worded(letter: outbox.Letter, base_url: str) -> Content:
    """The message in words. Raises SendError: one that cannot be worded must not hold up what comes after it."""
    if not letter.told:
        raise SendError("its versions cannot be read", final=True)
    try:
        return content(letter.told, base_url)
    except Exception:
        logger.exception("notice message=%s", letter.message)
        raise SendError("it could not be worded: see the log", final=True) from None
