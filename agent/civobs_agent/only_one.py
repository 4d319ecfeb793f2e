"""Lets one process at a time write to a state folder: two would give the same numbers to different rows."""

import errno
import fcntl
import logging
import os
from pathlib import Path

from civobs_agent.errors import StorageError

logger = logging.getLogger(__name__)


class OnlyOne:
    """Holds the lock of a folder until ``release`` or the end of the process. Raises StorageError."""

    def __init__(self, folder: Path) -> None:
        self._handle = -1
        try:
            self._handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise StorageError(
                f"another agent is running on {folder}", "stop it first, or give this one a state_dir of its own"
            ) from None
        except OSError as error:
            self.release()
            if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}:
                raise StorageError(
                    f"cannot use {folder}: {error.strerror}", "run as the agent's user, or name another state_dir"
                ) from None
            # A full or failing card must not keep the agent from measuring.
            logger.warning("no lock on the state folder cause=%r", error.strerror)

    def release(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
