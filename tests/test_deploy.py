"""What is under deploy/ fits together: names, secrets, paths, units. No container is started."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from civobs_collector.__main__ import main

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
ONCE = {"init", "migrate"}


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def test_every_image_has_a_version_and_every_service_says_whether_it_is_well(compose):
    for name, service in compose["services"].items():
        assert re.fullmatch(r"[a-z/-]+:(local|\d[\w.-]+)(@sha256:[0-9a-f]{64})?", service["image"]), name
        assert ("healthcheck" in service) == (name not in ONCE), name
        assert name == "init" or service["security_opt"] == ["no-new-privileges:true"]


def test_no_service_has_a_secret_that_is_not_a_file(compose):
    for name, service in compose["services"].items():
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|TOKEN", variable):
                assert variable.endswith("_FILE"), f"{name}: {variable}"
                assert value.startswith("/run/secrets/")
                assert value.removeprefix("/run/secrets/") in service["secrets"]
        assert set(service.get("secrets", ())) <= set(compose["secrets"])


def test_only_the_broker_for_probes_and_the_pages_are_published(compose):
    ports = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert ports == {"broker": ["8883:8883"], "caddy": ["80:80", "443:443", "443:443/udp"]}
    assert compose["services"]["database"]["networks"] == ["inside"]
    assert compose["networks"]["inside"] == {"internal": True}


def test_the_files_of_secrets_are_those_that_init_makes(compose, tmp_path, capsys):
    words = ["--url", "https://o.example", "--broker", "b.example", "--compose"]
    assert main(["init", str(tmp_path / "etc"), *words]) == 0
    made = {path.relative_to(tmp_path / "etc").as_posix() for path in (tmp_path / "etc").rglob("*") if path.is_file()}
    wanted = {one["file"].removeprefix("${CIVOBS_ETC:?}/") for one in compose["secrets"].values()}
    settings = (tmp_path / "etc" / "collector.toml").read_text()
    wanted |= set(re.findall(r"/etc/civobs/([\w./]+)", settings))
    assert wanted <= made
    mosquitto = (tmp_path / "etc" / "mosquitto" / "mosquitto.conf").read_text()
    assert {f"mosquitto/{name}" for name in re.findall(r"/mosquitto/config/([\w.]+)", mosquitto)} <= made


def test_every_variable_is_in_the_example_and_every_one_there_is_used():
    used = set(re.findall(r"\$\{(CIVOBS_\w+)", (DEPLOY / "compose.yaml").read_text()))
    given = set(re.findall(r"^(CIVOBS_\w+)=", (DEPLOY / ".env.example").read_text(), flags=re.MULTILINE))
    assert used == given
    assert set(re.findall(r"\{\$(CIVOBS_\w+)\}", (DEPLOY / "Caddyfile").read_text())) <= given


def test_grafana_has_every_variable_that_its_provisioning_names(compose):
    given = set(compose["services"]["grafana"]["environment"])
    for file in (DEPLOY / "grafana").rglob("*.yaml"):
        assert set(re.findall(r"\$(CIVOBS_\w+)", file.read_text())) <= given, file.name


def test_what_is_mounted_from_the_repository_is_there(compose):
    for service in compose["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            if source.startswith("."):
                assert (DEPLOY / source).exists(), source


@pytest.mark.parametrize(
    "unit", sorted(path.name for path in (DEPLOY / "systemd").iterdir() if "agent" not in path.name)
)
def test_systemd_takes_every_unit(unit, tmp_path):
    for path in (DEPLOY / "systemd").iterdir():
        # Programs of ours are not installed where the tests run.
        text = re.sub(r"/usr/(local/)?bin/civobs[\w-]*", "/bin/true", path.read_text())
        (tmp_path / path.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / unit)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
