"""The lab's map: which country and which network an address belongs to, in the form the collector reads (MMDB).

The records have the fields of MaxMind's country and ASN databases in one file, as DB-IP and IPinfo publish them too.
Addresses of homes behind carrier NAT and the links of the core have no record, as private addresses have none.
"""

from pathlib import Path

from mmdb_writer import MMDBWriter
from netaddr import IPSet

from civobs_lab.topology import Topology


def write(topology: Topology, path: Path) -> None:
    """Write a record for both prefixes of every network."""
    languages = {"en": f"Country and network of the lab's addresses in {topology.name}"}
    writer = MMDBWriter(
        ip_version=6,
        database_type="civobs-lab-Country-ASN",
        languages=list(languages),
        description=languages,
        ipv4_compatible=True,
        int_type="u32",
    )
    for network in topology.networks:
        record = {
            "country": {"iso_code": network.cc},
            "autonomous_system_number": network.asn,
            "autonomous_system_organization": network.name,
        }
        writer.insert_network(IPSet([str(network.prefix), str(network.prefix6)]), record)
    writer.to_db_file(str(path))
