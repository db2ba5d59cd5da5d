"""The committed Avro schemas and their ids."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any


@dataclass(frozen=True, slots=True)
class Schema:
    """A committed schema: its id on the wire, its name, and its text parsed from JSON."""

    id: int
    name: str
    definition: Mapping[str, Any]

    @property
    def is_batch(self) -> bool:
        """Whether its messages are batches of readings; pictures are not."""
        return bool(self.definition["fields"][-1]["name"] == "rows")

    @property
    def dataset(self) -> str:
        """The dataset that its messages carry (`energy.readings`)."""
        return self.name.rpartition(".v")[0]

    @property
    def version(self) -> int:
        """The version of its dataset's schema: 1, 2, ..."""
        return int(self.name.rpartition(".v")[2])


@cache
def newest(dataset: str) -> Schema:
    """The newest schema of a dataset: this version writes its messages with it. Raises `ValueError` for no dataset."""
    return max(
        (schema for schema in schemas().values() if schema.dataset == dataset), key=lambda schema: schema.version
    )


@cache
def schemas() -> Mapping[int, Schema]:
    """Every committed schema by id."""
    folder = resources.files("schemas.avro")
    ids = tomllib.loads(folder.joinpath("ids.toml").read_text(encoding="utf-8"))
    return {
        int(number): Schema(int(number), name, json.loads(folder.joinpath(f"{name}.avsc").read_text(encoding="utf-8")))
        for number, name in ids.items()
    }


def schema_named(name: str) -> Schema:
    """The schema called `name` (`energy.readings.v1`). Raises `KeyError` if there is none."""
    for schema in schemas().values():
        if schema.name == name:
            return schema
    raise KeyError(name)
