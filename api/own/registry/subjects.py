"""Which schema belongs to which subject: the committed schemas under the names of a schema registry. Pure.

A subject is the name of a topic of the city followed by `-value`, as stock (de)serialisers form it (TopicNameStrategy).
Every topic of a dataset, the running stream and each import of history alike, has all versions of the dataset's schema.
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
from schemas.topics import FRAMES, dataset_of, history, is_live, live

_VALUE = "-value"
_LATEST = ("latest", "-1")


class NoAvroSchema(ValueError):
    """The text is no Avro schema."""


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
        return sorted(live(self._city, dataset) + _VALUE for dataset in versions_by_dataset())

    def of_schema(self, schema: Schema) -> str:
        """The listed subject that has this schema."""
        return live(self._city, schema.dataset) + _VALUE

    def versions(self, subject: str) -> Sequence[VersionedSchema]:
        """All versions of a subject, oldest first; none if it is no subject of the city."""
        dataset = self._dataset(subject)
        return (
            [] if dataset is None else [VersionedSchema(subject, schema) for schema in versions_by_dataset()[dataset]]
        )

    def _dataset(self, subject: str) -> str | None:
        topic = subject.removesuffix(_VALUE)
        dataset = dataset_of(topic)
        if topic == subject or dataset not in versions_by_dataset():
            return None
        if is_live(self._city, topic):
            return dataset
        name = topic.removeprefix(f"{self._city}.{dataset}.history.").removesuffix(".v1")
        try:
            imported = (
                topic == history(self._city, dataset, name) and dataset != FRAMES
            )  # pictures have no history (P1)
        except ValueError:
            return None
        return dataset if imported else None


def numbered(versions: Sequence[VersionedSchema], version: str) -> VersionedSchema | None:
    """One of a subject's versions by its number, or the newest by `latest`. Raises `ValueError` for any other text."""
    if version in _LATEST:
        return versions[-1] if versions else None
    if not (version.isascii() and version.isdigit() and int(version) > 0):
        raise ValueError(f"{version!r} is no version: give its number or `latest`")
    return next((candidate for candidate in versions if candidate.schema.version == int(version)), None)


def holding(versions: Sequence[VersionedSchema], text: str, *, normalize: bool = False) -> VersionedSchema | None:
    """The newest of a subject's versions that is this schema. Raises `NoAvroSchema`.

    Spaces, the order of attributes and how names are qualified make no difference. With `normalize`, neither does
    anything that leaves the bytes of messages the same (Avro's parsing canonical form).
    """
    wanted = _form(text, normalize)
    matching = (version for version in reversed(versions) if _committed(version.schema.id, normalize) == wanted)
    return next(matching, None)


@cache
def versions_by_dataset() -> Mapping[str, Sequence[Schema]]:
    """The versions of every dataset's schema, oldest first."""
    by_dataset: dict[str, list[Schema]] = defaultdict(list)
    for schema in schemas().values():
        by_dataset[schema.dataset].append(schema)
    return {
        dataset: sorted(of_dataset, key=lambda schema: schema.version) for dataset, of_dataset in by_dataset.items()
    }


def text_of(schema: Schema) -> str:
    """A schema as one line of JSON."""
    return json.dumps(schema.definition, ensure_ascii=False, separators=(",", ":"))


@cache
def _committed(schema_id: int, normalize: bool) -> object:
    return _form(text_of(schemas()[schema_id]), normalize)


def _form(text: str, normalize: bool) -> object:
    """A form that is equal for two texts of the same schema. Raises `NoAvroSchema`."""
    try:
        parsed = fastavro.parse_schema(json.loads(text))
        return to_parsing_canonical_form(parsed) if normalize else _plain(parsed)
    except Exception as error:  # json and fastavro raise many kinds for a stranger's text
        raise NoAvroSchema(f"this is no Avro schema ({type(error).__name__})") from error


def _plain(parsed: Any) -> Any:
    """A parsed schema without fastavro's own marks."""
    if isinstance(parsed, dict):
        return {name: _plain(value) for name, value in parsed.items() if not name.startswith("__")}
    return [_plain(part) for part in parsed] if isinstance(parsed, list) else parsed
