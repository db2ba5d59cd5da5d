"""The register of simulated sources: written to a file in the node's folder, and loaded."""

from typing import TYPE_CHECKING

from node.clock import now_ms
from node.settings import settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ingest.cities import City
    from store.database import Connection


def load_simulated(
    connection: "Connection", city: "City", name: str, rows: "Iterable[Mapping[str, str]]", people: int | None = None
) -> None:
    """Write the rows to `name` in the node's folder, and load that file as any register's.

    `people` and errors are those of `ingest.register_file.load_register`.
    """
    from ingest.register_file import load_register, write_register

    path = settings().home / name
    write_register(path, rows)
    load_register(connection, city, path, now_ms, people)
