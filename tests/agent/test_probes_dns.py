"""DNS questions to servers that misbehave: all answers, over both transports and from both families."""

import asyncio
import random
import struct
import time
import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civobs_agent.faults import MeasurementError
from civobs_agent.probes import dns as probe
from civobs_agent.probes.addresses import addresses_of
from civobs_agent.probes.dns_message import question, read, said
from civobs_agent.probes.question import Server, ask
from civobs_wire.failure import Failure, Outcome
from civobs_wire.plan import Resolver, Target
from tests.agent.fix_net import free_port, plan_with
from tests.agent.name_server import LIE

UDP_A, UDP_AAAA, TCP_A, TCP_AAAA = range(4)
MIXES_A = 1
TOLD = {
    "site": (None, "NOERROR"),
    "late": (None, "NOERROR"),
    "lost": (None, "NOERROR"),
    "nx": (Failure.DNS_NXDOMAIN_ERROR, "NXDOMAIN"),
    "servfail": (Failure.DNS_SERVFAIL_ERROR, "SERVFAIL"),
    "refused": (Failure.DNS_REFUSED_ERROR, "REFUSED"),
    "odd": (Failure.DNS_SERVER_MISBEHAVING, "NOTIMP"),
    "empty": (Failure.DNS_NO_ANSWER, "NOERROR"),
    "bogon": (Failure.DNS_BOGON_ERROR, "NOERROR"),
    "wrongid": (Failure.DNS_WRONG_QUERY_ID, None),
    "othername": (Failure.DNS_WRONG_QUERY_ID, None),
    "garbage": (Failure.DNS_SERVER_MISBEHAVING, None),
    "itself": (Failure.DNS_SERVER_MISBEHAVING, None),
    "flood": (Failure.DNS_WRONG_QUERY_ID, None),
    "round": (Failure.DNS_NO_ANSWER, "NOERROR"),
    "otherclass": (Failure.DNS_NO_ANSWER, "NOERROR"),
    "update": (Failure.DNS_SERVER_MISBEHAVING, None),
    "silent": (Failure.GENERIC_TIMEOUT_ERROR, None),
    "foreign": (Failure.GENERIC_TIMEOUT_ERROR, None),
}


def measured(name, context, **changes):
    context = replace(context, **changes)
    return asyncio.run(probe.measure(Target(id="t", url=f"https://{name}.test/"), context))


def mixing():
    """Chance that gives A the letters of mixed case."""
    return random.Random(MIXES_A)


def test_what_the_resolver_does_is_told_in_the_vocabulary(context):
    async def all_of(names):
        return await asyncio.gather(
            *(probe.measure(Target(id="t", url=f"https://{name}.test/"), context) for name in names)
        )

    for (name, (failure, rcode)), rows in zip(TOLD.items(), asyncio.run(all_of(TOLD)), strict=True):
        row = rows[UDP_A]
        assert (row.qtype, row.resolver, row.transport) == ("A", "resolver", "udp")
        assert (name, row.failure, row.rcode) == (name, failure, rcode)
        assert row.outcome is (Outcome.OK if failure is None else Outcome.FAILED)


def test_each_resolver_is_asked_for_both_types_over_both_transports(context, dns_port):
    rows = measured("site", context, plan=plan_with(Resolver(id="other", address="::1", port=dns_port)))
    assert [(row.resolver, row.transport, row.qtype, row.family) for row in rows] == [
        (resolver, transport, qtype, family)
        for resolver, family in (("resolver", 4), ("other", 6))
        for transport in ("udp", "tcp")
        for qtype in ("A", "AAAA")
    ]
    assert {(row.answers, row.ttl_s, row.flags, row.nsid, row.edns) for row in rows if row.qtype == "A"} == {
        (("127.0.0.1",), 60, "QR RD RA", "node-1", True)
    }
    assert all(row.ip_ttl == 64 and row.waited_ms > 0 and row.others == () for row in rows if row.transport == "udp")


def test_two_given_resolvers_are_told_apart_and_no_third_is_asked(context):
    host = replace(context.host, resolvers=("127.0.0.1", "::1", "127.0.0.1"))
    rows = measured("site", context, host=host)
    assert [row.resolver for row in rows] == ["resolver"] * 4 + ["resolver.2"] * 4
    assert {row.outcome for row in rows} == {Outcome.OK}


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_forged_answer_before_the_true_one_counts_and_the_true_one_is_kept(address, context):
    row = measured("double", context, host=replace(context.host, resolvers=(address,)))[UDP_A]
    assert (row.outcome, row.answers, row.ttl_s) == (Outcome.OK, (LIE,), 5)
    (other,) = row.others
    assert (other.answers, other.ttl_s, other.ip_ttl, other.failure) == (("127.0.0.1",), 60, 64, None)
    assert other.ms >= row.duration_ms


def test_a_true_answer_that_comes_late_is_still_heard(context):
    row = measured("tardy", context)[UDP_A]
    assert row.answers == (LIE,)
    assert row.others[0].answers == ("127.0.0.1",)
    assert row.waited_ms >= row.others[0].ms >= 100


def test_an_answer_that_came_twice_shows_twice(context):
    row = measured("double", context)[UDP_AAAA]
    assert row.answers == row.others[0].answers == ("::1",)


def test_an_answer_to_another_question_is_kept_with_what_is_wrong_with_it(context):
    row = measured("late", context)[UDP_A]
    assert row.outcome is Outcome.OK
    assert [(other.failure, other.source) for other in row.others] == [(Failure.DNS_WRONG_QUERY_ID, None)]


def test_an_answer_from_elsewhere_is_kept_but_does_not_count(context):
    row = measured("foreign", context)[UDP_A]
    assert row.rcode is None
    assert {(other.failure, other.source) for other in row.others} == {(Failure.UNEXPECTED_ANSWER, "127.0.0.1")}


def test_a_flood_is_cut_off(context):
    row = measured("flood", context)[UDP_A]
    assert len(row.others) == 8


def test_a_question_that_got_lost_is_asked_once_more(context):
    rows = measured("lost", context)
    assert [(row.outcome, row.sent) for row in rows[:2]] == [(Outcome.OK, 2)] * 2


def test_mixed_letters_come_back_as_they_were_sent_for_one_of_the_types(context):
    rows = measured("site", context, rng=mixing())
    assert [row.case_kept for row in rows] == [True, None, None, None]
    assert [row.qname for row in rows] == ["site.test"] * 4


def test_a_resolver_that_writes_the_letters_small_is_told(context):
    assert measured("lower", context, rng=mixing())[UDP_A].case_kept is False


def test_a_resolver_that_knows_no_mixed_letters_is_asked_without(context):
    row = measured("strict", context, rng=mixing())[UDP_A]
    assert (row.outcome, row.case_kept, row.sent, row.answers) == (Outcome.OK, False, 2, ("127.0.0.1",))


def test_a_name_that_does_not_exist_in_either_case_says_nothing_about_the_letters(context):
    row = measured("nx", context, rng=mixing())[UDP_A]
    assert (row.failure, row.case_kept, row.others) == (Failure.DNS_NXDOMAIN_ERROR, True, ())


def test_an_answer_that_was_cut_is_whole_over_tcp(context):
    rows = measured("cut", context)
    assert [(row.outcome, row.answers) for row in (rows[UDP_A], rows[TCP_A])] == [
        (Outcome.OK, ()),
        (Outcome.OK, ("127.0.0.1",)),
    ]
    assert "TC" in rows[UDP_A].flags


def test_aliases_are_kept_in_order_and_only_so_many(context):
    assert measured("chain", context)[UDP_A].aliases == ("edge.cdn.test", "pop.cdn.test")
    assert len(measured("long", context)[TCP_A].aliases) == 16


def test_a_name_that_tells_the_homes_address_is_not_written_down(context):
    """Who forges an answer knows whom it goes to, and could have the record tell."""
    context.known.mapped[4] = "93.184.216.34"
    context = replace(context, host=replace(context.host, addresses=("2a02:810:5::2",)))
    row = measured("traced", context)[UDP_A]
    assert row.aliases == ("home", "home", "home", "cdn.test")


def test_aliases_that_lead_round_are_cut_where_they_do(context):
    row = measured("round", context)[UDP_A]
    assert (row.aliases, row.note) == (("b.test", "c.test", "b.test"), "the aliases lead round")


def test_addresses_of_the_other_family_are_no_answer_but_are_kept(context):
    row = measured("othertype", context)[UDP_AAAA]
    assert (row.failure, row.answers) == (Failure.UNEXPECTED_ANSWER, (LIE,))


@pytest.mark.parametrize(
    ("name", "failure"),
    [("giant", Failure.DNS_SERVER_MISBEHAVING), ("drip", Failure.GENERIC_TIMEOUT_ERROR), ("endless", None)],
)
def test_a_server_without_an_end_over_tcp_yields_its_row(name, failure, context):
    rows = measured(name, context)
    assert [row.failure for row in rows[2:]] == [failure] * 2


def test_of_many_addresses_so_many_are_kept(context):
    assert [len(row.answers) for row in measured("many", context)] == [64] * 4


def test_what_hostile_answers_leave_in_memory_is_bounded(context):
    tracemalloc.start()
    try:
        for name in ("giant", "many", "flood", "long"):
            measured(name, context)
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


def test_a_bogon_is_written_down_by_its_range_because_it_may_be_of_this_home(context):
    row = measured("bogon", context)[UDP_A]
    assert (row.answers, row.note) == (("refused:private",), "private")


def test_the_address_that_the_world_sees_is_written_down_as_home(context):
    context.known.mapped[4] = LIE
    assert measured("double", context)[UDP_A].answers == ("home",)


def test_a_resolver_of_the_plan_in_the_home_is_refused(context):
    row = measured("site", context, plan=plan_with(Resolver(id="x", address="10.0.0.1")))[4]
    assert (row.outcome, row.failure, row.note) == (Outcome.NOT_RUN, Failure.TARGET_REFUSED, "private")


def test_a_resolver_that_is_not_there_refuses_over_both_transports(context):
    for row in measured("site", context, resolver_port=free_port()):
        assert row.failure is Failure.CONNECTION_REFUSED


def test_no_resolver_at_all_still_yields_a_row(context):
    rows = measured("site", context, host=replace(context.host, resolvers=()))
    assert [row.failure for row in rows] == [Failure.NOTHING_TO_ASK]


def test_a_target_that_is_an_address_has_no_name_to_ask_for(context):
    rows = asyncio.run(probe.measure(Target(id="t", url="https://[2001:db8::1]/"), context))
    assert [row.failure for row in rows] == [Failure.NOTHING_TO_ASK]


def test_where_bytes_run_short_only_udp_is_asked(context):
    rows = measured("site", context, left=lambda: 1_000)
    assert [row.transport for row in rows] == ["udp"] * 2


def test_where_bytes_run_shorter_still_fewer_resolvers_are_asked(context, dns_port):
    resolvers = [Resolver(id=f"r{n}", address="127.0.0.1", port=dns_port) for n in range(6)]
    before = context.meter.spent
    rows = measured("site", context, plan=plan_with(*resolvers), left=lambda: 2_000)
    asked = list(dict.fromkeys(row.resolver for row in rows))
    assert (asked[0], len(asked), len(rows)) == ("resolver", 2, 4)
    assert context.meter.spent - before < 2_000


def test_all_questions_listen_at_the_same_time(context, dns_port):
    resolvers = [Resolver(id=f"r{n}", address="127.0.0.1", port=dns_port) for n in range(6)]
    began = time.perf_counter()
    rows = measured("silent", context, plan=plan_with(*resolvers))
    assert len(rows) == 28
    assert time.perf_counter() - began < 5


# The quick exchange, and every address


def test_the_quick_exchange_ends_with_the_first_answer(context, dns_port):
    reply = asyncio.run(ask(Server("127.0.0.1", dns_port), "tardy.test", "A", context))
    assert (reply.answers, reply.transport) == ((LIE,), "udp")


def test_the_quick_exchange_is_not_held_up_by_a_flood(context, dns_port):
    with pytest.raises(MeasurementError) as raised:
        asyncio.run(ask(Server("127.0.0.1", dns_port), "flood.test", "A", context))
    assert raised.value.fault.failure is Failure.DNS_WRONG_QUERY_ID


def test_every_address_is_told_with_those_who_gave_it(context, dns_port):
    plan = plan_with(*(Resolver(id=f"r{n}", address="::1", port=dns_port) for n in range(3)))
    found = asyncio.run(addresses_of("site.test", 4, replace(context, plan=plan)))
    assert found == (("127.0.0.1", ("resolver", "r0", "r1")),)


def test_a_given_resolver_that_is_silent_leaves_the_others_word(context, dns_port):
    plan = plan_with(Resolver(id="r0", address="::1", port=dns_port))
    context = replace(context, plan=plan, host=replace(context.host, resolvers=("10.0.0.7",)))
    assert asyncio.run(addresses_of("site.test", 6, context)) == (("::1", ("r0",)),)


def test_a_name_without_addresses_fails_with_what_the_given_resolver_said(context):
    with pytest.raises(MeasurementError) as raised:
        asyncio.run(addresses_of("nx.test", 4, context))
    assert raised.value.fault.failure is Failure.DNS_NXDOMAIN_ERROR


# Reading


@given(st.binary(max_size=600))
def test_whatever_bytes_come_are_read_without_an_exception(data):
    query = question("site.test", "A", random.Random(1))
    for received in (data, query.to_wire()[:2] + b"\x81\x80" + data, query.to_wire() + data):
        message, failure = read(received)
        assert (message is None) is (failure is not None)
        if message is not None:
            assert len(said(query, message).answers) <= 64


def test_an_answer_made_to_be_slow_is_read_in_no_time():
    query = question("site.test", "A", random.Random(1))
    long = b"".join(b"\x01" + bytes([97 + n % 26]) for n in range(126)) + b"\0"
    asked = query.to_wire()[12:27]
    record = struct.pack("!HHIH", 1, 1, 60, 4)
    for n in (250, 1_000):
        counts = struct.pack("!HHHH", 1, n, 0, 0)
        repeated = b"".join(struct.pack("!H", 0xC000 | 27) + record + k.to_bytes(4, "big") for k in range(1, n))
        data = query.to_wire()[:2] + b"\x81\x80" + counts + asked + long + record + b"\x09\x09\x09\x09" + repeated
        began = time.perf_counter()
        message, failure = read(data)
        assert time.perf_counter() - began < 0.5
        assert (message is None, failure) == ((False, None) if n == 250 else (True, Failure.DNS_SERVER_MISBEHAVING))


def test_a_name_that_cannot_be_asked_for_is_told(context):
    with pytest.raises(MeasurementError):
        question("a" * 64 + ".test", "A", context.rng)


def test_no_reader_stays_behind_on_the_loop(context):
    async def run():
        await probe.measure(Target(id="t", url="https://flood.test/"), context)
        return len(asyncio.get_running_loop()._selector.get_map())

    assert asyncio.run(run()) == 1


def test_questions_are_of_chance(context):
    asked = [question("site.test", "A", context.rng, mixed=True) for _ in range(20)]
    assert len({query.id for query in asked}) > 10
    assert len({query.question[0].name.labels for query in asked}) > 10
