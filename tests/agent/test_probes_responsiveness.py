"""Latency under load: the arithmetic by numbers worked out by hand, the measurement against a real anchor."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civobs_agent.probes.responsiveness import LEAST, WHOLE, measure
from civobs_agent.probes.rpm import FIRST_RATE, Foreign, Judge, is_stable, pairs_per_s, score, trimmed_mean
from civobs_wire.failure import Failure, Outcome
from civobs_wire.plan import Server, Target
from tests.agent.fix_net import free_port, plan_with

TARGET = Target(id="responsiveness", url="")


def test_a_trimmed_mean_leaves_out_the_slowest_twentieth():
    assert trimmed_mean([10.0] * 19 + [1000.0]) == 10.0
    assert trimmed_mean([10.0] * 38 + [1000.0, 2000.0]) == 10.0
    # Of fewer than twenty, the slowest goes too: the share is rounded down.
    assert trimmed_mean([1.0, 2.0, 3.0]) == 1.5
    assert trimmed_mean([7.0]) == 7.0
    with pytest.raises(ValueError, match="nothing"):
        trimmed_mean([])


@given(st.lists(st.floats(min_value=0.001, max_value=1e6), min_size=1))
def test_a_trimmed_mean_lies_between_the_quickest_and_the_mean(values):
    mean = trimmed_mean(values)
    assert min(values) <= mean * (1 + 1e-9)
    assert mean <= sum(values) / len(values) * (1 + 1e-9)


def test_the_score_is_the_drafts():
    """60000 / ((20+30+40)/3) = 2000 foreign; 60000 / 60 = 1000 loaded; their mean."""
    one = score([Foreign(20.0, 30.0, 40.0)] * 3, [60.0] * 3)
    assert (one.foreign, one.loaded, one.rpm) == (2000.0, 1000.0, 1500.0)
    assert score([], [60.0]) is None
    assert score([Foreign(1.0, 1.0, 1.0)], []) is None


def test_a_series_is_stable_when_four_values_lie_within_a_twentieth():
    assert is_stable([1.0, 100.0, 101.0, 99.0, 100.0])
    assert not is_stable([100.0, 101.0, 99.0])
    assert not is_stable([50.0, 100.0, 101.0, 99.0])


@pytest.mark.parametrize(
    ("goodput_bps", "pairs"), [(None, FIRST_RATE), (100_000, 1.0), (9_600_000, 10.0), (1_000_000_000, 20.0)]
)
def test_probes_take_no_more_than_a_twentieth_of_the_line(goodput_bps, pairs):
    assert pairs_per_s(goodput_bps) == pytest.approx(pairs)


def judged(*intervals):
    judge = Judge()
    for n_bytes, ms in intervals:
        judge.interval(n_bytes, 1.0, [Foreign(ms, ms, ms)], [ms])
    return judge


def test_confidence_is_low_until_the_figure_was_followed_for_four_intervals():
    full = (1_000_000, 50.0)
    assert judged().confidence == "low"
    assert not judged(*[full] * 3).saturated
    four = judged(*[full] * 4)
    assert (four.saturated, four.rpms, four.confidence) == (True, [], "low")
    assert judged(*[full] * 7).confidence == "low"


def test_confidence_is_high_once_the_figure_rests_and_medium_if_it_does_not():
    full = [(1_000_000, 50.0)] * 4
    assert judged(*full, *full).confidence == "high"
    wild = judged(*full, *[(1_000_000, ms) for ms in (50.0, 300.0, 900.0, 3000.0)])
    assert (wild.confidence, wild.stable, len(wild.rpms)) == ("medium", False, 4)
    assert judged(*full, *full).score().rpm == pytest.approx(1200.0)


def test_the_score_is_of_the_last_four_intervals():
    assert judged(*[(1, 1000.0)] * 5, *[(1, 10.0)] * 4).score().rpm == pytest.approx(6000.0)


def measured(context, *servers, left=None):
    """Rows by their direction."""
    changed = replace(context, plan=plan_with(servers=servers), left=None if left is None else lambda: left)
    rows = {row.direction: row for row in asyncio.run(measure(TARGET, changed))}
    assert set(rows) == {"download", "upload"}
    return rows


def test_both_directions_have_figures_that_fit_together(context, anchor):
    rows = {}
    for _ in range(5):
        before = context.meter.spent
        # Over the loopback the bytes may be gone before enough answers have come: then the row says just that.
        rows = measured(context, anchor.server)
        if all(row.failure is not Failure.TOO_FEW_ANSWERS for row in rows.values()):
            break
    for row in rows.values():
        assert row.outcome is Outcome.OK, row
        assert (row.server, row.stage, row.shrunk) == ("anchor", None, None)
        assert row.rpm == pytest.approx((row.rpm_foreign + row.rpm_loaded) / 2)
        assert row.rpm_foreign == pytest.approx(60_000 * 3 / (row.tcp_ms + row.tls_ms + row.http_ms))
        assert row.rpm_loaded == pytest.approx(60_000 / row.loaded_ms)
        assert row.confidence in {"low", "medium", "high"}
        assert min(row.flows, row.n_foreign, row.n_loaded) >= 1
        assert row.idle_ms > 0
        assert row.goodput_bps > 1_000_000
        assert row.bytes > 1_000_000
    assert context.meter.spent - before < 1.1 * WHOLE


def test_a_short_budget_makes_the_test_smaller(context, anchor):
    for row in measured(context, anchor.server, left=2_000_000).values():
        assert row.shrunk is True
        assert row.failure in {None, Failure.TOO_FEW_ANSWERS}
    assert context.meter.spent < 2_500_000


def test_with_too_little_left_nothing_is_begun(context, anchor):
    for row in measured(context, anchor.server, left=LEAST - 1).values():
        assert (row.outcome, row.failure) == (Outcome.NOT_RUN, Failure.BUDGET_EXHAUSTED)
    assert context.meter.spent == 0


def test_without_a_server_there_is_nothing_to_ask(context):
    for row in measured(context).values():
        assert (row.outcome, row.failure) == (Outcome.NOT_RUN, Failure.NOTHING_TO_ASK)


def test_a_private_address_is_not_spoken_to(no_ipv6, anchor):
    for row in measured(no_ipv6, anchor.server.model_copy(update={"address": "10.0.0.1"})).values():
        assert (row.outcome, row.failure, row.address) == (Outcome.NOT_RUN, Failure.TARGET_REFUSED, None)
    assert no_ipv6.meter.spent == 0


def test_a_closed_port_is_refused(context):
    nobody = Server(id="nobody", name="site.test", address="127.0.0.1", https_port=free_port())
    for row in measured(context, nobody).values():
        assert (row.failure, row.stage) == (Failure.CONNECTION_REFUSED, "idle")


def answering(rest):
    """One byte to whoever speaks HTTP/1.1; to a load, what is given."""

    async def handler(reader, writer):
        if writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2":
            await reader.read(24)
            writer.write(rest)
            await writer.drain()
            await asyncio.sleep(3600)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")

    return handler


@pytest.mark.parametrize(
    ("rest", "failure"),
    [
        (bytes.fromhex("000000040000000001"), Failure.HTTP_REQUEST_FAILED),  # settings of one stream
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", Failure.GENERIC_TIMEOUT_ERROR),  # the head of a long frame
        (b"\xff" * 200_000, Failure.HTTP_REQUEST_FAILED),
        (bytes.fromhex("0000080700000000000000000000000000"), Failure.CONNECTION_RESET),
        (b"", Failure.GENERIC_TIMEOUT_ERROR),
    ],
)
def test_a_load_that_goes_wrong_ends_the_test(context, bad_servers, rest, failure):
    server = bad_servers.start(answering(rest), alpn="h2,http/1.1")
    for row in measured(context, server).values():
        assert (row.outcome, row.failure, row.stage) == (Outcome.FAILED, failure, "load"), row.note
        assert row.idle_ms > 0


def test_a_server_without_http2_is_said_to_have_none(context, bad_servers):
    for row in measured(context, bad_servers.start(answering(b""))).values():
        assert (row.failure, row.note) == (Failure.UNEXPECTED_ANSWER, "the server does not speak HTTP/2")


def test_a_server_that_refuses_bytes_has_a_status(context, bad_servers):
    async def refusing(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n")

    for row in measured(context, bad_servers.start(refusing)).values():
        assert (row.failure, row.stage) == (Failure.HTTP_UNEXPECTED_STATUS_CODE, "idle")


@pytest.mark.parametrize("first", [b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n", b""])
def test_a_server_that_never_ends_its_one_byte_costs_little(context, bad_servers, first):
    async def flooding(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(first)
        for _ in range(1000):
            writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000)
            await asyncio.sleep(0)

    for row in measured(context, bad_servers.start(flooding)).values():
        assert (row.failure, row.stage) == (Failure.UNEXPECTED_ANSWER, "idle")
    assert context.meter.spent < 400_000
