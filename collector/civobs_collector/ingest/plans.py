"""Hands each probe its plan: the newest of its country, else of ``ZZ``, retained on the probe's own topic."""

from collections.abc import Iterable, Mapping

from civobs_collector.ingest.decode import Sender
from civobs_collector.ingest.link import Link
from civobs_collector.ingest.store import CurrentPlan
from civobs_wire.topics import Leaf, Topic, shard_of

ANY_COUNTRY = "ZZ"


class PlanDesk:
    """Remembers which plan each probe's topic holds."""

    def __init__(self, link: Link, shards: Iterable[str]) -> None:
        self._link = link
        self._shards = frozenset(shards)
        self._generation = 0
        self._published: dict[str, str] = {}

    def publish(self, senders: Iterable[Sender], plans: Mapping[str, CurrentPlan]) -> int:
        """Publish what is new; returns how many. Without a connection nothing happens."""
        generation = self._link.generation
        if not generation:
            return 0
        if generation != self._generation:
            # What was on its way when the last connection broke is lost, and a broker may have lost what it kept.
            self._published.clear()
            self._generation = generation
        count = 0
        for sender in senders:
            plan = plans.get(sender.cc) or plans.get(ANY_COUNTRY)
            if plan is None or sender.status == "revoked" or self._published.get(sender.probe_id) == plan.plan_id:
                continue
            if shard_of(sender.probe_id) in self._shards:
                if not self._link.publish(str(Topic(sender.probe_id, Leaf.PLAN)), plan.message):
                    break
                self._published[sender.probe_id] = plan.plan_id
                count += 1
        return count
