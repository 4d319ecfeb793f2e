"""Every service of the lab's servers answers as the real one does, as plain clients see it."""

import base64
import json
import socket
import struct
import time

import dns.message
import dns.query
import dns.rcode
import pytest
from aioice.stun import Class, Message, Method, parse_message

from tests.lab.lab_clients import (
    TIMEOUT_S,
    addresses,
    ask,
    ask_tls,
    connects,
    get,
    get_h3,
    get_tls,
    send_datagram,
    tell,
)

pytestmark = pytest.mark.netns
NTP_EPOCH_S = 2_208_988_800


@pytest.mark.parametrize("version", [4, 6])
def test_sites_answer_in_every_version_of_http(served, version):
    address, name = served.at("site", version), "www.site.example"
    plain = served.home(get, address, host=name, path="/some/page")
    secure = served.home(get_tls, address, served.certificates, host=name)
    quic = served.home(get_h3, address, served.certificates, host=name)
    assert [page.status for page in (plain, secure, quic)] == [200, 200, 200]
    assert plain.body == secure.body == quic.body
    assert name.encode() in plain.body
    assert secure.headers["alt-svc"].startswith('h3=":443"')


def test_a_request_that_is_no_http_is_refused_as_such(served):
    answer = served.home(tell, served.at("site"), 80, b"HELO there\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("host", ["[", "a:b:c", "", "www.site.example:80"])
def test_an_odd_host_is_nothing_to_be_troubled_by(served, host):
    request = f"GET http://[?n=[ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    assert served.home(tell, served.at("site"), 80, request.encode()).startswith(b"HTTP/1.1 200")


def test_several_requests_go_over_one_connection(served):
    request = b"GET / HTTP/1.1\r\nHost: www.site.example\r\n\r\n"
    assert served.home(tell, served.at("site"), 80, request * 3).count(b"HTTP/1.1 200") == 3


def test_a_head_request_gets_no_body(served):
    page = served.home(get, served.at("site"), host="www.site.example", method="HEAD")
    assert page.status == 200
    assert page.body == b""


def test_throughput_is_measured_both_ways_over_both_transports(served):
    address, size = served.at("measure"), 300_000
    for fetch in (get_tls, get_h3):
        down = served.home(fetch, address, served.certificates, host=address, path=f"/bytes?n={size}")
        assert len(down.body) == size
        up = served.home(
            fetch, address, served.certificates, host=address, path="/bytes", method="POST", body=bytes(size)
        )
        assert json.loads(up.body) == {"bytes": size}


@pytest.mark.parametrize("asked", ["", "?n=", "?n=-1", "?n=x", "?n=999999999999", "?n=" + 5000 * "9", "?n=%C2%B2"])
def test_a_size_that_is_none_is_refused(served, asked):
    page = served.home(
        get_tls,
        served.at("measure"),
        served.certificates,
        host=served.at("measure"),
        path=f"/bytes{asked}",
    )
    assert page.status == 400


def test_names_are_asked_for_over_udp_tcp_tls_and_https(served):
    query = dns.message.make_query("www.site.example", "A")
    right = {served.at("site")}
    assert addresses(served.home(dns.query.udp, query, served.at("resolver-xa"), timeout=3)) == right
    assert addresses(served.home(dns.query.tcp, query, served.at("resolver-xa"), timeout=3)) == right
    measure = served.at("measure")
    assert addresses(served.home(ask_tls, measure, served.certificates, "www.site.example")) == right
    wire, kind = query.to_wire(), {"Content-Type": "application/dns-message"}
    posted = served.home(
        get_tls, measure, served.certificates, host=measure, path="/dns-query", method="POST", body=wire, headers=kind
    )
    encoded = base64.urlsafe_b64encode(wire).rstrip(b"=").decode()
    got = served.home(get_tls, measure, served.certificates, host=measure, path=f"/dns-query?dns={encoded}")
    for page in (posted, got):
        assert page.headers["content-type"] == "application/dns-message"
        assert addresses(dns.message.from_wire(page.body)) == right


def test_https_questions_that_are_none_are_refused(served):
    measure = served.at("measure")

    def status(**words):
        return served.home(get_tls, measure, served.certificates, host=measure, **words).status

    assert status(path="/dns-query?dns=AAAA") == 400
    assert status(path="/dns-query?dns=%C2%B2") == 400
    assert status(path="/dns-query", method="POST", body=b"x", headers={"Content-Type": "text/plain"}) == 415


def test_authorities_know_the_root_and_deny_what_is_not_there(served):
    assert len(served.home(ask, served.at("root"), ".", "NS").answer[0]) == 13
    assert served.home(ask, served.at("root"), "nothing.example").rcode() == dns.rcode.NXDOMAIN
    assert addresses(served.home(ask, served.at("root", 6), "www.site.example", "AAAA")) == {served.at("site", 6)}


def test_a_cdn_leads_each_country_to_its_own_servers(served):
    def led(cc):
        return addresses(served.home(ask, served.at(f"resolver-{cc}"), "www.cdn.example", cc=cc))

    assert led("xa") == {served.at("cdn-xa")}
    assert led("xb") == {served.at("cdn")}


def test_a_name_that_moves_is_answered_and_certified_there(served):
    name, root = "www.other.example", served.at("root")
    served.switchboard.move(name, "site", ("XB",))
    try:
        assert addresses(served.home(ask, root, name, cc="xb")) == {served.at("site")}
        assert addresses(served.home(ask, root, name, cc="xa")) == {served.at("other")}
        for fetch in (get_tls, get_h3):
            assert served.home(fetch, served.at("site"), served.certificates, host=name).status == 200
        served.switchboard.move(name, "measure")
        assert addresses(served.home(ask, root, name, cc="xb")) == {served.at("measure")}
    finally:
        served.switchboard.move_back(name)
    assert addresses(served.home(ask, root, name, cc="xb")) == {served.at("other")}


def stun(served, address, port=3478, change=0):
    """The answer to a binding request, and where it came from."""
    request = Message(Method.BINDING, Class.REQUEST)
    if change:
        request.attributes["CHANGE-REQUEST"] = change

    def exchange():
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.settimeout(2)
            one.bind(("", 0))
            one.sendto(bytes(request), (address, port))
            data, origin = one.recvfrom(2048)
            return parse_message(data), origin[:2], one.getsockname()[1]

    # From a host: an answer from elsewhere does not pass a home's NAT, which is what such requests find out.
    answer, origin, own = served.network["resolver-xa"].namespace.run(exchange)
    assert answer.transaction_id == request.transaction_id
    return answer, origin, own


@pytest.mark.parametrize("version", [4, 6])
def test_stun_answers_from_the_address_and_port_it_is_asked_to(served, version):
    first, second = served.at("measure", version), served.at("measure", version, second=True)
    for change, where in ((0, (first, 3478)), (2, (first, 3479)), (4, (second, 3478)), (6, (second, 3479))):
        answer, origin, own = stun(served, first, change=change)
        assert answer.message_class is Class.RESPONSE
        assert origin == where == answer.attributes["RESPONSE-ORIGIN"]
        assert answer.attributes["OTHER-ADDRESS"] == (second, 3479)
        assert answer.attributes["XOR-MAPPED-ADDRESS"] == answer.attributes["MAPPED-ADDRESS"]
        assert answer.attributes["XOR-MAPPED-ADDRESS"][1] == own


def test_stun_tells_a_home_its_routers_address(served):
    request = Message(Method.BINDING, Class.REQUEST)
    answer = parse_message(served.home(send_datagram, served.at("measure"), 3478, bytes(request), 2))
    household = next(each for each in served.network.topology.households() if each.name == "xa-64500-1")
    assert answer.attributes["XOR-MAPPED-ADDRESS"][0] == str(household.link.address)


def test_stun_with_one_address_says_that_it_cannot_change_it(served):
    answer, _, _ = stun(served, served.at("plain-stun"), change=4)
    assert answer.attributes["ERROR-CODE"][0] == 420
    answer, origin, _ = stun(served, served.at("plain-stun"), change=2)
    assert origin[1] == 3479
    assert "OTHER-ADDRESS" not in answer.attributes


def ntp(served):
    """Mode, stratum, reference id, the origin echoed, and by how much the server's clock is ahead, seconds."""
    asked = struct.pack("!B39xQ", 0x23, 0x1122334455667788)
    data = served.home(send_datagram, served.at("measure"), 123, asked, 2)
    assert len(data) == 48
    ahead = int.from_bytes(data[40:48], "big") / 2**32 - NTP_EPOCH_S - time.time()
    return data[0] & 7, data[1], data[12:16], int.from_bytes(data[24:32], "big"), ahead


def test_ntp_tells_the_time(served):
    mode, stratum, _, origin, ahead = ntp(served)
    assert (mode, stratum, origin) == (4, 1, 0x1122334455667788)
    assert abs(ahead) < 1


def test_what_is_no_client_of_ntp_gets_nothing(served):
    with pytest.raises(TimeoutError):
        served.home(send_datagram, served.at("measure"), 123, struct.pack("!B47x", 0x24))


def test_the_portal_sends_everybody_to_its_login_page(served):
    portal = served.at("portal")
    page = served.home(get, portal, host="www.site.example", path="/generate_204")
    assert (page.status, page.headers["location"]) == (302, "http://login.portal.example/login")
    assert b"log in" in served.home(get, portal, host="login.portal.example", path="/login").body


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GeT /x HTTP/1.1\r\nhOsT: Www.Site.example\r\nX-Odd:  two  spaces \r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        b"ABCD four words / HTTP/9.9\r\n",
    ],
)
def test_the_echo_returns_a_request_byte_for_byte(served, request_bytes):
    answer = served.home(tell, served.at("measure"), 80, request_bytes)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"message/http" in head
    assert body == request_bytes
    assert served.home(tell, served.at("measure"), 7, request_bytes) == request_bytes


def test_the_plain_anchor_accepts_and_closes(served):
    assert served.home(connects, served.at("root"), 443, TIMEOUT_S) == 0
    assert served.home(tell, served.at("root"), 443, b"") == b""
