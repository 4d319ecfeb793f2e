"""What rows of TCP, TLS and reach say of each thing that a censor does to a name or to an address."""

import pytest

from civobs_wire.failure import Failure, Outcome
from civobs_wire.measurement import HttpStage, TlsStage

pytestmark = pytest.mark.netns

BAD = ("www.bad.example",)
BY_NAME = {
    "drop": Failure.GENERIC_TIMEOUT_ERROR,
    "reject": Failure.HOST_UNREACHABLE,
    "reset": Failure.CONNECTION_RESET,
}
BY_ADDRESS = {
    "drop": (Failure.GENERIC_TIMEOUT_ERROR, {4: None, 6: None}),
    "reject": (Failure.HOST_UNREACHABLE, {4: (3, 13), 6: (1, 1)}),
    "reset": (Failure.CONNECTION_REFUSED, {4: None, 6: None}),
}
"""What a connect says, and type and code of the ICMP message: "administratively prohibited" in both families."""


def handshakes(rows):
    return {(row.family, row.named): row for row in rows["tls"]}


def test_nothing_is_told_where_nothing_is_done(probed):
    rows = probed.rows("tcp", "tls", "reach")
    assert {row.outcome for kind in rows.values() for row in kind} == {Outcome.OK}
    assert set(handshakes(rows)) == {(family, named) for family in (4, 6) for named in ("target", "neutral", "none")}
    assert {row.root for row in rows["tls"]} == {"Lab authority"}
    assert {row.resolvers for row in rows["tls"]} == {("resolver", "public")}


@pytest.mark.parametrize("method", BY_NAME)
def test_what_is_done_to_a_name_shows_with_that_name_alone(method, probed):
    with probed.censored(method=method, names=BAD, layers=("tls",)):
        rows = probed.rows("tcp", "tls", "reach")
    assert {row.outcome for row in rows["tcp"]} == {Outcome.OK}
    for (_, named), row in handshakes(rows).items():
        if named == "target":
            assert (row.failure, row.stage, row.received) == (BY_NAME[method], TlsStage.HANDSHAKE, 0)
        else:
            assert row.outcome is Outcome.OK
    assert (rows["reach"][0].outcome, rows["reach"][0].stage) == (Outcome.FAILED, HttpStage.TLS)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("method", BY_ADDRESS)
def test_what_is_done_to_an_address_shows_with_every_name_and_not_in_the_other_family(method, family, probed):
    address = probed.address("site", family)
    failure, icmp = BY_ADDRESS[method]
    with probed.censored(method=method, addresses=(f"{address}/{32 if family == 4 else 128}",)):
        rows = probed.rows("tcp", "tls", "reach")
    for row in rows["tcp"]:
        hit = row.family == family
        assert row.failure == (failure if hit else None)
        assert (row.icmp_type, row.icmp_code) == ((hit and icmp[family]) or (None, None))
    for (told, _), row in handshakes(rows).items():
        assert (row.failure, row.stage) == ((failure, TlsStage.CONNECT) if told == family else (None, TlsStage.DONE))
    assert (rows["reach"][0].outcome, rows["reach"][0].family) == (Outcome.OK, 6 if family == 4 else 4)


def test_an_address_that_one_resolver_lies_about_is_shaken_hands_with_too(probed):
    lie = probed.address("measure")
    with probed.censored(method="inject_dns", names=BAD, answers=(lie,)):
        rows = [row for row in probed.rows("tls")["tls"] if row.named == "target" and row.family == 4]
    told = {row.address: row for row in rows}
    assert set(told) == {probed.address("site"), lie}
    assert told[lie].resolvers == ("public",)
    assert told[lie].failure is not None or told[lie].covers is False
    assert told[probed.address("site")].outcome is Outcome.OK
