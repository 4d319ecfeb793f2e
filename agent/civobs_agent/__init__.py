"""The agent: measures from a volunteer's home, keeps what it saw, and delivers it when it can."""

from civobs_wire.version import VERSION

__version__ = VERSION
AGENT = f"civobs-agent/{__version__}"
"""What batches and presence carry as the software's name."""
