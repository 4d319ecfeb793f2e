"""The version of agent and collector, which are released together. The build reads it from here.

A constant, not a look-up in the installed package's metadata: that would load 3 MiB of parsers into a probe.
"""

VERSION = "0.1.0"
