"""Keeps out of a probe's memory what its libraries load on the side and it never uses: 4 MiB of the 48 it may use.

paho-mqtt loads dnspython's resolver, to find brokers by SRV record, and ``urllib.request``, to find proxies; dnspython
and pydantic load ``importlib.metadata``, to find extras and plugins; pydantic loads ``zoneinfo``, for values of that
type, and its own maker of JSON schemas. With them come parsers of e-mail, HTTP, zip and CSV, and all that Python was
built with. Each of these libraries works without; none of what is left out is ever called.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

STAND_INS: dict[str, dict[str, object]] = {
    "urllib.request": {},
    "importlib.metadata": {"entry_points": lambda **_: ()},
    "zoneinfo": {},
    "pydantic.json_schema": {},
}
"""Modules that must be there to be imported, and what is called of them at once: no plugins."""
ABSENT = ("dns.resolver", "socks")
"""Modules whose absence is expected. Without ``socks`` paho asks ``urllib.request`` nothing."""


def _unused(name: str) -> type:
    """Whatever else a library imports by name, in this version or the next: a class that nobody uses."""
    if name.startswith("_"):
        raise AttributeError(name)
    return type(name, (Exception,), {})


@contextmanager
def leaving_out_the_unused() -> Iterator[None]:
    """Import within. What is imported afterwards, or has been before, is the real thing."""
    put: list[str] = []
    for name in ABSENT:
        if name not in sys.modules:
            sys.modules[name] = None  # type: ignore[assignment] # import then raises ImportError
            put.append(name)
    for name, content in STAND_INS.items():
        if name not in sys.modules:
            sys.modules[name] = stand_in = ModuleType(name)
            stand_in.__dict__.update({"__getattr__": _unused}, **content)
            put.append(name)
    try:
        yield
    finally:
        for name in put:
            del sys.modules[name]
