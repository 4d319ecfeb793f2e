"""The thresholds of detection: one versioned table with id, value, unit and source.

Code reads them by id through ``Params``; a published version names the table by ``params_id``, so a reader can tell
which numbers made it. ``scaled`` serves laboratories that run faster than the clock: times shrink, rates grow, and
the logic does not know.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

PARAMS_VERSION = "2026.1"


@dataclass(frozen=True, slots=True)
class Param:
    """One threshold. ``unit``: ``s`` and ``1/h`` are scaled with time; ``share``, ``count``, ``real s`` are not."""

    id: str
    value: float
    unit: str
    source: str


_DAY = 86400.0

TABLE: tuple[Param, ...] = (
    Param("grid.bin", 300, "s", "detection.md §3.3: 5 min for presence"),
    Param("grid.cells", 10, "count", "a bin is judged by tenths: 30 s, half the ladder's interval in trouble"),
    Param("grid.chart_margin", 12, "count", "an hour before and after the event on its chart"),
    Param("grid.chart_bins", 2000, "count", "more than a wide screen has pixels; coarser bins beyond"),
    Param("grid.degraded", 0.25, "share", "the chart draws a group as degraded from a quarter of its households down"),
    Param("presence.debounce", 300, "s", "Disco: a disconnect followed by a connect within 300 s is none"),
    Param("presence.will_keepalives", 1.5, "share", "MQTT v5 §3.1.2.10: the broker's limit in keepalives"),
    Param("presence.reconnect", 480, "s", "agent: waits of 300 s, by chance half as long again, after a try of 30 s"),
    Param("presence.boot", 120, "s", "ours: a Raspberry Pi starts and connects in a minute or two, if its router does"),
    Param("presence.boot_floor", 3, "real s", "an agent takes a second or two to start, in any lab"),
    Param("presence.broker_step", 8, "real s", "Mosquitto 2.0 looks for silent clients every 6 s, in whole seconds"),
    Param("detour.keepalives", 2, "share", "a client asks after a keepalive of silence, and gives up after another"),
    Param("detour.stay", 0.5, "share", "ours: where half of the probes elsewhere still have a broker, it works"),
    Param("presence.beat_gap", 150, "s", "half a bin without a sign of life: the collector is taken to be away"),
    Param("presence.beat_gap_floor", 30, "real s", "beats come by the wall clock, also in a lab that runs fast"),
    Param("guard.share", 0.2, "share", "detection.md §3.2: collector guard"),
    Param("guard.countries", 3, "count", "detection.md §3.2: collector guard"),
    Param("guard.bins", 2, "count", "losses at one moment spread over 1.5 keepalives, so over two bins at most"),
    Param("ladder.gap", 750, "s", "two and a half of the plan's default interval of 300 s: a hole, not a run"),
    Param("ladder.near", 150, "s", "two and a half trouble intervals of 60 s: neighbours share the time between them"),
    Param("ladder.wait", 6, "s", "docs/methods/ladder.md: two pings of 3 s, or a connection of 6"),
    Param("ladder.wait_floor", 0.5, "real s", "an agent waits a quarter of a second for each of two tries, in any lab"),
    Param("ladder.clock", 300, "s", "a row whose clock may be wrong by a bin or more says nothing about a bin"),
    Param("eligible.window", 7 * _DAY, "s", "detection.md §3.3: seen in the last 7 d"),
    Param("eligible.share", 0.5, "share", "detection.md §3.3: seen at least half of the time"),
    Param("eligible.min_bins", 2, "count", "a probe seen once only has no habit to break"),
    Param("eligible.shared", 3600, "s", "losses of two households of a country this close support each other"),
    Param("eligible.hold_shared", 30 * _DAY, "s", "a shutdown of ten days must not become the new normal"),
    Param("eligible.hold_alone", _DAY, "s", "a probe lost alone for a day is gone, not cut off"),
    Param("eligible.flaps", 4, "count", "detection.md §3.4: four transitions a day on one probe is its own fault"),
    Param("eligible.flap_window", _DAY, "s", "detection.md §3.4"),
    Param("filter.onset", 1 / 4380, "1/h", "detection.md §3.3 (b): two outages a year"),
    Param("filter.offset", 1 / 24, "1/h", "detection.md §3.3 (b): a day long"),
    Param("filter.ok_a", 19, "count", "detection.md §3.3 (b): 95 % of households up, as sure as 20 seen"),
    Param("filter.ok_b", 1, "count", "detection.md §3.3 (b)"),
    Param("filter.degraded_a", 4, "count", "detection.md §3.3 (b): third state for partial shutdowns"),
    Param("filter.degraded_b", 4, "count", "detection.md §3.3 (b)"),
    Param("filter.down_a", 1, "count", "detection.md §3.3 (b)"),
    Param("filter.down_b", 6, "count", "detection.md §3.3 (b)"),
    Param("filter.open", 0.95, "share", "detection.md §3.3 (b)"),
    Param("filter.open_burst", 0.8, "share", "detection.md §3.8: unconfirmed from 0.8; only with a burst alarm"),
    Param("filter.close", 0.05, "share", "detection.md §3.3 (b)"),
    Param("burst.bins", 3, "count", "one moment's losses are dated within two bins, and the filter needs two more"),
    Param("burst.prior_losses", 1, "count", "detection.md §3.3 (a): Gamma(1 + losses, 3 d + exposure)"),
    Param("burst.prior_exposure", 3 * _DAY, "s", "detection.md §3.3 (a)"),
    Param("burst.alarm", 9.5e-6, "share", "detection.md §3.3 (a): one chance alarm per year of 5 min bins"),
    Param("rule.majority", 0.5, "share", "half of the observed households must be down"),
    Param("rule.network_households", 2, "count", "one household cannot speak for a network"),
    Param("rule.country_households", 3, "count", "architecture.md §6: shutdown of three households or more"),
    Param("rule.country_networks", 2, "count", "detection.md §3.4: national needs two networks"),
    Param("rule.country_regions", 2, "count", "detection.md §3.4, §3.7: national needs two, if two are observed"),
    Param("rule.region_households", 3, "count", "as of a country: it speaks of several networks"),
    Param("rule.region_networks", 2, "count", "detection.md §3.4: several probes of different ISPs in one region"),
    Param("rule.stages", 2, "share", "ours: a loss so many times further from the others than they are is not theirs"),
    Param("rule.leave", 0.34, "share", "an event ends when a third or less of those at its peak are still down"),
    Param("rule.merge", 1800, "s", "detection.md §3.6: gaps under 30 min are one event"),
    Param("window.stretch", 60 * _DAY, "s", "an open event is followed twice as long as a shared absence keeps a vote"),
    Param("late.share", 0.95, "share", "detection.md §3.6: provisional until 95 % have backfilled"),
    Param("late.spacing", 2.5, "share", "as ladder.gap: two and a half of the probe's own interval are a hole"),
    Param("late.covered", 0.9, "share", "rows for nine tenths of its lost bins: this probe has backfilled"),
    Param("late.limit", 7 * _DAY, "s", "detection.md §3.6: or seven days have passed"),
    Param("refresh", 3600, "s", "an open event is published anew at least hourly, so its chart is never old"),
    # Blocking of targets.
    Param("target.bin", 3600, "s", "detection.md §3.3: 1 h for targets"),
    Param("target.blocked_bad", 0.9, "share", "detection.md §3.3 (d): a blocked target fails nine times of ten"),
    Param("target.good_bad", 0.03, "share", "detection.md §3.3 (d): a good one fails so often"),
    Param("target.flaky_least", 0.02, "share", "ours: no target is so good that two failures cannot be chance"),
    Param("target.flaky_most", 0.5, "share", "ours: a target that fails every other time by itself shows nothing"),
    Param("target.flaky_prior", 20, "count", "ours: votes after which a network's own flakiness weighs as the site's"),
    Param("target.onset", 1 / 720, "1/h", "detection.md §3.3 (d)"),
    Param("target.offset", 1 / 12, "1/h", "detection.md §3.3 (d); slower where votes are more than an hour apart"),
    Param("target.onset_habit", 0.1, "count", "ours: the rate above weighs a tenth of an event seen; two outweigh it"),
    Param("target.habit_memory", 7 * _DAY, "s", "ours: exams and protests are matters of weeks"),
    Param("target.offset_habit", 1, "count", "ours: the rate above weighs as much as one end that was seen"),
    Param("target.patience", 21600, "s", "ours: hours asked in turn leave gaps of six; a night is longer"),
    Param("target.patience_most", 3 * _DAY, "s", "ours: a weekend; what nobody looked at for longer is not known"),
    Param("target.spacing_steps", 5, "count", "ours: steps before a series is taken to be asked at a pace of its own"),
    Param("target.spacing_most", _DAY, "s", "ours: once a day is the slowest pace that is believed from steps alone"),
    Param("target.cap", 10, "nats", "ours: three households; the others of one bin may share one fault"),
    Param("target.calm", 2, "count", "ours: bins in turn without failure; a leaky blocking has single ones"),
    Param("target.still", 0.5, "share", "ours: as likely blocked as not at the end of the votes: not yet over"),
    Param("target.sure", 0.995, "share", "ours: 0.95 is often chance among thousands; after such an event it suffices"),
    Param("target.alone", _DAY, "s", "ours: a lone household speaks for a network in which nobody else did for a day"),
    Param("target.dark_targets", 3, "count", "ours: a line is judged by three targets or more"),
    Param("target.dark_share", 0.9, "share", "ours: silence of nine tenths of all targets is the line's, not theirs"),
    Param("target.line", 0.15, "share", "ours: the rest of a network fails so much more than usual: it is the line"),
    Param("target.line_bins", 24, "count", "ours: a line is judged by the first day of a blocking"),
    Param("target.cluster", 21600, "s", "detection.md §3.3 (d): what changes within 6 h is one event"),
    Param("target.shared", 0.25, "share", "ours: a network freed on the third of ten days is of the same event"),
    Param("target.history", 28 * _DAY, "s", "detection.md §3.3 (b): the trailing 28 d show what is usual"),
    Param("target.bayes", 2, "count", "detection.md §3.5: log10 of the Bayes factor"),
    Param("target.difference", 0.5, "share", "detection.md §3.5: difference of rates"),
    Param(
        "target.elsewhere", 0.3, "share", "detection.md §3.5: a site that fails elsewhere so often has failed itself"
    ),
    Param("target.clean_votes", 3, "count", "ours: a country is taken to reach the target from three votes on"),
    Param("target.common", 3, "count", "detection.md §3.5: countries in which a target changed at once"),
    Param("target.fixed", 3, "count", "ours: networks that one name leads to one place: no delivery network's"),
    Param("target.sink", 3, "count", "ours: targets with nothing in common that fail at one address: a lie's"),
    Param("target.common_window", 3600, "s", "detection.md §3.5: in that hour"),
    Param("hypothesis.hit", 0.9, "share", "detection.md §3.4: evidence cell 0.9 / 0.1"),
    Param("hypothesis.cap", 6, "nats", "detection.md §3.4: no family of evidence weighs more"),
    Param("hypothesis.label", 0.8, "share", "detection.md §3.4: named only above this"),
    Param("hypothesis.ratio", 2, "share", "detection.md §3.4: and twice the second"),
    Param("confidence.probable", 0.95, "share", "detection.md §3.8"),
    Param("confidence.most", 0.97, "share", "docs/evaluation.md: of made events believed to be surer, so many were"),
    Param("confidence.households", 2, "count", "detection.md §3.8"),
    Param("confidence.new_age", 14 * _DAY, "s", "detection.md §3.8: probes younger than 14 d"),
    Param("confidence.new_weight", 0.5, "share", "detection.md §3.8: count half"),
    Param("confidence.flapping_weight", 0.5, "share", "as a new one: what it cannot use may be its own line's fault"),
    # Connectivity: lists of hosts, dating, cross-checks.
    Param("ladder.few", 0.4, "share", "two of five anchors abroad: of fewer than three no list can be told"),
    Param("posterior.tail", 0.05, "share", "detection.md §3.3 (f): 5 to 95 %"),
    Param("posterior.margin", 3600, "s", "an hour on either side, as on the chart: well enough known to be well"),
    Param("cusum.quiet", 0.03, "share", "detection.md §3.3 (e)"),
    Param("cusum.loud", 0.7, "share", "detection.md §3.3 (e)"),
    Param("cusum.alarm", 7, "nats", "detection.md §3.3 (e)"),
    Param("kleinberg.window", _DAY, "s", "detection.md §2, §3.3 (e): Disco's 24 h"),
    Param("kleinberg.scale", 2, "share", "detection.md §2, §3.3 (e): Disco's s"),
    Param("kleinberg.gamma", 0.5, "share", "detection.md §2, §3.3 (e): Disco's gamma"),
    Param("kleinberg.second", 1, "s", "detection.md §2: Disco spreads equal times inside the second"),
    # Throttling by name.
    Param("throttling.pairs", 6, "count", "detection.md §3.5: at least six pairs, or nothing is more than unconfirmed"),
    Param("throttling.p", 0.01, "share", "detection.md §3.5 (i), (ii); Wehe's client"),
    Param("throttling.moderate", 2, "share", "detection.md §3.5 (i)"),
    Param("throttling.extreme", 10, "share", "detection.md §3.5 (i); OONI dd-007"),
    Param("throttling.most", 1000, "share", "ours: a larger ratio is a transfer that stood still, and has no value"),
    Param("throttling.area", 0.5, "share", "detection.md §3.5 (ii); Wehe's client"),
    Param("throttling.area_fast", 0.3, "share", "detection.md §3.5 (ii); Wehe's client"),
    Param("throttling.fast", 1e7, "count", "bit/s: detection.md §3.5 (ii), above 10 Mbit/s"),
    Param("throttling.stretches", 20, "count", "ours: samples of 10 ms follow from one another; stretches less so"),
    Param("throttling.few_stretches", 5, "count", "ours: the scatter of a rate within a transfer is of longer times"),
    Param("throttling.floor", 0.05, "share", "ours: a stretch without a byte counts as a twentieth of the mean"),
    Param("throttling.ks_samples", 5, "count", "two samples of five are the least whose exact KS test gives p < 0.01"),
    Param("throttling.ks_power", 10, "count", "ours: with fewer samples a side one pause decides; pairs are pooled"),
    Param("throttling.ks_share", 0.5, "share", "ours: Wehe runs a positive pair again, and the second decides"),
    Param("throttling.against", 0.1, "share", "ours: a limit slows every transfer; one of ten may have escaped"),
    Param("throttling.few_scatter", 3, "share", "ours: standard errors, where too few pairs are there to test"),
    Param("throttling.few_floor", 0.4, "share", "ours: one pair hides its scatter; 0.3 in each arm is taken"),
    Param("throttling.alike", 1.3, "share", "docs/methods/throttling.md: two such pairs end a run as `alike`"),
    Param("throttling.finished", 0.8, "share", "ours: heads and what comes twice differ by less between arms"),
    Param("throttling.silent", 0.8, "share", "ours: so many pairs without a byte are a name cut off, not slowed"),
    Param("throttling.silent_pairs", 2, "count", "Wehe: a positive result is run once more, and the second decides"),
    Param("throttling.plateau_cv", 0.15, "share", "detection.md §3.5 (iii)"),
    Param("throttling.plateau_tests", 3, "count", "detection.md §3.5 (iii)"),
    Param("throttling.plateau_samples", 3, "count", "ours: two lines with a knee have three unknowns"),
    Param("throttling.fit_points", 60, "count", "ours: OONI dd-007 has 64 samples; more move the fit by less than 1 %"),
    Param("throttling.rtt_ratio", 1.3, "share", "detection.md §3.5 (iv); Flach et al. 2016"),
    Param("throttling.rtt_share", 0.2, "share", "detection.md §3.5 (iv); Flach et al. 2016"),
    Param("throttling.slow", 0.5, "share", "ours: a control at half of what is usual here at this hour is slow too"),
    Param("throttling.uneven", 0.2, "share", "ours: a fifth up or down from one transfer to the next, on both arms"),
    Param("throttling.hours", 0.5, "share", "detection.md §3.5 (iv): Spearman with the hour of the day"),
    Param("throttling.hours_p", 0.05, "share", "ours: eight pairs reach 0.5 by chance in one trial of ten"),
    Param("throttling.spread", 6 * 3600, "s", "ours: a quarter of a day; a run of minutes has no hours to go with"),
    Param("throttling.cross", 0.5, "share", "ours: others at half the neutral rate could have halved it"),
    Param("general.history", 28 * _DAY, "s", "detection.md §3.5"),
    Param("general.day", _DAY, "s", "an hour of the week is one of seven days"),
    Param("general.hour", 3600, "s", "detection.md §3.5: the same hour of the week, and its neighbours"),
    Param("general.least", 2, "count", "ours: of one week alone it is not known what is usual"),
    Param("general.bin", 3 * 3600, "s", "ours: tests of speed are hours apart; the chart of a network that is slow"),
    Param("general.p", 0.001, "share", "detection.md §3.5"),
    Param("general.ratio", 0.5, "share", "detection.md §3.5"),
    Param("general.lasting", 6 * 3600, "s", "detection.md §3.5"),
    Param("general.rtt_ratio", 1.5, "share", "detection.md §3.5"),
    Param("general.probes", 2, "count", "detection.md §3.5: two probes a network"),
    Param("general.servers", 2, "count", "detection.md §3.5: two of our own servers"),
    # Counts without a roster, and campaigns.
    Param("counts.onset", 1 / 4380, "1/h", "as filter.onset: two outages a year"),
    Param("counts.offset", 1 / 24, "1/h", "as filter.offset: a day long"),
    Param("counts.deepen", 1 / 240, "1/h", "a partial loss that deepens or eases within hours is one in some ten"),
    Param("counts.odd", 1 / 720, "1/h", "a holiday or a low day once a month; lasts as long as an outage"),
    Param("counts.dispersion", 6, "count", "detection.md §3.3 (c): r=6 until the series has shown its own"),
    Param("counts.dispersion_weight", 24, "count", "the first r weighs as much as a day, of hours at most"),
    Param("counts.dispersion_most", 100, "count", "no series is trusted to wander by less than a tenth"),
    Param("counts.memory", 28 * _DAY, "s", "detection.md §3.3 (b): what is habit comes from 28 d of closed bins"),
    Param("counts.fresh", 14 * _DAY, "s", "two weeks are fitted together; before that the season is kept as learnt"),
    Param("counts.refit", _DAY, "s", "ours: once known, a habit is fitted anew once a day"),
    Param("counts.doubt", 0.1, "share", "a bin that may well be out is not learnt, or a curfew would become usual"),
    Param(
        "counts.again", 2, "count", "ours: outages at one hour, within the days below, that make a third no surprise"
    ),
    Param("counts.again_days", 7, "count", "ours: a week of nights"),
    Param("counts.again_near", 3600, "s", "ours: about the same hour, and a bin at least"),
    Param("counts.weeks", 8, "count", "an hour of the week is known from this many of its own kind, however long ago"),
    Param("counts.cell", 3600, "s", "detection.md §3.3 (c): hour of week"),
    Param(
        "counts.lag", 21600, "s", "a bin is learnt after a quarter of a day: an event that begins may not be seen yet"
    ),
    Param(
        "counts.level_days", 7, "count", "the level is the median of a week of days: a trend passes, a spike does not"
    ),
    Param("counts.spike", 4, "share", "a bin above four times what is usual is learnt as four times"),
    Param("counts.min_age", 3 * _DAY, "s", "an hour of day seen three times is a habit"),
    Param("counts.min_bins", 14, "count", "with daily bins: two weeks"),
    Param("counts.day_seen", 0.25, "share", "ours: of a weekday's hours; from then on its own level is learnt with it"),
    Param("counts.day_unseen", 0.1, "share", "ours: a weekday not seen yet may be as low as a Sunday of an office"),
    Param("counts.degraded_age", 14 * _DAY, "s", "a partial loss is told from a quiet day only after two weeks"),
    Param(
        "counts.low_day",
        2,
        "count",
        "a day two standard deviations below the level is still a low day, as is the lowest in memory",
    ),
    Param("counts.dead", 0.02, "share", "ours: a day of less was no low day: a series may begin in a shutdown"),
    Param("counts.wander", 0.03, "share", "least standard deviation of a day's level"),
    Param("counts.down", 0.08, "share", "detection.md §3.3 (c): down = 0.08 of what is expected"),
    Param("counts.down_dispersion", 1, "count", "what is left in a shutdown is anything from nothing to twice that"),
    Param("counts.degraded_a", 4, "count", "as filter.degraded_a: third state for partial losses"),
    Param("counts.degraded_b", 4, "count", "as filter.degraded_b"),
    Param("counts.open", 0.95, "share", "as filter.open"),
    Param("counts.close", 0.05, "share", "as filter.close"),
    Param("counts.most", 0.7, "share", "a loss of under three tenths is not told as an event"),
    Param(
        "counts.lost", 8, "count", "sightings that must be missing: below, chance and one device cannot be told apart"
    ),
    Param("counts.shortest", 600, "s", "two bins of 5 min: one may be the counter's own hiccup, as presence.debounce"),
    Param("counts.hiccup_left", 0.2, "share", "ours: a bin in which less was counted than a fifth of the usual"),
    Param("counts.hiccup_chance", 1e-5, "share", "ours: as rare by chance; one bin in ten years of hours"),
    Param("counts.lapse", 30 * _DAY, "s", "as eligible.hold_shared: a partial loss that lasts longer is a new level"),
    Param("counts.smooth", 2 * _DAY, "s", "how far around an event its start and end are looked for"),
    Param(
        "counts.probable", 20, "count", "sightings that must be missing for more than unconfirmed: of one device few"
    ),
    Param("counts.several", 2, "count", "bins, for more than unconfirmed: one may be the counter's own failure"),
    Param("counts.share", 20, "count", "expected in a bin, from which on its own count dates a change within it"),
    Param("campaign.period", _DAY, "s", "detection.md §3.6: curfews and exams come by the day"),
    Param("campaign.tolerance", 7200, "s", "about the same time of day: a curfew's hours are moved now and then"),
    Param("campaign.longest", 20 * 3600, "s", "a window of a day, and not an outage of days"),
    Param("campaign.gap", 8 * _DAY, "s", "windows of one weekday come again after a week"),
    Param("campaign.least", 3, "count", "twice may be chance"),
    Param("campaign.share", 0.5, "share", "of the group's windows meanwhile: else it is not that hour that fails"),
    # A roster from a file, whose households have no names.
    Param("roster.votes", 100, "count", "ours: of a larger group every so many-th votes; more make no posterior surer"),
    Param("roster.best", 0.98, "share", "ours: reached in the best fiftieth of a file, short peaks left out"),
    Param("roster.stretch", 40, "count", "ours: votes by which a stretch is judged good or bad, to about 0.1"),
    Param("roster.day", _DAY, "s", "ours: or a day, if that is shorter"),
    Param("roster.filled", 0.7, "share", "ours: a roster never filled that far counts households that do not exist"),
    Param("service.suspect", 0.2, "share", "of a probe's rows on a target in an hour; one of five handshakes and more"),
    Param("service.pad", _DAY, "s", "read before and after: twelve bins of one hour for the habit, and to see it end"),
    Param("service.window", 7 * _DAY, "s", "late.limit: rows that are later still change nothing published"),
    Param("service.remembered", 600, "s", "resolvers remember answers, most of them for ten minutes or less"),
    Param("service.regret", 4 * _DAY, "s", "ours: with less before it an event that came again may not be seen anew"),
    Param("service.every", 300, "s", "grid.bin: targets are measured no more often"),
    Param("service.line", 0.8, "share", "of a probe's targets failing together: its line, and not the targets"),
    Param("service.word", 0.25, "share", "a way of failing that is rarer beside the commonest is by the way"),
    Param("service.part", 0.5, "share", "of its time within a loss of the line as a whole: no event of its own"),
    Param("service.charted", 60, "count", "rows of targets by networks that a page can show"),
    # Pages of blocking without a known fingerprint: points of what is found, weighed by blockpages.py.
    Param("page.bar", 3, "points", "fitted: half of the Citizen Lab's pages against ordinary pages of our own"),
    Param("page.strong", 2.5, "points", "fitted: a site or page or access, and that somebody blocked it"),
    Param("page.prohibited", 1.75, "points", "fitted: access is forbidden, in many languages also an ordinary 403"),
    Param("page.weak", 0.75, "points", "fitted: denied or unavailable, which any server says"),
    Param("page.programmes", 2.5, "points", "fitted: a list or programme of blocking is named"),
    Param("page.title", 1, "points", "fitted: the title says blocked; titles of articles are longer pages'"),
    Param("page.authority", 1.5, "points", "fitted: a court, ministry, regulator or law is named"),
    Param("page.authorities", 1, "points", "fitted: two of them"),
    Param("page.category", 0.75, "points", "fitted: what filters sort pages by"),
    Param("page.visitor", 0.5, "points", "fitted: speaks of another place that the reader wanted"),
    Param("page.appeal", 0.5, "points", "fitted: how to complain"),
    Param("page.products", 1.75, "points", "fitted: the name of a filter"),
    Param("page.lead", 2.5, "points", "fitted: the reader is taken to an address that speaks of blocking"),
    Param("page.link", 1, "points", "fitted: a small page links to such an address"),
    Param("page.private", 1.5, "points", "fitted: taken into a private network; portals do that too"),
    Param("page.office", 2.5, "points", "fitted: taken to a government's host by a site that is none"),
    Param("page.office_maybe", 1, "points", "the same where the site that was asked is not known"),
    Param("page.told", 2.5, "points", "fitted: taken to a page that is told a policy, a category, a rule"),
    Param("page.small", 0.25, "points", "fitted: pages of blocking are small"),
    Param("page.tiny", 0.25, "points", "fitted: a few sentences; beyond them the word blocked may be about anything"),
    Param("page.medium", -1.5, "points", "fitted: some stand in a provider's own pages"),
    Param("page.large", -4, "points", "fitted: articles about blocking are larger"),
    Param("page.article", -3, "points", "fitted: marked as an article"),
    Param("page.site", -1, "points", "fitted: what pages of a site carry: privacy, newsletter, cart"),
    Param("page.sites", -1, "points", "fitted: two signs of it"),
    Param("page.451", 1, "points", "RFC 7725: for legal reasons; the site's own too"),
    Param("page.error_status", -1, "points", "404 and 5xx are a server's own"),
    Param("page.home", -1, "points", "fitted: links back to the site that was asked"),
    Param("page.server", -1.5, "points", "fitted: an ordinary error or default page"),
    Param("page.servers", -1, "points", "fitted: two signs of it"),
    Param("page.vendor", -2, "points", "fitted: a vendor's or the site's own refusal of this reader"),
    Param("page.vendors", -1.5, "points", "fitted: two signs of it"),
    Param("page.parked", -2, "points", "fitted: parked, expired, suspended by its host"),
    Param("page.parkeds", -1, "points", "fitted: two signs of it"),
    Param("page.portal", -1, "points", "fitted: a portal or a login"),
    Param("page.portals", -1.5, "points", "fitted: two signs of it"),
    Param("page.false_positive", -2.5, "points", "a known false positive: as much as the plainest word weighs"),
    Param("page.false_positive_vague", -1, "points", "one of a few letters, as redir"),
    Param("page.vague", 2.5, "points", "a vague fingerprint that says blocked: as page.strong"),
    Param("page.vague_weak", 0.5, "points", "a vague fingerprint that says denied: any server's words"),
    Param("page.brief", 70, "count", "letters and blanks: a title or page of a few words speaks of itself"),
    Param("page.near", 80, "count", "letters between site and blocked: a clause"),
    Param("page.tiny_below", 700, "count", "characters that a reader sees; fitted"),
    Param("page.small_below", 2500, "count", "characters that a reader sees; fitted"),
    Param("page.large_above", 8000, "count", "characters that a reader sees; fitted"),
    Param("fingerprint.unsure", 5, "count", "filtering-annotations: 5 is somewhat likely to be a false positive"),
    Param("fingerprint.general", 40, "count", "letters: vague words of a general or unknown scope are shorter"),
    Param("fingerprint.short", 16, "count", "letters: two words or less are nobody's own"),
)


@dataclass(frozen=True)
class Params:
    """The table as code reads it: seconds, rates a second, shares, counts."""

    entries: tuple[Param, ...] = TABLE
    time_scale: float = 1.0

    def __getitem__(self, name: str) -> float:
        return self._values[name]

    def count(self, name: str) -> int:
        """A threshold that is a whole number."""
        return int(self._values[name])

    @cached_property
    def _values(self) -> Mapping[str, float]:
        factors = {"s": 1 / self.time_scale, "1/h": self.time_scale / 3600}
        return MappingProxyType({one.id: one.value * factors.get(one.unit, 1.0) for one in self.entries})

    @cached_property
    def params_id(self) -> str:
        """Version of the table and the first 12 hex digits of the digest of its content and scale."""
        content = [[one.id, one.value, one.unit] for one in self.entries]
        text = json.dumps([content, self.time_scale], separators=(",", ":"))
        return f"{PARAMS_VERSION}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def scaled(time_scale: float) -> Params:
    """The thresholds for a world in which ``time_scale`` seconds pass in one second of the clock."""
    return Params(TABLE, time_scale)
