"""Reading names where a censor reads them: DNS questions, TLS and QUIC ClientHellos, hosts of HTTP requests.

Pure functions over bytes that anybody may have written: what is not understood has no name, and nothing raises but
``IncompleteError``, which says that more bytes may make it readable.
"""

from dataclasses import dataclass

import dns.exception
import dns.flags
import dns.message
import dns.opcode
import h11
from aioquic import tls
from aioquic._buffer import Buffer, BufferReadError
from aioquic._crypto import CryptoError
from aioquic.quic.crypto import CryptoPair
from aioquic.quic.packet import QuicFrameType, QuicPacketType, QuicProtocolVersion, pull_ack_frame, pull_quic_header

from civobs_lab.censor.orders import plain
from civobs_lab.censor.rule import Layer

_HANDSHAKE = 22
_HELLO_BYTES = 16384
"""The longest ClientHello that is put together."""
_CID_BYTES = 8
_VERSIONS = frozenset({QuicProtocolVersion.VERSION_1, QuicProtocolVersion.VERSION_2})


class IncompleteError(Exception):
    """It begins well and is not all there."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A name that was read in a packet, or in a connection up to this packet."""

    layer: Layer
    name: str
    question: dns.message.Message | None = None

    @property
    def asks(self) -> bool:
        """Whether it stands in a request; in DNS, answers show the name as well."""
        return self.question is None or not self.question.flags & dns.flags.QR


def dns_question(wire: bytes) -> Sighting | None:
    """The name in a DNS message, question or answer: both carry it."""
    try:
        message = dns.message.from_wire(wire, question_only=True)
    except (dns.exception.DNSException, ValueError):
        return None
    if not message.question or message.opcode() != dns.opcode.QUERY:
        return None
    return Sighting(Layer.DNS, plain(message.question[0].name.to_text()), message)


def client_hello_name(handshake: bytes) -> str | None:
    """The server name in a TLS handshake that begins with a ClientHello. Raises IncompleteError."""
    if handshake and handshake[0] != tls.HandshakeType.CLIENT_HELLO:
        return None
    if len(handshake) < 4:
        raise IncompleteError
    length = int.from_bytes(handshake[1:4], "big")
    if length > _HELLO_BYTES:
        return None
    if len(handshake) < 4 + length:
        raise IncompleteError
    try:
        hello = tls.pull_client_hello(Buffer(data=handshake[: 4 + length]))
    except (tls.Alert, BufferReadError, ValueError, AssertionError):
        return None
    return plain(hello.server_name) if hello.server_name else None


def tls_name(stream: bytes) -> str | None:
    """The server name in what a customer sent first, over one record or several. Raises IncompleteError."""
    handshake, at = bytearray(), 0
    while len(handshake) < _HELLO_BYTES:
        if at + 5 > len(stream):
            # Whether more is needed is for the handshake to say: records may end where it does.
            break
        if stream[at] != _HANDSHAKE or stream[at + 1] != 3:
            return None
        length = int.from_bytes(stream[at + 3 : at + 5], "big")
        handshake += stream[at + 5 : at + 5 + length]
        at += 5 + length
    return client_hello_name(bytes(handshake))


def http_host(stream: bytes) -> tuple[str | None, int]:
    """The host that a request names, and where the next one begins. Raises IncompleteError."""
    if not stream:
        raise IncompleteError
    connection = h11.Connection(h11.SERVER)
    host: str | None = None
    try:
        connection.receive_data(stream)
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                named = dict(event.headers).get(b"host", b"").decode("ascii")
                host = plain(named.rpartition(":")[0] if named.rpartition(":")[2].isdigit() else named)
            elif isinstance(event, h11.EndOfMessage) or event is h11.PAUSED:
                return host, len(stream) - len(connection.trailing_data[0])
            elif event is h11.NEED_DATA:
                if host is None:
                    raise IncompleteError
                return host, len(stream)
    except (h11.RemoteProtocolError, UnicodeDecodeError):
        return None, len(stream)


class QuicHello:
    """The ClientHello of a QUIC connection, put together from the customer's Initial packets (RFC 9001 §5.2)."""

    def __init__(self) -> None:
        self._keys: dict[bytes, CryptoPair] = {}
        self._pieces: dict[int, bytes] = {}

    def add(self, datagram: bytes) -> str | None:
        """The name once it is readable. Raises IncompleteError."""
        buffer = Buffer(data=datagram)
        try:
            while not buffer.eof():
                start = buffer.tell()
                header = pull_quic_header(buffer, host_cid_length=_CID_BYTES)
                if header.packet_type is QuicPacketType.INITIAL and header.version in _VERSIONS:
                    packet = datagram[start : start + header.packet_length]
                    self._decrypt(packet, buffer.tell() - start, header.destination_cid, header.version)
                buffer.seek(start + header.packet_length)
        except (BufferReadError, ValueError):
            pass
        if not self._pieces:
            return None
        return client_hello_name(self._contiguous())

    def _decrypt(self, packet: bytes, encrypted_at: int, cid: bytes, version: int) -> None:
        if cid not in self._keys and len(self._keys) < 4:
            # The first key stays in use after the server has chosen another id; a Retry begins anew with that id.
            self._keys[cid] = CryptoPair()
            self._keys[cid].setup_initial(cid, is_client=False, version=version)
        for pair in self._keys.values():
            try:
                _, plaintext, _ = pair.decrypt_packet(packet, encrypted_at, 0)
            except CryptoError:
                continue
            self._take(plaintext)
            return

    def _take(self, plaintext: bytes) -> None:
        frames = Buffer(data=plaintext)
        while not frames.eof():
            kind = frames.pull_uint_var()
            if kind in (QuicFrameType.ACK, QuicFrameType.ACK_ECN):
                pull_ack_frame(frames)
            elif kind == QuicFrameType.CRYPTO:
                offset = frames.pull_uint_var()
                if offset <= _HELLO_BYTES:
                    self._pieces[offset] = frames.pull_bytes(frames.pull_uint_var())
            elif kind not in (QuicFrameType.PADDING, QuicFrameType.PING):
                return

    def _contiguous(self) -> bytes:
        data = b""
        for offset, piece in sorted(self._pieces.items()):
            if offset > len(data):
                break
            data = data[:offset] + piece if offset + len(piece) > len(data) else data
        return data
