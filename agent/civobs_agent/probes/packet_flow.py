"""Echo requests or datagrams of one flow, many under way at once.

An echo's payload balances its sequence number, so that its checksum stays; UDP numbers its packets inside the payload.
Only where echo sockets are forbidden to the agent's group (``ping_group_range``, icmp(7)) is a raw socket tried.
"""

import asyncio
import contextlib
import errno
import socket
import struct
import time
from collections.abc import Iterable

from civobs_agent.faults import MeasurementError
from civobs_agent.net import HEADER_BYTES, UDP_BYTES, Context, IpFamily
from civobs_agent.probes.error_queue import Told, errors_of
from civobs_agent.probes.flow import ERROR_BYTES, TTL, Answer, hold_constant, read
from civobs_agent.probes.stream import numeric_socket
from civobs_wire.failure import Failure

_ECHO: dict[IpFamily, tuple[int, int, int]] = {4: (socket.IPPROTO_ICMP, 8, 0), 6: (socket.IPPROTO_ICMPV6, 128, 129)}
"""Protocol, type of the question, type of the answer (RFC 792, RFC 4443 §4)."""
_SPACING_S = 0.01
"""Between two packets of a batch: routers answer few errors at a time (RFC 1812 §4.3.2.8)."""
_ATTEMPTS = 4
"""Of a send: an error that came meanwhile for an earlier packet is told by the next call of the system."""


class PacketFlow:
    """Echo requests or datagrams over one socket, many under way at once."""

    at_once = 4

    def __init__(self, address: str, port: int, context: Context) -> None:
        """Datagrams to ``port``, or echo requests if it is 0. Raises MeasurementError, OSError."""
        self.family: IpFamily = 6 if ":" in address else 4
        self.spent = 0
        self._target = address
        self._context = context
        self._udp = port != 0
        self._raw = False
        self.handle = numeric_socket(address, port, socket.SOCK_DGRAM)[0] if self._udp else self._echo_socket()
        try:
            hold_constant(self.handle, self.family)
            self.handle.bind(("", 0))
            self.handle.connect((address, port))
        except OSError:
            self.handle.close()
            raise
        self.id = context.rng.randrange(1, 2**16) if self._raw else self.handle.getsockname()[1]
        self._number = 0
        self._sent: dict[int, tuple[int, float]] = {}
        """Number of a packet to its time to live and when it left."""
        self._waiting: set[int] = set()
        self._answers: list[Answer] = []
        self._news = asyncio.Event()

    def close(self) -> None:
        self.handle.close()

    async def ask(self, ttls: Iterable[int], wait_s: float) -> list[Answer]:
        """See ``Flow``. An answer to a packet of an earlier call that comes late is among them."""
        for batch in [tuple(ttls)] if self.at_once > 1 else [(ttl,) for ttl in ttls]:
            await self._ask(batch, wait_s, size=0)
        answers, self._answers = self._answers, []
        return answers

    async def ask_large(self, ttl: int, size: int, wait_s: float) -> Answer | None:
        """One packet of ``size`` bytes, headers included. Raises OSError, EMSGSIZE if the system knows it too large."""
        self._sent.clear()
        await self._ask((ttl,), wait_s, size=size)
        answers, self._answers = self._answers, []
        return answers[0] if answers else None

    async def _ask(self, ttls: tuple[int, ...], wait_s: float, size: int) -> None:
        self._waiting.clear()
        self._news.clear()
        loop = asyncio.get_running_loop()
        loop.add_reader(self.handle, self._hear)
        try:
            for ttl in ttls:
                self._send(ttl, size)
                if len(ttls) > 1:
                    await asyncio.sleep(_SPACING_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    while self._waiting:
                        self._news.clear()
                        await self._news.wait()
        finally:
            loop.remove_reader(self.handle)

    def _echo_socket(self) -> socket.socket:
        family, protocol = (socket.AF_INET, socket.AF_INET6)[self.family == 6], _ECHO[self.family][0]
        try:
            handle = socket.socket(family, socket.SOCK_DGRAM, protocol)
        except OSError:
            try:
                handle = socket.socket(family, socket.SOCK_RAW, protocol)
            except PermissionError:
                raise MeasurementError(Failure.NO_PERMISSION, "neither unprivileged nor raw ICMP sockets") from None
            self._raw = True
        handle.setblocking(False)
        return handle

    def _send(self, ttl: int, size: int) -> None:
        self._number = self._number % 0xFFFF + 1
        header = HEADER_BYTES[self.family] + UDP_BYTES
        packet = self._packet(self._number, max(0, size - header))
        self.handle.setsockopt(*TTL[self.family], ttl)
        for attempt in range(_ATTEMPTS):
            try:
                self._sent[self._number] = (ttl, time.perf_counter())
                self.handle.send(packet)
                break
            except OSError as error:
                self._hear()
                if error.errno in {errno.EMSGSIZE, errno.EPERM} or attempt == _ATTEMPTS - 1:
                    raise
        self._waiting.add(self._number)
        self._spend(HEADER_BYTES[self.family] + len(packet) + (UDP_BYTES if self._udp else 0))

    def _packet(self, number: int, payload_bytes: int) -> bytes:
        if self._udp:
            return struct.pack("!H", number).ljust(payload_bytes, b"\0")
        question = _ECHO[self.family][1]
        payload = struct.pack("!H", 0xFFFF - number).ljust(payload_bytes, b"\0")
        # The kernel fills in checksum and, of an unprivileged socket, identifier; of a raw one of IPv4 neither.
        blank = struct.pack("!BBHHH", question, 0, 0, self.id if self._raw else 0, number) + payload
        if not (self._raw and self.family == 4):
            return blank
        return blank[:2] + struct.pack("!H", _checksum(blank)) + blank[4:]

    def _hear(self) -> None:
        """Take in all that has come."""
        now = time.perf_counter()
        for told in errors_of(self.handle, self.family):
            self._spend(2 * HEADER_BYTES[self.family] + ERROR_BYTES + UDP_BYTES + len(told.quoted))
            self._take_error(told, now)
        for _ in range(64):
            try:
                data = self.handle.recv(2048)
            except BlockingIOError:
                break
            except OSError:
                continue  # the error that was read from the queue above, told a second time
            self._spend(HEADER_BYTES[self.family] + len(data))
            if not self._udp:
                self._take_reply(data, now)
        self._news.set()

    def _take_error(self, told: Told, now: float) -> None:
        number = self._numbered(told.quoted)
        if number not in self._sent:
            return
        ttl, left = self._sent[number]
        ms = (now - left) * 1000
        self._file(number, read(told, self.family, self._target, ttl, ms))

    def _numbered(self, quoted: bytes) -> int:
        """Which packet an error is about, 0 if it cannot be told."""
        if not self._udp:
            # The raw socket of IPv6 gives the packet from its IP header on; an echo's first byte is 8 or 128.
            skipped = 40 if quoted[:1] and quoted[0] >> 4 == 6 else 0
            return int.from_bytes(quoted[skipped + 6 : skipped + 8], "big") if len(quoted) >= skipped + 8 else 0
        if len(quoted) >= 2:
            return int.from_bytes(quoted[:2], "big")
        # RFC 792 asks a router for eight bytes only, which are UDP's header: from here on one packet at a time.
        self.at_once = 1
        return next(iter(self._waiting)) if len(self._waiting) == 1 else 0

    def _take_reply(self, data: bytes, now: float) -> None:
        if self._raw and self.family == 4 and data:
            data = data[(data[0] & 0x0F) * 4 :]
        if len(data) < 8 or data[0] != _ECHO[self.family][2]:
            return
        identifier, number = struct.unpack_from("!HH", data, 4)
        if number in self._sent and (identifier == self.id or not self._raw):
            ttl, left = self._sent[number]
            self._file(number, Answer(ttl, (now - left) * 1000, self._target, "reached"))

    def _file(self, number: int, answer: Answer | None) -> None:
        """One answer a packet counts, the first."""
        if answer is not None:
            del self._sent[number]
            self._waiting.discard(number)
            self._answers.append(answer)

    def _spend(self, n_bytes: int) -> None:
        self.spent += n_bytes
        self._context.spend(n_bytes)


def _checksum(data: bytes) -> int:
    """RFC 1071, of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
