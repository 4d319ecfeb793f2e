"""Venezuela, 22 July 2019: a loss of power, state by state, that takes hours (Monash IP Observatory).

``connectivity`` is a share of 100, hourly, in local time (UTC-4). As a roster: 100 expected, so many up. The truth is a
reading of the data: all states but Bolívar fall by half or more from the afternoon of the 22nd on, and until noon
nothing happens anywhere. A roster cannot tell power from a shutdown: right is an outage that is not called a shutdown.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

from tests.evaluation.data import rows, write

FILE = ("monash-ip-observatory", "ven-2019-07-22_gif.csv.gz")
LOCAL = timezone(timedelta(hours=-4))
UNHARMED = "Bolívar"
FALL = "2019-07-22T15:00:00-04:00"
"""The first hour in which states are well below what they were."""


def roster(folder: Path) -> str:
    """The set in the form ``roster``."""
    return write(folder / "venezuela.csv", "time,group,n_expected,n_up", _roster())


def _roster() -> Iterator[str]:
    for row in rows(*FILE):
        at = datetime.strptime(row["time_e_str"], "%d-%b-%Y %H:%M:%S").replace(tzinfo=LOCAL)
        # One value is -1: a share that smoothing took below nothing.
        yield f"{at.isoformat()},{row['name_1']},100,{max(0, round(float(row['connectivity'])))}"


def truth(folder: Path) -> str:
    """What is known of each state."""
    states = sorted({row["name_1"] for row in rows(*FILE)})
    lines = [f"{state},power_cut,{FALL}," for state in states if state != UNHARMED]
    lines += [f"{state},quiet,,2019-07-22T12:00:00-04:00" for state in states]
    return write(folder / "venezuela-truth.csv", "group,kind,start,end", iter([*lines, f"{UNHARMED},quiet,,"]))
