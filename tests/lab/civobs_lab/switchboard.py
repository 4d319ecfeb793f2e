"""Telling the lab's servers to misbehave, and names to move, while they run."""

import json
import socket
from collections.abc import Sequence
from pathlib import Path

ANSWER_S = 10.0
"""An order is done in milliseconds, and the machine may be busy."""


class SwitchError(ValueError):
    """A host or a name is unknown, or cannot do what it was told; the text says what can be done."""


class Switchboard:
    """Orders to the process of the servers; ``servers/misbehaviour.py`` has the table of what each can do.

    All raise SwitchError. What was set twice has to be cleared twice: two faults may overlap.
    """

    def __init__(self, control: Path) -> None:
        self._control = control

    def set(self, host: str, does: str) -> None:
        """Make a host misbehave from now on."""
        self._order(verb="set", host=host, does=does)

    def clear(self, host: str, does: str) -> None:
        """Make it stop; nothing happens if it does not do so."""
        self._order(verb="clear", host=host, does=does)

    def move(self, name: str, host: str, countries: Sequence[str] = ()) -> None:
        """Lead a name to another host, for the resolvers of these countries or, none named, of all.

        The host gets a certificate for it. What resolvers remember stays until its time to live is over.
        """
        self._order(verb="move", name=name, host=host, countries=list(countries))

    def move_back(self, name: str) -> None:
        """Undo all moves of a name."""
        self._order(verb="move_back", name=name)

    def _order(self, **order: object) -> None:
        try:
            with socket.socket(socket.AF_UNIX) as line:
                line.settimeout(ANSWER_S)
                line.connect(str(self._control))
                line.sendall(json.dumps(order).encode() + b"\n")
                answer = line.makefile("rb").readline()
        except OSError as error:
            raise SwitchError(f"the lab's servers do not answer at {self._control}: {error}") from None
        if not answer:
            raise SwitchError(f"the lab's servers hung up at {self._control}; their log says why")
        if (fault := json.loads(answer)["error"]) is not None:
            raise SwitchError(fault)
