"""A network namespace that is nothing but a file descriptor.

No name under ``/run/netns``, no mount: when the process that holds the descriptor ends, in whatever way, and the
processes inside have ended, the kernel takes the namespace down with all its links and routes. There is nothing to
clean up, and nothing of the machine's own network is touched. ``nsenter --net=/proc/PID/fd/N`` goes in.
"""

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

_CLONE_NEWNET = 0x40000000
"""linux/sched.h. ``os.setns`` and ``os.unshare`` came with Python 3.12."""
_libc = ctypes.CDLL(None, use_errno=True)

_SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv6/conf/all/forwarding": "1",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv6/conf/all/accept_dad": "0",
    "net/ipv6/conf/default/accept_dad": "0",
    "net/ipv4/icmp_ratelimit": "0",
    "net/ipv6/icmp/ratelimit": "0",
}
"""Every place forwards; addresses are usable at once; errors are not limited to one a second, which is a second of the
clock, while the lab's time runs faster."""
_PING_GROUPS = "net/ipv4/ping_group_range"
"""Groups that may send echo requests without being root, as probes do."""
_LAST_GROUP = 2147483647
"""The highest that ping_group_range takes on every kernel (GID_T_MAX before Linux 6.4)."""

Result = TypeVar("Result")


class Namespace:
    """One place of the lab's network."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.fd = _in_thread(_make)

    @property
    def path(self) -> str:
        """Where another process finds the namespace, for as long as this process lives."""
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    def run(self, function: Callable[[], Result]) -> Result:
        """Call a function inside, in a thread of its own: sockets it makes stay inside."""

        def inside() -> Result:
            enter(self.fd)
            return function()

        return _in_thread(inside)

    def enter_command(self) -> list[str]:
        """Words to put before a command that is to run inside."""
        return ["nsenter", f"--net={self.path}", "--"]

    def close(self) -> None:
        """Let go of it."""
        os.close(self.fd)


def enter(fd: int) -> None:
    """Move the calling thread into a namespace."""
    _checked(_libc.setns(fd, _CLONE_NEWNET), "enter a network namespace")


def _make() -> int:
    _checked(_libc.unshare(_CLONE_NEWNET), "make a network namespace")
    for key, value in {**_SYSCTLS, _PING_GROUPS: _own_groups()}.items():
        try:
            Path("/proc/sys", key).write_text(value)
        except OSError as error:
            # EROFS in a container, ENOENT without IPv6 in the kernel, EACCES under a foreign /proc.
            raise OSError(error.errno, f"cannot set {key} in a network namespace: {error.strerror}") from None
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _own_groups() -> str:
    """First and last group of the range that holds this process's group: no other may be named in a user namespace."""
    for line in Path("/proc/self/gid_map").read_text().splitlines():
        first, _, count = map(int, line.split())
        if first <= os.getegid() < first + count:
            return f"{first} {min(first + count - 1, _LAST_GROUP)}"
    return f"{os.getegid()} {os.getegid()}"


def _checked(returned: int, what: str) -> None:
    if returned != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot {what}: {os.strerror(number)}")


def _in_thread(function: Callable[[], Result]) -> Result:
    # Never a thread of a shared pool: it would carry its namespace over to the next task.
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="namespace") as one:
        return one.submit(function).result()
