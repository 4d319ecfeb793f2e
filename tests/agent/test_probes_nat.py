"""What is told of NATs, by Linux routers that translate in different ways, and of servers that are no help."""

import asyncio
import socket
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_address

import pytest

from civobs_agent.probes import nat, stun
from civobs_agent.probes.binding import NAT_PMP_PORT
from civobs_anchor.stun import StunServer
from civobs_wire.failure import Failure, Outcome
from civobs_wire.plan import Server
from tests.agent.fix_natted import OUTSIDE, PLAIN, WAN, WORLD, Serving, stun_ends
from tests.agent.fix_net import plan_with

pytestmark = pytest.mark.netns
SERVER = Server(id="anchor-a", name="a.example", address=WORLD[4][0], address6=WORLD[6][0])
PLAN = plan_with(servers=(SERVER,))
PLAIN_PLAN = plan_with(servers=(Server(id="plain", name="p.example", address=PLAIN),))
HOME_NAT = f'chain post {{ type nat hook postrouting priority 100; oifname "up" snat ip to {WAN}; }}'
TO_CARRIER = 'chain post { type nat hook postrouting priority 100; oifname "up" snat ip to 100.64.7.2; }'
CARRIER_NAT = f"chain post {{ type nat hook postrouting priority 100; ip saddr 100.64.0.0/10 snat ip to {OUTSIDE}; }}"


def checks(row):
    return {check.id: check.failure or "ok" for check in row.checks}


def test_without_translation_nothing_is_mapped_and_everything_passes(natted):
    four, six = natted.rows(nat.measure, PLAN)[0]
    for row in (four, six):
        assert (row.outcome, row.server, row.translated, row.port_kept) == (Outcome.OK, "anchor-a", False, True)
        assert (row.mapping, row.filtering, row.inbound) == ("none", "endpoint_independent", True)
        assert (row.home_nat, row.carrier_nat, row.lifetime_s) == (False, False, None)


def test_a_home_router_is_told_from_a_carriers(natted):
    with natted.rules(router=HOME_NAT):
        (four, six), context = natted.rows(nat.measure, PLAN)
    assert (four.translated, four.port_kept, four.mapping) == (True, True, "endpoint_independent")
    assert (four.filtering, four.inbound) == ("address_and_port_dependent", False)
    assert (four.home_nat, four.carrier_nat, four.carrier_evidence, four.private_hops) == (True, False, (), 1)
    assert checks(four)["gateway"] == Failure.CONNECTION_REFUSED
    assert six.translated is False
    assert context.known.mapped == {4: WAN, 6: "2001:db8:7::2"}
    assert not any(address in four.model_dump_json() + six.model_dump_json() for address in (WAN, "192.168", "db8:7:"))


def test_a_carriers_translation_shows_at_the_second_hop(natted):
    with natted.rules(router=TO_CARRIER, carrier=CARRIER_NAT):
        (four, _), context = natted.rows(nat.measure, PLAN)
    assert (four.carrier_nat, four.carrier_evidence, four.private_hops) == (True, ("second_hop",), 2)
    assert context.known.mapped[4] == OUTSIDE


def test_ports_that_change_with_the_destination_are_a_dependent_mapping(natted):
    with natted.rules(router=HOME_NAT.replace(f"snat ip to {WAN}", f"snat ip to {WAN} fully-random")):
        four = natted.rows(nat.measure, PLAN)[0][0]
    assert (four.mapping, four.port_kept) == ("address_and_port_dependent", False)


def test_a_forwarded_port_lets_in_who_was_never_spoken_to(natted):
    forward = (
        'chain pre { type nat hook prerouting priority -100; iifname "up" meta l4proto udp dnat ip to 192.168.7.2; }'
    )
    with natted.rules(router=f"{HOME_NAT}\n{forward}"):
        four = natted.rows(nat.measure, PLAN)[0][0]
    assert (four.filtering, four.inbound) == ("endpoint_independent", True)


def test_a_firewall_without_translation_filters(natted):
    wall = 'chain forward { type filter hook forward priority 0; iifname "up" ct state new drop; }'
    with natted.rules(router=wall):
        six = natted.rows(nat.measure, PLAN)[0][1]
    assert (six.translated, six.mapping) == (False, "none")
    assert (six.filtering, six.inbound) == ("address_and_port_dependent", False)


@pytest.mark.parametrize(
    ("address", "private"),
    [
        ("192.168.1.2", True),
        ("172.31.0.1", True),
        ("100.64.0.1", False),
        ("fd00:7::2", True),
        ("2001:db8:7::2", False),
        ("fe80::1%up", False),
    ],
)
def test_a_home_has_addresses_of_its_own_in_both_families(address, private):
    assert nat._private(address) is private


def test_a_mapping_that_nobody_uses_is_found_to_end_between_two_waits(natted):
    natted.set("router", "net/netfilter/nf_conntrack_udp_timeout", "2")
    try:
        with natted.rules(router=HOME_NAT):
            four = natted.rows(nat.measure, PLAIN_PLAN, scale=20.0)[0][0]
    finally:
        natted.set("router", "net/netfilter/nf_conntrack_udp_timeout", "30")
    # A second of this clock is twenty: 30 are over before the kernel's two real ones, unless the machine is very busy,
    # and 60 after.
    assert (four.lifetime_s, four.lifetime_below_s) in {(30, 60), (15, 30)}


def test_a_mapping_that_lasts_is_said_to_have_lasted(natted):
    with natted.rules(router=HOME_NAT):
        four = natted.rows(nat.measure, PLAIN_PLAN)[0][0]
    assert (four.lifetime_s, four.lifetime_below_s) == (120, None)


# The gateway


class _Gateway(asyncio.DatagramProtocol):
    """NAT-PMP, as a router speaks it."""

    def __init__(self, answer):
        self._answer = answer

    def connection_made(self, transport):
        self._transport = transport

    def datagram_received(self, data, peer):
        if data == b"\0\0":
            self._transport.sendto(self._answer, peer)


@contextmanager
def gateway_says(natted, answer):
    serving = Serving(natted.places["router"])
    serving.open({("192.168.7.1", NAT_PMP_PORT): _Gateway(answer)})
    try:
        yield
    finally:
        serving.close()


def pmp(address, result=0):
    return b"\x00\x80" + result.to_bytes(2, "big") + bytes(4) + socket.inet_aton(address)


@pytest.mark.parametrize(
    ("answer", "carrier_nat", "evidence"),
    [
        (pmp(WAN), False, ()),
        (pmp("100.64.7.2"), True, ("gateway_private",)),
        (pmp("203.0.113.99"), True, ("gateway_differs",)),
        (pmp("0.0.0.0"), False, ()),
        (pmp(WAN, result=2), False, ()),
        (b"garbage", False, ()),
    ],
    ids=["the mapped one", "of a carrier", "another", "none", "refused", "garbage"],
)
def test_what_the_gateway_says_of_its_own_address_counts(answer, carrier_nat, evidence, natted):
    with natted.rules(router=HOME_NAT), gateway_says(natted, answer):
        four = natted.rows(nat.measure, PLAIN_PLAN)[0][0]
    assert (four.carrier_nat, four.carrier_evidence) == (carrier_nat, evidence)


# Servers that are no help


class _Ignorant(StunServer):
    """Knows no CHANGE-REQUEST and says nothing about it: it answers from where it was asked."""

    async def _respond(self, data, client, at):
        asked = stun.request(data[8:20])
        await super()._respond(asked, client, at)


class _Lying(StunServer):
    """Names another address in the home."""

    def response(self, request, client, at):
        response, origin = super().response(request, client, at)
        response.attributes["OTHER-ADDRESS"] = ("192.168.7.1", 3479)
        return response, origin


@contextmanager
def server_at(natted, address, ends):
    natted.tell("world", "ip", "addr", "add", f"{address}/32", "dev", "lo")
    serving = Serving(natted.places["world"])
    serving.open(ends)
    try:
        yield plan_with(servers=(Server(id="odd", name="odd.example", address=address),))
    finally:
        serving.close()
        natted.tell("world", "ip", "addr", "del", f"{address}/32", "dev", "lo")


class _Babbling(asyncio.DatagramProtocol):
    """Answers each question with many datagrams."""

    def __init__(self, *answers):
        self._answers = answers

    def connection_made(self, transport):
        self._transport = transport

    def datagram_received(self, data, peer):
        for answer in self._answers:
            self._transport.sendto(answer(data), peer)


def _success(body):
    return lambda asked: b"\x01\x01" + len(body).to_bytes(2, "big") + asked[4:20] + body


def _mapped(address):
    """Says that the request came from there."""

    def answer(asked):
        packed = ip_address(address).packed
        mask = asked[4:20]
        hidden = bytes(byte ^ other for byte, other in zip(packed, mask, strict=False))
        body = b"\x00" + (b"\x01" if len(packed) == 4 else b"\x02") + b"\x12\x34" + hidden
        return _success(b"\x00\x20" + len(body).to_bytes(2, "big") + body)(asked)

    return answer


@pytest.mark.parametrize(
    "answers",
    [
        (lambda asked: b"garbage",) * 200,
        (lambda asked: asked,) * 200,
        (_success(b""),),
        (_success(b"\x00\x20\x00\x08\x00\x07" + bytes(6)),),
        (_mapped("2001:db8:9::9"),),
        (_mapped("9.9.9.9"),),
        (_mapped("198.51.100.33"),),
        (lambda asked: b"\x01\x11\x00\x08" + asked[4:20] + b"\x00\x09\x00\x04\x00\x00\x05\x00",),
    ],
    ids=[
        "garbage",
        "echoes",
        "nothing in it",
        "an unheard-of family",
        "another family",
        "an anchor",
        "the server",
        "an error",
    ],
)
def test_a_server_that_says_nothing_sensible_fails_the_row(answers, natted):
    ends = {("198.51.100.33", 3478): _Babbling(*answers)}
    with server_at(natted, "198.51.100.33", ends) as plan:
        four = natted.rows(nat.measure, plan)[0][0]
    assert (four.outcome, four.failure) == (Outcome.FAILED, Failure.UNEXPECTED_ANSWER)
    assert (four.server, four.translated, checks(four)) == ("odd", None, {"odd": Failure.UNEXPECTED_ANSWER})


def test_a_server_that_ignores_what_it_is_asked_makes_nothing_known(natted):
    ends = stun_ends(("198.51.100.30", WORLD[4][1]), _Ignorant)
    mine = {end: protocol for end, protocol in ends.items() if end[0] == "198.51.100.30"}
    with natted.rules(router=HOME_NAT), server_at(natted, "198.51.100.30", mine) as plan:
        four = natted.rows(nat.measure, plan)[0][0]
    assert (four.outcome, four.translated, four.mapping) == (Outcome.OK, True, "endpoint_independent")
    # Its answer came, but from where it was asked: had it been believed, every NAT would be open.
    assert checks(four)["filtering_address"] == "ok"
    assert (four.filtering, four.inbound) == (None, None)
    assert (four.lifetime_s, four.lifetime_below_s) == (None, None)


def test_a_server_with_one_address_shows_the_translation_alone(natted):
    with natted.rules(router=HOME_NAT):
        four = natted.rows(nat.measure, PLAIN_PLAN)[0][0]
    assert (four.translated, four.mapping, four.filtering, four.inbound) == (True, None, None, None)
    assert four.lifetime_s == 120


def test_another_address_in_the_home_is_not_spoken_to(natted):
    ends = stun_ends(("198.51.100.32",), _Lying)
    heard = []

    class Listening(asyncio.DatagramProtocol):
        def datagram_received(self, data, peer):
            heard.append(data)

    home = Serving(natted.places["router"])
    home.open({("192.168.7.1", 3479): Listening(), ("192.168.7.1", 3478): Listening()})
    with natted.rules(router=HOME_NAT), server_at(natted, "198.51.100.32", ends) as plan:
        four = natted.rows(nat.measure, plan)[0][0]
    home.close()
    assert (checks(four)["other_address"], four.mapping, heard) == (Failure.TARGET_REFUSED, None, [])


@pytest.mark.parametrize(
    ("plan", "failure"),
    [
        (None, Failure.NOTHING_TO_ASK),
        (plan_with(servers=(SERVER.model_copy(update={"address": "10.0.0.1"}),)), Failure.TARGET_REFUSED),
        (plan_with(servers=(SERVER.model_copy(update={"stun_port": 9}),)), Failure.HOST_UNREACHABLE),
    ],
    ids=["no plan", "in the home", "closed"],
)
def test_a_row_says_why_there_is_no_answer(plan, failure, natted):
    four = natted.rows(nat.measure, plan)[0][0]
    assert (four.failure, four.translated, four.carrier_nat) == (failure, None, None)


def test_a_family_the_device_does_not_have_is_not_asked(natted):
    def without_ipv6(context):
        missing = replace(context.host.v6, has_address=False)
        return replace(context, host=replace(context.host, v6=missing))

    six = natted.rows(nat.measure, PLAN, change=without_ipv6)[0][1]
    assert (six.outcome, six.failure) == (Outcome.NOT_RUN, Failure.FAMILY_ABSENT)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01\x01",
        bytes(20),
        b"\x01\x01\x00\x04\x21\x12\xa4\x42" + bytes(12) + b"\x00\x20\xff\xff",
        b"\x01\x01\x00\x08\x21\x12\xa4\x42" + bytes(12) + b"\x00\x20\x00\x04\x00\x01\x00\x00",
        b"\x01\x01\x00\x04\x21\x12\xa4\x42" + bytes(12) + b"\x00\x20\x00\x00",
        b"\x01\x01\x00\x08\x21\x12\xa4\x42" + bytes(12) + b"\x00\x20\x00\x03\x00\x07\x00\x00",
    ],
)
def test_a_message_of_wrong_lengths_names_no_address(data):
    answer = stun.read(data)
    assert answer is None or answer.mapped is None
