"""A topology file says what there is; a faulty one is refused with the place of its fault."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from civobs_lab.strict_toml import FileError
from civobs_lab.topology import CARRIER_PREFIX, TOPOLOGIES, Topology, TopologyError, load

SMALL = """
name = "small"
countries = [{ cc = "XA", name = "Arland", regions = ["North", "South"] }]

[[networks]]
asn = 64496
name = "World"
cc = "XW"
prefix = "198.18.1.0/24"
prefix6 = "2001:db8:1::/48"
hosts = [{ name = "site", serves = ["web", "authority"], names = ["www.site.example"] }]

[[networks]]
asn = 64500
name = "Telecom"
cc = "XA"
prefix = "198.18.16.0/24"
prefix6 = "2001:db8:16::/48"
households = 3
user_share = 0.5
hosts = [{ name = "resolver", serves = ["resolver"] }]

[[networks]]
asn = 64510
name = "Mobile"
cc = "XA"
access = "mobile"
carrier_nat = true
prefix = "198.18.20.0/28"
prefix6 = "2001:db8:20::/48"
user_share = 0.5
hosts = [{ name = "mobile-resolver", serves = ["resolver"] }]
"""


@pytest.fixture
def written(tmp_path):
    """Writes a topology file and reads it; each pair is what to replace by what."""

    def write(*changes, text=SMALL):
        for old, new in changes:
            assert old in text
            text = text.replace(old, new, 1)
        file = tmp_path / "small.toml"
        file.write_text(text)
        return load(file)

    return write


@pytest.mark.parametrize("file", sorted(TOPOLOGIES.glob("*.toml")), ids=lambda file: file.stem)
def test_every_topology_of_the_lab_can_be_observed(file):
    topology = load(file)
    assert topology.name == file.stem
    assert topology.observatory()[1].names
    for country in topology.countries:
        here = [(network, host) for network, host, _ in topology.hosts() if network.cc == country.cc]
        # A cut of the country and one of the way abroad are told apart by anchors in two networks of it.
        assert len({network.asn for network, host in here if host.anchor}) >= 2
        assert sum(host.anchor is not None for _, host in here) >= 3


def test_the_demonstration_has_eight_homes_to_cut_off_and_three_as_control():
    topology = load(Path("two-countries"))
    assert (len(topology.households_of("XA")), len(topology.households_of("XB"))) == (8, 3)
    assert topology.second_broker()[0].cc not in {"XA", "XB", topology.observatory()[0].cc}


def test_the_wide_world_has_every_kind_of_provider():
    topology = load(Path("wide"))
    providers = [one for country in topology.countries for one in topology.providers(country.cc)]
    assert {one.access for one in providers} == {"fixed", "mobile"}
    assert {one.carrier_nat for one in providers} == {True, False}
    assert {one.ipv6 for one in providers} == {"working", "absent"}
    assert sum(one.households for one in providers) == 16
    for region in topology.country("XA").regions:
        assert len({home.network.asn for home in topology.households_of(f"XA/{region}")}) >= 2
    cdn = [host for _, host, _ in topology.hosts() if "www.cdn.example" in host.names]
    assert {cc for host in cdn for cc in host.only_in} == {country.cc for country in topology.countries}
    assert sum(not host.only_in for host in cdn) == 1


def test_households_are_found_by_country_region_network_and_name(written):
    topology = written()
    names = [home.name for home in topology.households_of("XA")]
    assert names == ["xa-64500-1", "xa-64500-2", "xa-64500-3"]
    assert [home.name for home in topology.households_of("XA/North")] == ["xa-64500-1", "xa-64500-3"]
    assert [home.name for home in topology.households_of("AS64500")] == names
    assert [home.region for home in topology.households_of("xa-64500-2")] == ["South"]


def test_a_place_without_probes_is_empty_and_one_that_is_not_there_is_an_error(written):
    topology = written()
    assert topology.households_of("AS64510") == ()
    for scope in ("XB", "XA/East", "AS1", "xa-64500-4", "site", ""):
        with pytest.raises(TopologyError, match="no country, region, network or household"):
            topology.households_of(scope)


def test_a_mobile_provider_without_probes_is_still_a_provider(written):
    topology = written()
    assert [one.asn for one in topology.providers("XA")] == [64500, 64510]
    assert [one.asn for one in topology.providers("XA", "mobile")] == [64510]
    assert [one.asn for one in topology.providers("XA", "fixed")] == [64500]


def test_probes_are_put_into_networks_and_the_rest_stays(written):
    topology = written()
    other = topology.with_probes({"AS64510": 2, "AS64500": 1})
    assert [home.name for home in other.households()] == ["xa-64500-1", "xa-64510-1", "xa-64510-2"]
    assert topology.with_probes({}) == topology
    assert len(list(topology.households())) == 3


@pytest.mark.parametrize(
    ("probes", "words"),
    [
        ({"AS64999": 1}, "no provider AS64999; it has AS64500, AS64510"),
        ({"AS64496": 1}, "no provider AS64496"),
        ({"64500": 1}, "no provider 64500"),
        ({"AS64500": 65}, "less than or equal to 64"),
    ],
)
def test_probes_that_cannot_be_are_refused(written, probes, words):
    with pytest.raises(TopologyError, match=words):
        written().with_probes(probes)


def test_homes_behind_carrier_nat_have_shared_lines_and_one_address_outside(written):
    topology = written().with_probes({"AS64510": 3})
    homes = topology.households_of("AS64510")
    assert all(home.link.address in CARRIER_PREFIX for home in homes)
    assert len({home.link.address for home in homes}) == 3
    assert {home.seen_as[0] for home in homes} == {ip_network("198.18.20.6/32")}
    assert len({home.seen_as[1] for home in homes}) == 3


def test_no_two_links_share_an_address():
    for file in TOPOLOGIES.glob("*.toml"):
        topology = load(file)
        links = [link for _, _, link in topology.hosts()]
        seconds = [link for _, host, link in topology.hosts() if host.second_address]
        links += [network.carrier for network in topology.networks if network.carrier_nat]
        translated = [home.link for home in topology.households() if home.link.translated]
        own = [home.link for home in topology.households() if not home.link.translated]
        outside = [address for link in links + own for address in (link.router, link.address)]
        outside += [link.second for link in seconds]
        assert len(set(outside)) == len(outside)
        prefixes = [link.prefix6 for link in links + own + translated] + [home.home6 for home in topology.households()]
        assert len(set(prefixes)) == len(prefixes)


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("198.18.1.0/24", "8.8.8.0/24", 9, "not a free lab range; take one of 192.0.2.0/24"),
        ("198.18.1.0/24", "100.64.1.0/24", 9, "not a free lab range"),
        ("198.18.1.0/24", "198.18.0.0/24", 9, "not a free lab range"),
        ("2001:db8:1::/48", "2a00:1::/48", 10, "not a free lab range; take a /48 of 2001:db8::/32"),
        ("2001:db8:1::/48", "2001:db8:1::/56", 10, "smaller than a /48"),
        ("198.18.16.0/24", "198.18.1.0/24", 17, "AS64500 and AS64496 share addresses"),
        ("households = 3", "households = 64", 17, "198.18.16.0/24 is too small; each link takes 4"),
        ("households = 3", "households = 65", 19, "less than or equal to 64"),
        ("asn = 64500", "asn = 64496", 14, "the same ASN twice: 64496"),
        ("user_share = 0.5", "user_share = 0.6", 31, "add up to more than 1"),
        ('cc = "XW"', 'cc = "XB"\nhouseholds = 1', 12, "AS64496 has customers and no resolver"),
        ('["resolver"]', '["web"]', 21, "no resolver; give it a host that serves resolver"),
        ('["resolver"]', '["resolver", "authority"]', 21, "authority and resolver both need port 53"),
        ('name = "resolver"', 'name = "site"', 21, "the same host twice: site"),
        ('cc = "XA", name', 'cc = "XK", name', 3, "`cc` cannot be \"XK\"; write one such as 'XA'"),
        ('name = "site"', 'name = "as64500"', 11, "another place's name; call it something else"),
        ('name = "site"', 'name = "Site"', 11, "write one such as 'site-p'"),
        ('["web"', '["wep"', 11, "did you mean 'web'?"),
        ('"authority"]', '"authority"], colour = 1', 11, "unknown key `colour`"),
        ('"authority"]', '"authority"], only_in = ["XB"]', 11, "XB is not listed"),
        ('access = "mobile"', 'acess = "mobile"', 27, "did you mean 'access'?"),
        ('access = "mobile"', 'ipv6 = "none"', 27, "absent, broken, working"),
        ('["web", "authority"]', '["web"]', 5, "resolvers have nobody to ask"),
        ('["North", "South"]', "[]", 3, "at least 1"),
        ('["North", "South"]', '["North/West"]', 3, "write one such as 'North'"),
        ('name = "small"', "", 1, "the file has no `name`"),
        ('name = "small"', 'name = "small', 2, "not TOML"),
    ],
)
def test_a_fault_is_told_with_its_line(written, old, new, line, words):
    with pytest.raises(FileError) as caught:
        written((old, new))
    assert caught.value.where.endswith(f"small.toml:{line}")
    assert words in str(caught.value)


def test_customers_need_a_listed_country(written):
    with pytest.raises(FileError, match=r"small\.toml:8: AS64496 has customers in XW, which is not listed"):
        written(('cc = "XW"', 'cc = "XW"\nhouseholds = 1'), ('["web", "authority"]', '["resolver"]'))


def test_one_name_may_lead_elsewhere_in_one_country_only(written):
    there = 'hosts = [{ name = "resolver", serves = ["resolver"] }'
    site = '{ name = "cdn", serves = ["web"], names = ["www.site.example"]'
    assert written((there, f'{there}, {site}, only_in = ["XA"] }}'))
    with pytest.raises(FileError, match=r"the same name twice: www\.site\.example for everybody"):
        written((there, f"{there}, {site} }}"))


def test_there_is_one_observatory_and_one_second_broker(written):
    for what in ("observatory", "broker"):
        two = f'{{ name = "one", {what} = true }}, {{ name = "two", {what} = true }}, '
        with pytest.raises(FileError, match=f"small.toml:11: more than one host is {what}"):
            written(("hosts = [", f"hosts = [{two}"))


def test_a_topology_that_is_not_there_is_named():
    with pytest.raises(FileError, match=r"nowhere\.toml:1: there is no such file"):
        load(Path("nowhere"))


def test_hosts_are_found_by_name_or_missed(written):
    topology: Topology = written()
    assert topology.host("site")[0].asn == 64496
    assert topology.second_broker() is None
    for missing in (lambda: topology.host("nobody"), topology.observatory):
        with pytest.raises(TopologyError, match="small has no"):
            missing()
