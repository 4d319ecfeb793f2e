"""``civobs-agent run``: measures and delivers until it is told to stop."""

from pathlib import Path

from civobs_agent.commands import Commands


def register(commands: Commands) -> None:
    import argparse

    parser = commands.add_parser(
        "run",
        help="measure and deliver until stopped; what the service runs",
        description="Measures by the plan, keeps every row until the observatory has it, and delivers\nwhen it can.",
        epilog="example:\n  civobs-agent --config ./agent.toml run\n\nSIGTERM stops it within five seconds.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=lambda arguments: serve(arguments.config))


def serve(config: Path | None) -> int:
    """Run until stopped."""
    import asyncio

    from civobs_agent.lean import leaving_out_the_unused

    with leaving_out_the_unused():
        from civobs_agent.config import load
        from civobs_agent.run import run

    return asyncio.run(run(load(config)))
