"""Catalogues by their hash: the definitions that entries name. None is ever deleted."""

from store.database import Connection


def save_catalogue(connection: Connection, hash_: str, metric: str, content: bytes) -> None:
    """Keep a catalogue whose SHA-256, as lower-case hex, is `hash_`; nothing changes if it is there."""
    connection.execute(
        "INSERT INTO catalogues (hash, metric, content) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (hash_, metric, content),
    )


def catalogue_of_hash(connection: Connection, hash_: str) -> bytes | None:
    """The bytes of a catalogue, or None."""
    row = connection.execute("SELECT content FROM catalogues WHERE hash = %s", (hash_,)).fetchone()
    return None if row is None else bytes(row[0])
