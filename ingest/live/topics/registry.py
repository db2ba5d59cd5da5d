"""Schemas of a registry that others keep, by the ids in messages (Confluent's wire format and REST protocol)."""

import asyncio
import json
import struct
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote

import httpx

from eventlog.protocol import LogUnavailable
from ingest.files.documents import load
from ingest.live.answers import Connecting, PollFailed, answer, client
from ingest.live.topics.avro_schema import LONGEST_SCHEMA, AvroSchema, NotInSchema, UnusableSchema, avro_schema

MAGIC = 0
_HEAD = struct.Struct(">bI")
_DEADLINE_S = 10.0
_MOST_REFERENCES = 50
_MOST_KEPT = 1_000
_UNUSABLE_S = 60.0
"""How long a registry is not asked again for a schema that it does not have, or that cannot be used."""
_MOST_UNUSABLE = 10_000
_NONE = frozenset((HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.BAD_REQUEST))


@dataclass(frozen=True, slots=True)
class RegistryAddress:
    """Where a registry is. `header_files` hold the values of headers, such as Authorization."""

    url: str
    connecting: Connecting
    header_files: Mapping[str, Path] = field(default_factory=dict)


class SchemaRegistry:
    """Schemas by id, asked for once. `clock` gives seconds. One thread."""

    def __init__(self, address: RegistryAddress, clock: Callable[[], float]) -> None:
        self._address = address
        self._clock = clock
        self._schemas: OrderedDict[int, AvroSchema] = OrderedDict()
        self._unusable: OrderedDict[int, tuple[float, str]] = OrderedDict()

    def read(self, content: bytes) -> object:
        """The value of a message that names its schema.

        Raises `NotInSchema`, also where the registry has no such schema, and `LogUnavailable` if it does not answer.
        """
        if len(content) < _HEAD.size or content[0] != MAGIC:
            raise NotInSchema("it does not begin with 0 and the id of a schema")
        _, number = _HEAD.unpack_from(content)
        return self._schema(number).read(content[_HEAD.size :])

    def ask(self) -> None:
        """Ask the registry whether it is there. Raises `LogUnavailable`."""
        try:
            self._get("/schemas/types")
        except UnusableSchema:
            return  # it answers that it has no such address, as older ones do

    def _schema(self, number: int) -> AvroSchema:
        found = self._schemas.get(number)
        if found is not None:
            self._schemas.move_to_end(number)
            return found
        now = self._clock()
        known = self._unusable.get(number)
        if known is None or known[0] < now:
            try:
                found = self._asked(number)
            except UnusableSchema as error:
                known = now + _UNUSABLE_S, str(error)
                self._unusable.pop(number, None)
                self._unusable[number] = known
                if len(self._unusable) > _MOST_UNUSABLE:
                    self._unusable.popitem(last=False)
        if found is None:
            raise NotInSchema(f"schema {number}: {known[1] if known else ''}")
        self._schemas[number] = found
        if len(self._schemas) > _MOST_KEPT:
            self._schemas.popitem(last=False)
        return found

    def _asked(self, number: int) -> AvroSchema:
        texts: list[bytes] = []
        self._follow(self._get(f"/schemas/ids/{number}"), texts, set())
        return avro_schema(texts[-1], texts[:-1])

    def _follow(self, answered: object, texts: list[bytes], met: set[tuple[str, int]]) -> None:
        """The text of a schema, after those that it refers to."""
        if not isinstance(answered, dict) or not isinstance(answered.get("schema"), str):
            raise UnusableSchema("the registry's answer has no schema")
        if answered.get("schemaType", "AVRO") != "AVRO":
            raise UnusableSchema(f"it is {str(answered['schemaType'])[:40]}, not Avro")
        references = answered.get("references") or []
        if not isinstance(references, list):
            raise UnusableSchema("the registry's answer has references that are no list")
        for reference in references:
            subject, version = (reference.get("subject"), reference.get("version")) if reference else (None, None)
            if not isinstance(subject, str) or not isinstance(version, int):
                raise UnusableSchema("the registry's answer has a reference without subject and version")
            if (subject, version) in met:
                continue
            met.add((subject, version))
            if len(met) > _MOST_REFERENCES:
                raise UnusableSchema(f"it refers to more than {_MOST_REFERENCES} others")
            self._follow(self._get(f"/subjects/{quote(subject, safe='')}/versions/{version}"), texts, met)
        texts.append(answered["schema"].encode())

    def _get(self, path: str) -> object:
        """An answer. Raises `UnusableSchema` if there is none to have, `LogUnavailable` if the registry is away."""
        url = httpx.URL(self._address.url.rstrip("/") + path)
        try:
            with tempfile.TemporaryDirectory(prefix="sistercity-") as folder:
                return load(asyncio.run(self._body(url, Path(folder) / "answer")))
        except PollFailed as error:
            if error.status in _NONE:
                raise UnusableSchema(f"the registry has none: {error}") from None
            raise LogUnavailable(f"the schema registry: {error}") from error
        except TimeoutError as error:
            raise LogUnavailable(f"the schema registry did not answer within {_DEADLINE_S:g} s") from error
        except (ValueError, json.JSONDecodeError) as error:
            raise LogUnavailable(f"the schema registry answers with no JSON: {error}") from error

    async def _body(self, url: httpx.URL, path: Path) -> bytes:
        headers = {"Accept": "application/vnd.schemaregistry.v1+json, application/json", **self._headers()}
        async with asyncio.timeout(_DEADLINE_S), client(self._address.connecting) as http:
            # JSON in JSON: a schema's quotes are written with a backslash.
            await answer(http, url, headers, path, 2 * LONGEST_SCHEMA)
        return path.read_bytes()

    def _headers(self) -> Mapping[str, str]:
        try:
            return {name: file.read_text(encoding="ascii").strip() for name, file in self._address.header_files.items()}
        except (OSError, UnicodeDecodeError):
            raise LogUnavailable(
                "the schema registry: a file of header_files cannot be read, or is not ASCII"
            ) from None
