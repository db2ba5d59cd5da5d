"""PostgreSQL fails over to an asynchronous standby that lacks the last commits."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from federation.publications.publisher import Publisher
from federation.publications.schedule import Since, Stream
from store.database import connect
from store.processing_postgres import PostgresStore
from tests.federation.city import IMPORT, T0, TOPIC
from tests.federation.restoring import CITY, due_at, numbers, twelve_hours
from tests.processors.test_edges import reading
from tests.system.standby import postgres_pair
from tests.system.streams import Topic, process_undisturbed, table
from tests.waiting import until

pytestmark = pytest.mark.services


@contextmanager
def publishing_until(url: str, ledger: Path, hours: Sequence[int]) -> Iterator[None]:
    """A publisher that runs; its clock shows the slot of the last of `hours`."""
    stop = threading.Event()
    streams = [Stream(TOPIC, [IMPORT])]
    publisher = Publisher(
        *(url, ledger, CITY, "UTC", lambda connection: streams),
        since=Since(T0),
        clock=lambda: due_at(hours[-1]),
        poll_s=0.1,
        stop=stop,
    )
    thread = threading.Thread(target=publisher.run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def kinds(url: str) -> list[str]:
    with connect(url) as connection:
        return [kind for _, _, kind in numbers(connection)]


def rows_of(url: str, topic: str) -> list[tuple]:
    """Cells, dead letters and account of a topic."""
    found = table(url)
    return [row for name in ("cells", "dead", "account") for row in found[name] if topic in row]


def test_roles_go_on_with_the_standby_and_what_it_lacks_is_read_again_or_entered_as_lost(
    kafka, kafka_log, city, database_url, tmp_path
) -> None:
    name = f"{city}.energy.readings.v1"
    topic = Topic(kafka_log, kafka, name)
    hours, ledger = [1], tmp_path / "ledger.jsonl"
    with postgres_pair(tmp_path / "pair") as pair:
        twelve_hours(pair.url)
        topic.send([(b"2", 0, reading(hour, source=hour)) for hour in range(6)])
        process_undisturbed(kafka_log, name, pair.url, "first")
        store = PostgresStore(pair.url)
        before = store.next_offsets([name])
        with publishing_until(pair.url, ledger, hours):
            until(lambda: len(kinds(pair.url)) == 2, "two hours are published", pause_s=0.05)
            pair.caught_up()
            pair.cut_off()
            hours.append(3)
            topic.send([*((b"2", 0, reading(hour, source=hour)) for hour in range(6, 12)), (b"2", 0, b"broken")])
            process_undisturbed(kafka_log, name, pair.url, "second")
            until(lambda: len(kinds(pair.url)) == 4, "two more are published", pause_s=0.05)
            assert store.next_offsets([name]) != before
            pair.fail_over()
            hours.append(5)
            until(lambda: len(kinds(pair.url)) == 6, "publishing goes on", pause_s=0.1)
        assert kinds(pair.url) == ["publication"] * 2 + ["lost"] * 2 + ["publication"] * 2
        process_undisturbed(kafka_log, name, pair.url, "third", store)
        process_undisturbed(kafka_log, name, database_url, "undisturbed")
        assert rows_of(pair.url, name) == rows_of(database_url, name)
        assert len(rows_of(pair.url, name)) > len(before)
