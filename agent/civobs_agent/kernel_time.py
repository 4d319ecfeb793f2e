"""Asks the kernel whether somebody keeps its clock right, and how far off it may be (adjtimex(2), read only)."""

import ctypes
from dataclasses import dataclass

STA_UNSYNC = 0x0040
TIME_ERROR = 5
"""Both from <linux/timex.h>."""


class _Timex(ctypes.Structure):
    """``struct timex`` up to the field we read; ``c_long`` makes it right on 32 and on 64 bit."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_long * 32),
    )


@dataclass(frozen=True, slots=True)
class Discipline:
    """What the kernel says of its own clock."""

    synchronised: bool
    max_error_ms: int


def kernel_discipline() -> Discipline:
    """Read the kernel's view; a kernel that refuses to say counts as not synchronised."""
    timex = _Timex()
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except AttributeError:
        return Discipline(synchronised=False, max_error_ms=0)
    synchronised = 0 <= state < TIME_ERROR and not timex.status & STA_UNSYNC
    return Discipline(synchronised, -(-max(0, timex.maxerror) // 1000))
