"""Packets that a censor makes up: answers in a server's name, resets in either end's, requests with other letters."""

import socket

import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet as ScapyPacket
from scapy.packet import Raw

from civobs_lab.censor import packet as wire
from civobs_lab.censor.packet import Packet
from civobs_lab.censor.rule import Rule

_TTL_S = 60
"""Of forged records."""
_SEGMENT = 1200
"""Bytes of a forged TCP segment: fits every path of the lab."""
_WINDOW = 0xFFFF
_PAGE = b"<html><head><title>Forbidden</title></head><body>Access to this site is forbidden.</body></html>\n"


class Sender:
    """Raw sockets that take whole packets, whatever their source address says."""

    def __init__(self) -> None:
        self._sockets = {
            4: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW),
            6: socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW),
        }

    def send(self, packet: ScapyPacket) -> None:
        """Put it on its way. Raises OSError where no way leads."""
        self._sockets[packet.version].sendto(bytes(packet), (packet.dst, 0))


def reset_of_sender(packet: Packet) -> ScapyPacket:
    """A reset that whoever sent the packet believes, as if its other end had answered."""
    if packet.flags & wire.ACK:
        return _back(packet) / _tcp(packet, flags="R", seq=packet.acknowledged)
    # RFC 9293 §3.10.7.1: without an acknowledgement the reset carries one.
    return _back(packet) / _tcp(packet, flags="RA", seq=0, ack=_after(packet))


def reset_of_receiver(packet: Packet, *, seen: bool) -> ScapyPacket:
    """A reset that whoever the packet is for believes: in its place, or right after it if it is ``seen``."""
    sequence = _after(packet) if seen else packet.sequence
    same = TCP(sport=packet.source_port, dport=packet.target_port, flags="R", seq=sequence)
    return _header(packet.version, str(packet.source), str(packet.target)) / same


def dns_answer(question: dns.message.Message, rule: Rule) -> bytes:
    """The censor's answer: its addresses of the family asked for, or NXDOMAIN when it has none at all."""
    answer = dns.message.make_response(question, recursion_available=True)
    answer.flags |= dns.flags.AA
    asked = question.question[0]
    if not rule.answers:
        answer.set_rcode(dns.rcode.NXDOMAIN)
    version = {dns.rdatatype.A: 4, dns.rdatatype.AAAA: 6}.get(asked.rdtype)
    fitting = [str(address) for address in rule.answers if address.version == version]
    if fitting and asked.rdclass == dns.rdataclass.IN:
        answer.answer.append(dns.rrset.from_text(asked.name, _TTL_S, asked.rdclass, asked.rdtype, *fitting))
    return answer.to_wire()


def udp_answer(packet: Packet, payload: bytes) -> ScapyPacket:
    """An answer to a datagram, from whom it was sent to."""
    return _back(packet) / UDP(sport=packet.target_port, dport=packet.source_port) / Raw(payload)


def tcp_answer(packet: Packet, payload: bytes) -> list[ScapyPacket]:
    """An answer to what a TCP packet said, and the end of the connection."""
    said = _after(packet)
    pieces = [payload[at : at + _SEGMENT] for at in range(0, len(payload), _SEGMENT)]
    forged, sequence = [], packet.acknowledged
    for piece in pieces:
        flags = "FPA" if piece is pieces[-1] else "A"
        tcp = _tcp(packet, flags=flags, seq=sequence, ack=said)
        forged.append(_back(packet) / tcp / Raw(piece))
        sequence = (sequence + len(piece)) & 0xFFFFFFFF
    return forged


def block_page(rule: Rule) -> bytes:
    """The response that says that it is forbidden, or leads to a page that does."""
    first = b"HTTP/1.1 403 Forbidden\r\n"
    if rule.redirect is not None:
        first = b"HTTP/1.1 302 Found\r\nLocation: " + rule.redirect.encode("ascii", "replace") + b"\r\n"
    head = b"Content-Type: text/html\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(_PAGE)
    return first + head + _PAGE


def with_payload(packet: Packet, payload: bytes) -> bytes:
    """The packet with other bytes of the same number, and the checksum that they need."""
    whole: ScapyPacket = (IP if packet.version == 4 else IPv6)(packet.raw)
    whole[TCP].remove_payload()
    whole[TCP].add_payload(Raw(payload))
    del whole[TCP].chksum
    return bytes(whole)


def other_letters(stream: bytes) -> bytes:
    """A request with its header names in the other case and the first letter of ``User-Agent`` changed.

    The same for a stream cut off anywhere, as far as it goes, so that a packet sent again is altered again alike.
    """
    altered = bytearray(stream)
    end = stream.find(b"\r\n\r\n")
    at = stream.find(b"\r\n") + 2
    while 2 <= at < (len(stream) if end < 0 else end):
        stop = stream.find(b"\r\n", at)
        line_end = len(stream) if stop < 0 else stop
        colon = stream.find(b":", at, line_end)
        name_end = line_end if colon < 0 else colon
        altered[at:name_end] = stream[at:name_end].swapcase()
        value = colon + 1 + (stream[colon + 1 : colon + 2] == b" ")
        if stream[at:name_end].lower() == b"user-agent" and colon >= 0 and value < line_end:
            altered[value] = ord("X")
        at = line_end + 2
    return bytes(altered)


def _after(packet: Packet) -> int:
    """The sequence number that follows the packet."""
    length = len(packet.payload) + bool(packet.flags & wire.SYN) + bool(packet.flags & wire.FIN)
    return (packet.sequence + length) & 0xFFFFFFFF


def _back(packet: Packet) -> ScapyPacket:
    """The header of an answer."""
    return _header(packet.version, str(packet.target), str(packet.source))


def _header(version: int, source: str, target: str) -> ScapyPacket:
    return IP(src=source, dst=target) if version == 4 else IPv6(src=source, dst=target)


def _tcp(packet: Packet, *, flags: str, seq: int, ack: int = 0) -> TCP:
    """The TCP header of an answer."""
    ports = packet.target_port, packet.source_port
    return TCP(sport=ports[0], dport=ports[1], flags=flags, seq=seq, ack=ack, window=_WINDOW)
