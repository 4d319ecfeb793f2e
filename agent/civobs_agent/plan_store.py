"""Keeps the last good plan: verified, on the card, never replaced by an older or a foreign one."""

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path

from civobs_agent.durable import write_durably
from civobs_wire.envelope import Verifier
from civobs_wire.errors import WireError
from civobs_wire.plan import Plan, unpack_plan

logger = logging.getLogger(__name__)

ANY_COUNTRY = "ZZ"
FILE = "plan.signed"
"""In the state folder."""


@dataclass(frozen=True, slots=True)
class Adopted:
    """A new plan is in force."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class Refused:
    """The plan offered is not to be followed; ``reason`` says why, for the record."""

    reason: str


class PlanStore:
    """The plan of one state folder.

    ``key`` verifies; without it (before the enrolment) there is no plan. The country is that of the first plan made
    for one: a probe that moves is enrolled again.
    """

    def __init__(self, folder: Path, key: Verifier | None = None) -> None:
        self._path = folder / FILE
        self._seen_path = folder / "plan-serials.json"
        self._key = key
        self._seen = _serials(self._seen_path)
        self._refused: set[bytes] = set()
        self._message = b""
        self.current: Plan | None = None
        self._load()

    def trust(self, key: Verifier) -> None:
        """From now on plans are verified with this key."""
        self._key = key
        self._load()

    def offer(self, message: bytes) -> Adopted | Refused | None:
        """Take a plan in if it may be followed; None if it says nothing new."""
        if message == self._message:
            return None
        digest = hashlib.sha256(message).digest()
        if digest in self._refused:
            return None
        verdict = self._judge(message)
        if isinstance(verdict, Refused):
            # It is retained at the broker and comes again with every connection: it is said once.
            self._refused.add(digest)
            logger.warning("plan refused reason=%r", verdict.reason)
            return verdict
        self._adopt(message, verdict.plan)
        return verdict

    def _judge(self, message: bytes) -> Adopted | Refused:
        if self._key is None:
            return Refused("no key to verify it with")
        try:
            plan = unpack_plan(message, self._key)
        except WireError as error:
            return Refused(f"{error.reason}: {error}"[:500])
        home = next((cc for cc in self._seen if cc != ANY_COUNTRY), None)
        if plan.cc not in {ANY_COUNTRY, home or plan.cc}:
            return Refused(f"{plan.plan_id} is for {plan.cc}, this probe is in {home}")
        seen = self._seen.get(plan.cc, 0)
        if plan.serial < seen or (plan.serial == seen and self.current is not None):
            return Refused(f"{plan.plan_id} has serial {plan.serial}, seen was {seen}")
        return Adopted(plan)

    def _adopt(self, message: bytes, plan: Plan) -> None:
        self._seen[plan.cc] = plan.serial
        self._message, self.current = message, plan
        try:
            write_durably(self._seen_path, json.dumps(self._seen).encode())
            write_durably(self._path, message)
        except OSError as error:
            # It is followed all the same, and comes again with the next connection after a restart.
            logger.warning("plan not kept cause=%r", error.strerror)

    def _load(self) -> None:
        if self._key is None:
            return
        try:
            message = self._path.read_bytes()
            plan = unpack_plan(message, self._key)
        except FileNotFoundError:
            return
        except (OSError, WireError) as error:
            logger.warning("kept plan unusable cause=%r", str(error))
            return
        self._message, self.current = message, plan
        self._seen[plan.cc] = max(plan.serial, self._seen.get(plan.cc, 0))


def _serials(path: Path) -> dict[str, int]:
    try:
        found = json.loads(path.read_bytes())
        return {str(cc): int(serial) for cc, serial in found.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
