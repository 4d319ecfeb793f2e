"""The collector: keeps what probes send, finds events in it, and publishes them."""

from importlib.metadata import version

__version__ = version("civobs")
