import subprocess
import sys

import pytest

from civobs_agent.__main__ import COMMANDS


def civobs_agent(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "civobs_agent", *arguments], capture_output=True, text=True, check=False
    )


def test_help_teaches_and_loads_nothing_heavy():
    said = civobs_agent("--help")
    assert said.returncode == 0
    assert all(command in said.stdout for command in COMMANDS)
    heavy = subprocess.run(
        [
            sys.executable,
            "-c",
            (
                "import sys\nfrom civobs_agent.__main__ import _parser\n_parser()\n"
                "print([m for m in ('pydantic', 'cryptography', 'paho', 'dns', 'asyncio') if m in sys.modules])"
            ),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert heavy.stdout.strip() == "[]"


def test_running_loads_nothing_that_a_probe_never_uses_and_breaks_none_of_it():
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            (
                "import sys\nfrom civobs_agent.lean import leaving_out_the_unused\n"
                "import civobs_agent.__main__, civobs_agent.commands.run\n"
                "with leaving_out_the_unused():\n    import civobs_agent.run\n"
                "from civobs_agent.probes import KINDS, measure_of\n"
                "for kind in KINDS: KINDS[kind].apart or measure_of(kind)\n"
                "unused = 'cryptography email http zipfile csv importlib.metadata dns.resolver rich'.split()\n"
                "unused += ['argparse', 'zoneinfo', 'aioquic', 'websockets']\n"
                "print([m for m in unused if m in sys.modules])\n"
                "import dns.resolver, importlib.metadata, urllib.request\n"
                "importlib.metadata.version('civobs'), urllib.request.urlopen, dns.resolver.resolve"
            ),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert loaded.stdout.strip() == "[]"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command):
    said = civobs_agent(command, "--help")
    assert said.returncode == 0
    assert f"civobs-agent {command}" in said.stdout.replace("--config ./agent.toml ", "")


def test_status_before_the_first_run_says_what_to_do(tmp_path):
    config = tmp_path / "agent.toml"
    config.write_text(f'state_dir = "{tmp_path}"\n')
    said = civobs_agent("--config", str(config), "status")
    assert said.returncode == 1
    assert said.stderr.splitlines()[1].strip() == "start it with: civobs-agent run"


def test_doctor_gives_a_remedy_with_each_failure(tmp_path):
    config = tmp_path / "agent.toml"
    config.write_text(f'state_dir = "{tmp_path / "state"}"\n')
    said = civobs_agent("--config", str(config), "doctor")
    assert said.returncode == 1
    lines = said.stdout.splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith(("fail", "warn")):
            assert following.strip().startswith("→ ")
    assert "Traceback" not in said.stderr


def test_a_claim_code_with_a_typing_error_is_refused_before_anybody_is_asked(tmp_path):
    config = tmp_path / "agent.toml"
    config.write_text(f'state_dir = "{tmp_path / "state"}"\n[observatory]\nurl = "http://127.0.0.1:9"\n')
    said = civobs_agent("--config", str(config), "enrol", "7K3M-9QXP")
    assert said.returncode == 2
    assert "is not a claim code" in said.stderr
