"""QUIC and HTTP/3 beside TLS over TCP, against servers that misbehave, and that no packet goes elsewhere."""

import asyncio
import hashlib
import ssl
from dataclasses import replace

import pytest
from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.h3.connection import H3_ALPN, ErrorCode
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated
from aioquic.quic.packet import QuicErrorCode

from civobs_agent.authorities import places
from civobs_agent.probes import quic
from civobs_agent.probes.quic_faults import fault_of_end
from civobs_agent.probes.quic_knock import SIZE, datagram, is_answer
from civobs_agent.refusal import Refusal
from civobs_wire.failure import Failure, Outcome
from civobs_wire.measurement import QuicStage
from civobs_wire.plan import Target
from tests.agent.fix_net import BODY, plan_with
from tests.agent.fix_quic import OTHER_VERSION, other_versions


def measured(url, context):
    return asyncio.run(quic.measure(Target(id="t", url=url), context))


@pytest.fixture
def context4(no_ipv6):
    """IPv4 alone, where the family makes no difference; the certificate of the loopback's servers is theirs too."""
    return no_ipv6


def test_a_site_is_asked_over_quic_and_shaken_hands_with_under_a_neutral_name(quic_sites, context, certificates):
    rows = measured(quic_sites.url("good"), context)
    assert [(row.family, row.named, row.sni, row.outcome, row.stage, row.alpn) for row in rows] == [
        (4, "target", "site.test", Outcome.OK, QuicStage.DONE, "h3"),
        (4, "neutral", "www.example.com", Outcome.OK, QuicStage.DONE, "h3"),
        (6, "target", "site.test", Outcome.OK, QuicStage.DONE, "h3"),
        (6, "neutral", "www.example.com", Outcome.OK, QuicStage.DONE, "h3"),
    ]
    asked = [(row.status, row.body_bytes, row.verified, row.version, row.udp_answered) for row in rows]
    assert asked[::2] == [(200, len(BODY), True, "1", True)] * 2
    assert asked[1::2] == [(None, None, None, "1", True)] * 2
    for row in rows[::2]:
        assert min(row.handshake_ms, row.first_byte_ms, row.udp_ms, row.tcp_ms) > 0
        assert row.tcp_failure is None
        assert row.received > 1200
    pem = (certificates.folder / "good.pem").read_text()
    leaf = ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN CERTIFICATE") :])
    assert {row.cert_sha256 for row in rows} == {hashlib.sha256(leaf).hexdigest()}


def test_the_neutral_name_is_not_tried_twice_where_it_is_the_targets(quic_sites, context4):
    rows = measured(quic_sites.url("good"), replace(context4, plan=plan_with(neutral_name="site.test")))
    assert [(row.family, row.named) for row in rows] == [(4, "target"), (6, "target")]


@pytest.mark.parametrize(
    ("how", "failure"),
    [
        ("other", Failure.SSL_INVALID_HOSTNAME),
        ("expired", Failure.SSL_INVALID_CERTIFICATE),
        ("unknown", Failure.SSL_UNKNOWN_AUTHORITY),
    ],
)
def test_nothing_is_asked_of_a_site_whose_certificate_does_not_verify(how, failure, quic_sites, context4):
    quic_sites.asked.clear()
    target, neutral, _ = measured(quic_sites.url(how, "/secret"), context4)
    assert (target.outcome, target.failure, target.stage) == (Outcome.FAILED, failure, QuicStage.HANDSHAKE)
    assert (target.verified, target.status, target.cert_sha256 is None) == (False, None, False)
    assert (neutral.outcome, neutral.verified) == (Outcome.OK, None)
    assert target.tcp_ms is not None
    assert quic_sites.asked == []


def test_a_chain_is_followed_over_an_authority_between(quic_sites, context4):
    assert measured(quic_sites.url("chained"), context4)[0].verified is True


@pytest.mark.parametrize(
    ("how", "failure", "udp_answered"),
    [
        ("silent", Failure.GENERIC_TIMEOUT_ERROR, False),
        ("closed", Failure.CONNECTION_REFUSED, False),
        ("garbage", Failure.GENERIC_TIMEOUT_ERROR, False),
        ("flood", Failure.UNEXPECTED_ANSWER, False),
        ("version", Failure.QUIC_INCOMPATIBLE_VERSION, True),
        ("no-h3", Failure.SSL_FAILED_HANDSHAKE, True),
    ],
)
def test_a_host_without_http3_still_works_over_tcp(how, failure, udp_answered, quic_sites, context4):
    target, neutral, absent = measured(quic_sites.url(how), context4)
    for row in (target, neutral):
        assert (row.outcome, row.failure, row.stage) == (Outcome.FAILED, failure, QuicStage.HANDSHAKE)
        assert row.udp_answered is udp_answered
    assert (target.tcp_failure, target.tcp_ms is None) == (None, False)
    assert (absent.outcome, absent.failure, absent.family) == (Outcome.NOT_RUN, Failure.FAMILY_ABSENT, 6)


def test_a_host_that_is_not_there_fails_over_both(quic_sites, context4):
    target, *_ = measured(quic_sites.url("nothing"), context4)
    assert (target.failure, target.tcp_failure) == (Failure.CONNECTION_REFUSED, Failure.CONNECTION_REFUSED)
    assert (target.udp_answered, target.tcp_ms) == (False, None)


@pytest.mark.parametrize(
    ("path", "failure", "status", "body_bytes"),
    [
        ("/missing", None, 404, len(BODY)),
        ("/informed", None, 200, len(BODY)),
        ("/endless", None, 200, quic.MAX_BODY),
        ("/stall", Failure.GENERIC_TIMEOUT_ERROR, None, None),
        ("/part", Failure.GENERIC_TIMEOUT_ERROR, 200, 3),
        ("/reset", Failure.HTTP_REQUEST_FAILED, None, None),
        ("/bomb", Failure.HTTP_REQUEST_FAILED, None, None),
        ("/table", Failure.HTTP_REQUEST_FAILED, None, None),
    ],
)
def test_an_answer_is_told_as_far_as_it_came(path, failure, status, body_bytes, quic_sites, context4):
    row = measured(quic_sites.url("good", path), context4)[0]
    assert (row.failure, row.status, row.body_bytes) == (failure, status, body_bytes)
    assert row.stage is (QuicStage.DONE if failure is None else QuicStage.REQUEST)
    assert row.received < quic.MAX_RECEIVED


def test_a_server_that_ends_the_connection_is_quoted_by_its_code_alone(quic_sites, context4):
    row = measured(quic_sites.url("refuses"), context4)[0]
    assert row.failure is Failure.CONNECTION_REFUSED
    assert row.note == "closed by QUIC code 0x2"


def test_a_retry_is_followed_at_the_same_address(quic_sites, context4):
    assert measured(quic_sites.url("retry"), context4)[0].status == 200


def test_a_preferred_address_gets_no_packet(quic_sites, context4):
    row = measured(quic_sites.url("prefers", "/endless"), context4)[0]
    assert (row.outcome, row.status) == (Outcome.OK, 200)
    assert quic_sites.elsewhere == []
    # aioquic left to itself turns there, so it was an offer.
    asyncio.run(_ask_by_aioquic_alone(quic_sites.ports["prefers"]))
    assert quic_sites.elsewhere != []
    quic_sites.elsewhere.clear()


class _Deaf(QuicConnectionProtocol):
    """Lets what comes on streams be."""

    def quic_event_received(self, event):
        pass


async def _ask_by_aioquic_alone(port):
    settings = QuicConfiguration(alpn_protocols=H3_ALPN, server_name="site.test", verify_mode=ssl.CERT_NONE)
    async with connect("127.0.0.1", port, configuration=settings, create_protocol=_Deaf) as client:
        await client.ping()
        await client.ping()


def test_an_answer_from_another_port_is_no_answer(quic_sites, context4, server_loop):
    async def answer_from_elsewhere():
        loop = asyncio.get_running_loop()
        other, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", 0))

        class Here(asyncio.DatagramProtocol):
            def datagram_received(self, data, peer):
                other.sendto(other_versions(data, OTHER_VERSION), peer)

        here, _ = await loop.create_datagram_endpoint(Here, ("127.0.0.1", 0))
        return here, other

    here, other = server_loop.run(answer_from_elsewhere())
    port = here.get_extra_info("sockname")[1]
    row = measured(f"https://site.test:{port}/", context4)[0]
    assert (row.udp_answered, row.failure, row.received) == (False, Failure.GENERIC_TIMEOUT_ERROR, 0)
    for transport in (here, other):
        server_loop.loop.call_soon_threadsafe(transport.close)


def test_a_name_that_resolves_into_the_home_is_refused(quic_sites, context4):
    row = measured("https://bogon.test/", context4)[0]
    assert (row.outcome, row.failure, row.stage) == (Outcome.NOT_RUN, Failure.TARGET_REFUSED, QuicStage.RESOLVE)
    assert row.address is None


def test_every_socket_asks_the_refusal_itself(quic_sites, context4):
    async def both():
        settings = QuicConfiguration(alpn_protocols=H3_ALPN)
        refusing = replace(context4, refusal=Refusal())
        outcomes = [
            quic.knock("127.0.0.1", 443, refusing),
            quic.QuicLine.open("127.0.0.1", 443, settings, refusing, most=1),
        ]
        return await asyncio.gather(*outcomes, return_exceptions=True)

    assert [error.fault.failure for error in asyncio.run(both())] == [Failure.TARGET_REFUSED] * 2


def test_every_byte_of_a_run_is_counted(quic_sites, context4):
    row, neutral, _ = measured(quic_sites.url("good"), context4)
    least = row.received + neutral.received + SIZE
    assert least < context4.meter.spent < 60_000


def test_the_question_of_an_unknown_version_carries_no_name_and_only_its_own_answer_counts():
    question = datagram(b"our id 8")
    assert len(question) == SIZE
    assert question[1:5] == bytes.fromhex("1a2a3a4a")
    answer = other_versions(question, b"\x00\x00\x00\x01")
    assert is_answer(answer, b"our id 8")
    for wrong in (b"", answer[:9], other_versions(datagram(b"other id"), b"\x00\x00\x00\x01"), question):
        assert not is_answer(wrong, b"our id 8")


@pytest.mark.parametrize(
    ("code", "frame", "reason", "negotiated", "failure", "note"),
    [
        (QuicErrorCode.INTERNAL_ERROR, 0, "Idle timeout", False, Failure.GENERIC_TIMEOUT_ERROR, None),
        (QuicErrorCode.INTERNAL_ERROR, 0, "", True, Failure.QUIC_INCOMPATIBLE_VERSION, None),
        (QuicErrorCode.INTERNAL_ERROR, 0, "", False, Failure.CONNECTION_ABORTED, "closed by QUIC code 0x1"),
        (QuicErrorCode.NO_ERROR, 0, "", False, Failure.EOF_ERROR, "closed by QUIC code 0x0"),
        (QuicErrorCode.PROTOCOL_VIOLATION, 0, "", False, Failure.UNEXPECTED_ANSWER, "closed by QUIC code 0xa"),
        (0x100 + 112, 6, "", False, Failure.SSL_FAILED_HANDSHAKE, "alert unrecognized_name"),
        (0x100 + 99, 6, "", False, Failure.SSL_FAILED_HANDSHAKE, "alert 99"),
        (ErrorCode.H3_NO_ERROR, None, "", False, Failure.EOF_ERROR, "closed by HTTP/3 code 0x100"),
        (ErrorCode.H3_FRAME_ERROR, None, "", False, Failure.HTTP_REQUEST_FAILED, "closed by HTTP/3 code 0x106"),
    ],
)
def test_an_end_of_a_connection_is_told_in_the_vocabulary(code, frame, reason, negotiated, failure, note):
    event = ConnectionTerminated(error_code=code, frame_type=frame, reason_phrase=reason)
    fault = fault_of_end(event, negotiated=negotiated)
    assert (fault.failure, fault.note) == (failure, note)


def test_the_roots_of_the_system_are_found_as_a_file_or_a_folder():
    file, folder = places(None)
    assert (file is None) != (folder is None)
