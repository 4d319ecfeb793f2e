"""The contract between a probe and the collector: models, topics, limits, failure vocabulary, signatures.

Both sides import this package and neither side's code appears in it, so an agent in another language
needs only ``wire/README.md``, the JSON Schemas and the examples beside it.
"""

__all__ = ["WIRE_VERSION"]

WIRE_VERSION = 1
