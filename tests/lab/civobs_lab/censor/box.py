"""The censor box at one place: takes rules, lifts them, and notices when it has stopped working.

The kernel's part is one table for each rule (``kernel.py``); what needs looking into packets is done by a program in
the same place (``program.py``), which is started with the first rule that needs it and dies with this process. While
it is gone, packets that a rule in the path would have looked at are dropped, and those of a rule beside it pass.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from civobs_lab.censor import kernel
from civobs_lab.censor.errors import CensorError
from civobs_lab.censor.orders import ANSWER, BESIDE, IN_PATH, ORDERS, Order, needs_reader, refuse_what_cannot_act
from civobs_lab.censor.rule import Method, Rule
from civobs_lab.network import UPLINK, Place
from civobs_lab.processes import Program, ProgramError, command_in

ANSWER_S = 20.0
"""Longer than the reader needs to start on a machine that is busy."""
_LOOK_S = 0.005
_QUEUES = (
    ("-m", "mark", "--mark", f"{IN_PATH}/{IN_PATH}", "-j", "NFQUEUE", "--queue-num", str(IN_PATH)),
    (
        *("-m", "mark", "--mark", f"{BESIDE}/{BESIDE}"),
        *("-j", "NFQUEUE", "--queue-num", str(BESIDE), "--queue-bypass"),
    ),
)
"""A packet that both concern goes to the first."""

_LIMITS = ("net/ipv4/icmp_ratelimit", "net/ipv6/icmp/ratelimit")
"""Milliseconds between refusals to the same host; the kernel's default lets most of a burst time out instead."""

__all__ = ["CensorBox", "CensorError"]


class CensorBox:
    """A censor at a place. Use it from the main thread: its program dies with the thread that started it."""

    def __init__(self, place: Place, folder: Path) -> None:
        self._place = place
        self._folder = folder
        self._orders: dict[int, Order] = {}
        self._last = 0
        self._edition = 0
        self._reader: Program | None = None

    def apply(self, rule: Rule) -> int:
        """Put a rule into force and return the number to lift it by. Raises CensorError."""
        self.prepare(rule)
        self._last += 1
        order = Order(self._last, self._free_bit() if needs_reader(rule) else None, rule)
        self._orders[order.number] = order
        try:
            if order.bit is not None:
                self._tell()
            if rule.method is Method.REJECT:
                self._place.namespace.run(_answer_everything)
            self._nft(kernel.table(order))
        except CensorError:
            del self._orders[order.number]
            raise
        return order.number

    def prepare(self, rule: Rule) -> None:
        """Refuse a rule that cannot act, and start what it needs, so that it acts at once when it is applied."""
        refuse_what_cannot_act(rule)
        self.check()
        if needs_reader(rule) and self._reader is None:
            self._start_reader()

    def lift(self, number: int) -> None:
        """Take a rule out of force, with all it remembers. Raises CensorError."""
        order = self._orders.pop(number, None)
        if order is None:
            raise CensorError(f"no rule {number} is in force at {self._place.namespace.name}")
        self._nft(kernel.removal(number))
        if order.bit is not None:
            self.check()
            self._tell()

    def check(self) -> None:
        """Raise CensorError if the program that reads has died."""
        if self._reader is None:
            return
        try:
            self._reader.check()
        except ProgramError as error:
            raise CensorError(str(error)) from None

    def close(self) -> None:
        """Lift everything and stop. May be called twice."""
        for number in list(self._orders):
            del self._orders[number]
            self._nft(kernel.removal(number))
        if self._reader is not None:
            self._route_to_queues("-D")
            self._reader.stop()
            self._reader = None

    def _free_bit(self) -> int:
        taken = {order.bit for order in self._orders.values()}
        for bit in range(kernel.FIRST_BIT, kernel.FIRST_BIT + kernel.BITS):
            if bit not in taken:
                return bit
        raise CensorError(f"a box obeys {kernel.BITS} rules at a time that need the reader; lift one, or join names")

    def _start_reader(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / ANSWER).unlink(missing_ok=True)
        self._write_orders()
        command = [sys.executable, "-m", "civobs_lab.censor.program", str(self._folder), UPLINK]
        name = f"the censor's reader at {self._place.namespace.name}"
        self._reader = Program(name, command_in(self._place.namespace, command), self._folder / "log")
        try:
            self._await_answer()
            self._route_to_queues("-A")
        except CensorError:
            self._reader.stop()
            self._reader = None
            raise

    def _tell(self) -> None:
        if self._reader is not None:
            self._write_orders()
            os.kill(self._reader.pid, signal.SIGHUP)
            self._await_answer()

    def _write_orders(self) -> None:
        self._edition += 1
        told = [
            {
                "number": order.number,
                "bit": order.bit,
                # A span is read back only with its unit.
                "rule": order.rule.model_dump(mode="json") | {"residual": f"{order.rule.residual:.3f}s"},
            }
            for order in self._orders.values()
            if order.bit is not None
        ]
        fresh = self._folder / f"{ORDERS}.new"
        fresh.write_text(json.dumps({"edition": self._edition, "orders": told}))
        fresh.replace(self._folder / ORDERS)

    def _await_answer(self) -> None:
        end = time.monotonic() + ANSWER_S
        answer = self._folder / ANSWER
        while not answer.exists() or answer.read_text() != str(self._edition):
            self.check()
            if time.monotonic() > end:
                raise CensorError(f"the censor's reader at {self._place.namespace.name} does not answer")
            time.sleep(_LOOK_S)

    def _route_to_queues(self, verb: str) -> None:
        for program in ("iptables", "ip6tables"):
            for words in _QUEUES:
                self._run([program, "-w", "-t", "mangle", verb, "FORWARD", *words])

    def _nft(self, commands: str) -> None:
        self._run(["nft", "-f", "-"], commands)

    def _run(self, words: list[str], standard_input: str = "") -> None:
        command = [*self._place.namespace.enter_command(), *words]
        done = subprocess.run(command, input=standard_input, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            said = done.stderr.strip().partition("\n")[0]
            raise CensorError(f"{words[0]} refuses at {self._place.namespace.name}: {said}")


def _answer_everything() -> None:
    for limit in _LIMITS:
        Path("/proc/sys", limit).write_text("0")
