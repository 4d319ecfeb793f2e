"""What people decide, laid over what the detector says: in any order of runs and decisions the same."""

from datetime import timedelta
from itertools import count
from uuid import uuid5

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from civobs_collector.detect.chains import Chain
from civobs_collector.detect.events import compute
from civobs_collector.detect.record import (
    Cause,
    Confidence,
    ConfidenceLabel,
    EventKind,
    EventRecord,
    Level,
    Scope,
    Status,
)
from civobs_collector.detect.reviews import (
    BY_ITSELF,
    FURTHER,
    HELD_RETRACTED,
    NOT_BORNE_OUT,
    Action,
    Review,
    applied,
    is_retracted,
    lacking,
    part_of,
    seen,
    unreviewed,
)
from civobs_collector.detect.versions import plan
from tests.collector.fix_detect import PARAMS, T0, World, at, shutdown, stored
from tests.collector.fix_web import END, KEY, NETWORKS, ONSET, SPARED, grid_row, shutdown_record

ADA = "Ada Example"
SOURCE = "https://example.org/statement"
KEYS = count(1)


def review(action, event_key=KEY, **more):
    return Review(next(KEYS), event_key, at(1), more.pop("reviewer", ADA), action, **more)


def split_of(event_key, asns, number=1):
    child = uuid5(event_key, f"{asns} {number}")
    body = {"asns": asns, "targets": [], "of": "CIV-1", "to": f"CIV-2{number}", "to_key": str(child)}
    back = {"asns": asns, "targets": [], "from": "CIV-1", "from_key": str(event_key)}
    return review(Action.SPLIT, event_key, body=body), review(Action.SPLIT, child, body=back)


def test_a_confirmation_carries_a_name_and_what_it_rests_on():
    record = applied(shutdown_record(), [review(Action.CONFIRM, note="Seen by us too.", sources=(SOURCE,))])
    assert record.confidence.label is ConfidenceLabel.CONFIRMED
    assert record.confidence.families == ("presence", "inside_out", "external")
    assert record.confidence.reasons[-1] == f"{ADA} checked the evidence on {at(1):%Y-%m-%d}"
    assert (record.reviewed_by, record.notes[0].by, record.notes[0].sources) == (ADA, ADA, (SOURCE,))
    assert record.confidence.posterior == shutdown_record().confidence.posterior


@pytest.mark.parametrize(
    ("changes", "said", "status"),
    [
        ({"confidence": ConfidenceLabel.UNCONFIRMED}, BY_ITSELF, Status.CLOSED),
        ({"status": Status.RETRACTED}, NOT_BORNE_OUT, Status.CLOSED),
    ],
)
def test_a_confirmed_event_whose_evidence_weakens_stays_confirmed_and_says_so(changes, said, status):
    weaker = shutdown_record(status=changes.get("status", Status.CLOSED))
    if label := changes.get("confidence"):
        weaker = weaker.model_copy(update={"confidence": weaker.confidence.model_copy(update={"label": label})})
    record = applied(weaker, [review(Action.CONFIRM)])
    assert (record.confidence.label, record.status) == (ConfidenceLabel.CONFIRMED, status)
    assert said in record.confidence.reasons
    assert unreviewed(record) == weaker


def test_a_confirmed_event_that_grows_says_that_the_rest_was_not_checked():
    country = shutdown_record()
    scope = country.scope
    assert scope.level == "country"
    network = {"level": "network", "asns": list(scope.asns[:1]), "targets": []}
    for checked in (network, {**network, "level": "country"}):
        grown = applied(country, [review(Action.CONFIRM, body=checked)])
        assert grown.confidence.reasons[-1] == FURTHER
        assert unreviewed(grown) == country
    same = applied(country, [review(Action.CONFIRM, body=seen(scope))])
    assert FURTHER not in same.confidence.reasons


def test_what_is_taken_back_leaves_no_trace():
    before = shutdown_record()
    confirmed, reopened = review(Action.CONFIRM), review(Action.REOPEN)
    held, released = review(Action.HOLD, note="in danger"), review(Action.RELEASE)
    assert applied(before, [held]).held == "review"
    assert applied(before, [held, released]) == before
    again = applied(applied(before, [confirmed]), [confirmed, reopened])
    assert (again.confidence, again.status, again.reviewed_by) == (before.confidence, before.status, ADA)


def test_a_retraction_that_is_taken_back_leaves_the_confirmation_before_it():
    before = shutdown_record()
    so_far = [review(Action.CONFIRM), review(Action.RETRACT, note="doubts"), review(Action.REOPEN)]
    assert applied(before, so_far).confidence.label is ConfidenceLabel.CONFIRMED
    assert applied(before, [*so_far, review(Action.REOPEN)]).confidence == before.confidence


def test_why_something_is_held_is_not_in_the_record():
    held, released = review(Action.HOLD, note="in danger"), review(Action.RELEASE, note="safe now")
    assert "in danger" not in applied(shutdown_record(), [held]).model_dump_json()
    assert "safe" not in applied(shutdown_record(), [held, released]).model_dump_json()


def test_the_last_cause_counts_and_is_never_the_observatorys_own():
    said = [
        review(Action.CAUSE, sources=(SOURCE,), body={"value": "cable_cut", "basis": "reported"}),
        review(Action.CAUSE, note="withdrawn", body={"value": "unknown", "basis": "unknown"}),
    ]
    assert applied(shutdown_record(), said[:1]).cause == Cause(value="cable_cut", basis="reported", sources=(SOURCE,))
    assert applied(shutdown_record(), said).cause == Cause()


def test_an_older_record_without_the_new_fields_reads_as_unreviewed():
    old = shutdown_record().model_dump(mode="json")
    for name in ("notes", "reviewed_by", "machine"):
        old.pop(name)
    record = EventRecord.model_validate(old)
    assert record == shutdown_record()
    assert unreviewed(record) is record


LACKING = {
    "one household": {"scope": Scope(level=Level.PROBE, cc="KE", asns=(33771,), probe_id="7k3m9qxp4a2bc5d0")},
    "it is retracted": {"status": Status.RETRACTED},
    "posterior is 0.90": {"posterior": 0.9},
    "2 households": {"n_down": 2},
    "one network only": {"scope": Scope(level=Level.COUNTRY, cc="KE", asns=(33771,))},
    "one kind of evidence only": {"families": ("inside_out",)},
    "neither stored": {"families": ("presence", "control")},
    "observatory itself": {"likeliest": "collector_fault"},
}


@pytest.mark.parametrize(("words", "changes"), LACKING.items(), ids=LACKING.keys())
def test_what_keeps_an_event_from_being_confirmed_is_said(words, changes):
    whole = shutdown_record()
    parts = {name: value for name, value in changes.items() if name in Confidence.model_fields}
    if parts:
        changes = {"confidence": whole.confidence.model_copy(update=parts)}
    if "n_down" in changes:
        changes = {"affected": whole.affected.model_copy(update=changes)}
    assert any(words in missing for missing in lacking(whole.model_copy(update=changes)))
    assert lacking(whole) == ()


def test_a_source_from_outside_is_a_second_kind_of_evidence():
    alone = shutdown_record().confidence.model_copy(update={"families": ("presence",)})
    record = shutdown_record(confidence=alone)
    assert len(lacking(record)) == 2
    assert lacking(record, (SOURCE,)) == ()


def test_networks_that_leave_take_their_rows_and_counts_with_them():
    whole = shutdown_record()
    leaves, _ = split_of(KEY, [37061])
    part, rest = part_of(whole, leaves.body), applied(whole, [leaves])
    assert (part.scope.asns, part.scope.level, part.kind) == ((37061,), Level.NETWORK, "outage")
    assert (part.affected.n_down, part.affected.n_observed) == (3, 3 + 2)
    assert (rest.scope.asns, rest.affected.n_down) == ((33771, 36926), 10)
    assert 37061 not in rest.scope.asns_observed
    assert {row.asn for row in rest.grid.rows} == {None, 33771, 36926, SPARED}
    assert len(rest.grid.rows[0].up) == len(whole.grid.rows[0].up)
    for record in (part, rest):
        assert all(
            up + down + unknown == row.n
            for row in record.grid.rows
            for up, down, unknown in zip(row.up, row.down, row.unknown, strict=True)
        )
    assert "CIV-21" in rest.limits[0]
    assert "CIV-1" in part.limits[0]


def test_services_that_leave_are_counted_from_their_own_rows():
    rows = [
        grid_row("Kenya", None, [0, 40, 80]),
        grid_row("A (AS1)", 1, [0, 40, 80]),
        grid_row("A (AS1)", 1, [0, -1, -1]).model_copy(update={"target": "a.example"}),
        grid_row("A (AS1)", 1, [0, 40, 80]).model_copy(update={"target": "b.example"}),
    ]
    whole = shutdown_record()
    scope = Scope(level=Level.NETWORK, cc="KE", asns=(1,), asns_observed=(1,), targets=("a.example", "b.example"))
    whole = whole.model_copy(
        update={"kind": EventKind.BLOCKING, "scope": scope, "grid": whole.grid.model_copy(update={"rows": tuple(rows)})}
    )
    body = {"asns": [], "targets": ["a.example"], "of": "CIV-1", "to": "CIV-2", "to_key": str(KEY)}
    part = part_of(whole, body)
    assert (part.scope.targets, part.scope.asns, part.affected.n_down) == (("a.example",), (1,), 1)
    rest = applied(whole, [review(Action.SPLIT, body=body)])
    assert (rest.scope.targets, rest.affected.n_down, rest.affected.n_observed) == (("b.example",), 3, 3)


def test_a_part_that_the_chart_does_not_tell_apart_keeps_the_counts_and_says_so():
    whole = shutdown_record()
    whole = whole.model_copy(update={"grid": whole.grid.model_copy(update={"rows": whole.grid.rows[:1]})})
    leaves, _ = split_of(KEY, [37061])
    part = part_of(whole, leaves.body)
    assert part.affected == whole.affected
    assert "before it was taken apart" in part.limits[1]


def test_the_larger_of_two_events_takes_over_places_and_times_until_that_is_taken_back():
    whole = shutdown_record()
    other = {
        "from": "CIV-3",
        "from_key": "k",
        "asns": [64500],
        "targets": [],
        "layers": [],
        "mechanisms": [],
        "admin1": [],
        "names": {"64500": "Late"},
        "onset": whole.onset.model_dump(mode="json") | {"earliest": (ONSET - timedelta(hours=1)).isoformat()},
        "resolution": {
            "earliest": (END + timedelta(hours=1)).isoformat(),
            "latest": (END + timedelta(hours=2)).isoformat(),
        },
    }
    merger = review(Action.MERGE, body=other)
    larger = applied(whole, [merger])
    assert larger.scope.asns == (33771, 36926, 37061, 64500)
    assert larger.scope.names == NETWORKS | {64500: "Late"}
    assert (larger.onset.earliest, larger.resolution.latest) == (ONSET - timedelta(hours=1), END + timedelta(hours=2))
    assert larger.affected == whole.affected
    back = applied(larger, [merger, review(Action.REOPEN, body={"gives_back": "k"})])
    assert (back.scope, back.onset, back.limits) == (whole.scope, whole.onset, whole.limits)


def eventful():
    world = World()
    kenya = world.country("KE", {101: 2, 102: 3})
    tanzania = world.country("TZ", {201: 3})
    shutdown(world, kenya, 600, 700)
    shutdown(world, tanzania[:2], 610, 720)
    for key in kenya:
        world.cut(key, 600, 700, domestic_works=True)
    return world


TIMES = (640, 660, 690, 720, 780, 1300)
WORLD = eventful()
SEEN = [compute(WORLD.inputs(now), PARAMS) for now in TIMES]
DECISIONS = st.sampled_from(
    [
        (Action.CONFIRM, {}),
        (Action.RETRACT, {}),
        (Action.REOPEN, {}),
        (Action.ANNOTATE, {}),
        (Action.HOLD, {}),
        (Action.RELEASE, {}),
        (Action.CAUSE, {"value": "cable_cut", "basis": "reported"}),
        (Action.SPLIT, {}),
    ]
)


class Desk:
    """Runs of the detector over the same facts, and decisions between them."""

    def __init__(self):
        self.chains = []
        self.reviews = {}

    def detect(self, step):
        now = at(TIMES[step])
        versions = plan(SEEN[step], self.chains, T0, now, PARAMS, reviews=self.reviews)
        self.chains = stored(versions, self.chains, now)
        return versions

    def decide(self, *reviews):
        for one in reviews:
            self.reviews[one.event_key] = (*self.reviews.get(one.event_key, ()), one)
        for one in reviews:
            chain = next((chain for chain in self.chains if chain.event_key == one.event_key), None)
            if chain is None:
                whole = next(chain for chain in self.chains if str(chain.event_key) == one.body["from_key"])
                body = reviews[0].body
                chain = Chain(one.event_key, body["to"], 0, at(1), part_of(unreviewed(whole.record), body), at(1))
                self.chains.append(chain)
            record = applied(unreviewed(chain.record), self.reviews[one.event_key])
            found_at = chain.found_at or chain.published_at
            known = [other for other in self.chains if other.event_key != chain.event_key]
            new = Chain(chain.event_key, chain.public_id, chain.version + 1, at(2), record, found_at)
            self.chains = [*known, new]

    def newest(self):
        """Records by key. Whether a version is held because it came after a retraction is no part of the record."""
        return {
            chain.event_key: chain.record.model_copy(
                update={"held": None if chain.record.held == HELD_RETRACTED else chain.record.held}
            ).model_dump_json()
            for chain in self.chains
        }


def decided(drawn, keys):
    """Reviews about events that are there from the first run on; a network leaves once at most."""
    made, parted = [], False
    for number, (action, body) in enumerate(drawn):
        event_key, asns = keys[number % len(keys)]
        if action is Action.SPLIT:
            if parted or len(asns) < 2:
                continue
            parted = True
            made.append(split_of(event_key, [asns[0]]))
        else:
            made.append((review(action, event_key, body=body, note=f"note {number}"),))
    return made


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(DECISIONS, st.integers(1, len(TIMES))), max_size=6))
def test_runs_and_decisions_in_any_order_end_in_the_same_bytes(drawn):
    first = Desk()
    first.detect(0)
    keys = [(chain.event_key, chain.record.scope.asns) for chain in first.chains if chain.public_id]
    assert len(keys) == 2
    made = decided([one for one, _ in drawn], sorted(keys))
    after = [step for _, step in drawn][: len(made)]
    whole, mixed = Desk(), Desk()
    # The order of the decisions is theirs; a later one never comes before an earlier one.
    turns = [max(after[: number + 1]) for number in range(len(made))]
    for step in range(len(TIMES)):
        whole.detect(step)
        mixed.detect(step)
        for reviews, turn in zip(made, turns, strict=True):
            if turn == step + 1:
                mixed.decide(*reviews)
    for reviews in made:
        whole.decide(*reviews)
    assert mixed.newest() == whole.newest()
    for desk in (whole, mixed):
        assert desk.detect(len(TIMES) - 1) == []


def test_a_run_never_undoes_a_person():
    desk = Desk()
    desk.detect(0)
    kenya, tanzania = sorted((one for one in desk.chains if one.public_id), key=lambda one: one.record.scope.cc)
    desk.decide(review(Action.RETRACT, kenya.event_key, note="two agents were being upgraded"))
    desk.decide(review(Action.CONFIRM, tanzania.event_key))
    for step in range(1, len(TIMES)):
        for version in desk.detect(step):
            if version.event_key == kenya.event_key:
                assert (version.record.status, version.record.held) == (Status.RETRACTED, HELD_RETRACTED)
            if version.event_key == tanzania.event_key:
                assert version.record.confidence.label is ConfidenceLabel.CONFIRMED
    assert is_retracted(desk.reviews[kenya.event_key])
    desk.decide(review(Action.REOPEN, kenya.event_key))
    (back,) = [one for one in desk.chains if one.event_key == kenya.event_key]
    assert (back.record.status, back.record.held) == (Status.CLOSED, None)
