"""Who had which camera's picture written to a file, and why: the audit of debug pictures."""

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
    """The database did not take an entry; the text is what it said."""


@dataclass(frozen=True, slots=True)
class DebugPicture:
    """A picture that is about to be written.

    `camera` is the register's number, `taken_ms` when it was taken, milliseconds since 1970, UTC; `sha256` of the
    file's bytes; `regions` is how many were blurred.
    """

    os_user: str
    camera: int
    taken_ms: int
    reason: str
    sha256: bytes
    regions: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A debug picture as it was entered: when, milliseconds since 1970, and by which user of the database."""

    number: int
    made_ms: int
    database_user: str
    picture: DebugPicture


def enter(connection: Connection, picture: DebugPicture) -> int:
    """Enter a picture, lastingly, before anybody sees it; the entry's number.

    PostgreSQL says when, and which of its users this is. Raises `NotEntered`, and `psycopg.errors.UndefinedTable`.
    """
    known = (picture.os_user, picture.camera, moment(picture.taken_ms), picture.reason, picture.sha256, picture.regions)
    try:
        with connection.transaction():
            row = connection.execute(_ENTER, known).fetchone()
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
