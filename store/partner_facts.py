"""What is known of a partner besides its chain: its name and facts, its catalogues, the heads of its audits.

`thumbprint` is that of the identity whose word it is.
"""

from collections.abc import Mapping

from psycopg.types.json import Jsonb

from store.database import Connection
from store.partner_cursors import Conflict


def meet(connection: Connection, thumbprint: str, city: str, name: str) -> None:
    """Make a city known by its identity. Raises `Conflict` while its id belongs to another that we agree with.

    An id whose former identity has no agreement in force any more is taken over, and its figures are removed: nothing
    of what the former key said is said by the new one. What was received from it stays, under its thumbprint.
    """
    with connection.transaction():
        rows = connection.execute(
            "SELECT city, thumbprint FROM partners WHERE city = %s OR thumbprint = %s FOR UPDATE", (city, thumbprint)
        ).fetchall()
        if rows == [(city, thumbprint)]:
            return
        for known, former in rows:
            if former == thumbprint:
                raise Conflict(f"{known} has an agreement under the name {city}; the id of a city never changes")
            if connection.execute("SELECT 1 FROM agreements_in_force WHERE partner = %s", (former,)).fetchone():
                raise Conflict(f"there is an agreement with another city of the id {city}; revoke one of the two")
            for table in ("partner_cells", "partner_publications", "partners"):
                connection.execute(f"DELETE FROM {table} WHERE city = %s", (known,))
        connection.execute(
            "INSERT INTO partners (city, thumbprint, name) VALUES (%s, %s, %s)", (city, thumbprint, name)
        )


def save_facts(connection: Connection, thumbprint: str, facts: Mapping[str, object]) -> None:
    """Keep the facts of a city (name, names, zone, ...) as its catalogue has them, checked."""
    connection.execute(
        "UPDATE partners SET facts = %s, name = %s, names = %s WHERE thumbprint = %s",
        (Jsonb(dict(facts)), facts["name"], Jsonb(facts["names"]), thumbprint),
    )


def facts_of(connection: Connection, thumbprint: str) -> Mapping[str, object] | None:
    """The facts of a city, if any came."""
    row = connection.execute("SELECT facts FROM partners WHERE thumbprint = %s", (thumbprint,)).fetchone()
    return None if row is None else row[0]


def known_identities(connection: Connection) -> list[str]:
    """The identities of which we have a document: those of partners, and our own."""
    return [str(row[0]) for row in connection.execute("SELECT thumbprint FROM identities ORDER BY thumbprint")]


def catalogue_content(connection: Connection, hash_: str) -> bytes | None:
    """The bytes of a catalogue, if it was received."""
    row = connection.execute("SELECT content FROM partner_catalogues WHERE hash = %s", (hash_,)).fetchone()
    return None if row is None else bytes(row[0])


def keep_catalogue(connection: Connection, hash_: str, metric: str, content: bytes) -> None:
    """Keep a catalogue under its hash."""
    connection.execute(
        "INSERT INTO partner_catalogues (hash, metric, content) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (hash_, metric, content),
    )


def keep_audit_head(connection: Connection, agreement: str, sequence: int, hash_: str) -> None:
    """Keep the head of the partner's audit of an agreement, for the partner and against it."""
    connection.execute(
        "INSERT INTO partner_audits (agreement, sequence, hash) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (agreement, sequence, hash_),
    )


def kept_audit_heads(connection: Connection) -> list[tuple[str, int, str]]:
    """What was kept of partners' audits: agreement, sequence and hash of a line of each head that was seen."""
    rows = connection.execute("SELECT agreement, sequence, hash FROM partner_audits ORDER BY agreement, sequence")
    return [(agreement, sequence, hash_) for agreement, sequence, hash_ in rows]
