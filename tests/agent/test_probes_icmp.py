"""The ICMP exchange ends in time, however many packets come that are not for it."""

import asyncio
import threading
import time

import pytest
from icmplib import ICMPRequest, ICMPv4Socket
from pyroute2 import IPRoute

from civobs_agent.faults import MeasurementError
from civobs_agent.probes.icmp import echo
from civobs_lab.namespace import Namespace
from civobs_wire.failure import Failure

pytestmark = [pytest.mark.netns, pytest.mark.timeout(60)]

SILENT = "192.0.2.9"


@pytest.fixture
def home():
    """A device whose raw sockets see much that is not theirs, and a neighbour that never answers."""
    namespace = Namespace("home")

    def build():
        with IPRoute() as route:
            route.link("add", ifname="wan", kind="veth", peer={"ifname": "far"})
            index = {name: route.link_lookup(ifname=name)[0] for name in ("lo", "wan", "far")}
            for number in index.values():
                route.link("set", index=number, state="up")
            route.addr("add", index=index["wan"], address="192.0.2.1", prefixlen=24)
            route.neigh("add", dst=SILENT, lladdr="02:00:00:00:00:09", ifindex=index["wan"], state=0x80)

    namespace.run(build)
    yield namespace
    namespace.close()


def test_an_echo_ends_in_its_time_while_the_answers_of_others_pour_in(home, context):
    over = threading.Event()

    def pour():
        with ICMPv4Socket(privileged=True) as handle:
            while not over.is_set():
                # Never the number of ours, which is 1, whatever identifier ours may have.
                handle.send(ICMPRequest("127.0.0.1", 4711, 2))
                time.sleep(0.0005)

    async def asked():
        found = []
        for _ in range(200):
            try:
                await echo(SILENT, context, timeout_s=0.02)
            except MeasurementError as error:
                found.append(error.fault.failure)
        return found

    pouring = threading.Thread(target=lambda: home.run(pour))
    pouring.start()
    try:
        found = home.run(lambda: asyncio.run(asked()))
    finally:
        over.set()
        pouring.join()
    assert found == [Failure.GENERIC_TIMEOUT_ERROR] * 200
