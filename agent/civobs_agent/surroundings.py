"""Makes the clock and the network of the measuring side from the settings."""

from civobs_agent.budget import Meter
from civobs_agent.clock import BOOT_ID_PATH, Clock, Hands
from civobs_agent.config import AgentSettings
from civobs_agent.net import Net, Roots
from civobs_agent.refusal import Refusal


def clock_of(settings: AgentSettings) -> Clock:
    """The clock, with what the state folder remembers."""
    lab = settings.lab
    return Clock(
        settings.state_dir,
        trust_system=lab.trust_system_clock,
        offset_s=lab.clock_offset_s,
        hands=Hands(boot_id_path=lab.boot_id_path or BOOT_ID_PATH),
    )


def net_of(settings: AgentSettings, clock: Clock) -> Net:
    """The network as probes see it. Raises ConfigError if the settings lift a refusal that may not be lifted."""
    return Net(
        clock,
        refusal=Refusal(lab_ranges=settings.lab.lab_ranges),
        meter=Meter(lambda: clock.moment().at, settings.state_dir),
        roots=Roots(settings.lab.roots),
        time_scale=settings.lab.time_scale,
    )
