"""Reading whole chains, our own and partners', as they are stored: for who verifies all of it.

The connection is to be in one transaction that sees one state, see `one_state`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from store.database import Connection

_AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry's line, and its body if that is here. `lost`: it is known that it is gone."""

    line: bytes
    body: bytes | None
    lost: bool = False


@dataclass(frozen=True, slots=True)
class StoredCity:
    """A city of which something is stored: the id that it goes by here, and its newest identity document, if any."""

    thumbprint: str
    city: str
    document: str | None


@contextmanager
def one_state(connection: Connection) -> Iterator[None]:
    """Everything that is read within sees one state of the database, and nothing is written."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield


def own_entries(connection: Connection) -> Iterator[StoredEntry]:
    """Our own entries in the order of their positions; those from before the ledger have none."""
    return _entries(
        connection,
        "SELECT entry, body, kind = 'lost' OR (body IS NULL AND kind IN ('skip', 'withdrawal')) FROM publications"
        " WHERE entry IS NOT NULL ORDER BY position",
    )


def partner_entries(connection: Connection, thumbprint: str) -> Iterator[StoredEntry]:
    """A partner's entries, each metric's in the order of their sequences."""
    return _entries(
        connection,
        "SELECT line, partner_bodies.body, partner_bodies.body IS NULL FROM partner_entries"
        " LEFT JOIN partner_bodies USING (thumbprint, metric, sequence)"
        " WHERE thumbprint = %s ORDER BY metric, sequence",
        thumbprint,
    )


def heads_seen(connection: Connection, thumbprint: str) -> list[str]:
    """The heads of a city that were seen anywhere, in the order of their numbers."""
    rows = connection.execute(
        "SELECT document FROM partner_heads WHERE thumbprint = %s ORDER BY number, seen_at", (thumbprint,)
    )
    return [str(document) for (document,) in rows]


def partner_cities(connection: Connection) -> list[StoredCity]:
    """Every other city of which entries or heads are stored."""
    rows = connection.execute(
        """
        SELECT thumbprint, coalesce(identities.city, partners.city, thumbprint), document
        FROM (SELECT thumbprint FROM entry_ends UNION SELECT thumbprint FROM partner_heads) AS stored
        LEFT JOIN identities USING (thumbprint) LEFT JOIN partners USING (thumbprint)
        WHERE own IS NOT true ORDER BY 2, 1
        """
    )
    return [StoredCity(*row) for row in rows]


def catalogue_hashes(connection: Connection) -> Iterator[tuple[str, bytes]]:
    """Every catalogue that is stored, ours and partners', by the hash under which it is."""
    yield from connection.execute("SELECT hash, content FROM catalogues")
    yield from connection.execute("SELECT hash, content FROM partner_catalogues")


def _entries(connection: Connection, query: str, *terms: object) -> Iterator[StoredEntry]:
    with connection.cursor(name="verified") as cursor:  # on the server: a year does not fit into memory
        cursor.itersize = _AT_ONCE
        for line, body, lost in cursor.execute(query, terms, binary=True):
            yield StoredEntry(line, body, lost)
