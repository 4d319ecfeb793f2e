"""No packet leaves for an address a probe must not speak to, whatever its plan asks for: counted by the kernel."""

import asyncio
import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from civobs_agent.clock import Clock
from civobs_agent.host import Sources
from civobs_agent.ladder import climb
from civobs_agent.net import Net
from civobs_agent.probes import measure_of
from civobs_lab.namespace import Namespace
from civobs_wire.plan import Anchor, LadderPlan, Plan, Resolver, Target
from tests.agent.fix_leak import COUNT, GATEWAY4, GATEWAY6, OWN4, OWN6

GIVEN_RESOLVER = "192.168.77.53"
PUBLIC = "9.9.9.9"
FORBIDDEN = (
    *("10.0.0.1", "192.168.77.9", "192.168.77.255", "192.168.1.1", "172.16.5.5", "100.64.1.1", "127.0.0.1"),
    *("169.254.169.254", "224.0.0.251", "239.1.1.1", "255.255.255.255", "0.0.0.0", "::1", "::", "fe80::1", "fd00::1"),
    *("ff02::1", "::ffff:192.168.1.1", "64:ff9b::c0a8:101", "2002:c0a8:101::1", "2a02:810:5::9"),
)
SPELLINGS = ("0x7f.1", "2130706433", "127.1", "localhost", "192.168.1.1.", "user:pass@10.0.0.1", "[fe80::1%25wan]")
pytestmark = pytest.mark.netns

KINDS = ("http", "tcp", "tls", "ping", "dns")


@pytest.fixture
def home():
    """A device at home: one link, where nobody answers."""
    namespace = Namespace("home")

    def build():
        with IPRoute() as route:
            route.link("add", ifname="wan", kind="veth", peer={"ifname": "far"})
            index = {name: route.link_lookup(ifname=name)[0] for name in ("lo", "wan", "far")}
            for number in index.values():
                route.link("set", index=number, state="up")
            route.addr("add", index=index["wan"], address=OWN4, prefixlen=24)
            route.addr("add", index=index["wan"], address=OWN6, prefixlen=64)
            for gateway in (GATEWAY4, GATEWAY6):
                route.route("add", dst="default", gateway=gateway, family=10 if ":" in gateway else 2)
                route.neigh(
                    "add",
                    dst=gateway,
                    lladdr="02:00:00:00:00:01",
                    ifindex=index["wan"],
                    state=0x80,
                    family=10 if ":" in gateway else 2,
                )
        subprocess.run(["nft", "-f", "-"], input=COUNT, text=True, check=True)

    namespace.run(build)
    yield namespace
    namespace.close()


def hostile_plan():
    spelt = [*(f"[{one}]" if ":" in one else one for one in FORBIDDEN), *SPELLINGS]
    checks = [(one, method, port) for one in FORBIDDEN for method, port in (("icmp", 0), ("tcp", 80), ("dns", 53))]
    now = datetime.now(UTC)
    return Plan(
        plan_id="hostile",
        serial=1,
        cc="ZZ",
        issued_at=now,
        expires_at=now + timedelta(days=1),
        targets=tuple(Target(id=f"t{n}", url=f"http://{one}/") for n, one in enumerate([*spelt, PUBLIC])),
        anchors=tuple(
            Anchor(id=f"a{n}", rung=3 + n % 2, address=one, family=6 if ":" in one else 4, method=method, port=port)
            for n, (one, method, port) in enumerate(checks)
        ),
        resolvers=tuple(Resolver(id=f"r{n}", address=one) for n, one in enumerate(FORBIDDEN[-16:])),
        ladder=LadderPlan(service="t0"),
    )


def test_no_packet_leaves_for_an_address_at_home(home, tmp_path):
    (tmp_path / "resolv.conf").write_text(f"nameserver {GIVEN_RESOLVER}\n")
    plan = hostile_plan()

    async def all_of_it():
        net = Net(Clock(tmp_path, trust_system=True), sources=sources_of(tmp_path), time_scale=20)
        for kind in KINDS:
            await asyncio.gather(*(measure_of(kind)(one, net.context(plan.issued_at, plan)) for one in plan.targets))
        await climb(plan, net.context(plan.issued_at, plan))

    home.run(lambda: asyncio.run(all_of_it()))
    assert spoken_to(home, "to4") <= {GATEWAY4, GIVEN_RESOLVER, PUBLIC}
    assert spoken_to(home, "to4") > {PUBLIC}, "nothing was sent at all"
    assert spoken_to(home, "to6") <= {GATEWAY6}


def sources_of(folder):
    # The test's thread has a network of its own; /proc/self would show that of the process.
    return Sources(proc=Path("/proc/thread-self"), resolv_conf=folder / "resolv.conf")


def spoken_to(namespace, name):
    words = [*namespace.enter_command(), "nft", "-j", "list", "set", "inet", "leak", name]
    told = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    return set(told["nftables"][1]["set"].get("elem", []))
