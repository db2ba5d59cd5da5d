"""Stock Confluent clients on the real Kafka, with this city's API as their schema registry: they read us, we read them.

Nothing of the project decodes or encodes on their side. `tests.oracle` gives what must come out of their messages.
"""

import itertools
import struct
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pytest
from confluent_kafka import OFFSET_BEGINNING, DeserializingConsumer, SerializingProducer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer

from eventlog.kafka import KafkaLog
from ingest.batches import ReadingColumns, messages, tick
from schemas.batch import ACTUAL, REGION
from schemas.catalogue import catalogue, sent_in
from schemas.frames import Frame, encode_frame
from schemas.regions import encode_regions, key_of
from schemas.registry import schema_named
from schemas.topics import FRAMES, REGIONS, live, settings
from store.moments import milliseconds
from tests import oracle
from tests.federation.city import ISFAHAN, serving
from tests.system.days import PARTITIONS, ZONE
from tests.system.streams import process_undisturbed

pytestmark = pytest.mark.services

BATCHES = ("energy.readings", "waste.fill-levels", "waste.collections", REGIONS)
NOW = datetime.fromtimestamp(int(time.time()), UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
FEEDER = "meters"
SECONDS = 60
BLOCKS = ((1, False), (3, True), (1, True), (500, True), (500, False), (2, False), (3, False))
"""How many items a block of an array has, and whether its size in bytes stands before it."""

AMOUNTS = ("value", "readings", "contributors", "largest", "absolute", "covered_ms")
LATEST = {"auto.register.schemas": False, "use.latest.version": True}


def local_start(when: datetime, window: str) -> datetime:
    """The start of the window that holds a time, in UTC."""
    start, _ = oracle.window(ZONE, milliseconds(when), window)
    return datetime.fromtimestamp(start / 1000, UTC)


def month_before_last() -> tuple[datetime, datetime]:
    last = local_start(local_start(NOW, "month") - HOUR, "month")
    return local_start(last - HOUR, "month"), last


def spans(metric: str) -> list[tuple[datetime, timedelta]]:
    """When readings of the metric begin and how long they are; all of their windows are over by now."""
    if metric == "waste.tonnage":
        start, end = month_before_last()
        return [(start, end - start)]
    if metric == "waste.collected":
        midnight = local_start(NOW - 3 * DAY, "day")
        return [(midnight + timedelta(hours=5, minutes=n), timedelta()) for n in (0, 7, 61)]
    begin = local_start(NOW - 6 * HOUR, "hour")
    length = timedelta() if metric == "waste.fill" else HOUR / 4
    return [(begin + n * HOUR / 4, length) for n in range(8)]


def batch_dicts(dataset: str) -> list[dict]:
    """Batches of every metric of a dataset, in the order of time, as any Avro writer takes them."""
    made: list[dict[str, Any]] = []
    for metric in sent_in(dataset):
        for start, length in spans(metric.name):
            for area in (1, 2, 3):
                for place, class_ in enumerate(metric.classes):
                    sources = [100 * area + 10 * place + n for n in range(4)]
                    made.append(
                        {
                            "metric": metric.name,
                            "area": area,
                            "class": class_,
                            "interval": length // timedelta(milliseconds=1),
                            "start": start,
                            "feeder": FEEDER,
                            "rows": [row(source, source * 7 + start.minute) for source in sources],
                        }
                    )
    if dataset == REGIONS:
        for batch in made:
            batch["regions"] = [region(n) for n in range(3)]
            batch["rows"] = [row(900 + batch["area"], 3 * catalogue()[batch["metric"]].smallest_per_unit)]
    return sorted(made, key=lambda batch: batch["start"])


def row(source: int, value: int) -> dict:
    """A reading; two sources next to each other are of one contributor."""
    number, contributor = struct.pack("<I", source), struct.pack("<I", source // 2)
    return {"source": number, "contributor": contributor, "after": 0.0, "value": float(value), "quality": b"\x01"}


def region(n: int) -> dict:
    x, y, w, h = (struct.pack("<H", 300 * n + side) for side in (1, 2, 40, 20))
    return {"x": x, "y": y, "w": w, "h": h, "score": n / 4, "form": bytes([n])}


def tick_dict(dataset: str) -> dict:
    metric = sent_in(dataset)[0]
    nothing: dict = {"metric": metric.name, "area": 0, "class": metric.classes[0], "interval": 0, "start": NOW}
    nothing["feeder"] = FEEDER
    return {**nothing, "rows": []} | ({"regions": []} if dataset == REGIONS else {})


def expected_cells(batches: list[dict]) -> dict[tuple, dict]:
    """(metric, window's start, area, class) -> amounts but for the offsets, of these batches with a tick after them."""
    parts = [
        {**batch, "start": milliseconds(batch["start"])}
        for batch in [*batches, {"start": NOW, "feeder": FEEDER, "rows": []}]
    ]
    messages = [(offset, milliseconds(NOW), part) for offset, part in enumerate(parts)]
    cells = oracle.fold(messages, dict(catalogue()), ZONE).cells
    return {
        (metric, start, area, class_): {name: amounts[name] for name in AMOUNTS}
        for (metric, start, _, area, class_), amounts in cells.items()
    }


def found_cells(database_url: str) -> dict[tuple, dict]:
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            f"SELECT metric, window_start, area, class, {', '.join(AMOUNTS)} FROM cells"
        ).fetchall()
    return {
        (metric, milliseconds(start), area, class_): dict(zip(AMOUNTS, amounts, strict=True))
        for metric, start, area, class_, *amounts in rows
    }


def account(database_url: str) -> dict[str, int]:
    columns = ("messages", "dead", "converted", "readings", "aggregated", "open")
    sums = ", ".join(f"sum({column})" for column in columns)
    with psycopg.connect(database_url) as connection:
        found = connection.execute(f"SELECT {sums} FROM stream_offsets").fetchone()
    assert found is not None
    return dict(zip(columns, map(int, found), strict=True))


@pytest.fixture
def registry(database_url: str, city: str) -> Iterator[SchemaRegistryClient]:
    with serving(database_url, replace(ISFAHAN, id=city)) as url, SchemaRegistryClient({"url": url}) as client:
        yield client


def readings_of(batches: list[dict]) -> Iterator[ReadingColumns]:
    """The same batches as ingest knows readings."""
    for batch in batches:
        metric, count = catalogue()[batch["metric"]], len(batch["rows"])
        sources = np.frombuffer(b"".join(row["source"] for row in batch["rows"]), "<u4")
        yield ReadingColumns(
            metric=metric,
            interval=batch["interval"],
            area=np.full(count, batch["area"], np.int32),
            class_=np.full(count, metric.classes.index(batch["class"]), np.uint8),
            source=sources,
            contributor=sources // 2,
            start=np.full(count, round(batch["start"].timestamp() * 1000), np.int64),
            value=np.array([row["value"] for row in batch["rows"]]),
            quality=np.full(count, ACTUAL, np.uint8),
        )


def frame_of(batch: dict, picture: bytes | None = b"") -> Frame:
    camera = 900 + batch["area"]
    start = round(batch["start"].timestamp() * 1000)
    return Frame(
        batch["metric"], batch["area"], batch["class"], batch["interval"], start, camera, camera // 2, picture, FEEDER
    )


def write_ours(log: KafkaLog, topic: str, dataset: str, batches: list[dict]) -> None:
    """Send batches as ingest and the detector do, and a tick after them."""
    log.create(topic, PARTITIONS, settings(dataset))
    writer = log.writer()
    if dataset == REGIONS:
        for batch in batches:
            frame = frame_of(batch)
            packed = b"".join(packed_region(region) for region in batch["regions"])
            writer.send(topic, key_of(frame), encode_regions(frame, np.frombuffer(packed, REGION), FEEDER), 1)
    else:
        for readings in readings_of(batches):
            for message in messages(readings, FEEDER):
                writer.send(topic, message.key, message.value, message.readings)
    for partition in range(PARTITIONS):
        writer.send_to(topic, partition, tick(dataset, round(NOW.timestamp() * 1000), FEEDER))
    writer.close()


def read_by_stock(kafka: str, topic: str, registry: SchemaRegistryClient, count: int, conf: dict) -> list[dict]:
    """What a stock consumer finds in a topic."""
    consumer = DeserializingConsumer(
        {
            "bootstrap.servers": kafka,
            "group.id": f"{topic}-stock",
            "value.deserializer": AvroDeserializer(registry, conf=conf),
        }
    )
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in range(PARTITIONS)])
    found: list[Any] = []
    until = time.monotonic() + SECONDS
    try:
        while len(found) < count:
            assert time.monotonic() < until, f"{len(found)} of {count} messages came"
            message = consumer.poll(0.1)
            if message is not None:
                assert message.error() is None
                found.append(message.value())
    finally:
        consumer.close()
    return found


def write_stock(
    log: KafkaLog,
    kafka: str,
    topic: str,
    registry: SchemaRegistryClient,
    dataset: str,
    *,
    schema: str | None,
    conf: dict,
) -> None:
    """Send batches and ticks as a stock producer does."""
    log.create(topic, PARTITIONS, settings(dataset))
    producer = SerializingProducer(
        {
            "bootstrap.servers": kafka,
            "partitioner": "murmur2_random",  # Kafka's own; librdkafka's default is another
            "value.serializer": AvroSerializer(registry, schema, conf=conf),
        }
    )
    for batch in batch_dicts(dataset):
        producer.produce(topic, key=str(batch["area"]).encode(), value=batch)
    for partition in range(PARTITIONS):
        producer.produce(topic, value=tick_dict(dataset), partition=partition)
    assert producer.flush(SECONDS) == 0
    producer.close()  # or it would look for its broker for as long as the tests run


def comparable(batch: dict) -> tuple:
    """A batch without the order of its rows, and with nothing that differs only in how it is held."""
    rest = {name: value for name, value in batch.items() if name not in ("rows", "regions")}
    rows = sorted(tuple(sorted(row.items())) for row in batch.get("rows", []))
    regions = [tuple(sorted(region.items())) for region in batch.get("regions", [])]
    return tuple(sorted(rest.items())), tuple(rows), tuple(regions)


@pytest.mark.parametrize("conf", [{}, {"use.latest.version": True}], ids=["as it is", "latest"])
@pytest.mark.parametrize("dataset", BATCHES)
def test_a_stock_consumer_reads_every_field_of_our_batches(dataset, conf, kafka, kafka_log, city, registry):
    topic, batches = live(city, dataset), batch_dicts(dataset)
    write_ours(kafka_log, topic, dataset, batches)
    found = read_by_stock(kafka, topic, registry, len(batches) + PARTITIONS, conf)
    expected = [*batches, *[tick_dict(dataset)] * PARTITIONS]
    assert sorted(map(comparable, found)) == sorted(map(comparable, expected))


def test_a_stock_consumer_reads_every_field_of_our_frames(kafka, kafka_log, city, registry):
    topic = live(city, FRAMES)
    frames = [
        frame_of(batch, picture) for batch in batch_dicts(REGIONS)[:5] for picture in (b"\xff\xd8 jpeg", b"", None)
    ]
    kafka_log.create(topic, PARTITIONS, settings(FRAMES))
    writer = kafka_log.writer()
    for frame in frames:
        writer.send(topic, b"%d" % frame.camera, encode_frame(frame))
    writer.close()
    expected = [
        {
            "metric": frame.metric,
            "area": frame.area,
            "class": frame.class_,
            "interval": frame.interval,
            "start": datetime.fromtimestamp(frame.start / 1000, UTC),
            "camera": frame.camera,
            "contributor": frame.contributor,
            "feeder": frame.feeder,
            "picture": frame.picture,
        }
        for frame in frames
    ]
    found = read_by_stock(kafka, topic, registry, len(frames), {})
    assert sorted(found, key=repr) == sorted(expected, key=repr)


@pytest.mark.parametrize("dataset", BATCHES)
def test_what_a_stock_producer_writes_comes_to_the_right_cells(dataset, kafka, kafka_log, city, registry, database_url):
    topic, batches = live(city, dataset), batch_dicts(dataset)
    write_stock(kafka_log, kafka, topic, registry, dataset, schema=None, conf=LATEST)
    process_undisturbed(kafka_log, topic, database_url, topic)
    assert found_cells(database_url) == expected_cells(batches)
    counted = account(database_url)
    assert counted["messages"] == len(batches) + PARTITIONS
    assert counted["aggregated"] == counted["readings"] == sum(len(batch["rows"]) for batch in batches)
    assert (counted["dead"], counted["open"]) == (0, 0)


@pytest.mark.parametrize(
    "conf",
    [
        {},
        {"auto.register.schemas": False},
        {"auto.register.schemas": False, "normalize.schemas": True},
        {"auto.register.schemas": True, "normalize.schemas": True},
    ],
    ids=["as it is", "looked up", "normalized", "registered"],
)
def test_a_stock_producer_with_a_schema_of_its_own_finds_it_registered(
    conf, kafka, kafka_log, city, registry, database_url
):
    dataset, text = BATCHES[0], registry.get_schema(schema_named(f"{BATCHES[0]}.v1").id).schema_str
    topic = live(city, dataset)
    write_stock(kafka_log, kafka, topic, registry, dataset, schema=text, conf=conf)
    process_undisturbed(kafka_log, topic, database_url, topic)
    assert found_cells(database_url) == expected_cells(batch_dicts(dataset))


@pytest.mark.parametrize("dataset", BATCHES)
def test_arrays_in_any_legal_blocks_come_to_the_right_cells(dataset, kafka_log, city, database_url):
    topic, batches = live(city, dataset), batch_dicts(dataset)
    kafka_log.create(topic, PARTITIONS, settings(dataset))
    writer = kafka_log.writer()
    converted = 0
    for batch, (size, with_bytes) in zip(batches, itertools.cycle(BLOCKS), strict=False):
        writer.send(topic, str(batch["area"]).encode(), by_hand(dataset, batch, size, with_bytes), len(batch["rows"]))
        # One block without its size in bytes is how we write, too.
        converted += with_bytes or max(len(batch["rows"]), len(batch.get("regions", []))) > size
    for partition in range(PARTITIONS):
        writer.send_to(topic, partition, by_hand(dataset, tick_dict(dataset), 1, True))
    writer.close()
    process_undisturbed(kafka_log, topic, database_url, topic)
    assert found_cells(database_url) == expected_cells(batches)
    counted = account(database_url)
    assert (counted["dead"], counted["converted"]) == (0, converted)
    assert 0 < converted < len(batches)


def by_hand(dataset: str, batch: dict, size: int, with_bytes: bool) -> bytes:
    """A message by the letter of the Avro specification: arrays in blocks of `size` items."""
    start = round(batch["start"].timestamp() * 1000)
    return b"".join(
        (
            b"\x00" + struct.pack(">I", schema_named(f"{dataset}.v1").id),
            *(text(batch["metric"]), varint(batch["area"]), text(batch["class"])),
            *(varint(batch["interval"]), varint(start)),
            array([packed_region(region) for region in batch["regions"]], size, with_bytes)
            if "regions" in batch
            else b"",
            array([packed_row(row) for row in batch["rows"]], size, with_bytes),
        )
    )


def packed_row(row: dict) -> bytes:
    return row["source"] + row["contributor"] + struct.pack("<fd", row["after"], row["value"]) + row["quality"]


def packed_region(region: dict) -> bytes:
    box = region["x"] + region["y"] + region["w"] + region["h"]
    return box + struct.pack("<f", region["score"]) + region["form"]


def array(items: list[bytes], size: int, with_bytes: bool) -> bytes:
    out = b""
    for first in range(0, len(items), size):
        block = items[first : first + size]
        body = b"".join(block)
        out += varint(-len(block)) + varint(len(body)) + body if with_bytes else varint(len(block)) + body
    return out + b"\x00"


def text(words: str) -> bytes:
    return varint(len(words)) + words.encode()


def varint(number: int) -> bytes:
    coded, out = number * 2 if number >= 0 else -number * 2 - 1, []
    while coded > 127:
        out.append(coded % 128 + 128)
        coded //= 128
    return bytes([*out, coded])
