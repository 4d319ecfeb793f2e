"""What else was the case when a row was taken: the device's load, heat and line, and what probes found lately."""

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from civobs_agent.board import board_of
from civobs_agent.host import FamilyFacts, Host, Route
from civobs_agent.known import HOLDS_S, Known
from civobs_agent.line import Line, line_of
from civobs_agent.validity import assess
from civobs_wire.measurement import LinkKind, Tcp
from tests.agent.fix_net import MISSING, PRESENT


def board(folder, load="0.10 0.2 0.3 1/99 1234", **files):
    (folder / "proc").mkdir(parents=True, exist_ok=True)
    (folder / "proc/loadavg").write_text(load)
    for path, text in files.items():
        file = folder / "sys" / path.replace("__", "/").replace("_at_", ":")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return board_of(folder / "proc", folder / "sys")


COOLING = "class__thermal__cooling_device0__"
FIRMWARE = "devices__platform__soc__soc_at_firmware__get_throttled"


def test_a_device_is_busy_with_more_work_than_cores(tmp_path):
    assert board(tmp_path).busy() is False
    assert board(tmp_path, "900.0 1 1 1/9 1").busy() is True
    (tmp_path / "proc/loadavg").unlink()
    assert board_of(tmp_path / "proc", tmp_path / "sys").busy() is None


@pytest.mark.parametrize(
    ("files", "hot"),
    [
        ({}, None),
        ({COOLING + "type": "pwm-fan\n", COOLING + "cur_state": "3\n"}, None),
        ({COOLING + "type": "cpufreq-cpu0\n", COOLING + "cur_state": "0\n"}, False),
        ({COOLING + "type": "thermal-cpufreq-0\n", COOLING + "cur_state": "2\n"}, True),
        ({COOLING + "type": "Processor\n", COOLING + "cur_state": "1\n"}, True),
        ({FIRMWARE: "0\n"}, False),
        ({FIRMWARE: "50000\n"}, False),
        ({FIRMWARE: "80008\n"}, True),
        ({FIRMWARE: "4\n"}, True),
        ({FIRMWARE: "5\n"}, False),
        ({FIRMWARE: "nonsense"}, None),
    ],
)
def test_a_device_is_hot_when_it_slows_itself_down_and_does_not_tell_where_it_cannot(tmp_path, files, hot):
    assert board(tmp_path, **files).hot() is hot


HEADER = (
    "Inter-|   Receive                                                |  Transmit\n"
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier"
    " compressed\n"
)


def test_the_line_counts_both_directions_of_the_interface_that_the_default_route_leaves_by(tmp_path):
    (tmp_path / "net").mkdir()
    (tmp_path / "net/dev").write_text(
        HEADER
        + " veth0: 1 0 0 0 0 0 0 0 2 0 0 0 0 0 0 0\n"
        + "  eth0: 100 5 0 0 0 0 0 0 20 3 0 0 0 0 0 0\n"
        + "wlx0013ef:7000 5 0 0 0 0 0 0 8 3 0 0 0 0 0 0\n"
    )
    routed = FamilyFacts(has_address=True, routes=(Route("eth0", ""), Route("wlx0013ef", "")))
    host = Host(carrier=True, v4=MISSING, v6=routed, resolvers=())
    assert line_of(tmp_path, host).moved() == 120
    assert Line(str(tmp_path / "net/dev"), "wlx0013ef").moved() == 7008
    assert Line(str(tmp_path / "net/dev"), "eth7").moved() is None
    assert Line(str(tmp_path / "net/none"), "eth0").moved() is None
    assert line_of(tmp_path, replace(host, v6=MISSING)) is None


def test_what_others_move_is_told_with_each_row_and_the_agents_own_bytes_are_not_in_it(context):
    on_loopback = replace(context, line=Line("/proc/net/dev", "lo"))
    run = on_loopback.begin()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as others:
        others.bind(("127.0.0.1", 0))
        for _ in range(100):
            others.sendto(bytes(1_000), others.getsockname())
    seen = on_loopback.row(Tcp, run, "page", {"port": 443}).validity.cross_bytes
    assert seen >= 200_000
    own = on_loopback.begin()
    on_loopback.spend(10**12)
    assert on_loopback.row(Tcp, own, "page", {"port": 443}).validity.cross_bytes == 0
    assert context.row(Tcp, context.begin(), "page", {"port": 443}).validity.cross_bytes is None


def test_findings_stand_for_the_moment_for_as_long_as_they_hold(context, tmp_path):
    known = Known()
    now = context.clock.moment()
    known.tell("portal", True, now.mono_ms)
    known.tell("interception", False, now.mono_ms)
    known.tell("resolver", "192.0.2.0/24", now.mono_ms)
    host = Host(carrier=True, v4=PRESENT, v6=PRESENT, resolvers=(), undervoltage=True)
    host = replace(host, link=LinkKind.WIFI, tunnel=True)
    told = assess(now, host, (), known, board(tmp_path))
    assert (told.portal, told.interception, told.resolver) == (True, False, "192.0.2.0/24")
    assert (told.link, told.tunnel, told.undervoltage, told.busy) == (LinkKind.WIFI, True, True, False)
    later = replace(now, mono_ms=now.mono_ms + round(HOLDS_S["portal"] * 1000) + 1)
    assert assess(later, host, (), known, board(tmp_path)).portal is None
    assert assess(later, host, (), known, board(tmp_path)).resolver == "192.0.2.0/24"


def test_what_is_known_can_be_handed_over_and_of_two_findings_the_later_holds():
    one, other = Known(), Known()
    one.tell("portal", True, 100)
    one.mapped[4] = "9.9.9.9"
    other.tell("portal", False, 200)
    other.take_over(one.told(), 300)
    assert (other.flag("portal", 300), other.mapped) == (False, {4: "9.9.9.9"})
    one.take_over(other.told(), 300)
    assert one.flag("portal", 300) is False


def test_the_kernels_own_files_are_read_as_they_are():
    board_of(Path("/proc"), Path("/sys")).hot()
    assert board_of(Path("/proc"), Path("/sys")).busy() in {True, False}
    assert Line("/proc/net/dev", "lo").moved() >= 0
