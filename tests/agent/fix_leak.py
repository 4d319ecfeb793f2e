"""A device at home whose kernel notes every address that it sends a packet to."""

OWN4, GATEWAY4, OWN6, GATEWAY6 = "192.168.77.2", "192.168.77.1", "2a02:810:5::2", "2a02:810:5::1"
COUNT = f"""
table inet leak {{
  set to4 {{ type ipv4_addr; flags dynamic; }}
  set to6 {{ type ipv6_addr; flags dynamic; }}
  chain out {{
    type filter hook output priority 0;
    oifname "lo" ip saddr {OWN4} ip daddr {OWN4} return
    oifname "lo" ip6 saddr {OWN6} ip6 daddr {OWN6} return
    icmpv6 type {{ nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, mld2-listener-report }} return
    add @to4 {{ ip daddr }}
    add @to6 {{ ip6 daddr }}
  }}
}}
"""
"""Left out is the kernel's own: what it tells itself of hosts it cannot reach, and neighbour discovery."""
