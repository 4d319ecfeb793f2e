"""What DNS rows say of a censor that answers in place of the resolver, drops questions, or takes all of them."""

import pytest

from civobs_wire.failure import Failure, Outcome

pytestmark = pytest.mark.netns

BAD, NEUTRAL = "www.bad.example", "www.good.example"
LIES = {"A": "203.0.113.66", "AAAA": "2001:db8:bad::66"}
SERVER_HOPS = 64
"""Time to live with which Linux sends, and so the lab's servers."""


def public(rows, transport="udp"):
    """The rows of the plan's resolver, which stands beyond the censor, by record type."""
    return {row.qtype: row for row in rows["dns"] if (row.resolver, row.transport) == ("public", transport)}


def truth(probed, qtype):
    return (probed.address("site", 4 if qtype == "A" else 6),)


def test_nothing_is_told_where_nothing_is_done(probed):
    rows = probed.rows("dns")["dns"]
    assert len(rows) == 3 * 2 * 2
    assert {row.outcome for row in rows} == {Outcome.OK}
    assert all(row.answers == truth(probed, row.qtype) and row.others == () for row in rows)
    assert {row.resolver for row in rows} == {"resolver", "resolver.2", "public"}
    assert {row.case_kept for row in rows} == {True, None}
    assert all(row.ip_ttl < SERVER_HOPS for row in rows if row.transport == "udp")


def test_who_answers_beside_the_way_cannot_keep_the_true_answer_away(probed):
    rule = {"method": "inject_dns", "names": (BAD,), "answers": tuple(LIES.values()), "protocol": "udp"}
    with probed.censored(**rule, on_path=True, truth_late_ms=100):
        rows = probed.rows("dns")
    for qtype, row in public(rows).items():
        assert row.answers == (LIES[qtype],)
        assert [other.answers for other in row.others] == [truth(probed, qtype)]
        assert row.others[0].ms > row.duration_ms
    assert all(row.answers == truth(probed, qtype) for qtype, row in public(rows, "tcp").items())


def test_who_answers_from_within_the_way_is_alone_and_nearer_than_the_resolver(probed):
    before = public(probed.rows("dns"))
    with probed.censored(method="inject_dns", names=(BAD,), answers=tuple(LIES.values())):
        rows = public(probed.rows("dns"))
    for qtype, row in rows.items():
        assert (row.answers, row.others) == ((LIES[qtype],), ())
        assert row.ip_ttl != before[qtype].ip_ttl


@pytest.mark.parametrize(
    ("rule", "failure"),
    [
        ({"method": "inject_dns"}, Failure.DNS_NXDOMAIN_ERROR),
        ({"method": "drop", "layers": ("dns",), "protocol": "udp"}, Failure.GENERIC_TIMEOUT_ERROR),
        ({"method": "reject", "layers": ("dns",), "protocol": "udp"}, Failure.HOST_UNREACHABLE),
    ],
)
def test_what_is_done_to_a_question_is_told(rule, failure, probed):
    with probed.censored(names=(BAD,), **rule):
        rows = public(probed.rows("dns"))
    assert {row.failure for row in rows.values()} == {failure}


@pytest.mark.parametrize("family", [4, 6])
def test_who_takes_every_question_answers_where_no_resolver_is(family, probed):
    with probed.censored(method="inject_dns", names=(NEUTRAL,), answers=tuple(LIES.values()), family=family):
        rows = probed.rows("resolver")["resolver"]
    assert {row.family: row.no_resolver_answered for row in rows if row.resolver == "measure"} == {
        4: family == 4,
        6: family == 6,
    }


def test_each_way_to_a_resolver_is_told_by_itself(probed):
    def failed():
        row = next(row for row in probed.rows("resolver")["resolver"] if row.resolver == "public")
        return {check.id for check in row.checks if check.failure is Failure.GENERIC_TIMEOUT_ERROR}, row

    none, row = failed()
    assert (none, row.outcome, row.case_kept) == (set(), Outcome.OK, True)
    assert {"udp", "tcp", "dot", "doh"} <= {check.id for check in row.checks if check.outcome is Outcome.OK}
    address = f"{probed.address('public-resolver')}/32"
    for port, way in ((853, "dot"), (443, "doh")):
        with probed.censored(method="drop", addresses=(address,), ports=(port,)):
            assert failed()[0] == {way}
