"""DNS and ping against servers that misbehave."""

import asyncio
import errno
from dataclasses import replace

from civobs_agent.faults import fault_of
from civobs_agent.probes import ping
from civobs_agent.refusal import Refusal
from civobs_wire.failure import Failure, Outcome
from civobs_wire.plan import Target


def measured(probe, url, context):
    return asyncio.run(probe.measure(Target(id="t", url=url), context))


def test_an_error_of_the_system_is_told_without_the_address_it_names():
    # What asyncio says of a connect that was answered with "protocol unreachable".
    fault = fault_of(OSError(errno.ENOPROTOOPT, "Connect call failed ('192.168.1.1', 53)"))
    assert (fault.failure, fault.note) == (Failure.UNKNOWN_FAILURE, "OSError: Protocol not available")


# Ping


def test_echoes_are_counted_and_timed_or_the_permission_is_missing(context):
    for row in measured(ping, "http://site.test/", context):
        if row.outcome is Outcome.OK:
            assert (row.sent, row.received) == (3, 3)
            assert 0 < row.rtt_min_ms <= row.rtt_avg_ms <= row.rtt_max_ms
        else:
            assert (row.failure, row.sent) == (Failure.NO_PERMISSION, 0)


def test_a_private_address_is_never_pinged(context):
    rows = measured(ping, "http://192.168.1.1/", replace(context, refusal=Refusal()))
    assert [row.failure for row in rows] == [Failure.TARGET_REFUSED] * 2
    assert context.meter.spent == 0


def test_a_resolver_that_is_not_asked_says_nothing_of_the_target(no_ipv6):
    nobody = "dns_temporary_failure: the device was given no resolver that it can ask"
    for resolvers, said in (
        (("127.0.0.1", "::1"), "dns_servfail_error"),
        (("::1",), nobody),
        (("10.0.0.7",), nobody),
    ):
        row, _ = measured(
            ping, "http://servfail.test/", replace(no_ipv6, host=replace(no_ipv6.host, resolvers=resolvers))
        )
        assert (row.failure, row.note) == (Failure.NO_ADDRESS_RESOLVED, said)
