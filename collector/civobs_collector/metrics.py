"""The collector's own metrics, under the names of ingest.md §5: seconds, low cardinality, no label for a probe."""

import math
from collections.abc import Iterator
from functools import cache

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

_AGES_S = (1, 5, 15, 60, 300, 900, 3600, 21_600, 86_400, 604_800)
_COMMITS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SKEWS_S = (0.1, 1, 10, 60, 600, 3600, 86_400)


class BrokerDropped(Collector):
    """``civobs_broker_dropped_total``: the broker's own count, which begins anew when the broker does.

    There is no sample before the broker has said it: a counter from 0 would show every message that was ever dropped
    as dropped when the collector started.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._total: int | None = None
        registry.register(self)

    def set(self, total: int) -> None:
        """Take what the broker says."""
        self._total = total

    def collect(self) -> Iterator[Metric]:
        """Give it to Prometheus."""
        family = CounterMetricFamily("civobs_broker_dropped", "PUBLISH messages the broker says it dropped.")
        if self._total is not None:
            family.add_metric([], self._total)
        yield family


class IngestMetrics:
    """What ingest counts. One object for each registry, because a registry takes a name once."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.messages = Counter(
            "civobs_ingest_messages", "Messages by what became of them.", ["result"], registry=registry
        )
        self.results = Counter("civobs_ingest_results", "Measurements committed.", registry=registry)
        self.batch_age = Histogram(
            "civobs_ingest_batch_age_seconds", "From sealed to committed.", buckets=_AGES_S, registry=registry
        )
        self.commit = Histogram(
            "civobs_ingest_commit_seconds", "Time of one transaction.", buckets=_COMMITS_S, registry=registry
        )
        self.unacked = Gauge("civobs_ingest_unacked_messages", "Taken and not acknowledged.", registry=registry)
        self.queue = Gauge("civobs_ingest_queue_depth", "Taken and not looked at.", registry=registry)
        self.stale_acks = Counter(
            "civobs_ingest_stale_acks", "Acknowledgements not sent: their connection was gone.", registry=registry
        )
        self.rejected = Counter(
            "civobs_ingest_rejected_batches", "Messages sent to quarantine.", ["reason"], registry=registry
        )
        self.clock_skew = Histogram(
            "civobs_ingest_clock_skew_seconds",
            "How far ahead of the collector a probe's clock was when it sealed.",
            buckets=_SKEWS_S,
            registry=registry,
        )
        self.last_commit = Gauge(
            "civobs_ingest_last_commit_timestamp_seconds", "When the last transaction committed.", registry=registry
        )
        self.presence_held = Counter(
            "civobs_ingest_presence_held",
            "Statements of presence put aside: their probe had made too many.",
            registry=registry,
        )
        self.batch_age_p99 = Gauge(
            "civobs_ingest_batch_age_p99_seconds",
            "From sealed to committed, of five minutes, without what waited at probes that were cut off.",
            registry=registry,
        )
        self.serving = Gauge(
            "civobs_ingest_serving", "1 while this process serves its shards, 0 as a spare.", registry=registry
        )
        self.broker_connected = Gauge(
            "civobs_ingest_broker_connected", "1 while subscribed at the broker.", registry=registry
        )
        self.broker_dropped = BrokerDropped(registry)
        for result in ("stored", "duplicate", "rejected"):
            self.messages.labels(result)


@cache
def ingest_metrics(registry: CollectorRegistry = REGISTRY) -> IngestMetrics:
    """The counters of a registry, made on first use."""
    return IngestMetrics(registry)


class DetectMetrics:
    """What the detector counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.run = Gauge(
            "civobs_detect_run_seconds", "How long the last run took; no number before the first.", registry=registry
        )
        self.run.set(math.nan)
        self.services_judged = Gauge(
            "civobs_detect_services_judged_timestamp_seconds",
            "When blocking and throttling were last judged.",
            registry=registry,
        )
        self.services_unjudged = Counter(
            "civobs_detect_services_unjudged",
            "Runs that judged losses of the line, and blocking and throttling not.",
            registry=registry,
        )
        self.services_halved = Counter(
            "civobs_detect_services_halved",
            "Times of rows of targets read in halves: in one they took longer than a statement may.",
            registry=registry,
        )


@cache
def detect_metrics(registry: CollectorRegistry = REGISTRY) -> DetectMetrics:
    """The counters of a registry, made on first use."""
    return DetectMetrics(registry)
