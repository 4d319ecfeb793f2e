"""The single things that can be broken, each with its mending: a link, a route, a filter, a queue, a device, a server.

A fault is made of some of these. Two that do the same to the same thing are equal, so that it stays broken until the
last fault that wants it is over. Mending what is whole is harmless.
"""

import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pyroute2 import IPRoute

from civobs_lab import forger
from civobs_lab.censor.rule import Rule
from civobs_lab.lab import POLL_S, Lab
from civobs_lab.network import UPLINK
from civobs_lab.observatory import START_S, Part
from civobs_lab.processes import Program
from civobs_lab.topology import Network


class Breakage(ABC):
    """One of them."""

    @abstractmethod
    def begin(self, lab: Lab) -> None:
        """Break it."""

    @abstractmethod
    def mend(self, lab: Lab, others: Iterable["Breakage"]) -> None:
        """Mend it, but for what ``others`` still break."""


@dataclass(frozen=True, slots=True)
class LinkDown(Breakage):
    """A link of a place."""

    place: str
    device: str = UPLINK
    waits: bool = field(default=True, compare=False)
    """Mended only when it carries packets; without, some moments before."""

    def begin(self, lab: Lab) -> None:
        lab.network[self.place].set_link(self.device, "down")

    def mend(self, lab: Lab, others: Iterable[Breakage]) -> None:
        # Not the link alone: routes and IPv6 addresses went with it.
        place = lab.network[self.place]
        place.configure()
        for other in others:
            if isinstance(other, LinkDown) and other.place == self.place:
                other.begin(lab)
        if self.waits:
            place.wait_until_ready()


@dataclass(frozen=True, slots=True)
class Swallowed(Breakage):
    """Everything that a router would send on to the world."""

    place: str

    def begin(self, lab: Lab) -> None:
        lab.network[self.place].blackhole("add")

    def mend(self, lab: Lab, others: Iterable[Breakage]) -> None:
        del others
        lab.network[self.place].blackhole("del")


@dataclass(frozen=True, slots=True)
class Filtered(Breakage):
    """What a table of nft's drops, refuses or leads astray at a place."""

    place: str
    table: str
    """One for each fault: several act together."""
    chains: str
    """Text within ``table inet … { }``."""

    def begin(self, lab: Lab) -> None:
        lab.network[self.place].nft(f"{self._clear}table inet {self.table} {{\n{self.chains}\n}}\n")

    def mend(self, lab: Lab, others: Iterable[Breakage]) -> None:
        del others
        lab.network[self.place].nft(self._clear)

    @property
    def _clear(self) -> str:
        # Added first, so that it can be deleted whether it was there or not.
        return f"table inet {self.table}\ndelete table inet {self.table}\n"


_BURST_BYTES = 3200
"""Two full packets: what a token bucket needs to send one at all while another arrives."""
_ROOT = 0xFFFFFFFF
"""``TC_H_ROOT`` of linux/pkt_sched.h."""
_Change = Callable[[IPRoute, int], None]


@dataclass(frozen=True, slots=True)
class Congested(Breakage):
    """One end of a link: what is sent into it queues, and past the queue's length is lost."""

    place: str
    device: str
    rate_kbit: float
    queue_ms: float

    def begin(self, lab: Lab) -> None:
        rate = f"{round(self.rate_kbit * 1000)}bit"

        def change(netlink: IPRoute, index: int) -> None:
            netlink.tc("replace", "tbf", index, rate=rate, burst=_BURST_BYTES, latency=f"{self.queue_ms:g}ms")

        self._at_device(lab, change)

    def mend(self, lab: Lab, others: Iterable[Breakage]) -> None:
        self._at_device(lab, lambda netlink, index: netlink.tc("del", index=index, parent=_ROOT))
        for other in others:
            if isinstance(other, Congested) and (other.place, other.device) == (self.place, self.device):
                other.begin(lab)

    def _at_device(self, lab: Lab, change: _Change) -> None:
        def inside() -> None:
            with IPRoute() as netlink:
                change(netlink, netlink.link_lookup(ifname=self.device)[0])

        lab.network[self.place].namespace.run(inside)


@dataclass(frozen=True, slots=True)
class PowerOff(Breakage):
    """A household: the probe is killed; its router's links are down by breakages of their own."""

    household: str
    clock_error_s: float = field(default=0.0, compare=False)
    """Seconds of the clock by which the probe is behind when it comes back."""

    def begin(self, lab: Lab) -> None:
        for probe in lab.probes:
            if probe.household.name == self.household:
                probe.cut_power()

    def mend(self, lab: Lab, others: Iterable[Breakage]) -> None:
        del others
        for probe in lab.probes:
            if probe.household.name == self.household and not probe.is_on:
                probe.start(clock_error_s=self.clock_error_s)


@dataclass(frozen=True, slots=True)
class PartDown(Breakage):
    """A part of the observatory."""

    part: Part

    def begin(self, lab: Lab) -> None:
        lab.observatory.kill(self.part)

    def mend(self, lab: Lab, others: Iterable[Breakage]) -> None:
        del others
        lab.observatory.start(self.part)


@dataclass(frozen=True, slots=True)
class Misbehaving(Breakage):
    """A host's servers."""

    host: str
    does: str

    def begin(self, lab: Lab) -> None:
        lab.switchboard.set(self.host, self.does)

    def mend(self, lab: Lab, others: Iterable[Breakage]) -> None:
        del others
        lab.switchboard.clear(self.host, self.does)


@dataclass(frozen=True, slots=True)
class Moved(Breakage):
    """Where a name leads."""

    name: str
    host: str
    countries: tuple[str, ...]

    def begin(self, lab: Lab) -> None:
        lab.switchboard.move(self.name, self.host, self.countries)

    def mend(self, lab: Lab, others: Iterable[Breakage]) -> None:
        lab.switchboard.move_back(self.name)
        for other in others:
            if isinstance(other, Moved) and other.name == self.name:
                other.begin(lab)


@dataclass(slots=True, eq=False)
class Censored(Breakage):
    """What passes a place, by a rule."""

    place: str
    rule: Rule
    _number: int | None = None

    def begin(self, lab: Lab) -> None:
        self._number = lab.censor_at(self.place).apply(self.rule)

    def mend(self, lab: Lab, others: Iterable[Breakage]) -> None:
        del others
        number, self._number = self._number, None
        if number is not None:
            lab.censor_at(self.place).lift(number)


@dataclass(slots=True, eq=False)
class Adversary(Breakage):
    """Identities that an adversary has enrolled in a network, and that behave for now."""

    network: Network
    count: int
    _program: Program | None = None

    def begin(self, lab: Lab) -> None:
        country = lab.network.topology.country(self.network.cc)
        regions = ("",) if country is None else country.regions
        spread = [regions[number % len(regions)] for number in range(self.count)]
        claims = [lab.observatory.claim(self.network, region) for region in spread]
        folder = lab.folder / f"forger-{self.network.asn}"
        self._program = forger.start(lab.network, self.network, folder, claims, lab.observatory.url, lab.time_scale)

    def mend(self, lab: Lab, others: Iterable[Breakage]) -> None:
        del lab, others
        program, self._program = self._program, None
        if program is not None:
            program.stop()

    def tell(self, sign: signal.Signals) -> None:
        """Have them tell of an outage, or of its end. Raises ProgramError if they could not enrol, or are gone."""
        if self._program is None:
            return
        end = time.monotonic() + START_S
        while forger.READY not in self._program.tail() and time.monotonic() < end:
            self._program.check()
            time.sleep(POLL_S)
        self._program.check()
        os.kill(self._program.pid, sign)


@dataclass(frozen=True, slots=True)
class FalseOutage(Breakage):
    """What the identities of an adversary say."""

    adversary: Adversary

    def begin(self, lab: Lab) -> None:
        del lab
        self.adversary.tell(forger.OUTAGE)

    def mend(self, lab: Lab, others: Iterable[Breakage]) -> None:
        del lab, others
        self.adversary.tell(forger.OVER)
