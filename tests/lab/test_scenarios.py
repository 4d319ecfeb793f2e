"""The lab's own scenarios, and the page that says how to write one: neither says what the other does not know."""

import re
from typing import get_args

import pytest
from pydantic import BaseModel

from civobs_collector.detect.record import EventKind
from civobs_lab.censor.rule import Direction, Layer, Method, Protocol, Rule
from civobs_lab.fault_kinds import Censor, Fault, HomeDown
from civobs_lab.scenario import Cause, PlanChanges, Scenario, Truth
from civobs_lab.scenario_file import SCENARIOS, ScenarioError, load
from civobs_lab.servers.misbehaviour import Does
from civobs_lab.strict_toml import Document
from civobs_lab.topology import TOPOLOGIES, Country, Host, Network, Topology
from tests.test_docs import ROOT

DOCUMENT = (ROOT / "docs" / "lab.md").read_text()
QUOTED = set(re.findall(r"`\"?\.?([^`\s\"]+)\"?`", DOCUMENT))
KINDS = get_args(get_args(Fault)[0])
COMMON = set(HomeDown.model_fields)
"""It has no key of its own."""
OWN = sorted(SCENARIOS.glob("*.toml"))

# lab.md, "Scenarios to start with", and one that the designers' cases ask for besides.
WANTED = set(
    re.findall(
        r"\S+",
        """
        national-shutdown international-cut isp-down region-without-power nightly-curfew mobile-only home-router-dead
        flapping-probe collector-blocked collector-down dns-injection dns-server-dead tls-reset-by-name ip-blackhole
        http-block-page quic-blocked udp-443-dropped throttling-policed throttling-shaped evening-congestion site-down
        cdn-answers ipv6-broken clock-wrong-after-power-cut forged-probes offline-72h quiet-week exam-hours
        """,
    )
)


def kind_of(model: type[BaseModel]) -> str:
    return get_args(model.model_fields["kind"].annotation)[0]


def rows(before: str) -> dict[str, list[str]]:
    """The first table after some words: the cells of each row, by the first."""
    table = re.search(r"^(\|.*\n)+", DOCUMENT.partition(before)[2], re.MULTILINE)
    assert table is not None
    cells = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table[0].splitlines()[2:]]
    return {first.strip("`"): rest for first, *rest in cells}


def censor_keys() -> set[str]:
    tables = [*rows("What it selects;"), *rows("How it works:")]
    return {"at", "method", *(key for cell in tables for key in cell.split("`, `"))}


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.stem)
def test_a_scenario_of_the_lab_loads_and_says_what_it_is_like(path):
    loaded = load(path)
    assert len(loaded.scenario.resembles) > 40
    assert loaded.scenario.truth or not loaded.scenario.fault


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.stem)
def test_every_scenario_has_homes_to_which_nothing_happens(path):
    loaded = load(path)
    hit = {
        home.name
        for fault in loaded.scenario.fault
        if fault.scopes != ("host",)
        for home in loaded.topology.households_of(fault.scope)
    }
    assert {home.name for home in loaded.topology.households()} - hit


def test_every_scenario_of_the_specification_is_there():
    assert {path.stem for path in OWN} >= WANTED


def test_every_kind_of_fault_and_every_method_is_played_or_said_to_be_there():
    played = {fault.kind for path in OWN for fault in load(path).scenario.fault}
    # Of these nothing is claimed yet; other scenarios may use them.
    assert {kind_of(model) for model in KINDS} - played == {"captive_portal", "home_down"}


@pytest.mark.parametrize("model", KINDS, ids=kind_of)
def test_a_kind_of_fault_is_documented_with_its_scopes_and_keys(model):
    scopes, keys, what = rows("### Kinds of fault\n")[kind_of(model)]
    assert set(scopes.split(", ")) == set(model.scopes)
    if model is Censor:
        keys = " ".join(f"`{key}`" for key in censor_keys())
    assert set(re.findall(r"`([a-z][a-z_0-9]*)`", keys)) == set(model.model_fields) - COMMON
    assert what


@pytest.mark.parametrize("model", [Scenario, PlanChanges, Truth, Country, Network, Host, Topology])
def test_every_key_is_documented(model):
    known = {part for word in QUOTED for part in (word, word.rpartition(".")[2])}
    assert set(model.model_fields) - {"fault", "truth", "plan", "countries", "networks"} <= known


def test_the_document_knows_no_key_that_does_not_exist():
    assert set(rows("### Every fault\n")) == COMMON
    named = {part for key in rows("## Truths\n") for part in key.split("`, `")}
    assert named == set(Truth.model_fields)
    assert censor_keys() <= set(Censor.model_fields)


def test_every_word_that_may_stand_somewhere_is_documented():
    words = {*Method, *Layer, *Protocol, *Direction, *Does, *EventKind, *get_args(Cause), "nothing", "not_observable"}
    assert {str(word) for word in words} <= QUOTED
    assert set(rows("What it does, `method`:")) == set(Method)


@pytest.mark.parametrize("path", sorted(TOPOLOGIES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_world_of_the_lab_is_documented(path):
    topology = Document(path, Topology).value
    assert f"**{topology.name}**" in DOCUMENT
    if path.stem in {"two-countries", "wide"}:
        assert {host.name for _, host, _ in topology.hosts()} <= QUOTED
        assert {name for _, host, _ in topology.hosts() for name in host.names if ".observatory." not in name} <= QUOTED
        for network in topology.networks:
            assert f"AS{network.asn}" in DOCUMENT


def test_a_censors_fault_has_every_key_of_a_rule():
    assert set(Rule.model_fields) - {"customers"} <= set(Censor.model_fields)
    written = {"kind": "censor", "scope": "XA", "start": "0s", "method": "block_page"}
    values = {"names": ["a.example"], "layers": ["http"], "redirect": "http://b.example/", "direction": "out"}
    rule = Censor.model_validate(written | values).rule()
    assert (rule.names, rule.layers, rule.redirect, rule.direction) == (
        ("a.example",),
        (Layer.HTTP,),
        "http://b.example/",
        Direction.OUT,
    )


def test_the_documents_first_scenario_loads_and_its_mistake_is_told_so(tmp_path):
    example = re.search(r"```toml\n(.*?)```", DOCUMENT, re.DOTALL)
    said = re.search(r"^my-first.toml:\d+: .*$", DOCUMENT, re.MULTILINE)
    assert example is not None
    assert said is not None
    file = tmp_path / "my-first.toml"
    file.write_text(example[1])
    assert load(file).scenario.truth[0].targets == ("www.other.example",)
    file.write_text(example[1].replace('"censor"', '"censer"'))
    with pytest.raises(ScenarioError, match=re.escape(said[0])):
        load(file)
