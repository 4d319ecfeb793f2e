"""SYNs of one flow: connects from one port, one after the other, because the system allows no two at a time."""

import asyncio
import errno
import socket
import struct
import time
from collections.abc import Iterable

from civobs_agent.net import HEADER_BYTES, TCP_BYTES, Context, IpFamily
from civobs_agent.probes.error_queue import errors_of
from civobs_agent.probes.flow import ERROR_BYTES, TTL, Answer, hold_constant, read
from civobs_agent.probes.stream import numeric_socket

SYN_BYTES = 40
"""TCP header with the options of Linux's SYN."""


class SynFlow:
    """See ``Flow``. ``id`` is the port the SYNs leave from."""

    at_once = 1

    def __init__(self, address: str, port: int, context: Context) -> None:
        self.family: IpFamily = 6 if ":" in address else 4
        self.id = 0
        self.spent = 0
        self._target, self._port = address, port
        self._context = context

    def close(self) -> None:
        """Nothing is kept open."""

    async def ask(self, ttls: Iterable[int], wait_s: float) -> list[Answer]:
        """See ``Flow``; it must be shorter than the second after which the system repeats a SYN."""
        answers: list[Answer] = []
        for ttl in ttls:
            answer = await self._connect(ttl, wait_s)
            if answer is not None:
                answers.append(answer)
        return answers

    async def _connect(self, ttl: int, wait_s: float) -> Answer | None:
        handle, where = numeric_socket(self._target, self._port, socket.SOCK_STREAM)
        with handle:
            hold_constant(handle, self.family)
            handle.setsockopt(*TTL[self.family], ttl)
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Closed by a reset: the port is free for the next one at once.
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handle.bind(("", self.id))
            self.id = handle.getsockname()[1]
            self._spend(HEADER_BYTES[self.family] + SYN_BYTES)
            began = time.perf_counter()
            try:
                async with asyncio.timeout(wait_s):
                    await asyncio.get_running_loop().sock_connect(handle, where)
            except TimeoutError:
                return None
            except OSError as error:
                return self._failed(handle, error, ttl, (time.perf_counter() - began) * 1000)
            self._spend(3 * HEADER_BYTES[self.family] + SYN_BYTES + 2 * TCP_BYTES)
            return Answer(ttl, (time.perf_counter() - began) * 1000, self._target, "syn_ack")

    def _failed(self, handle: socket.socket, error: OSError, ttl: int, ms: float) -> Answer | None:
        for told in errors_of(handle, self.family):
            self._spend(2 * HEADER_BYTES[self.family] + ERROR_BYTES + SYN_BYTES)
            return read(told, self.family, self._target, ttl, ms)
        match error.errno:
            case errno.ECONNREFUSED | errno.ECONNRESET:
                self._spend(HEADER_BYTES[self.family] + TCP_BYTES)
                return Answer(ttl, ms, self._target, "reset")
            case errno.EHOSTUNREACH if ms > 0:
                return Answer(ttl, ms, None)
            case _:
                raise error

    def _spend(self, n_bytes: int) -> None:
        self.spent += n_bytes
        self._context.spend(n_bytes)
