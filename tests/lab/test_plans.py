"""A plan of the lab is the default plan over the lab's own servers, with what a scenario changes."""

import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from civobs_agent.probes import KINDS
from civobs_collector.config import DetectSettings
from civobs_collector.plan_file import read_plan_file, refuse_unfit
from civobs_lab import rules, scenario_file
from civobs_lab.plans import DEFAULT_PLAN, plan_text
from civobs_lab.scenario import PlanChanges
from civobs_lab.topology import load

TOPOLOGY = load(Path("two-countries"))
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def made(tmp_path, topology=TOPOLOGY, scale=30.0, **changes):
    """A country's plan as the observatory reads it."""
    file = tmp_path / "plan.toml"
    file.write_text(plan_text(topology, topology.countries[0].cc, scale, PlanChanges.model_validate(changes)))
    plan = read_plan_file(file, NOW)
    refuse_unfit(plan)
    return plan


def test_without_changes_tasks_and_intervals_are_those_of_the_default_plan(tmp_path):
    default = tomllib.loads(DEFAULT_PLAN.read_text())
    plan = made(tmp_path)
    often = {task["kind"]: task["interval_s"] for task in reversed(default["tasks"])}
    assert {task.kind: task.interval_s for task in made(tmp_path, scale=1.0).tasks} == often
    assert len(plan.tasks) == len(often)
    assert plan.ladder.interval_s == default["ladder"]["interval_s"]
    assert {target.url for target in plan.targets} == {"https://news.arland.example/", "https://www.other.example/"}


def test_a_scenario_names_what_is_measured_against(tmp_path):
    names = ("www.site.example", "news.arland.example", "http://www.site.example")
    plan = made(tmp_path, targets=names)
    assert {target.url for target in plan.targets} == {
        "https://www.site.example/",
        "https://news.arland.example/",
        "http://www.site.example/",
    }
    assert all(set(task.targets) == set(names) for task in plan.tasks if task.kind in {"tcp", "dns", "http", "reach"})
    assert all("http://" not in name for task in plan.tasks if task.kind in {"tls", "quic"} for name in task.targets)
    assert plan.ladder.service == "www.site.example"


def test_a_scenario_changes_how_often(tmp_path):
    plan = made(tmp_path, intervals={"ladder": "30s", "dns": "1m"})
    assert (plan.ladder.interval_s, plan.ladder.trouble_interval_s) == (30.0, 30.0)
    assert {task.kind: task.interval_s for task in plan.tasks}["dns"] == 60.0
    assert made(tmp_path, intervals={"trouble": "20s"}).ladder.trouble_interval_s == 20.0


def test_the_labs_own_servers_stand_for_those_of_the_default_plan(tmp_path):
    plan = made(tmp_path)
    assert [(server.id, server.address) for server in plan.servers] == [("measure", "198.18.7.2")]
    (resolver,) = plan.resolvers
    assert (resolver.dot_name, resolver.doh_url) == ("dns.public.example", "https://dns.public.example/dns-query")
    assert [server.id for server in plan.time_servers] == ["measure"]
    assert {task.kind for task in plan.tasks} == set(KINDS)


@pytest.mark.parametrize("scale", [1.0, 30.0, 1000.0, 2400.0])
def test_all_homes_together_ask_no_more_of_the_machine_than_it_has(tmp_path, scale):
    homes = len(tuple(TOPOLOGY.households()))
    named = {"tls": "1h"}
    load = sum(
        homes * max(1, len(task.targets)) * scale / task.interval_s * (0.8 if KINDS[task.kind].apart else 0.02)
        for task in made(tmp_path, scale=scale, intervals=named).tasks
        if task.kind != "tls"
    )
    assert load < 0.6
    assert {task.kind: task.interval_s for task in made(tmp_path, scale=scale, intervals=named).tasks}["tls"] == 3600.0


@pytest.mark.parametrize(("scale", "keepalive_s"), [(1.0, 60), (15.0, 4), (60.0, 2), (2400.0, 2)])
def test_the_keepalive_is_compressed_down_to_two_seconds(tmp_path, scale, keepalive_s):
    assert made(tmp_path, scale=scale).keepalive_s == keepalive_s


def test_the_bars_of_a_score_speak_of_the_default_plan_and_of_the_detectors_pace():
    default = tomllib.loads(DEFAULT_PLAN.read_text())
    ladder = default["ladder"]
    assert (default["keepalive_s"], DetectSettings().tick_s) == (rules.KEEPALIVE_S, rules.TICK_S)
    assert (ladder["interval_s"], ladder["trouble_interval_s"]) == (rules.LADDER_S, rules.TROUBLE_S)


@pytest.mark.parametrize("file", sorted(scenario_file.SCENARIOS.glob("*.toml")), ids=lambda file: file.stem)
def test_every_scenario_has_a_plan_for_each_country(tmp_path, file):
    loaded = scenario_file.load(file)
    for country in loaded.topology.countries:
        text = plan_text(loaded.topology, country.cc, loaded.scenario.time_scale, loaded.scenario.plan)
        written = tmp_path / f"{country.cc}.toml"
        written.write_text(text)
        plan = read_plan_file(written, NOW)
        refuse_unfit(plan)
        assert {anchor.rung for anchor in plan.anchors} == {3, 4}
