"""Receipts, presence, plans and the vocabulary."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from civobs_wire.errors import ContentError, SignatureError, SizeError
from civobs_wire.failure import FAILURE_CODES, FAILURES, Failure, Outcome
from civobs_wire.plan import Plan, pack_plan, unpack_plan
from civobs_wire.presence import Presence, pack_presence, unpack_presence
from civobs_wire.receipt import Receipt, pack_receipt, unpack_receipt

EXAMPLES = Path(__file__).parents[2] / "wire" / "examples"
KEY = Ed25519PrivateKey.generate()
OTHER = Ed25519PrivateKey.generate()
FORMS = {
    "presence": (Presence, pack_presence, unpack_presence),
    "receipt": (Receipt, pack_receipt, unpack_receipt),
    "plan": (Plan, pack_plan, unpack_plan),
}


def example(name, **changes):
    return json.dumps({**json.loads((EXAMPLES / f"{name}.json").read_text()), **changes})


@pytest.mark.parametrize("name", FORMS)
def test_a_signed_document_opens_with_its_key_and_no_other(name):
    model, pack, unpack = FORMS[name]
    document = model.model_validate_json(example(name))
    message = pack(document, KEY)
    assert unpack(message, KEY.public_key()) == document
    with pytest.raises(SignatureError):
        unpack(message, OTHER.public_key())


@pytest.mark.parametrize("ranges", [[[2, 1]], [[1, 5], [5, 9]], [[4, 5], [1, 2]], [[0, 3]]])
def test_a_receipt_with_overlapping_or_falling_ranges_is_refused(ranges):
    with pytest.raises(ValueError, match=r"ranges overlap or fall|greater than or equal"):
        Receipt.model_validate_json(example("receipt", committed=ranges))


def test_a_receipt_settles_committed_and_rejected_batches_only():
    receipt = Receipt.model_validate_json(example("receipt"))
    assert [number for number in range(1, 20) if receipt.settles(number)] == [*range(1, 18)]
    assert not receipt.settles(18)
    assert not receipt.model_copy(update={"rejected": ()}).settles(15)


@pytest.mark.parametrize(
    "change",
    [
        {"tasks": [{"kind": "http", "targets": ["nowhere"], "interval_s": 60.0}]},
        {"tasks": [{"kind": "agent", "targets": [], "interval_s": 60.0}]},
        {"tasks": [{"kind": "http", "targets": [], "interval_s": 0.0}]},
        {"tasks": [{"kind": "http", "targets": [], "interval_s": 1e-9}]},
        {"ladder": {"trouble_interval_s": 0.01}},
        {"tasks": [{"kind": "ping", "targets": [], "interval_s": 1.0}] * 6},
        {"targets": [{"id": "a", "url": "http://a/"}, {"id": "a", "url": "http://b/"}]},
        {"ladder": {"service": "nowhere"}},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"cc": "kenya"},
    ],
)
def test_a_plan_that_contradicts_itself_is_refused(change):
    with pytest.raises(ContentError):
        unpack_plan(_sealed("civobs.plan/1", example("plan", **change)), KEY.public_key())


@pytest.mark.parametrize(
    "name", ["a..b.test", "x" * 64 + ".test", "bücher.test", "a\r\nX: y", "a b.test", "::1", "-.test", ""]
)
def test_a_name_that_no_handshake_can_carry_is_refused(name):
    servers = [{"id": "a", "name": name, "address": "9.9.9.9"}]
    for change in ({"servers": servers}, {"neutral_name": name}):
        with pytest.raises(ContentError):
            unpack_plan(_sealed("civobs.plan/1", example("plan", **change)), KEY.public_key())


def test_a_plan_may_name_a_kind_of_the_future():
    plan = Plan.model_validate_json(
        example("plan", tasks=[{"kind": "smoke", "targets": ["site-a"], "interval_s": 60.0}])
    )
    assert not plan.tasks[0].known


def test_an_endless_plan_is_refused_before_it_is_read():
    with pytest.raises(SizeError):
        unpack_plan(bytes(300_000), KEY.public_key())


def test_the_vocabulary_has_each_failure_once():
    assert {row.name for row in FAILURES} == set(Failure)
    assert len(set(FAILURE_CODES.values())) == len(FAILURES)
    assert all((row.code >= 200) == (row.outcome is Outcome.NOT_RUN) for row in FAILURES)


def _sealed(context, text):
    from civobs_wire.envelope import seal

    return seal(KEY, context, text.encode())
