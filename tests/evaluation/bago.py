"""Bago, Myanmar, 15 February to 27 April 2021: 72 nights without the Internet (Monash IP Observatory).

Answered pings of a crowd of addresses, and no rows at all in the hours of the nights. As counts: sightings by bin of
the whole place (group ``Bago``) and of each provider, noughts written. The truth is a reading of the data: each night
from 01:00 local time, until 09:00, or 06:00 in the nights in which sightings come back by then. ``python -m
tests.evaluation.bago`` prints what the detector makes of it.
"""

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

from civobs_collector.detect.params import Params
from civobs_collector.evaluate.names import Form
from civobs_collector.evaluate.run import Evaluation, Wanted, evaluate
from tests.evaluation.data import missing, rows, write

FILE = ("monash-ip-observatory", "mmr-2021-04-09_Bago.csv.gz")
LOCAL = timezone(timedelta(hours=6, minutes=30))
FIRST, LAST = date(2021, 2, 15), date(2021, 4, 27)
N_NIGHTS = (LAST - FIRST).days + 1
EARLY = 5
"""Sightings between 06:00 and 08:30 of a night that was over by then; of the others the data have one or two."""


def sightings() -> dict[str, list[datetime]]:
    """Times by provider, and of all together as ``Bago``."""
    found: dict[str, list[datetime]] = {"Bago": []}
    for row in rows(*FILE):
        at = datetime.fromisoformat(row["time_local_str"]).replace(tzinfo=LOCAL)
        found["Bago"].append(at)
        found.setdefault(" ".join(row["isp_name"].split()), []).append(at)
    return found


def counts(folder: Path, bin_s: int = 3600) -> str:
    """The set in the form ``counts``, in bins of local time."""
    return write(folder / f"bago-{bin_s}.csv", "time,group,count", _counts(bin_s))


def _counts(bin_s: int) -> Iterator[str]:
    seen = sightings()
    origin = datetime(2021, 2, 9, tzinfo=LOCAL)
    numbers = {
        name: Counter(int((at - origin).total_seconds() // bin_s) for at in times) for name, times in seen.items()
    }
    # The last bin is cut short by the end of the file.
    for index in range(min(numbers["Bago"]), max(numbers["Bago"])):
        at = (origin + timedelta(seconds=index * bin_s)).isoformat()
        yield from (f"{at},{name},{of[index]}" for name, of in sorted(numbers.items()))


def truth(folder: Path) -> str:
    """Every night, and the quiet before and after."""
    times = sightings()["Bago"]
    lines = []
    for number in range(N_NIGHTS):
        night = datetime.combine(FIRST + timedelta(days=number), datetime.min.time(), LOCAL)
        back = sum(night + timedelta(hours=6) <= at < night + timedelta(hours=8, minutes=30) for at in times)
        end = night + (timedelta(hours=6, minutes=30) if back >= EARLY else timedelta(hours=9))
        lines.append(f"Bago,shutdown,{(night + timedelta(hours=1)).isoformat()},{end.isoformat()}")
    lines.append("Bago,quiet,,2021-02-15T00:00:00+06:30")
    lines.append("Bago,quiet,2021-04-27T10:00:00+06:30,")
    return write(folder / "bago-truth.csv", "group,kind,start,end", iter(lines))


def judged(folder: Path, bin_s: int = 3600) -> Evaluation:
    """``civobs evaluate --form counts`` on the set."""
    return evaluate(Wanted(Form.COUNTS, [counts(folder, bin_s)], truth(folder)), Params())


def main() -> int:
    """Print figures by width of bin, and what was found of each provider."""
    if absent := missing(*FILE):
        print(absent)
        return 1
    print(f"{'bin':>6}{'nights':>9}{'campaigns':>11}{'false':>7}{'delay':>9}{'start off':>11}{'end off':>9}  (medians)")
    with tempfile.TemporaryDirectory() as folder:
        for bin_s in (600, 1800, 3600, 10800):
            _print(judged(Path(folder), bin_s), bin_s)
    return 0


def _print(made: Evaluation, bin_s: int) -> None:
    if made.score is None:
        return
    own = [place for place, one in enumerate(made.found) if one.group == "Bago"]
    right = {place for row in made.score.rows if not row.row.quiet for place in row.found}
    score = made.score.all
    off = [one.median for one in (score.delay_s, score.start_error_s, score.end_error_s)]
    times = "".join(
        f"{'-' if one is None else f'{one / 60:.0f} min':>{size}}" for one, size in zip(off, (9, 11, 9), strict=True)
    )
    campaigns = {made.found[place].campaign for place in own}
    nights = f"{score.n_found}/{score.n_truth}"
    print(f"{bin_s // 60:3} min{nights:>8}{len(campaigns):11}{len(set(own) - right):7}{times}")
    for name in sorted({one.group for one in made.events} - {"Bago"}):
        print(f"       {name}: {sum(one.group == name for one in made.events)} events")


if __name__ == "__main__":
    sys.exit(main())
