"""Orders from a ``Switchboard``: JSON lines over a Unix socket, each answered with a line."""

import asyncio
import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from civobs_lab.servers.host import ServedHost
from civobs_lab.servers.misbehaviour import Does, able
from civobs_lab.servers.names import Lead, Names


class OrderError(ValueError):
    """Cannot be done; the text says what can."""


class _Order(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Switch(_Order):
    """Make a host misbehave, or stop it."""

    verb: Literal["set", "clear"]
    host: str
    does: str


class Move(_Order):
    """Lead a name to another host, in some countries or, none named, everywhere."""

    verb: Literal["move"]
    name: str
    host: str
    countries: tuple[str, ...]


class MoveBack(_Order):
    """Undo all moves of a name."""

    verb: Literal["move_back"]
    name: str


class Answer(_Order):
    """Do nothing but answer: how long it takes tells whether the servers keep their pace."""

    verb: Literal["answer"]


ORDER: TypeAdapter[Switch | Move | MoveBack | Answer] = TypeAdapter(
    Annotated[Switch | Move | MoveBack | Answer, Field(discriminator="verb")]
)


class Control:
    """Obeys orders."""

    def __init__(self, hosts: dict[str, ServedHost], names: Names) -> None:
        self._hosts = hosts
        self._names = names
        self._one_at_a_time = asyncio.Lock()

    async def listen(self, path: Path) -> asyncio.Server:
        """Take orders from now on. Raises OSError."""
        return await asyncio.start_unix_server(self._serve, path)

    async def _obey(self, order: Switch | Move | MoveBack) -> None:
        """Do it. Raises OrderError, OSError."""
        match order:
            case Switch():
                host, does = self._able(order.host, order.does)
                await host.switch(does, 1 if order.verb == "set" else -1)
            case Move():
                if order.host not in self._names.addresses:
                    raise OrderError(f"no host {order.host}; there are {', '.join(sorted(self._names.addresses))}")
                self._moves(order.name).append(Lead(order.host, order.countries))
                self._present()
            case MoveBack():
                self._moves(order.name).clear()
                self._present()

    def _able(self, name: str, word: str) -> tuple[ServedHost, Does]:
        host = self._hosts.get(name)
        if host is None:
            raise OrderError(f"no host {name} has servers here; these have: {', '.join(sorted(self._hosts))}")
        can = able(host.host.serves)
        if word not in can:
            serves = ", ".join(host.host.serves)
            raise OrderError(f"{name} serves {serves} and cannot do {word}; it can do {', '.join(can)}")
        return host, Does(word)

    def _moves(self, name: str) -> list[Lead]:
        if name not in self._names.leads:
            raise OrderError(f"no name {name}; there are {', '.join(sorted(self._names.leads))}")
        return self._names.moves.setdefault(name, [])

    def _present(self) -> None:
        for host in self._hosts.values():
            host.present()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps({"error": await self._said(line)}).encode() + b"\n")
                await writer.drain()
        except OSError:
            pass  # Whoever ordered has left.
        finally:
            writer.close()

    async def _said(self, line: bytes) -> str | None:
        try:
            order = ORDER.validate_json(line)
            if isinstance(order, Answer):
                return None
            async with self._one_at_a_time:
                await self._obey(order)
        except ValidationError as error:
            return f"not an order: {error.errors(include_url=False)[0]['msg']}"
        except (OrderError, OSError) as error:
            return str(error)
        return None
