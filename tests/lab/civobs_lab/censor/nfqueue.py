"""The kernel's packet queue (NFQUEUE), spoken over netlink.

Bindings on the package index need a compiler or one version of Python, and pyroute2's classes take longer to decode a
packet than a censor has; the protocol is four messages (linux/netfilter/nfnetlink_queue.h).
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_NETLINK_NETFILTER = 12
_SOL_NETLINK, _NETLINK_NO_ENOBUFS = 270, 5
_SO_RCVBUFFORCE = 33
_SUBSYSTEM = 3 << 8
_PACKET, _VERDICT, _CONFIG = _SUBSYSTEM | 0, _SUBSYSTEM | 1, _SUBSYSTEM | 2
_NLM_F_REQUEST, _NLM_F_ACK, _NLMSG_ERROR = 1, 4, 2
_CFG_CMD, _CFG_PARAMS, _CFG_MAXLEN, _CFG_MASK, _CFG_FLAGS = 1, 2, 3, 4, 5
_BIND, _COPY_PACKET, _FAIL_OPEN = 1, 2, 1
_HDR, _VERDICT_HDR, _MARK, _INDEV, _OUTDEV, _PAYLOAD = 1, 2, 3, 5, 6, 10
_WHOLE = 0xFFFF
_LENGTH = 16384
"""Packets that may wait: more than two seconds of 50 Mbit/s."""
_BUFFER = 16 * 1024 * 1024
DROP, ACCEPT = 0, 1


@dataclass(frozen=True, slots=True)
class Queued:
    """A packet that waits for a verdict."""

    queue: int
    id: int
    mark: int
    arrived_by: int
    """Index of the interface."""
    leaves_by: int
    raw: bytes


class PacketQueue:
    """Packets of several queues of this network namespace. Raises OSError where the kernel has none."""

    def __init__(self, fail_closed: int, fail_open: int) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
        self._socket.bind((0, 0))
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_NO_ENOBUFS, 1)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        except PermissionError:
            # In a user namespace the machine's own limit holds.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        for number in (fail_closed, fail_open):
            self._configure(number, _attribute(_CFG_CMD, struct.pack("!BxH", _BIND, 0)))
            self._configure(number, _attribute(_CFG_PARAMS, struct.pack("!IB", _WHOLE, _COPY_PACKET)))
            self._configure(number, _attribute(_CFG_MAXLEN, struct.pack("!I", _LENGTH)))
        flag = struct.pack("!I", _FAIL_OPEN)
        self._configure(fail_open, _attribute(_CFG_MASK, flag) + _attribute(_CFG_FLAGS, flag))

    def fileno(self) -> int:
        return self._socket.fileno()

    def receive(self) -> list[Queued]:
        """What there is now; nothing when nothing waits."""
        try:
            data = self._socket.recv(1 << 17, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return []
        return [
            _queued(body)
            for kind, body in _messages(data)
            # An error message answers a verdict on a packet that the kernel dropped meanwhile, with its interface.
            if kind == _PACKET
        ]

    def decide(self, packet: Queued, verdict: int, mark: int = 0, payload: bytes | None = None) -> None:
        """Let a packet go, marked and perhaps with another content, or drop it."""
        attributes = _attribute(_VERDICT_HDR, struct.pack("!II", verdict, packet.id))
        attributes += _attribute(_MARK, struct.pack("!I", mark))
        if payload is not None:
            attributes += _attribute(_PAYLOAD, payload)
        self._socket.send(_message(_VERDICT, _NLM_F_REQUEST, packet.queue, attributes))

    def _configure(self, number: int, attributes: bytes) -> None:
        self._socket.send(_message(_CONFIG, _NLM_F_REQUEST | _NLM_F_ACK, number, attributes))
        for kind, body in _messages(self._socket.recv(1 << 16)):
            if kind == _NLMSG_ERROR:
                (code,) = struct.unpack_from("=i", body)
                if code:
                    raise OSError(-code, f"the kernel refuses packet queue {number}: {os.strerror(-code)}")
                return
        raise OSError(errno.EPROTO, f"the kernel does not answer for packet queue {number}")


def _message(kind: int, flags: int, queue: int, attributes: bytes) -> bytes:
    return struct.pack("=IHHIIBBH", 20 + len(attributes), kind, flags, 0, 0, 0, 0, socket.htons(queue)) + attributes


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, at)
        yield kind, data[at + 16 : at + length]
        at += max(16, (length + 3) & ~3)


def _queued(body: bytes) -> Queued:
    (queue,) = struct.unpack_from("!H", body, 2)
    found: dict[int, bytes] = {}
    at = 4
    while at + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, at)
        found[kind & 0x7FFF] = body[at + 4 : at + length]
        at += max(4, (length + 3) & ~3)
    (identity,) = struct.unpack_from("!I", found[_HDR])
    mark, arrived_by, leaves_by = (
        struct.unpack("!I", found.get(kind, bytes(4)))[0] for kind in (_MARK, _INDEV, _OUTDEV)
    )
    return Queued(queue, identity, mark, arrived_by, leaves_by, found.get(_PAYLOAD, b""))
