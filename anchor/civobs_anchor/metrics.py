"""Counters for whoever runs the anchor. None of them says anything about a client."""

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from civobs_anchor.config import MetricsSettings


class Metrics:
    """The anchor's counters; served only where a port was given."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.connections = Counter(
            "civobs_anchor_connections", "Connections accepted", ["port"], registry=self.registry
        )
        self.refused = Counter(
            "civobs_anchor_refused", "Connections and datagrams refused for a limit", ["port"], registry=self.registry
        )
        self.bytes = Counter("civobs_anchor_bytes", "Payload moved, either way", registry=self.registry)
        self.open = Gauge("civobs_anchor_open_connections", "Connections open now", registry=self.registry)

    def serve(self, settings: MetricsSettings) -> None:
        """Answer Prometheus from now on, in a thread. Raises OSError."""
        if settings.port is not None:
            start_http_server(settings.port, settings.address, registry=self.registry)
