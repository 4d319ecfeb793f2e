"""The event's own grid: what the chart on its page shows, group by group and bin by bin."""

import math
from collections.abc import Sequence

from civobs_collector.detect.grid import Group
from civobs_collector.detect.params import Params
from civobs_collector.detect.record import Grid, GridRow, Level
from civobs_collector.detect.segments import Segment
from civobs_collector.detect.timeline import Axis, moment

_LABELS = {Level.COUNTRY: "{cc}", Level.REGION: "{admin1}", Level.NETWORK: "AS{asn}", Level.PROBE: "household"}


def chart(groups: Sequence[Group], segment: Segment, axis: Axis, params: Params) -> Grid:
    """An hour before until an hour after, or now.

    Longer than ``grid.chart_bins``, each bin shown stands for several: the one with most households down.
    """
    margin = params.count("grid.chart_margin")
    start = max(0, segment.start - margin)
    end = min(axis.n, segment.end + margin) if segment.ended else axis.n
    fold = math.ceil((end - start) / params.count("grid.chart_bins"))
    return Grid(
        start=moment(axis.at(start)),
        bin_s=axis.bin_s * fold,
        rows=tuple(_row(group, start, end, fold, params) for group in groups),
    )


def _row(group: Group, start: int, end: int, fold: int, params: Params) -> GridRow:
    # Of the bins drawn as one, the one with most households down stands for all: nothing bad is averaged away.
    down, up = group.n_down[start:end], group.n_up[start:end]
    picked = [at + int(down[at : at + fold].argmax()) for at in range(0, end - start, fold)]
    n = int(group.eligible[:, start:end].any(axis=1).sum())
    key = group.key
    return GridRow(
        label=_LABELS[key.level].format(cc=key.cc, asn=key.asn, admin1=key.admin1),
        asn=key.asn if key.level is Level.NETWORK else None,
        n=n,
        up=tuple(int(up[at]) for at in picked),
        down=tuple(int(down[at]) for at in picked),
        unknown=tuple(n - int(up[at]) - int(down[at]) for at in picked),
        state="".join(_letter(int(down[at]), int(up[at] + down[at]), params) for at in picked),
    )


def _letter(down: int, known: int, params: Params) -> str:
    if known == 0:
        return "?"
    share = down / known
    return "d" if share >= params["rule.majority"] else "g" if share >= params["grid.degraded"] else "u"
