"""Every kind of bad input, through the real Kafka: each ends where the rules put it, and the stream goes on."""

import io
import time

import fastavro
import numpy as np
import psycopg
import pytest

from schemas.batch import ROW, encode
from schemas.registry import schemas
from schemas.topics import live
from tests.system.days import ENERGY, HOUR
from tests.system.streams import Topic, process_undisturbed, table

pytestmark = pytest.mark.services

NOW = round(time.time() * 1000)
START = (NOW - 4 * HOUR) // HOUR * HOUR - HOUR // 2  # a full hour on Tehran's clock, four to five hours ago
QUARTER = HOUR // 4


def batch(*rows, start=START, interval=QUARTER, **header) -> bytes:
    fields = {"metric": "energy.import", "area": 1, "class_": "residential", **header}
    return encode(1, **fields, interval=interval, start=start, rows=np.array(list(rows), ROW))


def two_blocks(*rows) -> bytes:
    """Legal Avro that is no single block: one row a block, each with a negative count and its size in bytes."""
    whole = batch(*rows)
    head = whole[: len(batch(rows[0])) - ROW.itemsize - 2]
    blocks = b"".join(b"\x01\x2a" + np.array([row], ROW).tobytes() for row in rows)  # -1, then 21 zig-zag
    return head + blocks + b"\x00"


def good(source: int, value: int = 100) -> tuple:
    return (source, source, 0, value, 1)


GOOD = batch(good(1))
MESSAGE_KINDS = {
    "cut": (b"1", GOOD[:-5]),
    "unknown-schema": (b"1", b"\x00\x00\x00\x03\xe7" + GOOD[5:]),
    "not-confluent": (b"1", b"{}" + GOOD),
    "not-avro": (b"1", GOOD[:5] + b"\x04\xff\xfe" + GOOD[6:]),  # the metric is no UTF-8
    "trailing": (b"1", GOOD + b"\x00\x00"),
    "unknown-metric": (b"1", batch(good(1), metric="energy.export")),
    "unknown-class": (b"1", batch(good(1), class_="rural")),
    "wrong-key": (b"2", GOOD),
    "future-tick": (None, batch(start=NOW + 17 * 365 * 24 * HOUR)),
}
ROW_KINDS = {
    "not-finite": batch((2, 2, 0, float("nan"), 1)),
    "not-whole": batch((3, 3, 0, 0.5, 1)),
    "out-of-range": batch((4, 4, 0, -1, 1)),
    "future": batch((5, 5, 0, 1, 1), start=NOW + 17 * 365 * 24 * HOUR),
    "interval": batch((6, 6, 0, 1, 1), interval=2 * HOUR),
    "time": batch((7, 7, 0.5, 1, 1)),
    "quality": batch((8, 8, 0, 1, 9)),
}


def test_each_ends_where_the_rules_put_it_and_the_stream_goes_on(kafka_log, kafka, city, database_url):
    topic = Topic(kafka_log, kafka, live(city, ENERGY))
    topic.send([(key, 0, value) for key, value in MESSAGE_KINDS.values()])
    topic.send([(b"1", 0, value) for value in ROW_KINDS.values()])
    topic.send([
        (b"1", 0, GOOD),
        (b"1", 0, GOOD),  # the same batch again
        (b"1", 0, two_blocks(good(9), good(10))),
        (b"1", 0, batch((1, 1, 0, 70, 0))),  # an estimate that comes late changes nothing
        (None, 0, batch(start=START + 3 * HOUR)),
        (b"1", 0, batch(good(11))),  # its window has closed
        (b"1", 0, batch(good(12), start=START + 2 * HOUR)),
        *[(None, partition, batch(start=START + 3 * HOUR)) for partition in range(1, 4)],
    ])  # fmt: skip
    process_undisturbed(kafka_log, topic.name, database_url, topic.name)

    found = table(database_url)
    letters = {(reason, row): bytes(original) for _, _, _, row, reason, original in found["dead"]}
    assert {reason: letters[reason, -1] for reason in MESSAGE_KINDS} == {
        reason: value for reason, (_, value) in MESSAGE_KINDS.items()
    }
    originals = {reason: value[-1 - ROW.itemsize : -1] for reason, value in ROW_KINDS.items()}
    assert {reason: letters[reason, 0] for reason in ROW_KINDS} == originals
    assert len(letters) == len(MESSAGE_KINDS) + len(ROW_KINDS)

    with psycopg.connect(database_url) as connection:
        account = connection.execute(
            "SELECT messages, decoded, dead, converted, readings, aggregated, duplicate, late, rejected, open"
            " FROM stream_offsets WHERE partition = 0"
        ).fetchone()
        cells = connection.execute("SELECT value, readings, contributors FROM cells").fetchall()
    assert account == (23, 14, 9, 1, 14, 3, 2, 1, 7, 1)
    assert cells == [(300, 3, 3)]


def test_a_stock_avro_writer_is_read_whatever_blocks_it_chooses(kafka_log, kafka, city, database_url):
    topic = Topic(kafka_log, kafka, live(city, ENERGY))
    record = {"metric": "energy.import", "area": 1, "class": "residential", "interval": QUARTER, "start": START}
    rows = [
        {
            "source": bytes([n, 0, 0, 0]),
            "contributor": bytes([n, 0, 0, 0]),
            "after": 0.0,
            "value": 5.0,
            "quality": b"\x01",
        }
        for n in range(3)
    ]
    body = _written({**record, "rows": rows})
    topic.send([(b"1", 0, b"\x00\x00\x00\x00\x01" + body), (None, 0, batch(start=START + 3 * HOUR))])
    process_undisturbed(kafka_log, topic.name, database_url, topic.name)
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT value, contributors FROM cells").fetchall() == [(15, 3)]


def _written(record: dict) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(dict(schemas()[1].definition)), record)
    return out.getvalue()
