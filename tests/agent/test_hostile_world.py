"""A world that lies wherever it is asked never makes a device speak to a home: counted by the kernel.

Names that lead to machines at home (DNS rebinding), redirects, alternative services, the other address of a STUN
server, a prefix for translation: the ways in which an answer can name an address.
"""

import asyncio
import contextlib
import ipaddress
import json
import socket
import ssl
import struct
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import dns.flags
import dns.message
import dns.rrset
import pytest
from aioice.stun import Class, Message, Method, parse_message
from pyroute2 import IPRoute

from civobs_agent import apart
from civobs_agent.clock import Clock
from civobs_agent.host import Sources
from civobs_agent.ladder import climb
from civobs_agent.net import Net, Roots
from civobs_agent.probes import KINDS, measure_of
from civobs_lab.certificates import CertificateAuthority
from civobs_lab.namespace import Namespace
from civobs_wire.failure import Failure
from civobs_wire.plan import Anchor, DnsNames, LadderPlan, Plan, Resolver, Server, Target, TimeServer
from tests.agent.fix_leak import COUNT, GATEWAY4, GATEWAY6, OWN4, OWN6

pytestmark = pytest.mark.netns

PUBLIC4, PUBLIC6 = "9.9.9.9", "2620:fe::fe"
AT_HOME = {
    "A": (
        "192.168.77.9",
        "10.0.0.1",
        "172.16.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "224.0.0.251",
        "0.0.0.0",
    ),
    "AAAA": (
        "fd00::1",
        "fe80::1",
        "::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::1",
        "2a02:810:5::9",
        "::ffff:0:a00:1",
        "64:ff9b:1::a00:1",
        "fec0::1",
        "2001:0:909:909::f5ff:fffe",
        "2a02:810:5::5efe:a00:1",
    ),
}
NAMES = {
    "home.example": AT_HOME,
    "mixed.example": {
        kind: (AT_HOME[kind][0], public, AT_HOME[kind][1]) for kind, public in (("A", PUBLIC4), ("AAAA", PUBLIC6))
    },
    "site.example": {"A": (PUBLIC4,), "AAAA": (PUBLIC6,)},
    "alias.example": {kind: (f"home.example {kind}",) for kind in AT_HOME},
    # RFC 7050: whoever answers here says through which prefix IPv4 is reached.
    "ipv4only.arpa": {"AAAA": ("fd00:64::c000:aa", "fd00:64::c000:ab")},
}


class LyingWorld:
    """A device at home and, behind its gateway, one host that is the whole Internet and lies."""

    def __init__(self, folder):
        self.home, self.world = Namespace("home"), Namespace("world")
        self._authority = CertificateAuthority(folder / "certificates")
        self.roots = self._authority.ca_file
        names = (*NAMES, "www.example.com")
        addresses = tuple(map(ipaddress.ip_address, (PUBLIC4, PUBLIC6)))
        self._certificate = self._authority.issue(names, addresses, label="world")
        self._wire()
        self._up, self._stop = threading.Event(), None
        self._thread = threading.Thread(target=lambda: self.world.run(lambda: asyncio.run(self._serve())))
        self._thread.start()
        assert self._up.wait(10)

    def close(self):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self.home.close()
        self.world.close()

    def _wire(self):
        def at_home():
            with IPRoute() as route:
                route.link("add", ifname="wan", kind="veth", peer={"ifname": "lan", "net_ns_fd": self.world.fd})
                _up(route, "wan", (OWN4, 24), (OWN6, 64))
                for gateway in (GATEWAY4, GATEWAY6):
                    route.route("add", dst="default", gateway=gateway, family=10 if ":" in gateway else 2)
            subprocess.run(["nft", "-f", "-"], input=COUNT, text=True, check=True)

        def outside():
            with IPRoute() as route:
                _up(route, "lan", (GATEWAY4, 24), (GATEWAY6, 64))
                lo = route.link_lookup(ifname="lo")[0]
                route.addr("add", index=lo, address=PUBLIC4, prefixlen=32)
                route.addr("add", index=lo, address=PUBLIC6, prefixlen=128)

        self.home.run(at_home)
        self.world.run(outside)

    async def _serve(self):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self._certificate)
        servers = [
            await asyncio.start_server(_dns_stream, None, 53),
            await asyncio.start_server(_dns_stream, None, 853, ssl=tls),
            await asyncio.start_server(_page, None, 80),
            await asyncio.start_server(_page, None, 443, ssl=tls),
        ]
        for address in (PUBLIC4, PUBLIC6, GATEWAY4):
            for port, answer in ((53, _dns_answer), (3478, _stun_answer), (3479, _stun_answer), (123, _ntp_answer)):
                made = await self._loop.create_datagram_endpoint(
                    lambda answer=answer: _Answering(answer), (address, port)
                )
                servers.append(made[0])
        self._up.set()
        await self._stop.wait()
        for server in servers:
            server.close()
        await asyncio.sleep(0.1)

    def spoken_to(self):
        found = set()
        for name in ("to4", "to6"):
            words = [*self.home.enter_command(), "nft", "-j", "list", "set", "inet", "leak", name]
            told = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
            found |= set(told["nftables"][1]["set"].get("elem", []))
            flush = [*self.home.enter_command(), "nft", "flush", "set", "inet", "leak", name]
            subprocess.run(flush, check=True)
        return found


def _up(route, name, *addresses):
    for one in ("lo", name):
        route.link("set", index=route.link_lookup(ifname=one)[0], state="up")
    for address, length in addresses:
        route.addr("add", index=route.link_lookup(ifname=name)[0], address=address, prefixlen=length)


class _Answering(asyncio.DatagramProtocol):
    def __init__(self, answer):
        self._answer = answer

    def connection_made(self, transport):
        self._transport = transport

    def datagram_received(self, data, source):
        for reply in self._answer(data, source):
            self._transport.sendto(reply, source)


def _dns_answer(data, _source=None):
    query = dns.message.from_wire(data)
    question = query.question[0]
    reply = dns.message.make_response(query)
    reply.flags |= dns.flags.RA
    kind, name = question.rdtype.name, question.name.to_text(omit_final_dot=True).lower()
    if kind in AT_HOME:
        addresses = NAMES.get(name, AT_HOME).get(kind, ())
        if addresses == (f"home.example {kind}",):
            reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", "CNAME", "home.example."))
            reply.answer.append(dns.rrset.from_text("home.example.", 60, "IN", kind, *AT_HOME[kind]))
        elif addresses:
            reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *addresses))
    elif kind == "NS":
        reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", "NS", "home.example."))
    elif kind in {"PTR", "CNAME"}:
        reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, "home.example."))
    return [reply.to_wire()]


async def _dns_stream(reader, writer):
    with contextlib.suppress(OSError, EOFError):
        while length := await reader.readexactly(2):
            (answer,) = _dns_answer(await reader.readexactly(int.from_bytes(length)))
            writer.write(len(answer).to_bytes(2) + answer)
            await writer.drain()
    writer.close()


LOCATED = {
    "results": [
        {
            "machine": "home.example",
            "urls": {
                f"{scheme}:///ndt/v7/{way}": f"{scheme}://{{host}}/ndt/v7/{way}?token=x"
                for scheme in ("wss", "ws")
                for way in ("download", "upload")
            },
        }
    ]
}
"""What M-Lab's API is to name: {host} is where."""


async def _page(reader, writer):
    with contextlib.suppress(OSError, EOFError, asyncio.LimitOverrunError):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        path = head.split(" ")[1]
        body = b""
        if path.startswith("/locate/"):
            body = json.dumps(LOCATED).replace("{host}", path.removeprefix("/locate/")).encode()
        away = {"/mixed": "https://mixed.example/", "/to-home": "http://192.168.77.9/"}.get(
            path, "https://home.example/x"
        )
        status = "200 OK" if body else "302 Found"
        extra = f'Location: {away}\r\nAlt-Svc: h3="192.168.77.9:443", h3="home.example:443"\r\nVia: 1.1 proxy\r\n'
        writer.write(
            f"HTTP/1.1 {status}\r\n{extra}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body
        )
        await writer.drain()
    writer.close()


def _stun_answer(data, source):
    """The mapped address is right; the other address, where probes are to go next, is at home."""
    try:
        request = parse_message(data)
    except (ValueError, struct.error):
        return []
    seen = (source[0].removeprefix("::ffff:"), source[1])
    other = ("fd00::1" if ":" in seen[0] else "192.168.77.9", 3479)
    reply = Message(Method.BINDING, Class.RESPONSE, transaction_id=request.transaction_id)
    reply.attributes |= {
        "XOR-MAPPED-ADDRESS": seen,
        "MAPPED-ADDRESS": seen,
        "RESPONSE-ORIGIN": other,
        "OTHER-ADDRESS": other,
    }
    reply.add_fingerprint()
    return [bytes(reply)]


def _ntp_answer(data, _source):
    return [b"\x24\x00\x00\x00" + bytes(8) + socket.inet_aton("192.168.77.9") + bytes(8) + data[40:48] + bytes(16)]


@pytest.fixture(scope="module")
def lying(tmp_path_factory):
    built = LyingWorld(tmp_path_factory.mktemp("lying"))
    yield built
    built.close()


def plan_of_lies():
    now = datetime.now(UTC)
    urls = [f"https://{name}{path}" for name in NAMES for path in ("/", "/mixed", "/to-home")]
    return Plan(
        plan_id="lies",
        serial=1,
        cc="ZZ",
        issued_at=now - timedelta(hours=1),
        expires_at=now + timedelta(days=1),
        targets=tuple(
            Target(id=f"t{n}", url=url) for n, url in enumerate([*urls, f"http://{PUBLIC4}/", f"http://[{PUBLIC6}]/"])
        ),
        anchors=(
            Anchor(id="a4", rung=3, address=PUBLIC4, family=4, method="dns", port=53),
            Anchor(id="a6", rung=4, address=PUBLIC6, family=6, method="tcp", port=443),
        ),
        resolvers=(
            Resolver(id="liar", address=PUBLIC4, dot_name="home.example", doh_url="https://home.example/dns-query"),
            Resolver(id="home", address="192.168.77.9", dot_name="x.example"),
            Resolver(id="given", address=GATEWAY4, doh_url="https://site.example/to-home"),
        ),
        servers=(
            Server(id="liar", name="home.example", address=PUBLIC4, address6=PUBLIC6),
            Server(id="home", name="home.example", address="192.168.77.9", address6="fd00::1"),
        ),
        time_servers=(TimeServer(id="liar", address=PUBLIC4), TimeServer(id="home", address="192.168.77.9")),
        dns_names=DnsNames(signed="home.example", bogus="home.example", whoami="home.example"),
        ladder=LadderPlan(service="t0"),
    )


LOCATORS = [
    plan_of_lies().model_copy(
        update={"servers": (), "ndt7_locate": f"https://{asked}/locate/{host}", "plan_id": f"{asked} {host}"}
    )
    for asked, host in (
        *(("site.example", host) for host in ("home.example", "mixed.example", "192.168.77.9", "[fd00::1]")),
        *(("home.example", "site.example"), ("alias.example", "site.example"), ("192.168.77.9", "site.example")),
    )
]


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_the_world_says_no_packet_goes_home(lying, tmp_path, kind):
    packets_stay_out(lying, tmp_path, kind, plan_of_lies())


@pytest.mark.parametrize("plan", LOCATORS, ids=lambda plan: plan.plan_id)
def test_whatever_the_locate_api_says_no_packet_goes_home(lying, tmp_path, plan):
    packets_stay_out(lying, tmp_path, "throughput", plan)


@pytest.mark.parametrize("kind", [kind.id for kind in KINDS.values() if kind.apart])
def test_a_program_beside_the_agent_sends_nothing_home_either(lying, tmp_path, kind):
    few = plan_of_lies().model_copy(update={"targets": plan_of_lies().targets[:3]})
    rows = packets_stay_out(lying, tmp_path, kind, few, partial(apart.run, kind))
    assert not [row for row in rows if "measuring program" in (row.note or "")]


def test_a_given_resolver_at_home_is_none_of_the_plans(lying, tmp_path):
    rows = packets_stay_out(lying, tmp_path, "resolver", plan_of_lies())
    assert [row.failure for row in rows if row.resolver == "given"] == [Failure.TARGET_REFUSED]


def packets_stay_out(lying, tmp_path, kind, plan, measure=None):
    """The rows of a run, which has sent nothing home and tells of no address there."""
    (tmp_path / "resolv.conf").write_text(f"nameserver {GATEWAY4}\n")
    measure = measure or measure_of(kind)
    sources = Sources(proc=Path("/proc/thread-self"), resolv_conf=tmp_path / "resolv.conf")

    async def run():
        net = Net(Clock(tmp_path, trust_system=True), sources=sources, roots=Roots(lying.roots), time_scale=30)
        targets = plan.targets if KINDS[kind].aimed else (Target(id=kind, url=""),)
        found = await asyncio.gather(*(measure(one, net.context(plan.issued_at, plan)) for one in targets))
        await climb(plan, net.context(plan.issued_at, plan))
        return [row for rows in found for row in rows]

    rows = lying.home.run(lambda: asyncio.run(run()))
    assert rows
    spoken = lying.spoken_to()
    assert spoken <= {PUBLIC4, PUBLIC6, GATEWAY4, GATEWAY6}
    assert {PUBLIC4, GATEWAY4} <= spoken, "the world was asked"
    text = "\n".join(row.model_dump_json(exclude_none=True) for row in rows)
    private = ("192.168.77.", "10.0.0.1", "172.16.0.1", "100.64.0.1", "169.254.169.254", "fd00::1", OWN6)
    assert not [one for one in private if one in text], "an address of the home is in a row"
    return rows
