"""When targets changed by all votes together, and what other detectors make of it (detection.md §3.3 e, f)."""

import numpy as np

from civobs_collector.detect import crosschecks, posterior
from civobs_collector.detect.params import Params
from civobs_collector.detect.record import Bounds, DatingPosterior
from civobs_collector.detect.service_grid import Seen
from civobs_collector.detect.timeline import moment


def dating_of(seen: Seen, now: float, params: Params, *, ended: bool) -> DatingPosterior:
    """5 % to 95 % of the posterior of start and end."""
    start, n = seen.bins()
    margin = max(1, round(params["posterior.margin"] / seen.bin_s))
    down, known = seen.of_networks(start - margin, n + 2 * margin)
    up = known - down
    peak = margin + int(np.argmax(down[margin : margin + n]))

    def bounds(first: int, found: posterior.Span) -> Bounds:
        # A bin is judged by its majority, so a change at its beginning lay within half a bin of that.
        lo, hi = (first + found.first - 0.5) * seen.bin_s, (first + found.last + 0.5) * seen.bin_s
        return Bounds(earliest=moment(min(lo, now)), latest=moment(min(hi, now)))

    onset = bounds(start - margin, posterior.onset(up[: peak + 1], known[: peak + 1], params))
    if not ended:
        return DatingPosterior(onset=onset)
    return DatingPosterior(
        onset=onset,
        resolution=bounds(start - margin + peak, posterior.resolution(up[peak:], known[peak:], params)),
    )


def checks_of(seen: Seen, params: Params) -> dict[str, float]:
    """As ``crosschecks.checked``, in bins of the votes: households that failed, and when each first did."""
    down, known = seen.of_networks(*seen.bins())
    nats, alarm = crosschecks.cusum(down, known, params)
    found = {"cusum.nats": round(nats, 2)}
    if alarm is not None:
        found["cusum.after_s"] = (alarm + 1) * seen.bin_s
    level = crosschecks.kleinberg(seen.first_failures(), len(seen.homes), params)
    if level is not None:
        found["kleinberg.level"] = float(level)
    return found
