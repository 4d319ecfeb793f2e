"""How much was lost: everything, the world outside the country, or that but for a list. By the stored ladder alone."""

from collections.abc import Sequence

import numpy as np

from civobs_collector.detect.grid import View
from civobs_collector.detect.record import Depth
from civobs_collector.detect.timeline import DOMESTIC, Code, Codes, ProbeLine, Verdict

_CUT = (Code.DOWN, Code.LISTED)


def rung_votes(homes: Sequence[Sequence[ProbeLine]], rung: int, part: slice) -> tuple[int, int]:
    """Households in which the rung mostly worked, and mostly failed, while L4 failed."""
    worked = failed = 0
    for lines in homes:
        n_ok = n_failed = 0
        for line in lines:
            said = line.rungs.get(rung)
            if said is not None:
                while_down = np.isin(line.codes[part], _CUT)
                n_ok += int(np.count_nonzero(while_down & (said[part] == Verdict.OK)))
                n_failed += int(np.count_nonzero(while_down & (said[part] == Verdict.FAILED)))
        worked += n_ok > n_failed
        failed += n_failed >= n_ok and n_failed > 0
    return worked, failed


def _cut_codes(lines: Sequence[ProbeLine], part: slice) -> Codes:
    """What a household's rows say of the bins in which it was cut off."""
    codes = np.concatenate([line.codes[part] for line in lines])
    found: Codes = codes[np.isin(codes, _CUT)]
    return found


def depth_of(view: View, homes: Sequence[Sequence[ProbeLine]], part: slice) -> Depth:
    """The depth that most households with stored rows show; ``unknown`` until there are any."""
    if view in (View.BROKER, View.NAMES):
        return Depth.PARTIAL
    cut = [codes for codes in (_cut_codes(lines, part) for lines in homes) if codes.size]
    if sum(np.count_nonzero(codes == Code.LISTED) * 2 > codes.size for codes in cut) * 2 > len(cut):
        return Depth.WHITELIST
    worked, failed = rung_votes(homes, DOMESTIC, part)
    if worked == failed:
        # Nobody has told, or the networks disagree: neither may be claimed.
        return Depth.UNKNOWN if worked == 0 else Depth.PARTIAL
    return Depth.INTERNATIONAL_ONLY if worked > failed else Depth.FULL
