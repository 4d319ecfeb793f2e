import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from civobs_agent import config
from civobs_agent.clock import Moment
from civobs_agent.config import AgentSettings, load
from civobs_agent.errors import ConfigError
from civobs_wire.measurement import ClockState

EXAMPLE = Path("deploy/agent.example.toml")


def test_the_example_says_every_setting_and_its_default(monkeypatch):
    example = tomllib.loads(EXAMPLE.read_text())
    uncommented = "\n".join(
        line.removeprefix("#") if line.startswith("#") and not line.startswith("# ") else line
        for line in EXAMPLE.read_text().splitlines()
    )
    every = tomllib.loads(uncommented)
    sections = {name for name, field in AgentSettings.model_fields.items() if hasattr(field.annotation, "model_fields")}
    assert set(every) == set(AgentSettings.model_fields)
    for name in sections:
        assert set(every[name]) == set(AgentSettings.model_fields[name].annotation.model_fields), name
    AgentSettings.model_validate(example)


def test_variables_win_over_the_file(tmp_path, monkeypatch):
    file = tmp_path / "agent.toml"
    file.write_text('[observatory]\nurl = "https://a.example"\n[spool]\nmax_mb = 50\n')
    monkeypatch.setenv("CIVOBS_AGENT_OBSERVATORY__URL", "https://b.example/")
    monkeypatch.setenv("CIVOBS_AGENT_PAUSED", "true")
    settings = load(file)
    assert settings.observatory.url == "https://b.example"
    assert settings.spool.max_mb == 50
    assert settings.paused


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("[spool]\nmax_mbb = 3\n", "setting spool.max_mbb"),
        ("[spool]\nmax_mb = -3\n", "setting spool.max_mb"),
        ('[observatory]\nurl = "ftp://x"\n', "setting observatory.url"),
        ('[observatory]\nclaim = "12"\n', "setting observatory.claim"),
        ("[lab]\ntime_scale = 5\n", "enabled = true"),
        ('[limits]\nquiet_hours = ["from six"]\n', "setting limits.quiet_hours"),
        ('[limits]\ntime_zone = "Mars/Olympus"\n', "setting limits.time_zone"),
        ('[consent]\nwithout = ["PRON"]\n', "setting consent.without: no category 'PRON'"),
        ("not toml", "is not TOML"),
    ],
)
def test_a_bad_setting_is_one_line_of_cause_and_one_of_remedy(tmp_path, text, cause):
    file = tmp_path / "agent.toml"
    file.write_text(text)
    said = subprocess.run(
        [sys.executable, "-m", "civobs_agent", "--config", file, "status"], capture_output=True, text=True, check=False
    )
    assert said.returncode == 2
    assert cause in said.stderr
    assert len(said.stderr.splitlines()) == 2


def test_an_installed_probe_refuses_the_laboratory(monkeypatch):
    monkeypatch.setattr(config, "LAB_BUILD", False)
    monkeypatch.setenv("CIVOBS_AGENT_LAB__ENABLED", "true")
    with pytest.raises(ConfigError, match="not a laboratory"):
        load(None)


def test_what_the_household_allows_follows_from_its_settings(tmp_path):
    file = tmp_path / "agent.toml"
    file.write_text(
        "[limits]\ndaily_mb = 12.5\nmonthly_mb = 100\nquiet_hours = ['18:00-23:00']\ntime_zone = 'Africa/Nairobi'\n"
        "[consent]\ntier = 1\nwithout = ['xed']\n"
    )
    allowed = load(file).household(lambda: False)
    assert (allowed.daily_bytes, allowed.monthly_bytes) == (12_500_000, 100_000_000)
    assert (allowed.tier, allowed.without, allowed.throughput_tests) == (1, {"XED"}, False)
    five_pm_utc = Moment(datetime(2026, 11, 22, 17, tzinfo=UTC), 0, ClockState.SYNCED, 5)
    assert allowed.quiet.at(five_pm_utc)
