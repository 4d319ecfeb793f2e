"""Which addresses are lies: a dead machine of a delivery network looks alike, and must not be taken for one."""

import random

import pytest

from civobs_collector.detect.params import Params
from civobs_collector.detect.target_addresses import AddressFact, Told, known_addresses

PARAMS = Params()
SITE, OTHER, THIRD = 1, 2, 3
TRUE, DEAD = "198.51.100.7", "203.0.113.66"
NETWORKS = (("KE", 101), ("KE", 102), ("TZ", 201), ("UG", 301))
HERE = NETWORKS[0]
VERIFIED, OPEN, FAILED, GIVEN, INDEPENDENT, DOUBLED = Told


def fact(told, address=DEAD, network=HERE, target=SITE):
    return AddressFact(target, *network, address, told)


def met(networks=NETWORKS, target=SITE, *, address=TRUE):
    return [fact(VERIFIED, address, network, target) for network in networks]


CONTRADICTED = [fact(FAILED), fact(GIVEN), fact(INDEPENDENT, TRUE)]
"""Connects fail where the given resolver leads; an independent one, asked from there, knows another place."""


def lies(*facts):
    return set(known_addresses(facts, PARAMS)[SITE].lies)


def test_what_independent_resolvers_contradict_for_a_name_that_is_at_one_place_for_everybody_is_a_lie():
    assert lies(*met(), *CONTRADICTED) == {DEAD}


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param([*met(), fact(FAILED), fact(GIVEN), fact(INDEPENDENT)], id="all-resolvers-lead-there"),
        pytest.param([*met(), fact(FAILED), fact(GIVEN)], id="no-independent-resolver-was-asked"),
        pytest.param([*met(), *CONTRADICTED, fact(INDEPENDENT, network=("TZ", 201))], id="told-elsewhere-too"),
        pytest.param([*met(), *CONTRADICTED[:2], fact(INDEPENDENT, TRUE, ("TZ", 201))], id="asked-elsewhere-only"),
        pytest.param([*met(NETWORKS[:2]), *CONTRADICTED], id="met-in-two-networks-only"),
        pytest.param(
            [*met(NETWORKS[:3]), fact(VERIFIED, "198.51.100.99", ("UG", 301)), *CONTRADICTED],
            id="a-delivery-network-leads-each-network-elsewhere",
        ),
        pytest.param([*met(), *CONTRADICTED, *met([("ZA", 401)], address=DEAD)], id="somebody-met-it-there"),
        pytest.param(CONTRADICTED, id="nobody-met-it-anywhere"),
    ],
)
def test_a_dead_address_is_no_lie_where_a_delivery_network_may_have_led_there(facts):
    assert lies(*facts) == set()


def test_two_answers_to_one_question_show_a_lie_whatever_the_name_is():
    moved = [fact(VERIFIED, f"198.51.100.{network[1] % 250}", network) for network in NETWORKS]
    assert lies(*moved, fact(FAILED), fact(DOUBLED), fact(DOUBLED, TRUE)) == {DEAD}


def test_targets_that_have_nothing_in_common_do_not_fail_at_one_address_by_chance():
    sites = (SITE, OTHER, THIRD)
    apart = [one for site in sites for one in met(target=site, address=f"198.51.100.{site}")]
    failed = [fact(FAILED, target=site) for site in sites]
    assert lies(*apart, *failed) == {DEAD}
    assert lies(*apart, *failed[:2]) == set()
    together = [fact(VERIFIED, "192.0.2.1", ("ZA", 401), site) for site in sites[:2]]
    assert lies(*apart, *failed, *together) == set()


def test_an_address_that_is_a_lie_for_one_name_is_one_for_every_name_that_fails_there():
    moved = [fact(VERIFIED, f"192.0.2.{network[1] % 250}", network, OTHER) for network in NETWORKS]
    known = known_addresses([*met(), *CONTRADICTED, *moved, fact(FAILED, target=OTHER)], PARAMS)
    assert known[OTHER].is_lie(DEAD)
    assert not known[OTHER].is_lie(TRUE)


def test_addresses_of_one_family_say_nothing_of_the_other():
    six = [fact(VERIFIED, f"2001:db8::{network[1]}", network) for network in NETWORKS]
    assert lies(*met(), *six, *CONTRADICTED) == {DEAD}


def test_an_open_port_counts_only_for_a_target_that_was_never_met_over_verified_tls():
    answered = [fact(OPEN, TRUE, network) for network in NETWORKS]
    assert lies(*answered, *CONTRADICTED) == {DEAD}
    (known,) = known_addresses([*met(), fact(OPEN)], PARAMS).values()
    assert known.is_strange(DEAD)
    assert not known.is_lie(DEAD)


def test_the_order_of_facts_decides_nothing():
    facts = [*met(), *CONTRADICTED, *met(target=OTHER, address="192.0.2.1"), fact(FAILED, target=OTHER)]
    again = random.Random(5).sample(facts, len(facts))
    assert known_addresses(again, PARAMS) == known_addresses(facts, PARAMS)
