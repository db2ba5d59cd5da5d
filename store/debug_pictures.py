"""The audit of debug pictures: who wrote which camera's picture to a file, and why."""

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg

from store.database import Connection
from store.moments import milliseconds, moment

_ENTER = """
INSERT INTO debug_pictures (made_at, database_user, os_user, camera, taken_at, reason, sha256, regions)
VALUES (now(), session_user, %s, %s, %s, %s, %s, %s) RETURNING number
"""
_ENTRIES = """
SELECT number, made_at, database_user, os_user, camera, taken_at, reason, sha256, regions FROM debug_pictures
ORDER BY number
"""


class NotEntered(Exception):
    """The database refused an entry; the text is its message."""


@dataclass(frozen=True, slots=True)
class DebugPicture:
    """A picture that is about to be written.

    `camera` is the register's number; `taken_ms` is when it was taken (ms since 1970, UTC); `sha256` is the digest of
    the file's bytes; `regions` is the number of blurred regions.
    """

    os_user: str
    camera: int
    taken_ms: int
    reason: str
    sha256: bytes
    regions: int


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry: the picture, when it was entered (ms since 1970, UTC), and by which user of the database."""

    number: int
    made_ms: int
    database_user: str
    picture: DebugPicture


def enter(connection: Connection, picture: DebugPicture) -> int:
    """Commit an entry, before the picture is written; returns the entry's number.

    Time and user are PostgreSQL's own. Raises `NotEntered`, and `psycopg.errors.UndefinedTable`.
    """
    values = (
        picture.os_user,
        picture.camera,
        moment(picture.taken_ms),
        picture.reason,
        picture.sha256,
        picture.regions,
    )
    try:
        with connection.transaction():
            row = connection.execute(_ENTER, values).fetchone()
    except psycopg.errors.UndefinedTable:
        raise
    except psycopg.Error as error:
        raise NotEntered(error.diag.message_primary or str(error)) from error
    assert row is not None
    return int(row[0])


def entries(connection: Connection) -> Iterator[Entry]:
    """All entries, the oldest first."""
    for number, made, database_user, os_user, camera, taken, *rest in connection.execute(_ENTRIES):
        picture = DebugPicture(os_user, camera, milliseconds(taken), *rest)
        yield Entry(number, milliseconds(made), database_user, picture)
