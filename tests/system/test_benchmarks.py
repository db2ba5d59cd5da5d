"""A benchmark measures what was done: a result with one wrong cell, or one reading too few, has no figure."""

from dataclasses import replace

import pytest

from benchmarks.readings import check, energy, filled
from benchmarks.workers import Work, process
from eventlog.kafka import KafkaLog
from store.database import connect
from tests.conftest import WORKER

pytestmark = pytest.mark.services


def test_a_run_is_verified_to_the_cell(running_services, database_url):
    stream = replace(energy(500, 2, partitions=2, areas=3), city=f"bench-{WORKER}")
    written = filled(KafkaLog(running_services.kafka), stream)
    run = process(Work(running_services.kafka, "kafka-python", database_url, f"bench-{WORKER}", [stream.topic]))
    assert run.cpu_s > 0
    with connect(database_url) as connection:
        assert "every reading accounted for" in check(connection, stream, written)
        connection.execute("UPDATE cells SET value = value + 1 WHERE area = 2 AND class = 'commercial'")
        with pytest.raises(SystemExit, match=r"cells of .* are wrong"):
            check(connection, stream, written)
        written.readings += 1
        with pytest.raises(SystemExit, match="the account is wrong"):
            check(connection, stream, written)
