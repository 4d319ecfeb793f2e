"""``civobs init``: the first files of an observatory: settings, keys, passwords, and what the broker needs.

Every secret is made anew and stands in a file of its own that only its owner reads; none is shown. Nothing is
overwritten: if one of the files is there already, none is made.
"""

import argparse
from pathlib import Path

from civobs_collector.printing import print_json, print_line

_NEXT_BARE = """\
next, as root:
  install -o mosquitto -m 0600 {folder}/mosquitto/passwords /etc/mosquitto/civobs.passwords
  install -m 0644 {folder}/mosquitto/probes.acl /etc/mosquitto/civobs.acl
  install -m 0644 {folder}/mosquitto/mosquitto.conf /etc/mosquitto/mosquitto.conf
  chown -R civobs: {folder}
then: civobs migrate, and docs/operating/server.md for the rest\
"""
_NEXT_COMPOSE = """\
next: docker compose up -d, and docs/operating/server.md for the rest\
"""


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "init",
        help="make settings, keys and passwords of a new observatory",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "folder", type=Path, nargs="?", default=Path("/etc/civobs"), metavar="DIR", help="default: /etc/civobs"
    )
    parser.add_argument("--url", required=True, help="base of permanent links: https://observatory.example")
    parser.add_argument("--broker", required=True, metavar="NAME", help="name under which probes reach the broker")
    parser.add_argument("--compose", action="store_true", help="for the containers of deploy/compose.yaml")
    parser.add_argument("--json", action="store_true", help="print the files as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Make them."""
    from civobs_collector.operate.first_files import Wanted, make_first_files

    made = make_first_files(Wanted(arguments.folder, arguments.url, arguments.broker, arguments.compose))
    if arguments.json:
        print_json({"files": made})
        return 0
    for path in made:
        print_line(f"made {path}")
    print_line(_NEXT_COMPOSE if arguments.compose else _NEXT_BARE.format(folder=arguments.folder))
    return 0
