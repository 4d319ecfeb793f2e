"""What the device has found out about its place in the network, for as long as that holds.

Probes tell it and later rows carry it as their validity. It is in memory only: an address of the home, which is kept
here to be compared with, never enters a row or a file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, Literal

from civobs_wire.limits import MAX_NAME

HOLDS_S = {"portal": 3_600.0, "interception": 43_200.0, "resolver": 86_400.0}
"""For how long a finding stands for the moment: some runs of the kind that finds it, as the default plan has them."""

Finding = Literal["portal", "interception", "resolver"]


@dataclass(slots=True)
class Known:
    """Findings with the monotonic time, in milliseconds, at which they were made."""

    time_scale: float = 1.0
    mapped: dict[int, str] = field(default_factory=dict)
    """Family to the address that the world sees. Never leaves the device."""
    _found: dict[Finding, tuple[bool | str, int]] = field(default_factory=dict)

    def tell(self, finding: Finding, value: bool | str, mono_ms: int) -> None:  # noqa: FBT001 - it is the finding
        """Keep what was found."""
        self._found[finding] = (value, mono_ms)

    def flag(self, finding: Finding, mono_ms: int) -> bool | None:
        """A yes or no that still holds; None otherwise."""
        value = self._held(finding, mono_ms)
        return value if isinstance(value, bool) else None

    def text(self, finding: Finding, mono_ms: int) -> str | None:
        """A text that still holds; None otherwise."""
        value = self._held(finding, mono_ms)
        return value if isinstance(value, str) else None

    def outside(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The home's addresses as the world sees them: a name or a redirect that leads there leads home."""
        return tuple(ip_network(address) for address in self.mapped.values())

    def told(self) -> dict[str, object]:
        """All of it, for a program that measures on the agent's behalf, and back."""
        found = [[finding, value, mono_ms] for finding, (value, mono_ms) in self._found.items()]
        return {"mapped": {str(family): address for family, address in self.mapped.items()}, "found": found}

    def take_over(self, told: Mapping[str, Any], now_ms: int) -> None:
        """Learn from what ``told`` gave elsewhere; of two findings the later holds.

        What no probe would tell is passed over: it would spoil each row after it. Raises KeyError, TypeError,
        ValueError.
        """
        for finding, value, mono_ms in told["found"]:
            fits = _is_name(value) if finding == "resolver" else isinstance(value, bool)
            if finding in HOLDS_S and fits and self._found.get(finding, (0, 0))[1] <= mono_ms <= now_ms:
                self._found[finding] = (value, mono_ms)
        for family, text in told["mapped"].items():
            address = ip_address(text)
            if address.version == int(family):
                self.mapped[address.version] = str(address)

    def _held(self, finding: Finding, mono_ms: int) -> bool | str | None:
        value, since_ms = self._found.get(finding, (None, 0))
        age_s = (mono_ms - since_ms) / 1000 * self.time_scale
        return value if 0 <= age_s <= HOLDS_S[finding] else None


def _is_name(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_NAME
