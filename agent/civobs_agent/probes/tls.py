"""A TLS handshake with a target's name at its first address, verified as a browser would."""

import asyncio
import hashlib
import ssl
from dataclasses import dataclass

from civobs_agent.faults import Fault, MeasurementError, fault_of
from civobs_agent.net import FAMILIES, Context, IpFamily
from civobs_agent.probes.place import Place, place_of, resolve, unresolved
from civobs_agent.probes.stream import Stream
from civobs_agent.tables import Timeout, table
from civobs_wire.failure import Failure
from civobs_wire.measurement import AnyMeasurement, Tls, TlsStage
from civobs_wire.plan import Target

TIMEOUTS = table(
    Timeout("tls.connect", 10.0, "OONI web_connectivity"),
    Timeout("tls.handshake", 10.0, "OONI web_connectivity"),
)
ALPN = ("h2", "http/1.1")
"""What browsers offer, so that the ClientHello is not unusual for it (OONI web_connectivity)."""
UNVERIFIED = frozenset({Failure.SSL_INVALID_HOSTNAME, Failure.SSL_UNKNOWN_AUTHORITY, Failure.SSL_INVALID_CERTIFICATE})


@dataclass(slots=True)
class _Course:
    """How far it came, filled in as it goes."""

    address: str | None = None
    stage: TlsStage = TlsStage.CONNECT
    connect_ms: float | None = None
    handshake_ms: float | None = None
    version: str | None = None
    cipher: str | None = None
    alpn: str | None = None
    cert_sha256: str | None = None


async def measure(target: Target, context: Context) -> list[AnyMeasurement]:
    """One row for each family."""
    return list(await asyncio.gather(*(_handshake(target, family, context) for family in FAMILIES)))


async def _handshake(target: Target, family: IpFamily, context: Context) -> Tls:
    run = context.begin()
    place = place_of(target.url)
    course = _Course()
    fault = context.absent(family)
    if fault is None:
        try:
            course.address = await resolve(place, family, context)
            run = context.begin()
            await _go(course, course.address, place, context)
        except MeasurementError as error:
            fault = unresolved(error.fault)
        except (OSError, EOFError) as error:
            fault = fault_of(error)
    if fault is not None and fault.failure in UNVERIFIED and course.address is not None:
        course.stage = TlsStage.VERIFY
        course.cert_sha256, note = await _read_leaf(course.address, place, context)
        fault = Fault(fault.failure, f"{fault.note}; {note}")
    fields: dict[str, object] = {
        "address": course.address,
        "port": place.port,
        "sni": place.host,
        "stage": course.stage,
        "connect_ms": course.connect_ms,
        "handshake_ms": course.handshake_ms,
        "version": course.version,
        "cipher": course.cipher,
        "alpn": course.alpn,
        "cert_sha256": course.cert_sha256,
    }
    return context.row(Tls, run, target.id, fields, family=family, fault=fault)


async def _go(
    course: _Course, address: str, place: Place, context: Context, settings: ssl.SSLContext | None = None
) -> None:
    """Connect and shake hands, verified unless other settings are given. Raises OSError, EOFError."""
    async with asyncio.timeout(context.timeout_s(TIMEOUTS["tls.connect"])):
        stream = await Stream.connect(address, place.port, context)
    async with stream:
        course.connect_ms, course.stage = stream.connect_ms, TlsStage.HANDSHAKE
        async with asyncio.timeout(context.timeout_s(TIMEOUTS["tls.handshake"])):
            tls = await stream.start_tls(settings or context.roots.verifying(), place.host, ALPN)
        course.handshake_ms, course.stage = stream.handshake_ms, TlsStage.DONE
        cipher = tls.cipher()
        course.version, course.alpn = tls.version(), tls.selected_alpn_protocol()
        course.cipher = None if cipher is None else cipher[0]
        leaf = tls.getpeercert(binary_form=True)
        course.cert_sha256 = None if leaf is None else hashlib.sha256(leaf).hexdigest()


async def _read_leaf(address: str, place: Place, context: Context) -> tuple[str | None, str]:
    """Digest of the certificate that did not verify, so that others can tell who it was that answered, and a note.

    OpenSSL hands out no certificate of a handshake that failed, so it takes a second one that accepts any. Nothing
    is sent over it.
    """
    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    settings.check_hostname = False
    settings.verify_mode = ssl.CERT_NONE
    again = _Course()
    try:
        await _go(again, address, place, context, settings)
    except (OSError, EOFError) as error:
        return None, f"second handshake for the certificate: {fault_of(error).failure}"
    return again.cert_sha256, "certificate read in a second handshake"
