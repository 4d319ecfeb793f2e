"""Counts what comes on a QUIC connection, through aioquic's own log of events (qlog).

A receiver sees packet numbers: those between the first and the last that never came were lost on the way. A server may
leave out some on purpose (RFC 9000 §21.4 advises it against false acknowledgements), so one or two are not yet loss.
"""

from typing import Any

from aioquic.quic.logger import QuicLogger, QuicLoggerTrace

from civobs_wire.scalars import INT4_MAX


class QuicTrace(QuicLoggerTrace):
    """One connection."""

    def __init__(self, *, is_client: bool, odcid: bytes) -> None:
        super().__init__(is_client=is_client, odcid=odcid)
        self._numbers: set[int] = set()
        self.rtt_ms: float | None = None
        self.rtt_min_ms: float | None = None

    @property
    def lost(self) -> int:
        """Packets of the protected data that never came."""
        if not self._numbers:
            return 0
        # Numbers reach 2^62 (RFC 9000 §12.3): a server may leave out more than a row can count.
        return min(INT4_MAX, max(self._numbers) - min(self._numbers) + 1 - len(self._numbers))

    def log_event(self, *, category: str, event: str, data: dict[str, Any]) -> None:
        """Take what is wanted of an event, and keep none."""
        match category, event:
            case "transport", "packet_received" if data["header"]["packet_type"] == "1RTT":
                self._numbers.add(data["header"]["packet_number"])
            case "recovery", "metrics_updated" if "min_rtt" in data:
                self.rtt_ms, self.rtt_min_ms = data["smoothed_rtt"], data["min_rtt"]


class QuicTraces(QuicLogger):
    """What aioquic asks for a place to log to."""

    def __init__(self) -> None:
        super().__init__()
        self.trace: QuicTrace | None = None

    def start_trace(self, is_client: bool, odcid: bytes) -> QuicTrace:  # noqa: FBT001 - as aioquic calls it
        """Of the one connection there is."""
        self.trace = QuicTrace(is_client=is_client, odcid=odcid)
        return self.trace

    def end_trace(self, trace: QuicLoggerTrace) -> None:
        """Nothing is written anywhere."""
