"""Border regions of Ukraine and Russia, December 2021 and January 2022: quiet (Monash IP Observatory).

``latency_indx`` is 100 at the usual latency and more where it is slower, every three hours, in local time. As counts:
100 times the usual divided by what it is, so that slower is less. What fires is a false alarm.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

from tests.evaluation.data import rows, write

FILE = ("monash-ip-observatory", "ukr-2022-01-18_border-regions.csv.gz")


def counts(folder: Path) -> str:
    """The set in the form ``counts``."""
    return write(folder / "ukraine-counts.csv", "time,group,count", (f"{at},{name},{n}" for at, name, n in _speeds()))


def roster(folder: Path) -> str:
    """The set in the form ``roster``: no more than the usual is expected."""
    lines = (f"{at},{name},100,{min(n, 100)}" for at, name, n in _speeds())
    return write(folder / "ukraine-roster.csv", "time,group,n_expected,n_up", lines)


def _speeds() -> Iterator[tuple[str, str, int]]:
    for row in rows(*FILE):
        local = timezone(timedelta(hours=float(row["timezone_offset"])))
        at = datetime.strptime(row["time_local"], "%d-%b-%Y %H:%M:%S").replace(tzinfo=local)
        yield at.isoformat(), row["adm1_name"], round(10000 / float(row["latency_indx"]))


def truth(folder: Path) -> str:
    """Nothing happened anywhere."""
    names = sorted({name for _, name, _ in _speeds()})
    return write(folder / "ukraine-truth.csv", "group,kind,start,end", (f"{name},quiet,," for name in names))
