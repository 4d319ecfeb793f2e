"""What the rows of ``quic`` say behind a censor: the name, the protocol and the host are told apart."""

import pytest

from civobs_wire.failure import Failure
from tests.lab.fix_probed import BAD

pytestmark = [pytest.mark.netns, pytest.mark.labs]

NAMES = {"names": ["bad.example"]}
TIMEOUT, RESET = Failure.GENERIC_TIMEOUT_ERROR, Failure.CONNECTION_RESET
WELL = (None, None, True, None)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        pytest.param(None, WELL, id="nothing"),
        pytest.param({"method": "drop", "layers": ["quic"], **NAMES}, (TIMEOUT, None, True, None), id="name in QUIC"),
        pytest.param({"method": "reset", "layers": ["tls"], **NAMES}, (None, None, True, RESET), id="name in TLS"),
        pytest.param(
            {"method": "drop", "layers": ["tls", "quic"], **NAMES}, (TIMEOUT, None, True, TIMEOUT), id="name in both"
        ),
        pytest.param(
            {"method": "drop", "protocol": "udp", "ports": [443]}, (TIMEOUT, TIMEOUT, False, None), id="all QUIC"
        ),
        pytest.param(
            {"method": "reject", "protocol": "udp", "ports": [443]},
            (Failure.HOST_UNREACHABLE, Failure.HOST_UNREACHABLE, False, None),
            id="all QUIC with a word",
        ),
        pytest.param(
            {"method": "drop", "layers": ["quic"], "residual": "3s", **NAMES},
            # TCP is begun beside it, so it may be through before the name has been seen.
            (TIMEOUT, None, True, ...),
            id="name and all that follows",
        ),
    ],
)
def test_how_quic_fares_beside_a_neutral_name_and_tcp(rule, expected, probed):
    """Failure with the name, failure with a neutral one, whether UDP answered, failure over TCP: in both families."""
    if rule is None:
        rows = probed.rows("quic", url=BAD)["quic"]
    else:
        with probed.censored(**rule):
            rows = probed.rows("quic", url=BAD)["quic"]
    assert [(row.family, row.named) for row in rows] == [(f, named) for f in (4, 6) for named in ("target", "neutral")]
    for target, neutral in (rows[:2], rows[2:]):
        told = (target.failure, neutral.failure, target.udp_answered, target.tcp_failure)
        assert told[:3] == expected[:3]
        assert expected[3] is ... or told[3] == expected[3]
        assert target.status == (200 if target.failure is None else None)
