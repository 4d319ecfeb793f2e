"""The anchor: a server of the observatory's own that probes measure against. It keeps nothing about anybody.

It serves what a verdict needs a friendly other side for: bytes at full speed, an echo of what arrived, a page that is
known by heart, STUN from two addresses, and TLS under any name on one address.
"""

from civobs_wire.version import VERSION

__version__ = VERSION
