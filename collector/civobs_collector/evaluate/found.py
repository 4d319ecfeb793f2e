"""What a detector found in a file, in one shape for all forms.

Times are seconds since the epoch; the report writes them as ISO 8601. Every form's module turns its findings into
this, and the scoring and the printing know nothing else.
"""

from dataclasses import dataclass

NO_EVENT = frozenset({"none", "insufficient", "congestion", "site_failure", "common_cause"})
"""Kinds that are conclusions and not events: nothing of them would be published."""


@dataclass(frozen=True, slots=True)
class Between:
    """A moment known to lie between two observations; ``likely`` is the best single guess."""

    earliest: float
    latest: float
    likely: float


@dataclass(frozen=True, slots=True)
class Piece:
    """One network × target of an event that reaches over several, with its own times."""

    network: str = ""
    """As the file names it."""
    target: str = ""
    layers: tuple[str, ...] = ()
    start: Between | None = None
    end: Between | None = None
    alert_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One event, or one conclusion that is none. What a form cannot tell stays at its default."""

    group: str
    """What the file names: the group; the test; for blocking country/target or network/target, the widest that fits."""
    kind: str
    """``outage``, ``blocking``, ``throttling_targeted``…, or one of ``NO_EVENT``."""
    level: str = ""
    """How strong or how far: ``moderate``, ``extreme``; ``probe``, ``network``, ``region``, ``country``."""
    cc: str = ""
    networks: tuple[str, ...] = ()
    """As the file names them, sorted."""
    asns: tuple[int, ...] = ()
    """Those of them that are numbers."""
    targets: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    mechanisms: tuple[str, ...] = ()
    start: Between | None = None
    """None where the file has no times."""
    end: Between | None = None
    """None while it lasts."""
    ongoing: bool = False
    """Not over when the file ends."""
    alert_at: float | None = None
    """When a detector that had seen the file up to then would have raised it: the end of the bin that opened it."""
    posterior: float | None = None
    confidence: str = ""
    """``unconfirmed`` or ``probable``; a machine never says more."""
    campaign: str = ""
    """The same for all occurrences of one campaign; empty for an event that stands alone."""
    occurrence: int = 0
    """Numbered from 1 within the campaign."""
    n_occurrences: int = 0
    depth: float | None = None
    """Share that was lost at the worst, 0 to 1."""
    n_down: int | None = None
    """Households (or answers) lost at the peak; for throttling pairs that were slower."""
    n_observed: int | None = None
    rules: tuple[str, ...] = ()
    """Ids of the thresholds that decided."""
    why: str = ""
    """One sentence for people."""
    numbers: tuple[tuple[str, float | None], ...] = ()
    """More numbers behind it, by name: ratio, p-values, plateau."""
    pieces: tuple[Piece, ...] = ()
    held: str = ""
    """Why it would not be published: ``site_failure``, ``common_cause``; empty for an event."""

    @property
    def is_event(self) -> bool:
        """Whether it would be published as an event."""
        return self.kind not in NO_EVENT and not self.held
