"""The collector: keeps what probes send, finds events in it, and publishes them."""

from civobs_wire.version import VERSION

__version__ = VERSION
