"""What ``civobs-agent`` has to know when a person calls it in a shell of the lab: settings as variables, and a plan.

Without a laboratory's settings it refuses the lab's addresses and trusts none of its certificates. It keeps to itself,
with a folder of its own: an observatory has not been told of it, and the machine's own probe is left alone.
"""

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from civobs_agent.config import ENV_PREFIX
from civobs_collector.plan_file import read_plan_file
from civobs_lab.plans import plan_text
from civobs_lab.scenario import PlanChanges
from civobs_lab.topology import Topology
from civobs_wire.plan import pack_plan


def variables(topology: Topology, cc: str, *, folder: Path, ca_file: Path) -> dict[str, str]:
    """Settings of a probe in this country that keeps everything in a new folder, with a signed plan in it."""
    state = Path(tempfile.mkdtemp(prefix="agent-", dir=folder))
    written = state / "plan.toml"
    # By hand time passes as in life, whatever the scale of the probes that the lab runs itself.
    written.write_text(plan_text(topology, cc, 1.0, PlanChanges()))
    key = Ed25519PrivateKey.generate()
    (state / "plan.signed").write_bytes(pack_plan(read_plan_file(written, datetime.now(UTC)), key))
    settings = {
        "STATE_DIR": str(state),
        "RUNTIME_DIR": str(state),
        "OBSERVATORY__PLAN_KEY": key.public_key().public_bytes_raw().hex(),
        "UPLINK__SEND": "false",
        "LIMITS__THROUGHPUT_TESTS": "true",
        "CONSENT__TIER": "3",
        "LAB__ENABLED": "true",
        "LAB__LAB_RANGES": "true",
        "LAB__TRUST_SYSTEM_CLOCK": "true",
        "LAB__ROOTS": str(ca_file),
    }
    return {f"{ENV_PREFIX}{name}": value for name, value in settings.items()}
