"""Begins a program's life as on a device that was just switched on: the time since boot is zero.

``python -I -S power_on.py PROGRAM WORDS…`` becomes the program, in a time namespace of its own (time_namespaces(7)).
Without it a probe would tell the uptime of the machine that runs the lab, and after a power cut that it was dark for
no time at all. A kernel without such namespaces is no reason not to run.
"""

import ctypes
import os
import sys
import time
from pathlib import Path

_CLONE_NEWTIME = 0x80
"""linux/sched.h. ``os.setns`` and ``os.unshare`` came with Python 3.12."""

UNIT = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_MMAP_THRESHOLD_": "65536"}
"""What the agent's unit sets for it (deploy/systemd/civobs-agent.service)."""


def main(words: list[str]) -> None:
    """Set the time since boot to zero and become the program. Raises OSError if it is not there."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWTIME) == 0:
        seconds, nanoseconds = divmod(-time.clock_gettime_ns(time.CLOCK_BOOTTIME), 1_000_000_000)
        Path("/proc/self/timens_offsets").write_text(f"boottime {seconds} {nanoseconds}\n")
        # Otherwise only its children would live in it.
        libc.setns(os.open("/proc/self/ns/time_for_children", os.O_RDONLY | os.O_CLOEXEC), _CLONE_NEWTIME)
    os.execve(words[0], words, os.environ | UNIT)


if __name__ == "__main__":
    main(sys.argv[1:])
