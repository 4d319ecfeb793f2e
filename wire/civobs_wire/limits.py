"""Size limits of the wire, one table, each with its reason.

The bounds of numbers are in ``scalars.py``; they follow the columns of the database.
"""

MAX_PACKED_BYTES = 64 * 1024
"""One MQTT message, signature included. Small enough that 1000 unacknowledged ones are 64 MB in the collector."""

MAX_UNPACKED_BYTES = 1024 * 1024
"""What a body may unpack to. zlib reaches 1000:1, so the packed limit alone would allow 64 MB: a zip bomb."""

MAX_MEASUREMENTS = 1000
"""Measurements in one batch."""

TARGET_MEASUREMENTS = 200
"""Where an agent seals a batch when it has much to send (ingest.md §5: aim at 50 to 200)."""

MAX_TEXT = 2048
"""Characters of a URL or a detail text."""

MAX_NAME = 200
"""Characters of an id or a name."""

MAX_BROKERS = 8
"""Brokers that a probe may be told of."""

MAX_CHECKS = 32
"""Single checks in a rung of the ladder."""

MAX_ANSWERS = 64
"""Answers kept of a DNS reply."""

MAX_ALIASES = 16
"""CNAMEs kept of a chain."""

MAX_REPLIES = 8
"""Further answers kept to one question."""

MAX_RESOLVERS = 8
"""Resolvers named as the source of one address."""

MAX_CHAIN = 8
"""Certificates kept of a chain."""

MAX_HEADERS = 24
"""Header fields kept of an answer."""

MAX_SAMPLES = 160
"""Instants of one transfer: 20 s at a mean of 250 ms is 80."""

MAX_HOPS = 32
"""Hops kept of a trace."""

MAX_ALTERATIONS = 16
"""Differences kept of an echo."""

MAX_REDIRECTS = 10
"""Redirects followed and recorded."""

MAX_RANGES = 256
"""Ranges in a receipt. With holes beyond that the newest are kept."""

MIN_INTERVAL_S = 1.0
"""Shortest interval of a task or of the ladder, in seconds. A plan made in error, or with a stolen key, must not turn a
volunteer's device into a load on its line, or keep it busy with nothing but slots that could not be run."""

MAX_RUNS_PER_S = 5.0
"""All tasks of a plan together; the default plan asks for about one run a minute."""

MAX_PLAN_BYTES = 256 * 1024
"""A signed plan: a few hundred targets and anchors."""

MAX_DOCUMENT = 400_000
"""Characters of a PEM chain or of a signed plan in base64."""
