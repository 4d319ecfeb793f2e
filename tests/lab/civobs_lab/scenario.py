"""A scenario: a world, who measures in it, what is done to it, and what a right record of that would say."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from civobs_collector.detect.record import ConfidenceLabel, Depth, EventKind
from civobs_lab.fault_kinds import Fault
from civobs_lab.spans import Span, words
from civobs_lab.strict_toml import nearest, wrong
from civobs_wire.limits import MIN_INTERVAL_S
from civobs_wire.measurement import KINDS

Cause = Literal[
    "power",
    "home_network",
    "isp",
    "national",
    "international_only",
    "whitelist",
    "mobile_only",
    "dns",
    "collector",
    "flapping",
    "site_failure",
    "congestion",
]
"""The rows of detection.md §3.4, in the collector's words (``detect/hypotheses.py``) where it knows them."""

Mechanism = Annotated[str, Field(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)*$", examples=["tls.reset.sni"])]

LONGEST_LADDER_S, LONGEST_TASK_S = 3600.0, 604800.0
"""``civobs_wire.plan`` takes no more."""
SETTLE_S = 5400.0
"""Lab seconds to wait for the last stored rows and the last version, at most, where a scenario says nothing."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Truth(_Part):
    """One thing that was so, and what the observatory ought to publish of it."""

    name: str = ""
    """For the scoreboard; left out, kind and place."""
    kind: EventKind | Literal["nothing"]
    """``nothing``: no event may be published of it, whatever it looked like."""
    not_kinds: tuple[EventKind, ...] = ()
    """With ``nothing``: only these kinds would be wrong; empty is any kind."""
    at_most: ConfidenceLabel | None = None
    """With ``nothing``: events of at most this confidence are not wrong."""
    cc: str
    level: Literal["probe", "network", "region", "country"]
    """How far it reached."""
    asns: tuple[int, ...] = ()
    """Networks affected, where not the whole country's."""
    admin1: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    """Names that were blocked or throttled."""
    mechanisms: tuple[Mechanism, ...] = ()
    """How, in the words of detection.md §3.5 (``dns.injection``, ``tls.reset.sni``…)."""
    depth: Depth | None = None
    cause: Cause | None = None
    """The hypothesis that is right (detection.md §3.4)."""
    faults: tuple[str, ...] = ()
    """Ids of the faults whose span it has; empty is all of them."""
    start: Span | None = None
    end: Span | None = None
    """Where it differs from the faults' span."""
    says: Literal["", "not_observable"] = ""
    """What has to be said of the country besides: that nobody there could see it."""

    @model_validator(mode="after")
    def _does_not_contradict_itself(self) -> Self:
        if self.kind != "nothing" and (self.not_kinds or self.at_most):
            key = "not_kinds" if self.not_kinds else "at_most"
            raise wrong(f"`{key}` goes with kind 'nothing'", "leave it out, or write kind = 'nothing'", key)
        if self.kind == "nothing" and (self.depth or self.mechanisms):
            key = "depth" if self.depth else "mechanisms"
            raise wrong(f"of nothing there is no `{key}`", "leave it out", key)
        for level, key, named in (("network", "asns", self.asns), ("region", "admin1", self.admin1)):
            if self.level == level and not named:
                raise wrong(f"level {level!r} does not say which", f"name it in `{key}`", "level")
        if self.end is not None and self.end <= (self.start or 0.0):
            raise wrong("the end is not after the start", "write a later end", "end")
        return self


class PlanChanges(_Part):
    """What the probes do otherwise than by the default plan."""

    targets: tuple[str, ...] = ()
    """Names of the topology to measure against, by HTTPS, or with ``http://`` before them; empty is one abroad and one
    at home."""
    intervals: dict[str, Span] = {}
    """By kind of measurement; ``ladder`` is the calm interval and ``trouble`` the other."""

    @model_validator(mode="after")
    def _can_be_planned(self) -> Self:
        kinds = {"ladder", "trouble", *KINDS} - {"agent"}
        for kind, span_s in self.intervals.items():
            longest = LONGEST_LADDER_S if kind in {"ladder", "trouble"} else LONGEST_TASK_S
            if kind not in kinds:
                remedy = nearest(kind, kinds, otherwise="there are")
                raise wrong(f"probes have no measurement {kind!r}", remedy, "intervals", kind)
            if not MIN_INTERVAL_S <= span_s <= longest:
                remedy = f"write one from {words(MIN_INTERVAL_S)} to {words(longest)}"
                raise wrong(f"no plan may have this interval for {kind}", remedy, "intervals", kind)
        return self


class Scenario(_Part):
    """The whole of a file. Its name is the file's."""

    title: Annotated[
        str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]+$", examples=["All ISPs are down"])
    ]
    """One line: what happens."""
    resembles: str
    """Which real event it is like, or which mistake it guards against."""
    topology: str = "two-countries"
    """One of the lab's own, or a file beside the scenario."""
    time_scale: Annotated[float, Field(ge=1, le=3000)] = 30.0
    """Lab seconds in one second of the clock."""
    probes: dict[str, Annotated[int, Field(ge=0, le=64)]] = {}
    """Households with a probe, by network (``AS64500``); what is not named has as many as the topology says."""
    plan: PlanChanges = PlanChanges()
    length: Span | None = None
    """Of the timeline, from its zero; left out, until the last fault has ended (or an hour)."""
    settle: Span = SETTLE_S
    """How long to wait after that until all rows are in and all events have settled, at most."""
    fault: tuple[Fault, ...] = ()
    truth: tuple[Truth, ...] = ()

    @model_validator(mode="after")
    def _faults_happen(self) -> Self:
        for index, fault in enumerate(self.fault):
            last_s = fault.start + (fault.times - 1) * (fault.every or 0.0)
            if self.length is not None and last_s >= self.length:
                key = "times" if fault.start < self.length else "start"
                cause = f"the timeline is over after {words(self.length)}, before this begins"
                raise wrong(cause, "write a longer `length`, or leave it out", "fault", index, key)
        return self

    @model_validator(mode="after")
    def _truths_refer_to_faults(self) -> Self:
        ids: list[str] = []
        for index, fault in enumerate(self.fault):
            if fault.id in ids:
                raise wrong(f"two faults have the id {fault.id!r}", "give each its own", "fault", index, "id")
            ids += [] if fault.id is None else [fault.id]
        for index, truth in enumerate(self.truth):
            for number, name in enumerate(truth.faults):
                if name not in ids:
                    remedy = nearest(name, ids, otherwise="there are") if ids else "give the fault an `id`"
                    raise wrong(f"no fault has the id {name!r}", remedy, "truth", index, "faults", number)
            if not self.fault and truth.start is None:
                raise wrong(
                    "this truth refers to no fault and has no time", "write a start, or a fault", "truth", index
                )
        return self
