"""``civobs plan``: from a file in TOML to signed bytes that probes verify."""

from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from civobs_collector.db.plans import CHANNEL, plan_for_country
from civobs_collector.keys import make_key, read_public
from civobs_collector.plan_file import findings, read_plan_file
from civobs_collector.target_list import read_target_lists
from civobs_wire.measurement import KINDS
from civobs_wire.plan import pack_plan, unpack_plan
from tests.collector.fix_operator import command_line

EXAMPLE = Path(__file__).parents[2] / "deploy" / "plan.example.toml"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)

ANCHOR = """
[[anchors]]
id = "a"
rung = 4
address = "{address}"
family = {family}
method = "{method}"
"""


def _file(folder, text):
    path = folder / "plan.toml"
    path.write_text(text)
    return path


def test_the_example_is_a_plan_and_only_lacks_domestic_anchors():
    plan = read_plan_file(EXAMPLE, NOW)
    assert [finding.rule for finding in findings(plan)] == ["ladder-empty"]
    assert plan.plan_id == f"zz-{plan.serial}"
    assert {task.kind for task in plan.tasks} == set(KINDS) - {"ladder", "agent"}


@pytest.mark.db
def test_a_plan_is_built_verified_and_published(keyed, dsn):
    built = keyed.civobs("plan", "build", str(EXAMPLE), "-o", "my.plan", "--json")
    assert built.code == 0
    assert "warning: ladder-empty" in built.err
    assert keyed.civobs("plan", "verify", "my.plan", "--json").json["plan_id"] == built.json["plan_id"]
    assert "published for ZZ" in keyed.civobs("plan", "publish", "my.plan").out
    assert built.json["plan_id"] in keyed.civobs("plan", "show").out
    assert keyed.civobs("plan", "show", "--cc", "ke", "--json").json["serial"] == built.json["serial"]
    with psycopg.connect(dsn) as conn:
        kept = plan_for_country(conn, "KE")
        assert kept.message == (keyed.folder / "my.plan").read_bytes()
        assert unpack_plan(kept.message, read_public(keyed.settings.keys.plan_key)).cc == "ZZ"


@pytest.mark.db
def test_a_plan_is_never_replaced_by_the_same_or_an_older_one(keyed):
    for serial in (5, 6):
        _file(keyed.folder, f'cc = "KE"\nserial = {serial}\n')
        assert keyed.civobs("plan", "build", "plan.toml", "-o", f"{serial}.plan").code == 0
    assert keyed.civobs("plan", "publish", "6.plan").code == 0
    for old in ("5.plan", "6.plan"):
        said = keyed.civobs("plan", "publish", old)
        assert said.code == 2
        assert "is not above 6" in said.err


@pytest.mark.db
def test_each_country_has_its_own_plan_or_the_one_for_all(keyed, dsn):
    with psycopg.connect(dsn, autocommit=True) as conn:
        assert plan_for_country(conn, "KE") is None
        for cc in ("ZZ", "KE"):
            _file(keyed.folder, f'cc = "{cc}"\nplan_id = "for-{cc}"\n')
            assert keyed.civobs("plan", "build", "plan.toml", "--publish").code == 0
        assert [plan_for_country(conn, cc).plan_id for cc in ("KE", "UG")] == ["for-KE", "for-ZZ"]


@pytest.mark.db
def test_who_publishes_plans_is_told_of_a_new_one(keyed, dsn):
    _file(keyed.folder, 'cc = "KE"\n')
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(f"LISTEN {CHANNEL}")
        assert keyed.civobs("plan", "build", "plan.toml", "--publish").code == 0
        assert [note.payload for note in conn.notifies(timeout=10, stop_after=1)] == ["KE"]


@pytest.mark.db
def test_a_plan_signed_with_another_key_is_not_published(keyed):
    _file(keyed.folder, 'cc = "KE"\n')
    foreign = pack_plan(read_plan_file(keyed.folder / "plan.toml", NOW), make_key(keyed.folder / "foreign.key"))
    (keyed.folder / "foreign.plan").write_bytes(foreign)
    for action in ("publish", "verify"):
        said = keyed.civobs("plan", action, "foreign.plan")
        assert said.code == 2
        assert "not a plan signed with the observatory's key" in said.err
    assert keyed.civobs("plan", "show", "--json").json == []
    assert keyed.civobs("plan", "show", "--cc", "KE").code == 1


@pytest.mark.db
def test_keys_are_made_once(operator):
    first = operator.civobs("plan", "keygen", "--json").json
    second = operator.civobs("plan", "keygen", "--json").json
    assert (first["plan"]["new"], second["plan"]["new"]) == (True, False)
    assert first["plan"]["public"] == second["plan"]["public"] != first["receipt"]["public"]
    assert first["receipt"]["public"] in operator.civobs("plan", "keygen").out


@pytest.mark.db
def test_without_the_private_key_nothing_is_built(keyed, monkeypatch):
    monkeypatch.setenv("CIVOBS_KEYS__PLAN_KEY", str(keyed.folder / "plan.pub"))
    said = keyed.civobs("plan", "build", str(EXAMPLE))
    assert said.code == 2
    assert "only the public half" in said.err


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("cc = ", "is not TOML"),
        ('cc = "Kenya"', "cc"),
        ("valid_days = -1", "valid_days"),
        ("valid_days = nan", "valid_days"),
        ("[ladder]\nquorom = 2", "ladder.quorom: Extra inputs"),
        ("ladders = 1", "ladders: Extra inputs"),
        ('[[tasks]]\nkind = "ping"\ninterval_s = 60\ntargets = ["nowhere"]', "unknown target nowhere"),
        ('[[tasks]]\nkind = "agent"\ninterval_s = 60', "kind agent is not scheduled"),
        ("issued_on = 2026-11-22", "issued_on: Extra inputs"),
        ("issued_at = 2026-11-22T00:00:00Z", "issued_at is not for the author to say"),
        ("keepalive_s = 12:00:00", "keepalive_s"),
        ('[[tasks]]\nkind = "ping"\ninterval_s = inf', "interval_s"),
    ],
)
def test_a_file_with_a_mistake_is_refused_with_its_place(keyed_folder, text, cause):
    said = keyed_folder(text)
    assert said.code == 2
    assert cause in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (ANCHOR.format(address="192.168.0.1", family=4, method="icmp"), "address-refused"),
        (ANCHOR.format(address="100.64.0.1", family=4, method="icmp"), "address-refused"),
        (ANCHOR.format(address="fe80::1", family=6, method="icmp"), "address-refused"),
        (ANCHOR.format(address="224.0.0.1", family=4, method="icmp"), "address-refused"),
        (ANCHOR.format(address="9.9.9.9", family=6, method="icmp"), "address-family"),
        (ANCHOR.format(address="dns.example", family=4, method="icmp"), "address"),
        (ANCHOR.format(address="9.9.9.9", family=4, method="tcp"), "anchor-port"),
        (ANCHOR.format(address="9.9.9.9", family=4, method="dns") * 2, "anchor-id"),
        ('[[resolvers]]\nid = "r"\naddress = "10.0.0.1"', "address-refused"),
        ('[[servers]]\nid = "s"\nname = "s.example"\naddress6 = "fd00::1"', "address-refused"),
        ('[[time_servers]]\nid = "t"\naddress = "time.example"', "address"),
        ('[[targets]]\nid = "t"\nurl = "ftp://x/"', "target-url"),
        ('[[targets]]\nid = "t"\nurl = "tcp://x/"', "target-url"),
        ('[[targets]]\nid = "t"\nurl = "https://a..b/"', "target-url"),
        ('[[targets]]\nid = "t"\nurl = "https://192.168.1.1/"', "address-refused"),
        ('[[tasks]]\nkind = "ping"\ninterval_s = 60', "task-empty"),
        ('[[tasks]]\nkind = "ladder"\ninterval_s = 60', "task-ladder"),
        ('[[tasks]]\nkind = "pnig"\ninterval_s = 60', "task-kind"),
        ("[ladder]\nquorum = 2\n" + ANCHOR.format(address="9.9.9.9", family=4, method="dns"), "ladder-quorum"),
        ("[ladder]\ninterval_s = 10", "ladder-interval"),
    ],
)
def test_what_no_probe_would_do_is_not_signed(tmp_path, text, rule):
    plan = read_plan_file(_file(tmp_path, text), NOW)
    assert rule in [finding.rule for finding in findings(plan) if finding.fatal]


@pytest.mark.parametrize("address", ["192.0.2.1", "198.51.100.7", "198.18.0.1", "2001:db8::1"])
def test_an_address_of_a_laboratory_is_only_a_warning(tmp_path, address):
    text = ANCHOR.format(address=address, family=6 if ":" in address else 4, method="icmp")
    found = findings(read_plan_file(_file(tmp_path, text), NOW))
    assert "address-lab" in [finding.rule for finding in found]
    assert not [finding for finding in found if finding.fatal]


@pytest.fixture
def keyed_folder(tmp_path, monkeypatch, capsys):
    """Builds a plan from a text, in a folder with a key and without any database."""
    monkeypatch.setenv("CIVOBS_KEYS__PLAN_KEY", str(tmp_path / "plan.key"))
    monkeypatch.chdir(tmp_path)
    make_key(tmp_path / "plan.key")
    civobs = command_line(capsys)
    return lambda text: civobs("plan", "build", str(_file(tmp_path, text)))


LIST = """url,category_code,category_description,date_added,source,notes
https://www.example.org/,NEWS,News Media,2026-01-01,citizenlab,
https://www.example.org/other,NEWS,News Media,2026-01-01,citizenlab,"a note, with a comma"
http://example.net/,PORN,Pornography,2026-01-01,citizenlab,
https://chat.example.com/,ai,AI,2026-01-01,us,
"""
LISTED = """
[[tasks]]
kind = "reach"
targets = ["category:*"]
interval_s = 86400
[[tasks]]
kind = "tls"
targets = ["category:NEWS", "category:AI"]
interval_s = 86400
"""


def test_a_list_gives_targets_whose_tier_follows_from_their_category(tmp_path):
    (tmp_path / "list.csv").write_text(LIST)
    twice = [tmp_path / "list.csv"] * 2
    plan = read_plan_file(_file(tmp_path, LISTED), NOW, twice)
    assert [(one.id, one.tier, one.category) for one in plan.targets] == [
        ("www.example.org", 2, "NEWS"),
        ("www.example.org-86d44b0a", 2, "NEWS"),
        ("example.net-1c1abafa", 3, "PORN"),
        ("chat.example.com", 1, "AI"),
    ]
    reach, tls = plan.tasks
    assert len(reach.targets) == 4
    assert tls.targets == ("www.example.org", "www.example.org-86d44b0a", "chat.example.com")
    assert not [finding for finding in findings(plan) if finding.fatal]


def test_a_listed_target_keeps_its_id_whatever_is_listed_before_it(tmp_path):
    heading, *rows = LIST.splitlines(keepends=True)
    for name, lines in (("list.csv", rows), ("turned.csv", rows[::-1]), ("one.csv", rows[1:2])):
        (tmp_path / name).write_text(heading + "".join(lines))
    whole, turned, one = (
        {target["url"]: target["id"] for target in read_target_lists([tmp_path / name])}
        for name in ("list.csv", "turned.csv", "one.csv")
    )
    assert whole == turned
    assert one.items() < whole.items()


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("url,notes\n", "list.csv:1: no column category_code"),
        ("url,category_code\nhttps://a.example/,NEWS\nftp://a.example/,NEWS\n", "list.csv:3: 'ftp://a.example/' is no"),
        ("url,category_code\nhttps://a.example:x/,NEWS\n", "list.csv:2: 'https://a.example:x/' is no"),
        ("url,category_code\nhttps://a..b.example/,NEWS\n", "list.csv:2: 'https://a..b.example/' is no"),
        ("url,category_code\nhttps://a b.example/,NEWS\n", "list.csv:2: 'https://a b.example/' is no"),
        ("url,category_code\nhttps://a.example/\u00fc,NEWS\n", "is no http or https URL"),
        (f"url,category_code\nhttps://{'a' * 64}.example/,NEWS\n", "is no http or https URL"),
        ('url,category_code\n"https://a.example/\n",NEWS\nhttps://a.example/\x1b[2J,NEWS\n', "list.csv:4:"),
        ("url,category_code\nhttps://a.example/,NOPE\n", "list.csv:2: no category 'NOPE'"),
        ("url,category_code\nhttps://a.example/\n", "list.csv:2: no category ''"),
        ('url,category_code\n"https://a.example/,NEWS\n', "is not CSV in UTF-8"),
        ("\udcff", "is not CSV in UTF-8"),
    ],
)
def test_a_bad_line_of_a_list_is_named(keyed, text, cause):
    (keyed.folder / "list.csv").write_bytes(text.encode(errors="surrogateescape"))
    _file(keyed.folder, LISTED)
    said = keyed.civobs("plan", "build", "plan.toml", "--targets", "list.csv")
    assert (said.code, len(said.err.splitlines())) == (2, 2)
    assert cause in said.err


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ('[[targets]]\nid = "t"\nurl = "https://t.example/"\ncategory = "PORN"\ntier = 2\n', "target-tier"),
        ('[[targets]]\nid = "t"\nurl = "https://t.example/"\ncategory = "X"\n', "target-category"),
        ('[[tasks]]\nkind = "tls"\ninterval_s = 600\n', "task-empty"),
        (
            '[[targets]]\nid = "t"\nurl = "http://t/"\n[[tasks]]\nkind = "ntp"\ntargets = ["t"]\ninterval_s = 9\n',
            "task-aimed",
        ),
    ],
)
def test_a_plan_that_asks_too_much_of_a_household_is_refused(tmp_path, text, rule):
    plan = read_plan_file(_file(tmp_path, text), NOW)
    assert rule in {finding.rule for finding in findings(plan) if finding.fatal}
