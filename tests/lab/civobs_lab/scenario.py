"""A scenario: a world, who measures in it, what is done to it, and what a right record of that would say."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from civobs_collector.detect.record import ConfidenceLabel, Depth, EventKind
from civobs_lab.fault_kinds import Fault
from civobs_lab.spans import Span
from civobs_lab.strict_toml import nearest, wrong

SETTLE_S = 5400.0
"""Lab seconds to wait for the last stored rows and the last version, at most, where a scenario says nothing."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


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
    cc: Annotated[str, Field(pattern="^X[A-Z]$")]
    level: Literal["probe", "network", "region", "country"]
    asns: tuple[int, ...] = ()
    """Networks affected, where not the whole country's."""
    admin1: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    """Names that were blocked or throttled."""
    mechanisms: tuple[str, ...] = ()
    """How, in the words of detection.md §3.5 (``dns.injection``, ``tls.reset.sni``…)."""
    depth: Depth | None = None
    cause: str | None = None
    """The hypothesis that is right (detection.md §3.4): ``national``, ``international_only``, ``isp``,
    ``home_network``, ``power``, ``collector``, ``whitelist``…"""
    faults: tuple[str, ...] = ()
    """Ids of the faults whose span it has; empty is all of them."""
    start: Span | None = None
    end: Span | None = None
    """Where it differs from the faults' span."""
    says: Literal["", "not_observable"] = ""
    """What has to be said of the country besides: that nobody there could see it."""


class PlanChanges(_Part):
    """What the probes do otherwise than by the default plan."""

    targets: tuple[str, ...] = ()
    """Names of the topology to measure against; empty is one abroad and one at home."""
    intervals: dict[str, Span] = {}
    """By kind of measurement; ``ladder`` is the calm interval and ``trouble`` the other."""


class Scenario(_Part):
    """The whole of a file. Its name is the file's."""

    title: Annotated[str, Field(max_length=100)]
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
    def _truths_refer_to_faults(self) -> Self:
        ids = [fault.id for fault in self.fault if fault.id is not None]
        for index, fault in enumerate(self.fault):
            if fault.id is not None and fault.id in ids[: ids.index(fault.id)] + ids[ids.index(fault.id) + 1 :]:
                raise wrong(f"two faults have the id {fault.id!r}", "give each its own", "fault", index, "id")
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
