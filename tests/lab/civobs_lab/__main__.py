"""``scripts/lab``: the small Internet to look at and to break by hand."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from civobs_collector.errors import CivobsCollectorError
from civobs_lab import faults
from civobs_lab.demo import leave_on_signals, require
from civobs_lab.faults import Fault, FaultKind, UnknownScopeError
from civobs_lab.lab import Lab, build
from civobs_lab.observatory import ObservatoryError
from civobs_lab.postgres import ServerError
from civobs_lab.processes import ProgramError
from civobs_lab.topology import TopologyError, load

_HELP = f"""\
begin KIND SCOPE   break something: {", ".join(kind.value for kind in FaultKind)}
end KIND SCOPE     mend it; the scope is a country, an AS number or a household
places             list the places and how to enter one
status             what the probes say of themselves
quit               take everything down (as does Ctrl-C)
"""


def main() -> int:
    """Build, obey lines from standard input until they end, take down."""
    parser = argparse.ArgumentParser(prog="scripts/lab", description=__doc__)
    parser.add_argument("--topology", type=Path, default=Path("two-countries"), help="a name or a TOML file")
    parser.add_argument("--probes", action="store_true", help="also run the observatory and a probe in every home")
    parser.add_argument("--scale", type=float, default=30.0, help="lab seconds in one second (default: %(default)g)")
    arguments = parser.parse_args()
    try:
        require()
        leave_on_signals()
        with build(load(arguments.topology), time_scale=arguments.scale) as lab:
            if arguments.probes:
                lab.start_observatory()
                lab.start_probes()
                print(f"pages: {lab.observatory.show_pages()}")
            print(f"{lab.network.topology.name} is up with {len(lab.network.places)} places; help lists what to say")
            sys.stdout.flush()
            _obey(lab)
    except CivobsCollectorError as error:
        sys.stderr.write(f"lab: {error.cause}\n     {error.remedy}\n")
        return error.exit_code
    except (TopologyError, ProgramError, ObservatoryError, ServerError) as error:
        sys.stderr.write(f"lab: {error}\n     mend that and start again\n")
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _obey(lab: Lab) -> None:
    for line in sys.stdin:
        match line.split():
            case ["quit"]:
                return
            case [("begin" | "end") as verb, kind, scope]:
                print(_change(lab, verb, kind, scope))
            case ["places"]:
                print("\n".join(_places(lab)))
            case ["status"]:
                for probe in lab.probes:
                    status = probe.status()
                    print(f"{probe.household.name:<16} {'not started' if status is None else status.state}")
            case []:
                pass
            case _:
                print(_HELP, end="")
        sys.stdout.flush()


def _change(lab: Lab, verb: str, kind: str, scope: str) -> str:
    try:
        fault = Fault(FaultKind(kind), scope)
        (faults.begin if verb == "begin" else faults.end)(lab.network, fault)
    except (ValueError, UnknownScopeError) as error:
        return str(error)
    return f"{verb} {fault.kind} {scope}: done"


def _places(lab: Lab) -> Iterator[str]:
    for name, place in lab.network.places.items():
        addresses = " ".join(f"{address}/{length}" for _, address, length in place.addresses if address.version == 4)
        yield f"{name:<24} nsenter --net={place.namespace.path}  {addresses}"


if __name__ == "__main__":
    sys.exit(main())
