"""The lab's map says of each address what the topology says, as the collector's reader reads it."""

from pathlib import Path

import maxminddb
import pytest

from civobs_lab import lab_map
from civobs_lab.topology import load


@pytest.fixture(scope="module")
def topology():
    return load(Path("wide"))


@pytest.fixture(scope="module")
def reader(topology, tmp_path_factory):
    file = tmp_path_factory.mktemp("map") / "lab.mmdb"
    lab_map.write(topology, file)
    with maxminddb.open_database(str(file)) as opened:
        yield opened


def test_a_record_has_country_and_network(reader):
    assert reader.get("198.18.16.6") == {
        "country": {"iso_code": "XA"},
        "autonomous_system_number": 64500,
        "autonomous_system_organization": "Arland Telecom",
    }


def test_each_server_and_each_home_is_found_by_both_its_addresses(topology, reader):
    for network, _, link in topology.hosts():
        for address in (link.address, link.address6, link.second, link.second6):
            assert reader.get(address)["autonomous_system_number"] == network.asn
    for household in topology.households():
        for prefix in household.seen_as:
            found = reader.get(prefix[0])
            assert found["autonomous_system_number"] == household.network.asn
            assert found["country"]["iso_code"] == household.network.cc


def test_a_number_that_needs_32_bits_is_kept(reader):
    assert reader.get("198.18.48.1")["autonomous_system_number"] == 65540


def test_shared_private_and_foreign_addresses_have_no_record(reader):
    for address in ("100.64.0.2", "192.168.1.2", "198.18.0.1", "8.8.8.8", "2001:db8::1", "2001:4860:4860::8888"):
        assert reader.get(address) is None
