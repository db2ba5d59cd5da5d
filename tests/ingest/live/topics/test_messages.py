"""Messages of a topic by a profile: JSON, and Avro of the same fields; a refused one is a dead letter at its offset."""

import json
from datetime import datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from zoneinfo import ZoneInfo

import fastavro
import pytest

from ingest.files.reading import KEPT_BYTES, Parsed
from ingest.live.sources_file import TableContent, load_sources
from ingest.live.topics.frames import FrameKind, MessageFrame, write_frame
from ingest.tables.table import Table
from store.deliveries import Refused
from tests.node.test_source_pages import PAGES, kept

LIST = """
[[topic]]
name = "telemetry"
bootstrap = "127.0.0.1:9"
topic = "telemetry"
profile = "telemetry.toml"
"""
METER_1 = "meter-1", 1_795_773_600_000, 900_000_000
AVRO = 'values = "avro"\nschema_file = "telemetry.avsc"\n'


@pytest.fixture
def page(tmp_path: Path) -> Path:
    kept(PAGES["topics.md"], tmp_path)
    return tmp_path


def results(page: Path, more: str, frames: list[MessageFrame]) -> list[tuple[int, str | tuple[object, ...]]]:
    """Position, and reason or reading, of each outcome."""
    (page / "sources.toml").write_text(LIST + more)
    [source] = load_sources(page / "sources.toml").topics
    assert isinstance(source.content, TableContent)
    form = source.messages(Table(source.content.profile, source.content.said, ZoneInfo("UTC"), each_line=True))
    with (page / "frames").open("wb") as file:
        for frame in frames:
            write_frame(file, frame)
    found: list[tuple[int, str | tuple[object, ...]]] = []
    contents = {frame.offset: frame.content for frame in frames}
    for outcome in form.read(page / "frames"):
        assert isinstance(outcome, Parsed | Refused)
        assert outcome.original == contents[outcome.position][:KEPT_BYTES].rstrip(b"\r")
        if isinstance(outcome, Parsed):
            found.append((outcome.position, (outcome.source, outcome.start_ms, outcome.value)))
        else:
            found.append((outcome.position, outcome.reason))
    assert list(page.glob("*.lines")) == []
    return found


def values(*contents: bytes, begin: int = 1_000) -> list[MessageFrame]:
    return [MessageFrame(begin + 7 * number, FrameKind.VALUE, content) for number, content in enumerate(contents)]


def written(page: Path) -> list[dict]:
    return [json.loads(line) for line in (page / "telemetry.ndjson").read_text().splitlines()]


def measured(of: dict) -> dict:
    """The same for Avro, whose times and decimals are no texts."""
    energy = None if of["energy"] is None else Decimal(str(of["energy"]))
    return {"at": datetime.fromisoformat(of["at"]), "energy": energy}


def avro(page: Path, document: dict) -> bytes:
    file = BytesIO()
    fastavro.schemaless_writer(file, json.loads((page / "telemetry.avsc").read_text()), document)
    return file.getvalue()


def of_page(page: Path) -> tuple[list[bytes], list[bytes]]:
    """The messages of the page in JSON and in Avro."""
    documents = written(page)
    in_avro = [avro(page, {**document, "measured": measured(document["measured"])}) for document in documents]
    return [json.dumps(document).encode() for document in documents], in_avro


def test_what_is_no_json_record_is_refused_at_its_offset_and_the_others_are_read(page: Path) -> None:
    good = json.dumps(written(page)[0]).encode()
    no_id = json.dumps({"measured": written(page)[0]["measured"]}).encode()
    bad = [b"", b"  ", b"rubbish", b"{", b"[" * 100_000, b"\xff", b"3", no_id, b'{"a": 1, "a": 2}']
    frames = values(*bad, good.replace(b", ", b",\r\n"), good)
    frames += [MessageFrame(9_000, FrameKind.CUT, b"x" * 1_000), MessageFrame(-5, FrameKind.SKIPPED, b"they are gone")]
    found = dict(results(page, "", frames))
    wanted = ["unreadable"] * len(bad) + [METER_1, METER_1, "too-long", "lost"]
    assert [found[frame.offset] for frame in frames] == wanted


def test_one_record_alone_that_lacks_a_field_is_a_dead_letter_and_no_file_that_cannot_be_read(page: Path) -> None:
    assert results(page, "", values(b"{}")) == [(1_000, "time")]


def test_avro_gives_what_json_of_the_same_fields_gives(page: Path) -> None:
    of_json, of_avro = of_page(page)
    found = results(page, "", values(*of_json))
    assert results(page, AVRO, values(*of_avro)) == found == [(1_000, METER_1), (1_007, "missing")]


def test_each_reading_of_a_message_is_read_and_has_its_offset(page: Path) -> None:
    profile = (page / "telemetry.toml").read_text()
    (page / "telemetry.toml").write_text(profile.replace("lines = true", 'lines = true\neach = "measured"'))
    schema = json.loads((page / "telemetry.avsc").read_text())
    schema["fields"][1]["type"] = {"type": "array", "items": schema["fields"][1]["type"]}
    (page / "telemetry.avsc").write_text(json.dumps(schema))
    full, empty = written(page)
    of_json = {**full, "measured": [full["measured"], empty["measured"], full["measured"]]}
    of_avro = {**of_json, "measured": list(map(measured, of_json["measured"]))}
    found = results(page, "", values(b"{}", json.dumps(of_json).encode()))
    wanted = [(1_007, METER_1), (1_007, METER_1), (1_007, "missing")]
    assert found[-3:] == wanted
    assert results(page, AVRO, values(avro(page, of_avro), begin=1_007)) == wanted


def test_what_is_not_in_its_schema_is_refused_and_the_others_are_read(page: Path) -> None:
    [good, _] = of_page(page)[1]
    found = dict(results(page, AVRO, values(good, good[:-1], good + b"\0", b"", b"{}", good)))
    assert list(found.values()).count("not-in-schema") == 4
    assert found[1_000] == found[1_035] == METER_1
