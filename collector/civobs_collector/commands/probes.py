"""``civobs probes``: claim codes, and the list of probes that are allowed to speak."""

import argparse
from collections.abc import Callable
from dataclasses import asdict

from civobs_collector import config
from civobs_collector.crockford import new_claim_code
from civobs_collector.db.connect import Connection, connect, database_errors
from civobs_collector.db.migrate import require_current
from civobs_collector.db.probes import (
    Place,
    Probe,
    ProbeStatus,
    country_exists,
    find_probe,
    household_exists,
    list_probes,
    make_claim,
    make_household,
    name_network,
    read_activity,
    set_access,
    set_status,
)
from civobs_collector.detect.access import Access
from civobs_collector.enrolment import claim_digest
from civobs_collector.errors import ConfigError, NotFoundError
from civobs_collector.printing import print_json, print_line, print_table
from civobs_wire.limits import MAX_NAME

CLAIM_DAYS = 7.0
"""A code that lies about for longer is more likely lost than waiting (volunteers.md §2)."""
_ASN_MAX = 4_294_967_295
"""RFC 6793."""

_STATUS_COMMANDS = (
    ("revoke", ProbeStatus.REVOKED, "take nothing from a probe any more, for good"),
    ("quarantine", ProbeStatus.QUARANTINED, "keep a probe's rows but count them for nothing"),
    ("activate", ProbeStatus.ACTIVE, "count a quarantined probe again"),
)


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command's parser."""
    parser = commands.add_parser("probes", help="claim codes and probes", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    listing = _action(actions, "list", "list probes", _list)
    listing.add_argument("--cc", type=_country, help="only this country")
    listing.add_argument("--status", choices=[status.value for status in ProbeStatus], help="only these")

    show = _action(actions, "show", "what is known of one probe", _show)
    show.add_argument("probe_id")

    claim = _action(actions, "claim", "make a claim code for one device", _claim)
    claim.add_argument("--cc", required=True, type=_country, help="country, ISO 3166-1 alpha-2")
    claim.add_argument("--asn", type=_asn, default=0, help="network the device will be in, if known")
    claim.add_argument("--admin1", type=_name, help="province or county, if the household agrees to it")
    claim.add_argument("--access", choices=list(Access), help="the household's line (default: not known)")
    claim.add_argument("--household", type=int, metavar="KEY", help="an existing household (default: a new one)")
    claim.add_argument("--anchor", action="store_true", help="the observatory's own control, not a home")

    for name, status, text in _STATUS_COMMANDS:
        change = _action(actions, name, text, _change)
        change.add_argument("probe_id")
        change.set_defaults(status=status)

    access = _action(actions, "access", "say whether a probe's line is fixed or mobile", _access)
    access.add_argument("probe_id")
    access.add_argument("access", choices=list(Access))

    network = _action(actions, "network", "give a network its name", _network)
    network.add_argument("--asn", required=True, type=_asn)
    network.add_argument("--name", required=True, type=_name)
    network.add_argument("--cc", type=_country, help="country it serves")
    network.add_argument("--user-share", type=_share, help="its share of the country's users, 0 to 1")


def _action(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    text: str,
    act: Callable[[Connection, argparse.Namespace], None],
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.set_defaults(run=_run, act=act)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    settings = config.load(arguments.config)
    with database_errors(), connect(settings.database, "probes") as conn:
        require_current(conn)
        with conn.transaction():
            arguments.act(conn, arguments)
    return 0


def _list(conn: Connection, arguments: argparse.Namespace) -> None:
    probes = list_probes(conn, cc=arguments.cc, status=arguments.status)
    if arguments.json:
        print_json([asdict(probe) for probe in probes])
        return
    print_table(
        ("PROBE", "STATUS", "CC", "ASN", "HOUSEHOLD", "ANCHOR", "AGENT", "ENROLLED"),
        [(p.probe_id, p.status, p.cc, p.asn, p.household_key, p.is_anchor, p.agent, p.enrolled_at) for p in probes],
    )


def _show(conn: Connection, arguments: argparse.Namespace) -> None:
    probe = _found(conn, arguments.probe_id)
    facts = {**asdict(probe), "signing_key": probe.signing_key.hex(), **asdict(read_activity(conn, probe))}
    if arguments.json:
        print_json(facts)
    else:
        print_table(("", "PROBE"), facts.items())


def _claim(conn: Connection, arguments: argparse.Namespace) -> None:
    if not country_exists(conn, arguments.cc):
        raise ConfigError(f"{arguments.cc} is no country's code", "use ISO 3166-1 alpha-2, such as KE")
    household: int | None = arguments.household
    if household is not None and not household_exists(conn, household):
        raise NotFoundError(f"there is no household {household}", "leave --household out to make a new one")
    household = make_household(conn) if household is None else household
    code = new_claim_code()
    place = Place(arguments.cc, arguments.asn, arguments.admin1, arguments.anchor, arguments.access)
    expires_at = make_claim(conn, claim_digest(code), household, place, days=CLAIM_DAYS)
    if arguments.json:
        print_json({"claim": code, "expires_at": expires_at, "household_key": household, **asdict(place)})
        return
    print_line(code)
    print_line(f"for one device of household {household}, until {expires_at:%Y-%m-%d %H:%M} UTC; it is not shown again")


def _change(conn: Connection, arguments: argparse.Namespace) -> None:
    status: ProbeStatus = arguments.status
    probe = _found(conn, arguments.probe_id)
    if not set_status(conn, probe.probe_id, status):
        raise ConfigError(f"probe {probe.probe_id} is revoked, for good", "enrol the device anew with a new claim code")
    if arguments.json:
        print_json({"probe_id": probe.probe_id, "before": probe.status, "status": status})
    else:
        print_line(f"probe {probe.probe_id} is {status}, was {probe.status}")


def _access(conn: Connection, arguments: argparse.Namespace) -> None:
    probe = _found(conn, arguments.probe_id)
    set_access(conn, probe.probe_id, arguments.access)
    if arguments.json:
        print_json({"probe_id": probe.probe_id, "before": probe.access, "access": arguments.access})
    else:
        print_line(f"the line of probe {probe.probe_id} is {arguments.access}, was {probe.access or 'not known'}")


def _network(conn: Connection, arguments: argparse.Namespace) -> None:
    name_network(conn, arguments.asn, arguments.name, arguments.cc, arguments.user_share)
    if arguments.json:
        print_json({"asn": arguments.asn, "name": arguments.name, "cc": arguments.cc})
    else:
        print_line(f"AS{arguments.asn} is {arguments.name}")


def _found(conn: Connection, probe_id: str) -> Probe:
    probe = find_probe(conn, probe_id)
    if probe is None:
        raise NotFoundError(f"there is no probe {probe_id}", "civobs probes list")
    return probe


def _country(text: str) -> str:
    code = text.upper()
    if len(code) != 2 or not code.isascii() or not code.isalpha():
        raise argparse.ArgumentTypeError(f"{text!r} is not two letters such as KE")
    return code


def _asn(text: str) -> int:
    digits = text.upper().removeprefix("AS")
    if not digits.isascii() or not digits.isdigit() or int(digits) > _ASN_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not a network's number, such as 37100")
    return int(digits)


def _name(text: str) -> str:
    if not text.strip() or len(text) > MAX_NAME or not text.isprintable():
        raise argparse.ArgumentTypeError(f"not a name of 1 to {MAX_NAME} characters")
    return text.strip()


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share from 0 to 1")
    return share
