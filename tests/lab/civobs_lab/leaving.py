"""Ending in order when somebody asks for it with a signal."""

import signal
import sys
from types import FrameType

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Left(SystemExit):
    """Somebody asked to end; the code is 128 and the signal's number, as shells have it."""


def leave_on_signals(*, quietly: bool = False) -> None:
    """Raise Left in the main thread on SIGINT, SIGTERM and SIGHUP; say so, because taking down takes seconds."""

    def leave(number: int, frame: FrameType | None) -> None:
        del frame
        ignore_signals()
        if not quietly:
            sys.stderr.write("\nstopping: taking everything down\n")
        raise Left(128 + number)

    for number in NUMBERS:
        # `nohup` ignores the end of the terminal for us; Ctrl-C is never taken as ignored, which shells do to a job.
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, leave)


def ignore_signals() -> None:
    """From now on: one more would break off the taking down."""
    for number in NUMBERS:
        signal.signal(number, signal.SIG_IGN)
