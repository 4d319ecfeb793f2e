"""The reader: the part of a censor that looks into packets, a program of its own in the place of its box.

``python -m civobs_lab.censor.program FOLDER UPLINK``. The folder has the orders; SIGHUP says that there are new ones,
and ``answer`` says which the reader obeys.
"""

import heapq
import json
import logging
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path

from scapy.packet import Packet as ScapyPacket

from civobs_lab.censor import packet as wire
from civobs_lab.censor.deciding import Decider, Decision
from civobs_lab.censor.forging import Sender
from civobs_lab.censor.nfqueue import ACCEPT, DROP, PacketQueue, Queued
from civobs_lab.censor.orders import ANSWER, BESIDE, IN_PATH, ORDERS, Order
from civobs_lab.censor.rule import Rule

_BATCH = 64
"""Packets between two looks at what is due."""
_COMPLAIN_S = 10.0

logger = logging.getLogger(__name__)


class Reader:
    """The program."""

    def __init__(self, folder: Path, uplink: str) -> None:
        self._folder = folder
        self._queue = PacketQueue(IN_PATH, BESIDE)
        self._sender = Sender()
        self._decider = Decider(self._send)
        self._uplink = socket.if_nametoindex(uplink)
        self._held: list[tuple[float, int, Queued, Decision]] = []
        self._count = 0
        self._garbage = 0
        self._complained_at = 0.0

    def run(self) -> None:
        """Until it is killed."""
        woken, wake = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(woken, False)
        signal.set_wakeup_fd(wake)
        signal.signal(signal.SIGHUP, lambda *_: None)
        queue = self._queue.fileno()
        self._obey()
        while True:
            wait = max(0.0, self._held[0][0] - time.monotonic()) if self._held else None
            ready, _, _ = select.select([queue, woken], [], [], wait)
            if woken in ready and os.read(woken, 4096):
                self._obey()
            if queue in ready:
                self._look()
            self._let_go()

    def _obey(self) -> None:
        told = json.loads((self._folder / ORDERS).read_text())
        orders = [Order(each["number"], each["bit"], Rule.model_validate(each["rule"])) for each in told["orders"]]
        self._decider.obey(orders)
        numbers = {order.number for order in orders}
        waiting, self._held = self._held, []
        for due, count, queued, decision in waiting:
            if numbers.issuperset(decision.orders):
                heapq.heappush(self._held, (due, count, queued, decision))
            else:
                self._release(queued, decision)
        fresh = self._folder / f"{ANSWER}.new"
        fresh.write_text(str(told["edition"]))
        fresh.replace(self._folder / ANSWER)

    def _look(self) -> None:
        for _ in range(_BATCH):
            waiting = self._queue.receive()
            if not waiting:
                return
            for queued in waiting:
                self._judge(queued)

    def _judge(self, queued: Queued) -> None:
        packet = wire.read(queued.raw, outgoing=queued.leaves_by == self._uplink)
        if packet is None:
            self._complain()
            self._queue.decide(queued, ACCEPT)
            return
        now = time.monotonic()
        decision = self._decider.decide(packet, queued.mark, now)
        if decision.dropped:
            self._queue.decide(queued, DROP)
        elif decision.until > now:
            self._count += 1
            heapq.heappush(self._held, (decision.until, self._count, queued, decision))
        else:
            self._release(queued, decision)

    def _release(self, queued: Queued, decision: Decision) -> None:
        self._queue.decide(queued, ACCEPT, decision.mark, decision.payload)
        for forged in decision.after:
            self._send(forged)

    def _let_go(self) -> None:
        now = time.monotonic()
        while self._held and self._held[0][0] <= now:
            _, _, queued, decision = heapq.heappop(self._held)
            self._release(queued, decision)

    def _send(self, packet: ScapyPacket) -> None:
        try:
            self._sender.send(packet)
        except OSError as error:
            # The way may just have been cut by another fault.
            logger.info("forged=lost cause=%s", error.strerror)

    def _complain(self) -> None:
        self._garbage += 1
        now = time.monotonic()
        if now - self._complained_at > _COMPLAIN_S:
            self._complained_at = now
            logger.info("unreadable_packets=%d", self._garbage)


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    logging.getLogger("scapy").setLevel(logging.ERROR)
    Reader(Path(sys.argv[1]), sys.argv[2]).run()


if __name__ == "__main__":
    main()
