"""``civobs-anchor``: the anchor's command line."""

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path
from traceback import walk_tb
from typing import TYPE_CHECKING, Any

from civobs_anchor import __version__
from civobs_anchor.config import AnchorSettings, load
from civobs_anchor.errors import CertificateError, CivobsAnchorError

if TYPE_CHECKING:
    from civobs_anchor.server import Anchor

logger = logging.getLogger("civobs_anchor")
_HERE = Path(__file__).parent

_EPILOG = """\
first steps:
  civobs-anchor run                          serve the loopback, to try it
  civobs-anchor check --config anchor.toml   are file, certificate, ports right?
  civobs-anchor run --config anchor.toml     serve

what it serves:
  443/tcp   TLS under any name; /bytes and ndt7 by HTTP/1.1, /bytes by HTTP/2
  443/udp   QUIC under any name; /bytes by HTTP/3
  80/tcp    /echo (what was sent comes back), /known (a page known by heart), /address
  3478/udp  STUN, with 3479 and a second address for RFC 5780

It writes down nothing about clients. SIGHUP reads the certificate again; SIGTERM ends it.
deploy/anchor.example.toml has every setting; docs/anchors.md says how to host one.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="civobs-anchor",
        description="A server of the Core Internet Values Observatory that probes measure against.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"civobs-anchor {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, does, what in (
        ("run", _run, "serve until SIGTERM"),
        ("check", _check, "open all ports once, say what would be served, and end"),
    ):
        command = commands.add_parser(name, help=what, description=what)
        command.add_argument("--config", type=Path, metavar="FILE", help="settings (default: the loopback)")
        command.set_defaults(run=does)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command; an error is one line of cause and one of remedy."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    # What clients do wrong is no news, and might name them.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    for library in ("quic", "http3", "websockets", "hpack", "hyperframe"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    try:
        settings = load(arguments.config)
        return int(asyncio.run(arguments.run(settings)))
    except CivobsAnchorError as error:
        sys.stderr.write(f"civobs-anchor: {error.cause}\n               {error.remedy}\n")
        return 2
    except KeyboardInterrupt:
        return 130


async def _run(settings: AnchorSettings) -> int:
    from civobs_anchor.server import Anchor

    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.set_exception_handler(_note)
    async with Anchor(settings) as anchor:
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        loop.add_signal_handler(signal.SIGHUP, _reload, anchor)
        logger.info("serving name=%s %s", settings.name, _summary(settings))
        await stop.wait()
    return 0


def _note(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what went wrong here. asyncio's own sockets also complain of clients that leave while they write."""
    error = context.get("exception")
    if not isinstance(error, Exception):
        return
    files = {frame.f_code.co_filename for frame, _ in walk_tb(error.__traceback__)}
    if any(Path(file).parent == _HERE for file in files):
        loop.default_exception_handler(context)


async def _check(settings: AnchorSettings) -> int:
    from civobs_anchor.server import Anchor

    async with Anchor(settings):
        pass
    print(f"ok: {settings.name} would serve {_summary(settings)}")
    if settings.certificate is None:
        print("note: no certificate is set; the one it makes itself is trusted by nobody, so ndt7 of probes fails")
    if not settings.second_addresses:
        print("note: no second address is set; how a NAT filters cannot be seen from here")
    return 0


def _reload(anchor: "Anchor") -> None:
    try:
        anchor.reload()
    except CertificateError as error:
        logger.warning("certificate_not_reloaded cause=%r", error.cause)
    else:
        logger.info("certificate_reloaded")


def _summary(settings: AnchorSettings) -> str:
    ports, where = settings.ports, ",".join((*settings.addresses, *settings.second_addresses))
    return f"https={ports.https} http={ports.http} stun={ports.stun},{ports.stun_other} addresses={where}"


if __name__ == "__main__":
    sys.exit(main())
