"""Runs one blocking call of the C library in a daemon thread of its own.

``getaddrinfo`` and a TLS handshake can hang for minutes and cannot be interrupted. The loop's own thread pool would
wait for them when the agent stops; a daemon thread is simply left behind.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def in_thread(name: str, call: Callable[[], T]) -> T:
    """The result of ``call``, or its exception. Cancelling abandons the thread."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def work() -> None:
        result: T | None = None
        failed: BaseException | None = None
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001 - handed over to whoever awaits it
            failed = error
        if not loop.is_closed():
            try:
                loop.call_soon_threadsafe(settle, result, failed)
            except RuntimeError:
                return  # the loop was closed in between: nobody waits any more

    threading.Thread(target=work, name=name, daemon=True).start()
    return await future
