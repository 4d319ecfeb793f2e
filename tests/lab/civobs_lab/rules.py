"""What a record has to be like to be called right: one row a rule, with its bar and where the bar comes from.

A verdict names the rules that were not kept, by their ids.
"""

from dataclasses import dataclass

from civobs_lab.matching import family
from civobs_lab.pauses import SHORTEST_KEEPALIVE_S, SHORTEST_TICK_S
from civobs_lab.results import RunResult, TruthRun
from civobs_lab.scores import Bar

BROKER_LOOKS_S = 6.0
"""Seconds of the clock: Mosquitto looks for silent clients this often, whatever the time scale."""
KEEPALIVE_S = 60.0
"""Lab seconds: the default plan's."""
TICK_S = 30.0
"""Lab seconds between two runs of the detector."""
LADDER_S, TROUBLE_S = 300.0, 60.0
"""Lab seconds between two runs of the ladder, in peace and in trouble, by the default plan: the bars of start and end
speak of it."""
KEEPALIVES = 1.5
"""MQTT v5 §3.1.2.10: a client is lost after so many keepalives."""
CLOCK_S = 0.1
"""Seconds of the clock between the moment at which a fault was noted and the one at which it took effect."""

PARTLY, WRONG = "partly", "wrong"


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that is asked."""

    id: str
    asks: str
    fails: str
    """What a truth (or, for ``run.*``, a scenario) is at best if the rule is not kept: ``partly`` or ``wrong``."""
    source: str
    bar: float | None = None
    unit: str = ""


RULES: tuple[Rule, ...] = (
    Rule("found", "each time it happened, an event of its own says so", WRONG, "lab.md: found or not"),
    Rule("nothing", "no event of a kind that is excluded, where nothing of it happened", WRONG, "lab.md: scenarios"),
    Rule("says", "the record says of the country that this access cannot be seen", WRONG, "detection.md §3.4"),
    Rule("kind", "the last version has the right kind", PARTLY, "lab.md: kind right or not"),
    Rule("scope", "level, country, networks and targets are those of the truth", PARTLY, "lab.md: scope right or not"),
    Rule("mechanism", "the mechanisms are those of the truth, or more exactly said", PARTLY, "detection.md §3.5"),
    Rule("depth", "the last version has the right depth", PARTLY, "detection.md §5"),
    Rule("cause", "no hypothesis is named but the right one; none is not wrong", PARTLY, "detection.md §3.4"),
    Rule("alert.connectivity", "published so soon after the start", PARTLY, "architecture.md §6", 2, "bins"),
    Rule("alert.services", "published so soon after the start", PARTLY, "detection.md §3.3: bins of 1 h", 7200, "s"),
    Rule("start.connectivity", "start right to so much after backfill", PARTLY, "architecture.md §6", 60, "s"),
    Rule("start.presence", "start right to so much", PARTLY, "detection.md §3.6: presence alone", 90, "s"),
    Rule("start.services", "start right to so much", PARTLY, "detection.md §3.6: hourly targets", 1800, "s"),
    Rule("end.connectivity", "end right to so much after backfill", PARTLY, "detection.md §3.6: 1-min ladder", 60, "s"),
    Rule("end.presence", "end right to so much", PARTLY, "agent: 300 s between tries", 300, "s"),
    Rule("end.services", "end right to so much", PARTLY, "detection.md §3.6: hourly targets", 1800, "s"),
    Rule("bounds", "the truth lies within the published bounds of start and end", PARTLY, "detection.md §4, case 14"),
    Rule("settled", "the last version is not provisional, and closed if it is over", PARTLY, "detection.md §3.6"),
    Rule("split", "one event for one occurrence", PARTLY, "detection.md §3.6: merge gaps under 30 min"),
    Rule("campaign", "what recurs is one campaign, with an event for each time", PARTLY, "detection.md §4, case 7"),
    Rule("run.alarms", "no event that matches no truth", PARTLY, "lab.md: false alarms"),
    Rule("run.slots", "every slot of every schedule has its row", PARTLY, "architecture.md §1, rule 1", 0, "slots"),
    Rule("run.lost", "no measurement lost", PARTLY, "architecture.md §1, rule 2", 0, "rows"),
    Rule("run.doubled", "no measurement stored twice", PARTLY, "architecture.md §1, rule 2", 0, "rows"),
    Rule("run.rejected", "no batch rejected", PARTLY, "architecture.md §5", 0, "batches"),
    Rule("run.complete", "the run did not break down", WRONG, "lab.md"),
)
BY_ID = {rule.id: rule for rule in RULES}

_PROMPT = frozenset({"outage", "shutdown_suspected", "collector_blocked"})
"""Connectivity kinds with a bar for the alert: homes that lose power one by one are not lost together."""


_PRESENCE_ONLY = frozenset({"collector_blocked"})
"""Kinds of which stored rows tell nothing but that all was well: they are dated by lost connections."""


def edge_rule(edge: str, kind: str, *, goes_on: bool = False) -> str:
    """The id of the rule on a ``start`` or an ``end``. While a loss goes on, no stored rows can have told of it."""
    blind = kind in _PRESENCE_ONLY or (goes_on and family(kind) == "connectivity")
    return f"{edge}.{'presence' if blind else family(kind)}"


def alert_rule(kind: str) -> str:
    """The id of the rule on the alert."""
    return f"alert.{family(kind)}"


def coarser(result: RunResult) -> float:
    """How much more seldom the ladder was climbed than by the default plan, at least 1: nothing is dated better."""
    mine = result.intervals
    return max(1.0, mine.get("ladder", LADDER_S) / LADDER_S, mine.get("trouble", TROUBLE_S) / TROUBLE_S)


def edge_bar_s(result: RunResult, rule: str) -> float:
    """Lab seconds by which a start or an end may be off, by the id of its rule.

    Where only connections tell, an end costs more in a fast lab as a start does: what was swallowed of a new connection
    is sent again after seconds of the clock (RFC 6298 §5: 1, 2, 4, 8).
    """
    match rule.partition(".")[2]:
        case "presence":
            return _bar(rule) + _costs_more_s(result.time_scale)
        case "connectivity":
            return _bar(rule) * coarser(result)
        case _:
            return _bar(rule)


def alert_bar_s(result: RunResult, kind: str, level: str) -> float | None:
    """Lab seconds within which an alert is in time; None where no bar is set.

    What the broker's, MQTT's and the detector's shortest pauses cost more in a fast lab than in life is added, so that
    the time scale does not change the verdict.
    """
    bar = _bar(alert_rule(kind))
    if family(kind) == "services":
        return bar
    if kind not in _PROMPT or level == "probe":
        return None
    ticks_s = max(0.0, SHORTEST_TICK_S * result.time_scale - TICK_S)
    return bar * result.bin_s + _costs_more_s(result.time_scale) + ticks_s


def bars(result: RunResult, truth: TruthRun) -> dict[str, Bar]:
    """What the times of a truth are held against, by the ids of the rules."""
    life = result.model_copy(update={"time_scale": 1.0, "intervals": {}})
    found = {}
    limit, plain = (alert_bar_s(each, truth.kind, truth.level) for each in (result, life))
    if limit is not None and plain is not None:
        found[alert_rule(truth.kind)] = Bar(s=limit, life_s=plain)
    for span in truth.spans:
        edges = [edge_rule("start", truth.kind, goes_on=span.end is None)]
        edges += [] if span.end is None else [edge_rule("end", truth.kind)]
        found |= {rule: Bar(s=edge_bar_s(result, rule), life_s=edge_bar_s(life, rule)) for rule in edges}
    return found


def _bar(rule: str) -> float:
    value = BY_ID[rule].bar
    assert value is not None
    return value


def _costs_more_s(scale: float) -> float:
    """Lab seconds by which a lost connection is seen later, at most, than in life."""
    keepalive_s = max(SHORTEST_KEEPALIVE_S * scale, KEEPALIVE_S)
    return KEEPALIVES * (keepalive_s - KEEPALIVE_S) + BROKER_LOOKS_S * (scale - 1)
