"""The thresholds of detection: one versioned table with id, value, unit and source.

Code reads them by id through ``Params``; a published version names the table by ``params_id``, so a reader can tell
which numbers made it. ``scaled`` serves laboratories that run faster than the clock: times shrink, rates grow, and
the logic does not know.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

PARAMS_VERSION = "2026.1"


@dataclass(frozen=True, slots=True)
class Param:
    """One threshold. ``unit``: ``s`` and ``1/h`` are scaled with time; ``share``, ``count``, ``real s`` are not."""

    id: str
    value: float
    unit: str
    source: str


_DAY = 86400.0

TABLE: tuple[Param, ...] = (
    Param("grid.bin", 300, "s", "detection.md §3.3: 5 min for presence"),
    Param("grid.cells", 10, "count", "a bin is judged by tenths: 30 s, half the ladder's interval in trouble"),
    Param("grid.chart_margin", 12, "count", "an hour before and after the event on its chart"),
    Param("grid.chart_bins", 2000, "count", "more than a wide screen has pixels; coarser bins beyond"),
    Param("grid.degraded", 0.25, "share", "the chart draws a group as degraded from a quarter of its households down"),
    Param("presence.debounce", 300, "s", "Disco: a disconnect followed by a connect within 300 s is none"),
    Param("presence.will_keepalives", 1.5, "share", "MQTT v5 §3.1.2.10: the broker's limit in keepalives"),
    Param("presence.reconnect", 300, "s", "a probe that has its network back tries the broker at least this often"),
    Param("presence.broker_step", 8, "real s", "Mosquitto 2.0 looks for silent clients every 6 s, in whole seconds"),
    Param("presence.beat_gap", 150, "s", "half a bin without a sign of life: the collector is taken to be away"),
    Param("presence.beat_gap_floor", 30, "real s", "beats come by the wall clock, also in a lab that runs fast"),
    Param("guard.share", 0.2, "share", "detection.md §3.2: collector guard"),
    Param("guard.countries", 3, "count", "detection.md §3.2: collector guard"),
    Param("guard.bins", 2, "count", "losses at one moment spread over 1.5 keepalives, so over two bins at most"),
    Param("ladder.gap", 750, "s", "two and a half of the plan's default interval of 300 s: a hole, not a run"),
    Param("ladder.near", 150, "s", "two and a half trouble intervals of 60 s: neighbours share the time between them"),
    Param("ladder.clock", 300, "s", "a row whose clock may be wrong by a bin or more says nothing about a bin"),
    Param("eligible.window", 7 * _DAY, "s", "detection.md §3.3: seen in the last 7 d"),
    Param("eligible.share", 0.5, "share", "detection.md §3.3: seen at least half of the time"),
    Param("eligible.min_bins", 2, "count", "a probe seen once only has no habit to break"),
    Param("eligible.shared", 3600, "s", "losses of two households of a country this close support each other"),
    Param("eligible.hold_shared", 30 * _DAY, "s", "a shutdown of ten days must not become the new normal"),
    Param("eligible.hold_alone", _DAY, "s", "a probe lost alone for a day is gone, not cut off"),
    Param("eligible.flaps", 4, "count", "detection.md §3.4: four transitions a day on one probe is its own fault"),
    Param("eligible.flap_window", _DAY, "s", "detection.md §3.4"),
    Param("filter.onset", 1 / 4380, "1/h", "detection.md §3.3 (b): two outages a year"),
    Param("filter.offset", 1 / 24, "1/h", "detection.md §3.3 (b): a day long"),
    Param("filter.ok_a", 19, "count", "detection.md §3.3 (b): 95 % of households up, as sure as 20 seen"),
    Param("filter.ok_b", 1, "count", "detection.md §3.3 (b)"),
    Param("filter.degraded_a", 4, "count", "detection.md §3.3 (b): third state for partial shutdowns"),
    Param("filter.degraded_b", 4, "count", "detection.md §3.3 (b)"),
    Param("filter.down_a", 1, "count", "detection.md §3.3 (b)"),
    Param("filter.down_b", 6, "count", "detection.md §3.3 (b)"),
    Param("filter.open", 0.95, "share", "detection.md §3.3 (b)"),
    Param("filter.open_burst", 0.8, "share", "detection.md §3.8: unconfirmed from 0.8; only with a burst alarm"),
    Param("filter.close", 0.05, "share", "detection.md §3.3 (b)"),
    Param("burst.bins", 3, "count", "one moment's losses are dated within two bins, and the filter needs two more"),
    Param("burst.prior_losses", 1, "count", "detection.md §3.3 (a): Gamma(1 + losses, 3 d + exposure)"),
    Param("burst.prior_exposure", 3 * _DAY, "s", "detection.md §3.3 (a)"),
    Param("burst.alarm", 9.5e-6, "share", "detection.md §3.3 (a): one chance alarm per year of 5 min bins"),
    Param("rule.majority", 0.5, "share", "half of the observed households must be down"),
    Param("rule.network_households", 2, "count", "one household cannot speak for a network"),
    Param("rule.country_households", 3, "count", "architecture.md §6: shutdown of three households or more"),
    Param("rule.country_networks", 2, "count", "detection.md §3.4: national needs two networks"),
    Param("rule.leave", 0.34, "share", "an event ends when a third or less of those at its peak are still down"),
    Param("rule.merge", 1800, "s", "detection.md §3.6: gaps under 30 min are one event"),
    Param("window.stretch", 60 * _DAY, "s", "an open event is followed twice as long as a shared absence keeps a vote"),
    Param("late.share", 0.95, "share", "detection.md §3.6: provisional until 95 % have backfilled"),
    Param("late.covered", 0.9, "share", "rows for nine tenths of its lost bins: this probe has backfilled"),
    Param("late.limit", 7 * _DAY, "s", "detection.md §3.6: or seven days have passed"),
    Param("refresh", 3600, "s", "an open event is published anew at least hourly, so its chart is never old"),
    Param("target.bin", 3600, "s", "detection.md §3.3: 1 h for targets"),
    Param("hypothesis.hit", 0.9, "share", "detection.md §3.4: evidence cell 0.9 / 0.1"),
    Param("hypothesis.cap", 6, "nats", "detection.md §3.4: no family of evidence weighs more"),
    Param("hypothesis.label", 0.8, "share", "detection.md §3.4: named only above this"),
    Param("hypothesis.ratio", 2, "share", "detection.md §3.4: and twice the second"),
    Param("confidence.probable", 0.95, "share", "detection.md §3.8"),
    Param("confidence.households", 2, "count", "detection.md §3.8"),
    Param("confidence.new_age", 14 * _DAY, "s", "detection.md §3.8: probes younger than 14 d"),
    Param("confidence.new_weight", 0.5, "share", "detection.md §3.8: count half"),
    # Connectivity: dating, cross-checks.
    Param("posterior.tail", 0.05, "share", "detection.md §3.3 (f): 5 to 95 %"),
    Param("posterior.margin", 3600, "s", "an hour on either side, as on the chart: well enough known to be well"),
    Param("cusum.quiet", 0.03, "share", "detection.md §3.3 (e)"),
    Param("cusum.loud", 0.7, "share", "detection.md §3.3 (e)"),
    Param("cusum.alarm", 7, "nats", "detection.md §3.3 (e)"),
    Param("kleinberg.window", _DAY, "s", "detection.md §2, §3.3 (e): Disco's 24 h"),
    Param("kleinberg.scale", 2, "share", "detection.md §2, §3.3 (e): Disco's s"),
    Param("kleinberg.gamma", 0.5, "share", "detection.md §2, §3.3 (e): Disco's gamma"),
    Param("kleinberg.second", 1, "s", "detection.md §2: Disco spreads equal times inside the second"),
)


@dataclass(frozen=True)
class Params:
    """The table as code reads it: seconds, rates a second, shares, counts."""

    entries: tuple[Param, ...] = TABLE
    time_scale: float = 1.0

    def __getitem__(self, name: str) -> float:
        return self._values[name]

    def count(self, name: str) -> int:
        """A threshold that is a whole number."""
        return int(self._values[name])

    @cached_property
    def _values(self) -> Mapping[str, float]:
        factors = {"s": 1 / self.time_scale, "1/h": self.time_scale / 3600}
        return MappingProxyType({one.id: one.value * factors.get(one.unit, 1.0) for one in self.entries})

    @cached_property
    def params_id(self) -> str:
        """Version of the table and the first 12 hex digits of the digest of its content and scale."""
        content = [[one.id, one.value, one.unit] for one in self.entries]
        text = json.dumps([content, self.time_scale], separators=(",", ":"))
        return f"{PARAMS_VERSION}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def scaled(time_scale: float) -> Params:
    """The thresholds for a world in which ``time_scale`` seconds pass in one second of the clock."""
    return Params(TABLE, time_scale)
