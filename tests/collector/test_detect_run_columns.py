"""Runs in columns: they say what each would say by itself, whatever parts they were read in."""

import json
import random

import numpy as np
import pytest

from civobs_collector.detect.run_columns import FACTS, PAGES, RUN, Facts, cadences, spoken, whole
from civobs_collector.detect.target_addresses import Known
from civobs_collector.detect.target_runs import Page, Run, words
from civobs_collector.detect.votes import Said
from civobs_wire.failure import Failure
from civobs_wire.measurement import KIND_CODES

TRUE, FALSE = "198.51.100.7", "203.0.113.66"
KNOWN = {1: Known(verified=frozenset({TRUE}), lies=frozenset({FALSE}))}
KINDS = ("dns", "tcp", "tls", "http", "reach", "quic")
SECOND = 1_000_000


def random_row(dice):
    named = dice.choice(["target", "target", "neutral", "none"])
    failure = dice.choice([Failure.GENERIC_TIMEOUT_ERROR, Failure.CONNECTION_RESET, Failure.SSL_INVALID_HOSTNAME])
    stage = dice.choice(["resolve", "connect", "handshake", "tls", "headers"])
    given = {"failure": str(failure), "stage": stage, "address": dice.choice([TRUE, FALSE]), "named": named}
    return given | {"resolver": "resolver", "qtype": "A", "transport": "udp"}


def as_stored(run, failed, facts, page=-1, status=200.0):
    """A row of the table, as the database gives it."""
    target, probe, kind, family, slot, first, last, n_ok = run
    text = json.dumps([[row.get(name) for name in FACTS] for row in failed]) if failed else None
    numbers = facts.number(text), page, status if n_ok else np.nan
    return target, probe, KIND_CODES[kind], family, slot, first, last, n_ok, *numbers


def said(runs, facts, known=KNOWN):
    return spoken(runs, known, facts).said()


@pytest.mark.parametrize("seed", range(5))
def test_runs_in_columns_say_what_each_says_by_itself_wherever_they_were_cut(seed):
    dice, facts = random.Random(seed), Facts()
    one, early, late, expected = [], [], [], []
    for slot in range(60):
        target, probe, kind, family = dice.choice([1, 2]), dice.choice([7, 8]), dice.choice(KINDS), dice.choice([4, 6])
        failed = [random_row(dice) for _ in range(dice.choice([0, 1, 2, 3]))]
        good, cut, start = dice.randrange(3), dice.randrange(len(failed) + 1), slot * 300 * SECOND
        key = (target, probe, kind, family, start)
        one.append(as_stored((*key, start, start + 9 * SECOND, good), failed, facts))
        early.append(as_stored((*key, start, start + SECOND, 0), failed[:cut], facts))
        late.append(as_stored((*key, start + 2 * SECOND, start + 9 * SECOND, good), failed[cut:], facts))
        run = Run(kind, good, failed=tuple(failed))
        times = start / SECOND, start / SECOND + 9
        expected += [Said(probe, target, *times, word, family) for word in words(run, KNOWN.get(target, Known()))]
    together = whole([np.array(one, RUN)], facts)
    parts = whole([np.array(early, RUN), np.array(late, RUN)], facts)
    assert said(together, facts) == said(parts, facts)
    assert sorted(map(str, said(together, facts))) == sorted(map(str, expected))


def pages_of(*kept):
    """What exchanges ten seconds apart say of HTTP, of which these pages were kept."""
    facts, rows = Facts(), []
    for number, page in enumerate(kept):
        start = number * 10 * SECOND
        code = -1 if page is None else PAGES.index(page)
        rows.append(as_stored((1, 7, "http", 4, start, start, start, 1), [], facts, code))
    found = said(whole([np.array(rows, RUN)], facts), facts)
    return [one.word.how if one.word.bad else "ok" for one in found if one.word.layer == "http"]


def test_of_answers_of_an_hour_those_whose_text_was_not_kept_are_as_the_one_before():
    assert pages_of(None, Page.BLOCK, None) == ["ok", "http.blockpage", "http.blockpage"]
    assert pages_of(Page.BLOCK, Page.USUAL, None) == ["http.blockpage", "ok"]


def test_how_often_is_measured_is_told_by_the_slots_of_both_families():
    rows = [(1, 7, 4, family, slot * SECOND, 0, 0, 1, 0, -1, 0.0) for slot in (0, 300, 600, 1800) for family in (4, 6)]
    rows.append((2, 7, 4, 4, 0, 0, 0, 1, 0, -1, 0.0))
    assert cadences(np.array(rows, RUN)) == [300.0]
    assert cadences(np.empty(0, RUN)) == []
