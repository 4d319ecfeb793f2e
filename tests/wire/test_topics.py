"""Topics name one probe, under the one shard that follows from its id."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civobs_wire.errors import TopicError
from civobs_wire.topics import SHARDS, Leaf, Topic, all_shards, parse_topic, shard_of, subscriptions

PROBE_IDS = st.text(alphabet="0123456789abcdefghjkmnpqrstvwxyz", min_size=16, max_size=16)


@given(PROBE_IDS, st.sampled_from(Leaf))
def test_a_topic_reads_back_as_it_was_written(probe_id, leaf):
    assert parse_topic(str(Topic(probe_id, leaf))) == Topic(probe_id, leaf)


def test_the_shard_function_is_fixed():
    assert shard_of("7k3m9qxp4a2bc5de") == "1b"
    assert len(all_shards()) == SHARDS == 64


def test_another_shard_is_refused():
    with pytest.raises(TopicError, match="belongs to shard"):
        parse_topic("civobs/v1/00/7k3m9qxp4a2bc5de/batch")


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "civobs/v1/00/x/batch",
        "civobs/v2/00/7k3m9qxp4a2bc5de/batch",
        "civobs/v1/00/7k3m9qxp4a2bc5de/batch/",
        "$SYS/x",
        f"{Topic('7k3m9qxp4a2bc5de', Leaf.BATCH)}\n",
    ],
)
def test_what_is_no_topic_of_ours_is_refused(topic):
    with pytest.raises(TopicError):
        parse_topic(topic)


def test_a_collector_of_all_shards_needs_one_filter():
    assert subscriptions(all_shards(), Leaf.BATCH) == ("civobs/v1/+/+/batch",)
    assert subscriptions(("00", "01"), Leaf.BATCH) == ("civobs/v1/00/+/batch", "civobs/v1/01/+/batch")
