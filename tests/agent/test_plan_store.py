from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from civobs_agent.plan_store import Adopted, PlanStore, Refused
from civobs_wire.plan import Plan, pack_plan

ISSUED = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture
def key():
    return Ed25519PrivateKey.generate()


def signed(key, serial, cc="KE"):
    plan = Plan(
        plan_id=f"{cc}-{serial}", serial=serial, cc=cc, issued_at=ISSUED, expires_at=ISSUED + timedelta(days=30)
    )
    return pack_plan(plan, key)


def test_the_last_good_plan_is_there_after_a_restart(tmp_path, key):
    assert isinstance(PlanStore(tmp_path, key.public_key()).offer(signed(key, 3)), Adopted)
    again = PlanStore(tmp_path, key.public_key())
    assert again.current is not None
    assert again.current.plan_id == "KE-3"


@pytest.mark.parametrize(("serial", "cc"), [(2, "KE"), (3, "KE"), (9, "UG")])
def test_an_older_or_foreign_plan_is_refused_once_and_the_good_one_stays(tmp_path, key, serial, cc):
    plans = PlanStore(tmp_path, key.public_key())
    plans.offer(signed(key, 3))
    other = Plan(
        plan_id="other", serial=serial, cc=cc, issued_at=ISSUED, expires_at=ISSUED + timedelta(days=30), keepalive_s=9
    )
    assert isinstance(plans.offer(pack_plan(other, key)), Refused)
    assert plans.offer(pack_plan(other, key)) is None
    assert plans.current is not None
    assert plans.current.plan_id == "KE-3"


def test_a_plan_for_any_country_may_be_followed_by_one_for_this_and_back(tmp_path, key):
    plans = PlanStore(tmp_path, key.public_key())
    assert isinstance(plans.offer(signed(key, 8, "ZZ")), Adopted)
    assert isinstance(plans.offer(signed(key, 1, "KE")), Adopted)
    assert isinstance(plans.offer(signed(key, 7, "ZZ")), Refused)
    assert isinstance(plans.offer(signed(key, 9, "ZZ")), Adopted)


def test_a_plan_signed_by_another_is_refused(tmp_path, key):
    plans = PlanStore(tmp_path, key.public_key())
    assert isinstance(plans.offer(signed(Ed25519PrivateKey.generate(), 1)), Refused)
    assert isinstance(plans.offer(b"nonsense"), Refused)
    assert plans.current is None


def test_a_damaged_plan_file_is_as_good_as_none_and_an_old_plan_does_not_come_back(tmp_path, key):
    PlanStore(tmp_path, key.public_key()).offer(signed(key, 5))
    (tmp_path / "plan.signed").write_bytes(b"nonsense")
    again = PlanStore(tmp_path, key.public_key())
    assert again.current is None
    assert isinstance(again.offer(signed(key, 4)), Refused)
    assert isinstance(again.offer(signed(key, 5)), Adopted)
