"""Which schema belongs to which subject: the committed schemas in the words of a schema registry. Pure.

A subject is a topic of the city with `-value` behind it, as stock (de)serialisers name it (TopicNameStrategy). Every
topic of a dataset, the running stream and each import of history alike, has all versions of the dataset's schema.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import fastavro
from fastavro.schema import to_parsing_canonical_form

from schemas.registry import Schema, schemas
from schemas.topics import FRAMES, dataset_of, history, live

_VALUE = "-value"
_LATEST = ("latest", "-1")


class NoAvroSchema(ValueError):
    """What was given is no Avro schema."""


@dataclass(frozen=True, slots=True)
class VersionedSchema:
    """A version of a subject."""

    subject: str
    schema: Schema


class Subjects:
    """The subjects of one city."""

    def __init__(self, city: str) -> None:
        self._city = city

    def listed(self) -> Sequence[str]:
        """The subjects of the running streams. Those of imports exist as well, and are not listed: any name is one."""
        return sorted(live(self._city, dataset) + _VALUE for dataset in versions())

    def of_schema(self, schema: Schema) -> str:
        """The listed subject that has this schema."""
        return live(self._city, schema.dataset) + _VALUE

    def versions(self, subject: str) -> Sequence[VersionedSchema]:
        """All versions of a subject, oldest first; none if it is no subject of the city."""
        dataset = self._dataset(subject)
        return [] if dataset is None else [VersionedSchema(subject, schema) for schema in versions()[dataset]]

    def version(self, subject: str, version: str) -> VersionedSchema | None:
        """One version by its number, or the newest by `latest`. Raises `ValueError` for what is neither."""
        found = self.versions(subject)
        if version in _LATEST:
            return found[-1] if found else None
        if not (version.isascii() and version.isdigit() and int(version) > 0):
            raise ValueError(f"{version!r} is no version: give its number or `latest`")
        return next((one for one in found if one.schema.version == int(version)), None)

    def holding(self, subject: str, text: str, *, normalize: bool = False) -> VersionedSchema | None:
        """The newest version of a subject that is this schema. Raises `NoAvroSchema`.

        Spaces, the order of attributes and how names are qualified make no difference. With `normalize` nothing does
        that leaves the bytes of messages the same (Avro's parsing canonical form).
        """
        wanted = _form(text, normalize)
        found = (one for one in reversed(self.versions(subject)) if _committed(one.schema.id, normalize) == wanted)
        return next(found, None)

    def _dataset(self, subject: str) -> str | None:
        topic = subject.removesuffix(_VALUE)
        dataset = dataset_of(topic)
        if topic == subject or dataset not in versions():
            return None
        if topic == live(self._city, dataset):
            return dataset
        name = topic.removeprefix(f"{self._city}.{dataset}.history.").removesuffix(".v1")
        try:
            known = topic == history(self._city, dataset, name) and dataset != FRAMES  # pictures have no history (P1)
        except ValueError:
            return None
        return dataset if known else None


@cache
def versions() -> Mapping[str, Sequence[Schema]]:
    """The versions of every dataset's schema, oldest first."""
    found: dict[str, list[Schema]] = defaultdict(list)
    for schema in schemas().values():
        found[schema.dataset].append(schema)
    return {dataset: sorted(of_dataset, key=lambda schema: schema.version) for dataset, of_dataset in found.items()}


def text_of(schema: Schema) -> str:
    """A schema as one line of JSON."""
    return json.dumps(schema.definition, ensure_ascii=False, separators=(",", ":"))


@cache
def _committed(schema_id: int, normalize: bool) -> object:
    return _form(text_of(schemas()[schema_id]), normalize)


def _form(text: str, normalize: bool) -> object:
    """What two texts have in common that are the same schema."""
    try:
        parsed = fastavro.parse_schema(json.loads(text))
        return to_parsing_canonical_form(parsed) if normalize else _plain(parsed)
    except Exception as error:  # whatever a stranger's text makes json and fastavro run into
        raise NoAvroSchema(f"this is no Avro schema ({type(error).__name__})") from error


def _plain(parsed: Any) -> Any:
    """A parsed schema without fastavro's own marks."""
    if isinstance(parsed, dict):
        return {name: _plain(value) for name, value in parsed.items() if not name.startswith("__")}
    return [_plain(one) for one in parsed] if isinstance(parsed, list) else parsed
