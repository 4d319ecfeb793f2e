"""All servers of a lab in one process: each listens in its host's namespace, all answer from one loop.

Run as ``python -m civobs_lab.servers FILE``; the file is what ``describe`` gives, and ``READY`` is said when all
listen. ``misbehaviour.py`` says what they can be told to do wrong, ``civobs_lab.switchboard`` tells them.
"""

from civobs_lab.servers.description import describe

__all__ = ["READY", "describe"]

READY = "lab servers are ready"
