"""The topic space ``civobs/v1/<shard>/<probe_id>/<leaf>`` and the shard function.

A collector takes whole shards, because a broker's shared subscription goes on queueing for members that are gone
(ingest.md §3.2). The shard follows from the probe's id, so a message under another shard is as wrong as one under
another probe's name.
"""

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum

from civobs_wire.errors import TopicError

ROOT = "civobs/v1"
SHARDS = 64
"""Number of shards. Fixed for the life of ``v1``: changing it moves every probe's topics."""

_TOPIC = re.compile(r"^civobs/v1/([0-9a-f]{2})/([0-9a-hjkmnp-tv-z]{16})/(batch|presence|receipt|plan)$")


class Leaf(StrEnum):
    """What a topic carries."""

    BATCH = "batch"
    PRESENCE = "presence"
    RECEIPT = "receipt"
    PLAN = "plan"


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic taken apart."""

    probe_id: str
    leaf: Leaf

    def __str__(self) -> str:
        return f"{ROOT}/{shard_of(self.probe_id)}/{self.probe_id}/{self.leaf}"


def shard_of(probe_id: str) -> str:
    """Two hex digits: the first byte of SHA-256 of the id, modulo the number of shards."""
    return f"{hashlib.sha256(probe_id.encode('ascii')).digest()[0] % SHARDS:02x}"


def all_shards() -> tuple[str, ...]:
    """Every shard, in order."""
    return tuple(f"{number:02x}" for number in range(SHARDS))


def parse_topic(topic: str) -> Topic:
    """Take a topic apart. Raises TopicError if it is not ours or the shard is not the probe's."""
    match = _TOPIC.fullmatch(topic)
    if match is None:
        raise TopicError(f"not a topic of {ROOT}: {topic[:200]!r}")
    shard, probe_id, leaf = match.groups()
    if shard != shard_of(probe_id):
        raise TopicError(f"probe {probe_id} belongs to shard {shard_of(probe_id)}, not {shard}")
    return Topic(probe_id, Leaf(leaf))


def subscriptions(shards: tuple[str, ...], leaf: Leaf) -> tuple[str, ...]:
    """The filters a collector of these shards subscribes to."""
    if set(shards) == set(all_shards()):
        return (f"{ROOT}/+/+/{leaf}",)
    return tuple(f"{ROOT}/{shard}/+/{leaf}" for shard in shards)
