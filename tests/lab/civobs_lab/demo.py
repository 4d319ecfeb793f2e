"""The demonstration: cut a country off, and see whether what is published is what was done.

All intervals follow from the time scale; at 30, a lab minute is two seconds.
"""

import json
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType

from rich.console import Console

from civobs_collector.errors import ConfigError, ResourceError
from civobs_lab import faults, published, report
from civobs_lab.faults import Fault, FaultKind
from civobs_lab.lab import Lab, build
from civobs_lab.ledger import Ledger, balance, recorded_rows
from civobs_lab.namespace import may_make_namespaces
from civobs_lab.observatory import ObservatoryError
from civobs_lab.postgres import ServerError
from civobs_lab.processes import ProgramError
from civobs_lab.report import CONTROL_CC, CUT_CC
from civobs_lab.topology import load

TOPOLOGY = Path("two-countries")
PROGRAMS = {"mosquitto": "mosquitto", "nft": "nftables", "nsenter": "util-linux", "setpriv": "util-linux"}

ENROL_S = 90.0
"""Seconds of the clock: eleven interpreters start at once on two cores."""
BASELINE_S = 1200.0
"""Lab seconds of quiet: a household needs a habit before its absence means something."""
CUT_S = 1200.0
"""Lab seconds, at least: long enough for several bins."""
ALERT_S = 3600.0
CLOSE_S = 5400.0
"""Lab seconds to wait for, at most: past them the demonstration has failed."""
DELIVER_S = 60.0
"""Seconds of the clock, from the close to the last row."""


@dataclass(slots=True)
class Outcome:
    """What happened, for the table and the JSON."""

    scale: float
    truth_start: datetime | None = None
    truth_end: datetime | None = None
    alert: published.Published | None = None
    """As it stood when it was first seen."""
    event: published.Published | None = None
    others: list[published.Published] = field(default_factory=list)
    """Other events of the country that was cut."""
    control_events: list[published.Published] = field(default_factory=list)
    ledger: Ledger | None = None
    phases: dict[str, float] = field(default_factory=dict)

    @property
    def right(self) -> bool:
        """Whether everything that was promised came true."""
        return not self.wrong()

    def wrong(self) -> list[str]:
        """What did not, in words."""
        found = []
        if self.event is None:
            found.append(f"no event was published for {CUT_CC}")
        elif not self.event.settled:
            found.append(f"the event for {CUT_CC} was not closed with all records in")
        if self.control_events:
            found.append(f"{len(self.control_events)} events were published for {CONTROL_CC}, where nothing happened")
        if self.ledger is None or self.ledger.lost:
            found.append(f"{'all' if self.ledger is None else self.ledger.lost} measurements were lost")
        if self.ledger is not None and self.ledger.doubled:
            found.append(f"{self.ledger.doubled} measurements were stored twice")
        return found


def run(*, json_file: Path | None, keep: bool, scale: float, logs: Path | None = None) -> int:
    """Run it; 0 if the result is right. Raises ConfigError and ResourceError with what to do about it."""
    require()
    _make_sure_of(json_file, logs)
    leave_on_signals()
    console = Console(highlight=False)
    outcome = Outcome(scale)
    began = time.monotonic()
    try:
        with build(load(TOPOLOGY), time_scale=scale) as lab:
            try:
                _scenario(lab, outcome, console)
                seconds = time.monotonic() - began
                console.print(report.table(outcome))
                _judge(outcome, console)
                if json_file is not None:
                    json_file.write_text(json.dumps(report.document(outcome, seconds), indent=2) + "\n")
                if keep:
                    _keep(lab, console)
            finally:
                if logs is not None:
                    lab.copy_logs(logs)
    except (ProgramError, ObservatoryError, ServerError) as error:
        raise ResourceError(
            f"the demonstration broke down: {error}", "run it again with --logs DIR to keep logs"
        ) from None
    return 0 if outcome.right else 1


def _scenario(lab: Lab, outcome: Outcome, console: Console) -> None:
    households = list(lab.network.topology.households())
    with _phase("start database, broker and collector", outcome, console):
        lab.start_observatory()
    with _phase(f"enrol {len(households)} households", outcome, console):
        lab.start_probes()
        if not lab.wait_until(lambda: len(recorded_rows(lab)) == len(households), ENROL_S):
            raise ObservatoryError(f"not every probe enrolled: {lab.probes[0].log_tail()}")
    with _phase("let them measure in peace", outcome, console):
        _let_pass(lab, BASELINE_S)
    fault = Fault(FaultKind.NATIONAL_SHUTDOWN, CUT_CC)
    with _phase(f"CUT {CUT_CC} off, and wait for the alert", outcome, console):
        outcome.truth_start = datetime.now(UTC)
        faults.begin(lab.network, fault)
        lab.wait_until(lambda: _alerted(lab, outcome), ALERT_S / lab.time_scale)
        passed = (datetime.now(UTC) - outcome.truth_start) / timedelta(seconds=1)
        _let_pass(lab, CUT_S - passed * lab.time_scale)
    with _phase("RESTORE it, and wait until the probes have delivered", outcome, console):
        outcome.truth_end = datetime.now(UTC)
        faults.end(lab.network, fault)
        lab.wait_until(lambda: _closed(lab, outcome), CLOSE_S / lab.time_scale)
    with _phase("compare every row", outcome, console):
        recorded = recorded_rows(lab)
        lab.wait_until(lambda: balance(lab, recorded).lost == 0, DELIVER_S)
        outcome.ledger = balance(lab, recorded)
        found = published.events(lab, CUT_CC)
        outcome.event = published.national(found)
        outcome.others = [each for each in found if each is not outcome.event]
        outcome.control_events = published.events(lab, CONTROL_CC)


def _alerted(lab: Lab, outcome: Outcome) -> bool:
    outcome.alert = published.national(published.events(lab, CUT_CC))
    return outcome.alert is not None


def _closed(lab: Lab, outcome: Outcome) -> bool:
    event = published.national(published.events(lab, CUT_CC))
    return event is not None and event.settled


def _let_pass(lab: Lab, lab_seconds: float) -> None:
    """Wait, in lab seconds, and notice if something dies."""
    if lab_seconds > 0:
        lab.wait_until(lambda: False, lab_seconds / lab.time_scale)


def _judge(outcome: Outcome, console: Console) -> None:
    for words in outcome.wrong():
        console.print(f"[red]wrong:[/red] {words}")
    if outcome.right:
        console.print(
            f"[green]right:[/green] the shutdown of {CUT_CC} was found, dated and closed, and no row was lost."
        )


def _keep(lab: Lab, console: Console) -> None:
    console.print(f"\nThe pages are at [bold]{lab.observatory.show_pages()}[/bold] until Ctrl-C.")
    with suppress(Left):
        while True:
            lab.wait_until(lambda: False, 3600)


@contextmanager
def _phase(name: str, outcome: Outcome, console: Console) -> Iterator[None]:
    began = time.monotonic()
    with console.status(name):
        yield
    outcome.phases[name] = seconds = round(time.monotonic() - began, 1)
    console.print(f"{seconds:6.1f} s  {name}")


def require() -> None:
    for name, package in PROGRAMS.items():
        if shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin") is None:
            raise ResourceError(f"{name} is not installed", f"run scripts/demo, or: apt-get install {package}")
    if not may_make_namespaces():
        raise ResourceError("the lab makes network namespaces, which needs root", "run it with sudo")


def _make_sure_of(json_file: Path | None, logs: Path | None) -> None:
    """Find out before the minutes of work whether their result can be written. Raises ConfigError."""
    try:
        if json_file is not None:
            json_file.open("a").close()
        if logs is not None:
            logs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"cannot write {error.filename}: {error.strerror}", "name another place with --json or --logs"
        ) from None


class Left(SystemExit):
    """Somebody asked to end with a signal."""


def leave_on_signals() -> None:
    """End in order on SIGINT and SIGTERM, and say so, because taking everything down takes seconds."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)


def _leave(number: int, frame: FrameType | None) -> None:
    del frame
    for each in (signal.SIGINT, signal.SIGTERM):
        # A second one would break off the taking down.
        signal.signal(each, signal.SIG_IGN)
    sys.stderr.write("\nstopping: taking everything down\n")
    raise Left(128 + number)
