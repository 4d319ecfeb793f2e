"""``civobs-agent doctor``: what is wrong, and what to do about it."""

import argparse
import sys

from civobs_agent.commands import Commands


def register(commands: Commands) -> None:
    parser = commands.add_parser(
        "doctor",
        help="what is wrong, and what to do about it",
        description="Checks settings, keys, spool, clock, permissions, network, broker, plan and\ndisk.",
        epilog="example:\n  sudo civobs-agent doctor\n\nExit code 1: something fails.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    import asyncio

    from civobs_agent.doctor import Verdict, examine

    failed = False
    for finding in asyncio.run(examine(arguments.config)):
        failed |= finding.verdict is Verdict.FAIL
        sys.stdout.write(f"{finding.verdict:<4}  {finding.subject:<11} {finding.text}\n")
        if finding.remedy:
            sys.stdout.write(f"{'':<18}→ {finding.remedy}\n")
    return 1 if failed else 0
