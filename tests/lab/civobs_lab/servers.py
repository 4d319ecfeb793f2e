"""All servers of a lab in one process: each listens in its host's namespace, all answer from one loop.

A socket stays in the namespace it was made in, so forty hosts need no forty processes. Run as
``python -m civobs_lab.servers FILE``; the file is what ``describe`` writes.
"""

import asyncio
import json
import os
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from civobs_lab import dns_server
from civobs_lab.certificates import CertificateAuthority
from civobs_lab.namespace import enter
from civobs_lab.network import LabNetwork
from civobs_lab.topology import Topology

READY = "lab servers are ready"


def describe(network: LabNetwork, certificates: CertificateAuthority) -> dict[str, Any]:
    """What the servers' process needs to know, as JSON."""
    topology = network.topology
    hosts = [
        {
            "name": host.name,
            "namespace": network[host.name].namespace.path,
            "serves": list(host.serves),
            "zone": _zone(topology, here.cc),
            "certificate": str(certificates.issue(host.names, (link.address, link.address6)))
            if "web" in host.serves
            else None,
        }
        for here, host, link in topology.hosts()
        if host.serves
    ]
    names: dict[str, dict[str, list[str]]] = {}
    zones: dict[str, list[str]] = {}
    for here, host, link in topology.hosts():
        zone = _zone(topology, here.cc)
        for name in host.names:
            names.setdefault(zone, {})[name] = [str(link.address), str(link.address6)]
            # Every name is a zone of its own, held by the authorities of its country or of the world.
            zones[name] = [
                str(at.address)
                for net, one, at in topology.hosts()
                if "authority" in one.serves and _zone(topology, net.cc) == zone
            ]
    zones[""] = [
        str(at.address)
        for net, one, at in topology.hosts()
        if "authority" in one.serves and not _zone(topology, net.cc)
    ]
    return {"hosts": hosts, "names": names, "zones": zones}


def _zone(topology: Topology, cc: str) -> str:
    """A listed country's code; empty for the world outside."""
    return cc if topology.country(cc) else ""


class _Page(BaseHTTPRequestHandler):
    """One small page for every path."""

    protocol_version = "HTTP/1.1"
    timeout = 20

    def do_GET(self) -> None:
        body = f"<!doctype html><title>Lab</title><p>This is {self.headers.get('Host', 'a lab site')}.\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

    def log_message(self, *words: object) -> None:
        """Say nothing: a line a request would be the lab's largest output."""


class _Site(ThreadingHTTPServer):
    """Answers on a socket that is already there, behind TLS or not."""

    daemon_threads = True

    def __init__(self, listening: socket.socket, tls: ssl.SSLContext | None) -> None:
        super().__init__(("", 0), _Page, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self._tls = tls

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = self.socket.accept()
        if self._tls is not None:
            # The handshake happens in the request's own thread, on first use.
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, *words: object) -> None:
        """A probe may leave at any stage; that is its business."""


def _sockets_in(path: str, make: Callable[[], list[socket.socket]]) -> list[socket.socket]:
    descriptor = os.open(path, os.O_RDONLY)

    def inside() -> list[socket.socket]:
        enter(descriptor)
        return make()

    try:
        with ThreadPoolExecutor(max_workers=1) as one:
            return one.submit(inside).result()
    finally:
        os.close(descriptor)


def _listening(port: int) -> socket.socket:
    return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)


def _datagram(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    made.bind(("::", port))
    made.setblocking(False)
    return made


async def _close_at_once(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def _accept(listening: socket.socket) -> None:
    await (await asyncio.start_server(_close_at_once, sock=listening)).serve_forever()


def _start(host: dict[str, Any], lab: dict[str, Any], group: asyncio.TaskGroup) -> None:
    """Open one host's sockets and serve them."""
    name, namespace = host["name"], host["namespace"]
    for service in host["serves"]:
        match service:
            case "tcp":
                (listening,) = _sockets_in(namespace, lambda: [_listening(443)])
                group.create_task(_accept(listening), name=f"{name} tcp")
            case "authority":
                udp, tcp = _sockets_in(namespace, lambda: [_datagram(53), _listening(53)])
                known = dns_server.Authority({k: tuple(v) for k, v in lab["names"].get(host["zone"], {}).items()})
                group.create_task(dns_server.serve(udp, tcp, known.answer), name=f"{name} authority")
            case "resolver":
                udp, tcp, asking = _sockets_in(
                    namespace, lambda: [_datagram(53), _listening(53), socket.socket(type=socket.SOCK_DGRAM)]
                )
                asking.setblocking(False)
                resolver = dns_server.Resolver({k: tuple(v) for k, v in lab["zones"].items()}, asking)
                asyncio.get_running_loop().add_reader(asking, resolver.readable)
                group.create_task(dns_server.serve(udp, tcp, resolver.answer), name=f"{name} resolver")
            case "web":
                plain, secure = _sockets_in(namespace, lambda: [_listening(80), _listening(443)])
                tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                tls.load_cert_chain(host["certificate"])
                for listening, context in ((plain, None), (secure, tls)):
                    site = _Site(listening, context)
                    threading.Thread(target=site.serve_forever, name=f"{name} web", daemon=True).start()


async def _serve(lab: dict[str, Any]) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with asyncio.TaskGroup() as group:
        for host in lab["hosts"]:
            _start(host, lab, group)
        print(READY, flush=True)
        await stop.wait()
        raise SystemExit(0)


if __name__ == "__main__":
    asyncio.run(_serve(json.loads(Path(sys.argv[1]).read_text())))
