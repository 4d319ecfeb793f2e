"""Walking about in a lab: what is typed is done, in a household as at the prompt."""

import subprocess
import sys

import psutil
import pytest

from civobs_lab import shell
from civobs_lab.strict_toml import FileError

pytestmark = pytest.mark.netns

ASK = """python3 -c "import socket; print('led to', socket.getaddrinfo('www.site.example', 443, type=1)[0][4][0])" """


def said(text, *words):
    """What a lab answers to these lines."""
    command = [sys.executable, "-m", "civobs_lab", "shell", *words]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout.splitlines(), done.stderr


def test_in_a_household_names_are_resolved_as_there_and_the_lab_obeys():
    code, lines, _ = said(
        f"cat /etc/resolv.conf\n{ASK}\nlab begin home_down xa-64500-1\nlab broken\nlab end all\n{ASK}\nexit 3\n",
        "two-countries",
        "xa-64500-1",
    )
    assert code == 0
    assert any("a home in XA, region North, at Arland Telecom" in line for line in lines)
    after = lines[lines.index("`exit` leads out.") + 1 :]
    assert after[0] == "nameserver 198.18.16.2"
    assert after[1].startswith("led to ")
    assert after[2:5] == ["home_down xa-64500-1: broken", "home_down xa-64500-1", "nothing is broken"]
    assert after[5] == after[1]


def test_the_agent_called_in_a_household_measures_the_lab_and_keeps_to_itself():
    _, lines, _ = said(
        "civobs-agent once --target https://www.site.example/\ncivobs-agent doctor\n", "two-countries", "xa-64500-1"
    )
    text = "\n".join(lines)
    assert "L3  In your country      IPv4  3 of 3 hosts answer" in text
    assert "  - IPv4: an answer came, status 200." in text
    assert "verified, Lab authority" in text
    assert "[uplink] send is false: nothing is sent" in text
    assert "ok    plan        xa-" in text


def test_the_prompt_goes_on_where_the_household_ended():
    code, lines, _ = said("begin network_down AS64500\nenter xb-64504-1\necho here\nexit\nbroken\nquit\nbroken\n")
    assert code == 0
    after = lines[lines.index("network_down AS64500: broken") + 1 :]
    assert after[-2:] == ["here", "network_down AS64500"]


def test_what_cannot_be_done_is_told_in_a_line_with_what_to_type():
    _, lines, _ = said(
        "begin nonsense XA\nbegin home_down XA\nbegin home_down\nend x\nenter mars\nstatus\nbroken\nfly\n"
        "begin whitelist XA\nhelp\n"
    )
    answers = lines[2:]
    assert answers[0].startswith("there is no kind 'nonsense'; ")
    assert answers[1].startswith("'XA' is a country, and this kind of fault happens to a household; ")
    assert answers[2] == "say what to break and where, as in: begin national_shutdown XA"
    assert answers[3] == "x is not broken; `broken` lists what is"
    assert answers[4].startswith("there is no place mars; homes are xa-64500-1, ")
    assert answers[5:7] == ["there are no probes: start with --probes", "nothing is broken"]
    assert answers[7] == "there is no command 'fly'; `help` lists them"
    assert answers[8] == "whitelist has no `allowed`; write allowed = … there"
    assert answers[9].startswith("begin KIND SCOPE")


def test_a_fault_of_the_scenario_is_begun_by_its_id_as_often_as_one_likes():
    code, lines, complaint = said("begin cut\nbegin cut\nend cut\nbegin cut\nbroken\nend cut\n", "national-shutdown")
    assert (code, complaint) == (0, "")
    broken, mended = "national_shutdown XA: broken", "national_shutdown XA: mended"
    assert lines[2:] == [
        broken,
        "national_shutdown XA is broken already",
        mended,
        broken,
        "national_shutdown XA",
        mended,
    ]


def test_what_fails_is_told_in_a_line_and_the_lab_goes_on():
    # A queue of less than a bit a second is nothing that the kernel can make.
    code, lines, complaint = said(
        "begin forged_probes AS64500\nbegin congestion AS64500 rate_kbit=0.0001\nbroken\nquit\n"
    )
    assert (code, complaint) == (0, "")
    assert lines[2] == "forged_probes needs the observatory, which does not run; start with --probes"
    assert lines[3].startswith("congestion AS64500 cannot be done here: ")
    assert lines[4:] == ["nothing is broken"]


def test_a_place_that_is_not_there_is_refused():
    code, _, complaint = said("", "two-countries", "mars")
    assert code == 2
    assert complaint.startswith("lab: there is no place mars\n     homes are ")


def test_a_scenario_brings_its_world_and_its_faults():
    world = shell.world("national-shutdown")
    assert [fault.id for fault in world.faults] == ["cut"]
    assert shell.world("two-countries").faults == ()
    with pytest.raises(FileError, match="no such scenario"):
        shell.world("mars")
    with pytest.raises(FileError, match="did you mean 'two-countries'"):
        shell.world("tow-countries")


def test_what_is_left_in_the_background_of_a_shell_ends_with_it():
    code, lines, _ = said("sleep 9731 >/dev/null 2>&1 &\nlab broken\nexit\n", "two-countries", "xa-64500-1")
    assert code == 0
    assert "nothing is broken" in lines
    assert not [each for each in psutil.process_iter(["cmdline"]) if "9731" in (each.info["cmdline"] or [])]
