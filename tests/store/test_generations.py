"""Later topics of a dataset, in PostgreSQL."""

import psycopg
import pytest

from store.database import connect
from store.generations import Generation, TooSoon, add_generation, generations
from store.inspection import clock
from store.processing_postgres import PostgresStore

pytestmark = pytest.mark.services

LEAD_MS = 900_000
HOUR = 3_600_000


def test_generations_are_kept_by_dataset_and_in_order(database_url):
    with connect(database_url) as connection:
        assert generations(connection) == {}
        now = clock(connection)
        added = [
            Generation("energy.readings", 2, now + HOUR, 64),
            Generation("waste.fill-levels", 2, now + HOUR, 8),
            Generation("energy.readings", 3, now + 2 * HOUR, 128),
        ]
        for generation in added:
            add_generation(connection, generation, lead_ms=LEAD_MS)
        assert generations(connection) == {"energy.readings": [added[0], added[2]], "waste.fill-levels": [added[1]]}
    store = PostgresStore(database_url)
    assert store.generations()["waste.fill-levels"] == [added[1]]
    store.close()


def test_a_generation_begins_neither_too_soon_nor_before_another_nor_twice(database_url):
    with connect(database_url) as connection:
        now = clock(connection)
        with pytest.raises(TooSoon, match="less than 15 minutes"):
            add_generation(connection, Generation("energy.readings", 2, now + LEAD_MS - 1, 8), lead_ms=LEAD_MS)
        add_generation(connection, Generation("energy.readings", 2, now + HOUR, 8), lead_ms=LEAD_MS)
        with pytest.raises(TooSoon, match="later time already"):
            add_generation(connection, Generation("energy.readings", 3, now + HOUR, 8), lead_ms=LEAD_MS)
        with pytest.raises(psycopg.errors.UniqueViolation):
            add_generation(connection, Generation("energy.readings", 2, now + 2 * HOUR, 8), lead_ms=LEAD_MS)
        assert len(generations(connection)["energy.readings"]) == 1
