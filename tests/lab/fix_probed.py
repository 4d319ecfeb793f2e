"""The agent's own probes in a home behind a censor: what their rows say of each thing that is done to them.

The home has a router with NAT and both families; the box stands where its provider leaves for the world.
"""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from civobs_agent.clock import Clock
from civobs_agent.host import Sources
from civobs_agent.net import Net, Roots
from civobs_agent.probes import KINDS, measure_of
from civobs_agent.refusal import Refusal
from civobs_lab.censor.rule import Rule
from civobs_lab.lab import build
from civobs_lab.topology import load
from civobs_wire.plan import Anchor, Plan, Resolver, Server, Target, TimeServer

TOPOLOGY = Path(__file__).parent / "probed.toml"
BAD, GOOD = "https://www.bad.example/", "https://www.good.example/"
PROVIDER = "as64500"
SCALE = 10.0
"""Probes wait a tenth of what they do in life: half a second for late answers, a second for a handshake."""


class Probed:
    """A lab without an observatory, and probes that are run one by one."""

    def __init__(self, lab, folder):
        self.lab = lab
        self._folder = folder
        self.topology = lab.network.topology
        self.links = {host.name: link for _, host, link in self.topology.hosts()}
        self.homes = [home.name for home in self.topology.households()]
        self.box = lab.censor_at(PROVIDER)
        resolver = self.links["resolver-64500"]
        self.resolv_conf = folder / "resolv.conf"
        self.resolv_conf.write_text(f"nameserver {resolver.address}\nnameserver {resolver.address6}\n")

    @contextlib.contextmanager
    def censored(self, **rule):
        """Behind a rule of the censor's."""
        number = self.box.apply(Rule(**rule))
        try:
            yield
        finally:
            self.box.lift(number)

    def address(self, host, family=4):
        link = self.links[host]
        return str(link.address if family == 4 else link.address6)

    def plan(self, url=BAD, **changes):
        """What the observatory would sign for this world."""
        now = datetime.now(UTC)
        both = [(host, family) for host in ("root-m", "xa-dns") for family in (4, 6)]
        values = {
            "targets": (Target(id="target", url=url),),
            "resolvers": (
                Resolver(
                    id="public",
                    address=self.address("public-resolver"),
                    dot_name="dns.public.example",
                    doh_url="https://dns.public.example/dns-query",
                ),
            ),
            "servers": (
                Server(
                    id="measure",
                    name="measure.example",
                    address=self.address("measure"),
                    address6=self.address("measure", 6),
                ),
            ),
            "time_servers": tuple(TimeServer(id=f"time-{f}", address=self.address("measure", f)) for f in (4, 6)),
            "anchors": tuple(
                Anchor(
                    id=f"{host}.{family}",
                    rung=4 if host == "root-m" else 3,
                    address=self.address(host, family),
                    family=family,
                    method="dns",
                )
                for host, family in both
            ),
            "neutral_name": "www.good.example",
        }
        times = {"issued_at": now - timedelta(hours=1), "expires_at": now + timedelta(days=1)}
        return Plan(plan_id="xa-1", serial=1, cc="XA", **times, **(values | changes))

    def inside(self, function, home=0):
        """Call something at the place of a home's probe."""
        return self.lab.network[f"device-{self.homes[home]}"].namespace.run(function)

    def net(self):
        """The probe's place in the network, anew: it remembers nothing."""
        sources = Sources(proc=Path("/proc/thread-self"), resolv_conf=self.resolv_conf)
        roots = Roots(self.lab.certificates.ca_file)
        clock = Clock(self._folder, trust_system=True)
        return Net(clock, refusal=Refusal(lab_ranges=True), sources=sources, roots=roots, time_scale=SCALE)

    def rows(self, *kinds, url=BAD, home=0, **changes):
        """What one run of each kind says, all at once: kind to its rows."""
        plan = self.plan(url, **changes)

        async def run():
            net = self.net()
            target = plan.targets[0]

            async def one(kind):
                context = net.context(datetime.now(UTC), plan)
                aimed = target if KINDS[kind].aimed else Target(id=kind, url="")
                return await measure_of(kind)(aimed, context)

            return dict(zip(kinds, await asyncio.gather(*map(one, kinds)), strict=True))

        return self.inside(lambda: asyncio.run(run()), home)


@pytest.fixture(scope="module")
def probed(tmp_path_factory):
    with build(load(TOPOLOGY), time_scale=SCALE) as lab:
        made = Probed(lab, tmp_path_factory.mktemp("probed"))
        for url in (BAD, GOOD):
            made.rows("dns", url=url)  # the provider's resolver remembers the truth (name_ttl_s)
        yield made
