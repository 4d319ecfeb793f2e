"""The shape of the tables of timeouts that stand beside each probe: an id, a value, and where the value comes from."""

from dataclasses import dataclass

FLOOR_S = 0.25
"""However fast a laboratory's time runs, a real socket needs a real quarter of a second."""


@dataclass(frozen=True, slots=True)
class Timeout:
    """How long one stage may take."""

    id: str
    seconds: float
    source: str

    def scaled(self, time_scale: float) -> float:
        """Seconds on a machine whose time runs ``time_scale`` times as fast."""
        return max(FLOOR_S, self.seconds / time_scale) if time_scale > 1 else self.seconds / time_scale


def table(*rows: Timeout) -> dict[str, Timeout]:
    """Index timeouts by their id."""
    return {row.id: row for row in rows}
