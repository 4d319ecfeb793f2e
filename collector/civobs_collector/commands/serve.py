"""``civobs serve``: ingest, detection and pages in one process.

The roles share nothing but the database, so ``--roles`` can spread them over processes and machines. What a person
has to correct ends the command at once; a broker or a database that is away is waited for.
"""

import argparse
import asyncio
import errno
import logging
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial

import sdnotify
import uvicorn

from civobs_collector.config import CollectorSettings, load
from civobs_collector.errors import CivobsCollectorError, ConfigError, ResourceError
from civobs_collector.sampling import keep_sampling

logger = logging.getLogger(__name__)

_GRACE_S = 5
"""How long requests under way may take when the process stops."""
_STEP_S = 0.05
"""How often is looked whether the server stands."""


async def _ingest(settings: CollectorSettings, stop: asyncio.Event) -> None:
    from civobs_collector.ingest import role

    await role.run(settings, stop)


async def _detect(settings: CollectorSettings, stop: asyncio.Event) -> None:
    from civobs_collector import detect_role

    await detect_role.run(settings, stop)


async def _notify(settings: CollectorSettings, stop: asyncio.Event) -> None:
    from civobs_collector.notify import role

    await role.run(settings, stop)


async def _api(settings: CollectorSettings, stop: asyncio.Event) -> None:
    from civobs_collector.api.app import create_app

    listener = listen(settings.api.host, settings.api.port)
    # No access log: it would keep the addresses of readers and probes.
    config = uvicorn.Config(create_app(settings), log_config=None, access_log=False, timeout_graceful_shutdown=_GRACE_S)
    server = uvicorn.Server(config)
    # Not server.serve(): that takes the signals, and they are ours.
    serving = asyncio.create_task(server._serve([listener]), name="api.server")  # noqa: SLF001 # no public name for it
    stopping = asyncio.create_task(stop.wait(), name="api.stop")
    try:
        await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        # Asked, not cancelled, and not before it stands: otherwise it leaves a task behind that ends in a traceback.
        while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn tells it by no event
            await asyncio.sleep(_STEP_S)
        server.should_exit = True
        await serving


ROLES: dict[str, Callable[[CollectorSettings, asyncio.Event], Coroutine[None, None, None]]] = {
    "ingest": _ingest,
    "detect": _detect,
    "api": _api,
    "notify": _notify,
}


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser(
        "serve", help="run ingest, detection and pages", description="Run the collector's roles in one process."
    )
    parser.add_argument("--roles", default=",".join(ROLES), help="which of them, with commas between (default: all)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    roles = tuple(part.strip() for part in arguments.roles.split(",") if part.strip())
    unknown = [role for role in roles if role not in ROLES]
    if unknown or not roles:
        raise ConfigError(f"no such role: {unknown[0] if unknown else 'none given'}", f"roles: {', '.join(ROLES)}")
    asyncio.run(serve(load(arguments.config), roles))
    return 0


async def serve(settings: CollectorSettings, roles: tuple[str, ...]) -> None:
    """Run roles until SIGTERM or SIGINT. Raises the first CivobsCollectorError that ends one of them."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    notifier = sdnotify.SystemdNotifier()
    try:
        async with asyncio.TaskGroup() as group:
            for role in roles:
                group.create_task(_role(role, partial(ROLES[role], settings, stop), stop), name=f"serve.{role}")
                group.create_task(keep_sampling(settings, role, stop), name=f"serve.{role}.gauges")
            logger.info("serving roles=%s", ",".join(roles))
            notifier.notify("READY=1")
            await stop.wait()
            notifier.notify("STOPPING=1")
    except* CivobsCollectorError as group_of_errors:
        raise _first(group_of_errors) from None


async def _role(name: str, work: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
    """Run one role; when it ends, however it ends, the others are asked to end as well."""
    try:
        await work()
    finally:
        logger.info("role=%s ended", name)
        stop.set()


def _first(group: BaseExceptionGroup[CivobsCollectorError]) -> CivobsCollectorError:
    """One of the errors in a group of groups."""
    for error in group.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("an empty exception group")


def listen(host: str, port: int) -> socket.socket:
    """Bind the pages' port. Raises ResourceError with what to do about it."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        remedy = "set api.port to a free one, or stop what listens there"
        if error.errno != errno.EADDRINUSE:
            remedy = "set api.host to an address of this machine and api.port to a port we may use"
        raise ResourceError(f"cannot listen on {host} port {port}: {error.strerror or error}", remedy) from None
    # asyncio does this only where a socket names its protocol, which these do not: the body of an answer then waits up
    # to 40 ms for the acknowledgement of its head. Connections take it over from here.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
