"""``civobs-agent enrol``: trades a claim code for an identity."""

import argparse
import re
import sys

from civobs_agent.commands import Commands


def register(commands: Commands) -> None:
    parser = commands.add_parser(
        "enrol",
        help="trade a claim code for an identity",
        description="Enrols this device with a single-use claim code. Running it again changes\nnothing.",
        epilog="example:\n  civobs-agent enrol 7K3M-9QXP-4\n\nA running agent takes the identity up by itself.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("claim", nargs="?", help="the code, XXXX-XXXX-C (default: [observatory] claim of the settings)")
    parser.set_defaults(run=_enrol)


def _enrol(arguments: argparse.Namespace) -> int:
    import asyncio

    from pydantic import TypeAdapter, ValidationError

    from civobs_agent.config import load
    from civobs_agent.enrol import enrol
    from civobs_agent.errors import EnrolmentError
    from civobs_agent.identity import load_or_make
    from civobs_wire.enrol import ClaimCode

    settings = load(arguments.config)
    identity = load_or_make(settings.state_dir)
    before = identity.enrolment()
    if before is not None:
        sys.stdout.write(f"already enrolled as {before.probe_id}\n")
        return 0
    claim = re.sub(r"\s", "", arguments.claim or settings.observatory.claim or "").upper()
    if not claim:
        raise EnrolmentError("no claim code", "give it: civobs-agent enrol XXXX-XXXX-C")
    try:
        TypeAdapter(ClaimCode).validate_python(claim)
    except ValidationError:
        raise EnrolmentError(
            f"{claim} is not a claim code", "it looks like 7K3M-9QXP-4: check it letter by letter"
        ) from None
    response = asyncio.run(enrol(identity, claim, settings))
    sys.stdout.write(f"enrolled as {response.probe_id}\n")
    return 0
