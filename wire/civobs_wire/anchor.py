"""What an agent and ``civobs-anchor`` have to agree on: paths, a page, and headers, to the letter.

A probe compares what came with these constants, so whatever differs was altered on the way. Changing one of them makes
every agent that has the older one see an alteration: add, and leave what is there.
"""

BYTES_PATH = "/bytes"
"""``GET /bytes?n=N``: N bytes that nothing can compress. ``POST /bytes``: takes a body, answers ``{"bytes": N}``.
Over TLS by HTTP/1.1, HTTP/2 and HTTP/3."""
MAX_BYTES = 64 * 1024 * 1024
"""The most that one request may ask for or bring, unless the anchor is told to allow more."""

NDT7_DOWNLOAD_PATH = "/ndt/v7/download"
NDT7_UPLOAD_PATH = "/ndt/v7/upload"
NDT7_SUBPROTOCOL = "net.measurementlab.ndt.v7"
"""ndt7's name in ``Sec-WebSocket-Protocol`` (m-lab/ndt-server, spec/ndt7-protocol.md)."""

ECHO_PATH = "/echo"
"""On the port of plain HTTP. Whatever is sent there that is not a GET of the two paths below comes back as the body of
an answer with status 200, byte for byte, be it HTTP or not (``message/http``, as RFC 9110 §9.3.8 has it for TRACE)."""
KNOWN_PATH = "/known"
ADDRESS_PATH = "/address"
"""The address the request came from, as text, without a port and without a line end."""

ECHO_QUIET_S = 1.0
"""A request that is not complete by HTTP's rules is sent back once nothing has come for so long."""
MAX_ECHO_BYTES = 65_536
"""Of a request that is sent back; what is longer is sent back up to here."""

ECHO_HEADERS: tuple[tuple[str, str], ...] = (
    ("X-Echo-Case", "MiXeD"),
    ("x-eChO-NaMe", "odd"),
    ("X-Echo-Twice", "first"),
    ("X-Echo-Twice", "second"),
    ("X-Echo-Spaces", "two  of  them"),
    ("Via-Nobody", "1.1 none"),
    ("X-Echo-Last", "end"),
)
"""In every answer of the plain port, after ``Content-Type``, ``Content-Length``, ``Cache-Control``, ``Connection``, in
this order and spelling: a proxy that rewrites answers folds cases, joins or reorders them. RFC 9110 §5.1 lets it."""

KNOWN_CONTENT_TYPE = "text/plain; charset=utf-8"
KNOWN_BODY = (
    b"This page is served by an anchor of the Core Internet Values Observatory.\n"
    b"It is the same for everybody, and a probe knows it by heart: what differs was altered on the way.\n"
    b"<html><head><title>Known page</title></head><body><p>These words only look like HTML.</p></body></html>\n"
    b"http://www.example.com/ https://www.example.com/ user@example.com 0123456789\n"
    + "Größe, данные, بيانات, 数据\n".encode()
    + b"The same line, which compresses well.\n" * 16
    + b"This is the end.\n"
)
"""Text, mark-up, addresses and other scripts: what transcoders and inserters of advertisements are drawn to."""

STUN_PORTS = (3478, 3479)
"""RFC 5389 §9, and the one after it as the other port of RFC 5780."""
