"""From when a stream can go on in another topic, and which can."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from node.commands.grow import _beginning, _growing
from node.stream_topics import StreamTopic, stream_topics
from node.topic_plan import planned_topics
from node.wiring import CommandError
from schemas.topics import live
from store.generations import Generation

ZONE = "Asia/Tehran"


def local(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, ZoneInfo(ZONE)).isoformat()


def test_a_stream_of_traffic_cannot_grow():
    for dataset in ("traffic.plate-regions", "traffic.frames", "no.such"):
        with pytest.raises(
            CommandError, match=r"only energy.readings, traffic.counts, waste.collections, waste.fill-levels can"
        ):
            _growing(dataset)


def test_without_a_time_it_is_the_next_at_which_windows_of_all_metrics_begin():
    lead = 900_000
    energy = _beginning(_growing("energy.readings"), ZONE, None, lead)
    assert local(energy)[14:19] == "00:00"
    month = _beginning(_growing("waste.collections"), ZONE, None, lead)
    assert local(month)[8:19] == "01T00:00:00"


def test_a_time_at_which_no_window_begins_is_refused_with_the_next():
    metrics = _growing("energy.readings")
    given = datetime(2027, 3, 1, 14, 0)
    assert local(_beginning(metrics, ZONE, given, 0)) == "2027-03-01T14:00:00+03:30"
    with pytest.raises(CommandError, match=r"no window of energy\.\w+ begins at .*14:20; .* begin at 2027-03-01T15:00"):
        _beginning(metrics, ZONE, given.replace(minute=20), 0)


def test_later_topics_are_among_those_of_the_city_each_with_its_times():
    later = {"energy.readings": [Generation("energy.readings", 2, 50, 64), Generation("energy.readings", 3, 70, 128)]}
    first, *rest = [topic for topic in stream_topics("town", later) if topic.dataset == "energy.readings"]
    assert first == StreamTopic("town.energy.readings.v1", "energy.readings", None, 50, None)
    assert [(topic.begins_ms, topic.ends_ms, topic.partitions) for topic in rest] == [(50, 70, 64), (70, None, 128)]
    planned = {topic.topic: topic.partitions for topic in planned_topics("town", 32, later)}
    assert planned[live("town", "energy.readings")] == 32
    assert planned[live("town", "energy.readings", 3)] == 128
