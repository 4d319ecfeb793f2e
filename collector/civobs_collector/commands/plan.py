"""``civobs plan``: make keys, build and sign plans, hand them to the probes.

A plan is built from a TOML file (deploy/plan.example.toml), signed with the plan key, and kept in the database, from
where it is published to each probe. Building needs no database, so the key may stay on another machine:
build there, carry the file over, publish here.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from civobs_collector import config
from civobs_collector.config import CollectorSettings
from civobs_collector.db.connect import connect, database_errors
from civobs_collector.db.migrate import require_current
from civobs_collector.db.plans import list_plans, plan_for_country
from civobs_collector.errors import NotFoundError, PlanError
from civobs_collector.keys import make_key, read_private, read_public
from civobs_collector.plan_file import opened, publish, read_plan_file, refuse_stale, refuse_unfit
from civobs_collector.printing import print_json, print_line, print_table
from civobs_wire.envelope import key_hex
from civobs_wire.errors import SizeError
from civobs_wire.plan import Plan, pack_plan

_SHOWN = 8
"""Targets of a task that are named in the table."""


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command's parser."""
    parser = commands.add_parser("plan", help="make, sign and publish plans", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    keygen = actions.add_parser("keygen", help="make the plan key and the receipt key where they are missing")
    keygen.add_argument("--json", action="store_true", help="print the public keys as JSON")
    keygen.set_defaults(run=_keygen)

    build = actions.add_parser("build", help="check and sign a plan written in TOML")
    build.add_argument("file", type=Path, metavar="FILE.toml")
    build.add_argument(
        "--targets",
        type=Path,
        action="append",
        default=[],
        metavar="FILE.csv",
        help="more targets, in the Citizen Lab's CSV form; may be repeated. Tasks name them by category:"
        ' targets = ["category:NEWS"], or "category:*" for all',
    )
    build.add_argument("-o", "--output", type=Path, help="where to write the signed plan (default: PLAN_ID.plan)")
    build.add_argument("--publish", action="store_true", help="hand it to the probes at once; writes no file unless -o")
    build.add_argument("--json", action="store_true", help="print what was built as JSON")
    build.set_defaults(run=_build)

    hand = actions.add_parser("publish", help="hand a signed plan to the probes of its country")
    hand.add_argument("file", type=Path, metavar="FILE.plan")
    hand.add_argument("--json", action="store_true", help="print the plan as JSON")
    hand.set_defaults(run=_publish)

    show = actions.add_parser("show", help="list the published plans, or show the one in force for a country")
    show.add_argument("--cc", type=str.upper, help="country; without it all plans are listed")
    show.add_argument("--json", action="store_true", help="print as JSON")
    show.set_defaults(run=_show)

    verify = actions.add_parser("verify", help="check the signature and the content of a signed plan")
    verify.add_argument("file", type=Path, metavar="FILE.plan")
    verify.add_argument("--json", action="store_true", help="print the plan as JSON")
    verify.set_defaults(run=_verify)


def _keygen(arguments: argparse.Namespace) -> int:
    settings = config.load(arguments.config)
    keys: dict[str, dict[str, object]] = {}
    for name, path in (("plan", settings.keys.plan_key), ("receipt", settings.keys.receipt_key)):
        new = not path.exists()
        public = make_key(path).public_key() if new else read_public(path)
        keys[name] = {"file": path, "new": new, "public": key_hex(public)}
    if arguments.json:
        print_json(keys)
        return 0
    print_table(
        ("KEY", "FILE", "NEW", "PUBLIC"), [(name, row["file"], row["new"], row["public"]) for name, row in keys.items()]
    )
    return 0


def _build(arguments: argparse.Namespace) -> int:
    settings = config.load(arguments.config)
    key = read_private(settings.keys.plan_key)
    plan = read_plan_file(arguments.file, _now(), arguments.targets)
    warnings = refuse_unfit(plan)
    try:
        message = pack_plan(plan, key)
    except SizeError as error:
        raise PlanError(f"{arguments.file}: {error}", "name fewer targets") from None
    output: Path | None = arguments.output
    if output is None and not arguments.publish:
        output = Path(f"{plan.plan_id}.plan")
    if output is not None:
        _write(output, message)
    if arguments.publish:
        _hand_over(settings, message)
    for warning in warnings:
        sys.stderr.write(f"warning: {warning}\n")
    facts = {"file": output, "published": arguments.publish, "warnings": warnings}
    if arguments.json:
        print_json({**_facts(plan), **facts})
    else:
        done = [f"written to {output}"] if output else []
        done += [f"published for {plan.cc}"] if arguments.publish else []
        print_line(f"plan {plan.plan_id}, until {plan.expires_at:%Y-%m-%d}: {', '.join(done)}")
    return 0


def _publish(arguments: argparse.Namespace) -> int:
    settings = config.load(arguments.config)
    plan = _hand_over(settings, _read(arguments.file))
    if arguments.json:
        print_json(_facts(plan))
    else:
        print_line(f"plan {plan.plan_id} published for {plan.cc}, in force until {plan.expires_at:%Y-%m-%d}")
    return 0


def _show(arguments: argparse.Namespace) -> int:
    settings = config.load(arguments.config)
    with database_errors(), connect(settings.database, "plan") as conn:
        require_current(conn)
        if arguments.cc is None:
            plans = list_plans(conn)
        else:
            found = plan_for_country(conn, arguments.cc)
            if found is None:
                raise NotFoundError(f"there is no plan for {arguments.cc}", "civobs plan build FILE.toml --publish")
            _show_plan(opened(found.message, read_public(settings.keys.plan_key)), as_json=arguments.json)
            return 0
    if arguments.json:
        print_json([{**asdict(plan), "message": len(plan.message)} for plan in plans])
    else:
        print_table(
            ("PLAN", "CC", "SERIAL", "ISSUED", "EXPIRES", "BYTES"),
            [(p.plan_id, p.cc, p.serial, p.issued_at, p.expires_at, len(p.message)) for p in plans],
        )
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    settings = config.load(arguments.config)
    plan = opened(_read(arguments.file), read_public(settings.keys.plan_key))
    refuse_unfit(plan)
    refuse_stale(plan, 0, _now())
    _show_plan(plan, as_json=arguments.json)
    return 0


def _hand_over(settings: CollectorSettings, message: bytes) -> Plan:
    with database_errors(), connect(settings.database, "plan") as conn:
        require_current(conn)
        return publish(conn, message, read_public(settings.keys.plan_key), _now())


def _show_plan(plan: Plan, *, as_json: bool) -> None:
    if as_json:
        print_json(json.loads(plan.model_dump_json()))
        return
    print_table(("", "PLAN"), _facts(plan).items())
    print_table(("ANCHOR", "RUNG", "ADDRESS", "BY"), [(a.id, f"L{a.rung}", a.address, a.method) for a in plan.anchors])
    print_table(("TASK", "EVERY", "TARGETS"), [(t.kind, f"{t.interval_s:g} s", _few(t.targets)) for t in plan.tasks])
    print_table(("TARGET", "URL", "TIER", "CATEGORY"), [(t.id, t.url, t.tier, t.category) for t in plan.targets])


def _few(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _facts(plan: Plan) -> dict[str, object]:
    return {
        "plan_id": plan.plan_id,
        "cc": plan.cc,
        "serial": plan.serial,
        "issued_at": plan.issued_at,
        "expires_at": plan.expires_at,
        "anchors": len(plan.anchors),
        "targets": len(plan.targets),
        "tasks": len(plan.tasks),
    }


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PlanError(f"cannot read {path}: {error.strerror}", "name a file that civobs plan build wrote") from None


def _write(path: Path, message: bytes) -> None:
    try:
        path.write_bytes(message)
    except OSError as error:
        raise PlanError(f"cannot write {path}: {error.strerror}", "name another file with -o") from None


def _now() -> datetime:
    return datetime.now(UTC)
