"""Turns a claim code into a probe: asks the observatory, checks what it answers, keeps it.

Asking again with the same claim and the same keys gives the same answer, so a line that drops between question and
answer loses nothing.
"""

import asyncio
import logging
import random
from collections.abc import Callable

from civobs_agent import AGENT
from civobs_agent.blocking import in_thread
from civobs_agent.config import AgentSettings
from civobs_agent.errors import ConfigError, EnrolmentError, IdentityError, UnreachableError
from civobs_agent.identity import Identity, board
from civobs_agent.observatory import Observatory
from civobs_wire.enrol import CONTEXT, EnrolRequest, EnrolResponse
from civobs_wire.envelope import seal

logger = logging.getLogger(__name__)


def observatory(settings: AgentSettings) -> Observatory:
    """The observatory of the settings. Raises ConfigError."""
    if settings.observatory.url is None:
        raise ConfigError(
            "the observatory's address is not set", 'set url = "https://…" under [observatory] in the settings'
        )
    return Observatory(settings.observatory.url, settings.observatory.ca, settings.observatory.timeout_s)


def request(identity: Identity, claim: str, settings: AgentSettings) -> bytes:
    """The signed request."""
    document = EnrolRequest(
        claim=claim,
        signing_key=identity.public_hex,
        csr_pem=identity.csr_pem(),
        agent=AGENT,
        board=board(),
        consent=settings.consent.given,
    )
    return seal(identity.signing_key, CONTEXT, document.model_dump_json().encode())


async def enrol(identity: Identity, claim: str, settings: AgentSettings) -> EnrolResponse:
    """Enrol once and keep the answer. Raises UnreachableError, EnrolmentError, ConfigError, IdentityError."""
    asked = observatory(settings)
    response = await asked.enrol(await in_thread("request", lambda: request(identity, claim, settings)))
    pinned = settings.observatory.plan_key
    if pinned is not None and response.plan_key != pinned:
        raise EnrolmentError(
            "the observatory signs plans with another key than the one pinned in the settings",
            "check [observatory] url and plan_key; if both are right, somebody answers in the observatory's place",
        )
    identity.enrolled(response)
    logger.info("enrolled probe_id=%s brokers=%d", response.probe_id, len(response.brokers))
    return response


async def enrol_patiently(
    identity: Identity, settings: AgentSettings, *, say: Callable[[str], None]
) -> EnrolResponse | None:
    """Enrol with the claim of the settings, for as long as it takes.

    ``say`` is told why it has not worked yet. None if the settings name no claim or no address, or if the observatory
    refuses for good: measuring goes on in either case, and the rows wait.
    """
    claim = settings.observatory.claim
    if claim is None or settings.observatory.url is None:
        say("not enrolled: no claim code or no address of the observatory in the settings")
        return None
    wait_s = settings.uplink.backoff_s / settings.lab.time_scale
    while True:
        try:
            return await enrol(identity, claim, settings)
        except (UnreachableError, IdentityError) as error:
            say(f"not enrolled yet: {error.cause}")
            logger.info("enrolment postponed cause=%r again_in_s=%.0f", error.cause, wait_s)
        except EnrolmentError as error:
            say(f"enrolment refused: {error.cause}; {error.remedy}")
            logger.error("enrolment refused cause=%r remedy=%r", error.cause, error.remedy)  # noqa: TRY400 - no bug
            return None
        await asyncio.sleep(wait_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter is no secret
        wait_s = min(wait_s * 2, settings.uplink.backoff_max_s / settings.lab.time_scale)
