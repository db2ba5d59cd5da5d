"""Schemas of a registry: what it answers, and what it must not be able to do."""

import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventlog.protocol import LogUnavailable
from ingest.live.answers import Connecting
from ingest.live.topics.avro_schema import LONGEST_SCHEMA, NotInSchema
from ingest.live.topics.registry import RegistryAddress, SchemaRegistry
from tests.polled_server import PolledServer, polled_server

DEVICE = {"type": "record", "name": "Device", "fields": [{"name": "id", "type": "string"}]}
TELEMETRY = {"type": "record", "name": "Telemetry", "fields": [{"name": "device", "type": "Device"}]}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PolledServer]:
    folder = tmp_path_factory.mktemp("registry") / "served"
    with polled_server(folder) as running:
        (folder / "schemas/ids").mkdir(parents=True)
        (folder / "subjects/device/versions").mkdir(parents=True)
        yield running


@pytest.fixture
def registry(server: PolledServer, tmp_path: Path) -> SchemaRegistry:
    (tmp_path / "secret").write_text("Basic c2VjcmV0\n")
    headers = {"Authorization": tmp_path / "secret"}
    return SchemaRegistry(
        RegistryAddress(server.url, Connecting(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)), headers), Clock()
    )


def serve(server: PolledServer, number: int, schema: object, **more: object) -> None:
    server.serve(f"schemas/ids/{number}", json.dumps({"schema": json.dumps(schema), **more}))


def message(number: int, content: bytes) -> bytes:
    return b"\0" + number.to_bytes(4, "big") + content


def test_a_schema_is_asked_for_once_with_the_secret_of_its_file(server, registry):
    serve(server, 7, DEVICE)
    assert [registry.read(message(7, b"\x02a")) for _ in range(3)] == [{"id": "a"}] * 3
    assert [(asked.path, asked.headers["authorization"]) for asked in server.requests()[-1:]] == [
        ("/schemas/ids/7", "Basic c2VjcmV0")
    ]
    assert sum(asked.path == "/schemas/ids/7" for asked in server.requests()) == 1


def test_schemas_that_it_refers_to_are_asked_for_and_circles_end(server, registry):
    refers = [{"name": "Device", "subject": "device", "version": 3}]
    serve(server, 1, TELEMETRY, references=refers)
    server.serve("subjects/device/versions/3", json.dumps({"schema": json.dumps(DEVICE), "references": refers}))
    assert registry.read(message(1, b"\x02a")) == {"device": {"id": "a"}}


def test_what_the_registry_does_not_have_is_asked_for_again_after_a_minute(server, registry):
    for _ in range(3):
        with pytest.raises(NotInSchema, match="schema 9: the registry has none"):
            registry.read(message(9, b"\x02a"))
    assert sum(asked.path == "/schemas/ids/9" for asked in server.requests()) == 1
    serve(server, 9, DEVICE)
    registry._clock.now = 61.0
    assert registry.read(message(9, b"\x02a")) == {"id": "a"}


UNUSABLE = {
    "another type": {"schema": "syntax = 'proto3';", "schemaType": "PROTOBUF"},
    "no schema": {},
    "a list": [],
    "a number": {"schema": 3},
    "references that are none": {"schema": '"string"', "references": [{"name": "x"}]},
    "references that are null": {"schema": '"string"', "references": [None]},
    "no Avro": {"schema": '"nope"'},
}


@pytest.mark.parametrize("answered", UNUSABLE.values(), ids=UNUSABLE)
def test_what_cannot_be_used_is_no_schema(server, registry, answered):
    server.serve("schemas/ids/1", json.dumps(answered))
    with pytest.raises(NotInSchema):
        registry.read(message(1, b"\x02a"))


AWAY = {
    "fault": {"status": 500},
    "no right": {"status": 401},
    "redirect": {"status": 302, "headers": {"Location": "/elsewhere"}},
    "endless": {"endless": True},
}


@pytest.mark.parametrize("does", AWAY.values(), ids=AWAY)
def test_while_it_does_not_answer_nothing_is_taken_for_unreadable(server, registry, does):
    server.serve("schemas/ids/1", "{}", **does)
    with pytest.raises(LogUnavailable, match="schema registry"):
        registry.read(message(1, b"\x02a"))
    serve(server, 1, DEVICE)
    assert registry.read(message(1, b"\x02a")) == {"id": "a"}


def test_an_answer_without_end_is_cut(server, registry):
    server.serve("schemas/ids/1", json.dumps({"schema": "x" * 3 * LONGEST_SCHEMA}))
    with pytest.raises(LogUnavailable, match="more than 2 MB"):
        registry.read(message(1, b"\x02a"))


@pytest.mark.parametrize("content", [b"", b"\0\0\0", b"\1\0\0\0\1a", b'{"a": 1}'])
def test_a_message_without_the_number_of_a_schema_is_in_none(registry, content):
    with pytest.raises(NotInSchema):
        registry.read(content)
