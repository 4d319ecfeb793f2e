"""The anchor's HTTP/3, and a connection that is closed as soon as it is open."""

from functools import partial

from aioquic.h3.connection import ErrorCode
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import HandshakeCompleted, QuicEvent

from civobs_anchor.exchange import Service
from civobs_anchor.http3 import Http3, Server
from civobs_lab.servers.misbehaviour import Conduct, Does


def server(settings: QuicConfiguration, service: Service, conduct: Conduct) -> Server:
    """A protocol for one UDP port."""
    return Server(configuration=settings, create_protocol=partial(_Connection, service=service, conduct=conduct))


class _Connection(Http3):
    """One client."""

    def __init__(
        self, quic: QuicConnection, stream_handler: None = None, *, service: Service, conduct: Conduct
    ) -> None:
        super().__init__(quic, stream_handler, service=service)
        self._conduct = conduct

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, HandshakeCompleted) and self._conduct.now(Does.CLOSE):
            self.close(error_code=ErrorCode.H3_INTERNAL_ERROR, reason_phrase="")
        super().quic_event_received(event)
