"""Kafka is lost and made anew: the city goes on, and what was lost with it is counted."""

from collections.abc import Iterator

import pytest

from errors import OperatorError
from node.commands.made_anew import made_anew
from node.settings import settings
from store.accounts import topic_accounts
from store.database import connect
from store.processing import TopicChanged
from tests.processors.test_edges import reading
from tests.system.streams import Topic, process_undisturbed, table
from tests.system.test_cut_log import delete_topic

pytestmark = pytest.mark.services

HOURS = 8


@pytest.fixture
def lost(kafka, kafka_log, city, database_url, monkeypatch) -> Iterator[Topic]:
    """The topic of a stream, made anew after its messages were processed; the last of them are in open windows."""
    name = f"{city}.energy.readings.v1"
    topic = Topic(kafka_log, kafka, name)
    topic.send([(b"2", 0, reading(hour, source=hour)) for hour in range(HOURS)])
    process_undisturbed(kafka_log, name, database_url, "before")
    delete_topic(kafka_log, kafka, name)
    for setting, value in (("KAFKA", kafka), ("DATABASE_URL", database_url)):
        monkeypatch.setenv(f"SISTERCITY_{setting}", value)
    monkeypatch.setattr("node.wiring.city", lambda: type("City", (), {"id": city}))
    settings.cache_clear()
    yield Topic(kafka_log, kafka, name)
    settings.cache_clear()


def test_processing_goes_on_with_the_new_topic_once_accepted_and_counts_what_was_lost(
    lost, kafka_log, database_url, capsys
) -> None:
    with connect(database_url) as connection:
        before = topic_accounts(connection)[lost.name]
    cells = table(database_url)["cells"]
    assert before.open > 0
    with pytest.raises(TopicChanged, match="topics made-anew"):
        process_undisturbed(kafka_log, lost.name, database_url, "refused")
    made_anew(accept=False)
    assert f"{before.open} readings are in open windows" in capsys.readouterr().out
    with pytest.raises(TopicChanged):
        process_undisturbed(kafka_log, lost.name, database_url, "refused")
    made_anew(accept=True)
    lost.send([(b"2", 0, reading(hour, source=hour)) for hour in range(HOURS, 3 * HOURS)])
    process_undisturbed(kafka_log, lost.name, database_url, "accepted", accept_cut=True)
    process_undisturbed(kafka_log, lost.name, database_url, "again")
    with connect(database_url) as connection:
        after = topic_accounts(connection)[lost.name]
    assert after.balanced()
    assert (after.messages, after.readings) == (before.messages + 2 * HOURS, before.readings + 2 * HOURS)
    assert after.lost == before.open
    assert set(cells) <= set(table(database_url)["cells"])
    made_anew(accept=False)
    assert "is the one that was processed" in capsys.readouterr().out


def test_another_number_of_partitions_is_refused_and_changes_nothing(lost, kafka, kafka_log, database_url) -> None:
    delete_topic(kafka_log, kafka, lost.name)
    kafka_log.create(lost.name, 3, {"message.timestamp.type": "LogAppendTime"})
    with pytest.raises(OperatorError, match="the new one has 3: delete it"):
        made_anew(accept=True)
