"""``civobs grafana``: give a Grafana this version's dashboards, alert rules and routing, and see whether it has them.

What is written is what this program made: nothing else of the Grafana is changed or deleted, and a second run changes
nothing. Settings stand in [grafana]; docs/operating/alerts.md says how the token is made.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

from civobs_collector import config
from civobs_collector.printing import print_json, print_line, print_table

if TYPE_CHECKING:
    from civobs_collector.grafana.client import Grafana
    from civobs_collector.grafana.sync import Step


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command's parsers."""
    parser = commands.add_parser("grafana", help="Grafana's dashboards and alert rules", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    sync = actions.add_parser("sync", help="bring a Grafana to what this version says")
    sync.add_argument("--dry-run", action="store_true", help="only say what would be done, as diff does")
    sync.set_defaults(run=_sync)
    diff = actions.add_parser("diff", help="what differs, and where; changes nothing")
    diff.set_defaults(run=_diff)
    check = actions.add_parser(
        "check", help="exit 1 unless all is there and Grafana gets an answer from the database; changes nothing"
    )
    check.set_defaults(run=_check)
    for one in (sync, diff, check):
        one.add_argument("--json", action="store_true", help="print as JSON")


@contextmanager
def _compared(arguments: argparse.Namespace) -> "Iterator[tuple[Grafana, list[Step]]]":
    # grafana-client and what it brings take a while to load.
    from civobs_collector.grafana.client import Grafana
    from civobs_collector.grafana.sync import steps
    from civobs_collector.grafana.wanted import wanted

    settings = config.load(arguments.config).grafana
    with Grafana(settings) as grafana:
        yield grafana, steps(grafana, wanted(settings))


def _sync(arguments: argparse.Namespace) -> int:
    from civobs_collector.grafana.sync import apply

    if arguments.dry_run:
        return _diff(arguments)
    done: list[Step] = []

    def told(step: "Step") -> None:
        done.append(step)
        if not arguments.json:
            print_line(f"{step.action} {step.kind} {step.name}")

    with _compared(arguments) as (_, found):
        apply(found, told)
    left = _left(found)
    if arguments.json:
        print_json({"done": [_facts(step) for step in done], "from_file": [_facts(step) for step in left]})
    else:
        print_line(f"{len(done)} changed, {len(found) - len(done)} as they were")
        _say_left(left)
    return 0


def _diff(arguments: argparse.Namespace) -> int:
    from civobs_collector.grafana.sync import Action

    with _compared(arguments) as (_, found):
        pass
    differ = [step for step in found if step.action is not Action.KEEP]
    if arguments.json:
        print_json({"differ": [_facts(step) for step in differ]})
    elif differ:
        print_table(("ACTION", "KIND", "NAME", "DIFFERS AT"), [_row(step) for step in differ])
        _say_left(_left(differ))
    else:
        print_line(f"nothing differs: {len(found)} things are as this version says")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from civobs_collector.grafana.sync import Action, health

    with _compared(arguments) as (grafana, found):
        answer = health(grafana)
    differ = [step for step in found if step.action is not Action.KEEP]
    ok = answer.ok and not differ
    if arguments.json:
        print_json(
            {
                "ok": ok,
                "version": grafana.version,
                "database": asdict(answer),
                "differ": [_facts(step) for step in differ],
            }
        )
        return 0 if ok else 1
    print_line(f"Grafana {grafana.version}")
    print_line(f"database  {'ok' if answer.ok else 'FAILED'}  {answer.message}")
    print_line(f"in order  {len(found) - len(differ)} of {len(found)}")
    if differ:
        print_table(("ACTION", "KIND", "NAME", "DIFFERS AT"), [_row(step) for step in differ])
        print_line("→ civobs grafana sync")
    return 0 if ok else 1


def _left(found: "list[Step]") -> "list[Step]":
    from civobs_collector.grafana.sync import Action

    return [step for step in found if step.action is Action.FROM_FILE]


def _say_left(left: "list[Step]") -> None:
    if left:
        print_line(f"{len(left)} came from provisioning files: give Grafana those of this version, deploy/grafana")


def _row(step: "Step") -> tuple[str, str, str, str]:
    return step.action, step.kind, step.name, ", ".join(step.detail[:3]) + (" …" if len(step.detail) > 3 else "")


def _facts(step: "Step") -> dict[str, object]:
    return {"action": step.action, "kind": step.kind, "name": step.name, "differs_at": list(step.detail)}
