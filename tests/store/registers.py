"""Loading a register row by row, for tests."""

from collections.abc import Iterable
from dataclasses import dataclass

from ingest.identity import comparable
from store import register
from store.database import Connection
from store.register_columns import Loaded, RegisterColumns


@dataclass(frozen=True)
class RegisterRow:
    line: int
    source: str
    metric: str
    district: str
    contributor: str
    class_: str
    valid_from_ms: int
    valid_to_ms: int | None
    fact: int | None = None


def load(connection: Connection, rows: Iterable[RegisterRow], **options: int) -> Loaded:
    """Load rows, each a block of its own."""
    blocks = (
        RegisterColumns.of(
            line=[row.line],
            source=[row.source],
            metric=[row.metric],
            district=[row.district],
            contributor=[row.contributor],
            class_=[row.class_],
            valid_from_ms=[row.valid_from_ms],
            valid_to_ms=[row.valid_to_ms],
            fact=[row.fact],
        )
        for row in rows
    )
    return register.load(connection, blocks, comparable=comparable, **options)
