"""Puts the receipts of the database in place of those that the broker retains.

For after a restore: a retained receipt from before the loss may settle what the database does not have, and a probe
that comes back and reads it would let go of its copy.
"""

import ssl
from datetime import datetime
from typing import cast

from paho.mqtt import MQTTException, publish
from paho.mqtt.enums import MQTTProtocolVersion

from civobs_collector.config import CollectorSettings
from civobs_collector.db.connect import Connection
from civobs_collector.errors import ResourceError
from civobs_collector.ingest import store
from civobs_collector.ingest.link import broker_password, tls_context
from civobs_collector.ingest.receipts import sign_receipt
from civobs_collector.keys import read_private
from civobs_wire.topics import Leaf, Topic


def replace_receipts(settings: CollectorSettings, conn: Connection, now: datetime) -> int:
    """Publish every probe's receipt as the database has it; gives their number.

    Raises ResourceError if the broker does not take them, ConfigError or KeyFileError for what a person has to correct.
    """
    key, broker = read_private(settings.keys.receipt_key), settings.broker
    messages: publish.MessagesList = [
        (str(Topic(probe_id, Leaf.RECEIPT)), sign_receipt(key, probe_id, settled, (), now), 1, True)
        for probe_id, settled in store.read_all_settled(conn)
    ]
    if not messages:
        return 0
    remedy = "start the broker before the probes can reach it, then run: civobs archive replay"
    try:
        publish.multiple(
            messages,
            hostname=broker.host,
            port=broker.port,
            client_id="civobs-receipts",
            keepalive=broker.keepalive_s,
            auth={"username": broker.username, "password": broker_password(broker) or ""} if broker.username else None,
            # Its types do not say that a context is taken; its documentation does.
            tls=cast("publish.TLSParameter | None", tls_context(broker)),
            protocol=MQTTProtocolVersion.MQTTv5,
        )
    except (OSError, ssl.SSLError, ValueError, MQTTException) as error:
        raise ResourceError(f"the broker at {broker.host}:{broker.port} took no receipts: {error}", remedy) from None
    return len(messages)
