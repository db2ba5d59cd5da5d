"""Identity documents and revocations of identities, by the thumbprint of the identity key.

Documents are stored as they came; whoever stores one has verified it.
"""

from store.database import Connection
from store.moments import moment


def own_identity(connection: Connection) -> str | None:
    """Our own newest identity document, if there is one."""
    row = connection.execute("SELECT document FROM identities WHERE own").fetchone()
    return None if row is None else str(row[0])


def published_identity(connection: Connection) -> str | None:
    """What we tell everyone of our identity: the document, or its revocation once there is one."""
    row = connection.execute(
        "SELECT coalesce(statement, document) FROM identities LEFT JOIN identity_revocations USING (thumbprint)"
        " WHERE own"
    ).fetchone()
    return None if row is None else str(row[0])


def save_own_identity(
    connection: Connection, thumbprint: str, city: str, version: int, document: str, expires_at: int
) -> bool:
    """`save_identity` of our own document. One of another thumbprint takes the place of the one that was our own."""
    with connection.transaction():
        connection.execute("UPDATE identities SET own = false WHERE own AND thumbprint <> %s", (thumbprint,))
        saved = save_identity(connection, thumbprint, city, version, document, expires_at)
        connection.execute("UPDATE identities SET own = true WHERE thumbprint = %s AND NOT own", (thumbprint,))
    return saved


def identity_of(connection: Connection, thumbprint: str) -> str | None:
    """The newest document that we have of a city."""
    row = connection.execute("SELECT document FROM identities WHERE thumbprint = %s", (thumbprint,)).fetchone()
    return None if row is None else str(row[0])


def save_identity(
    connection: Connection, thumbprint: str, city: str, version: int, document: str, expires_at: int
) -> bool:
    """Keep a document unless one of this version or a higher one is there, or the identity is revoked.

    `expires_at` in ms since 1970. Returns whether it was kept. One statement: two writers never lower a version.
    """
    kept = connection.execute(
        """
        INSERT INTO identities (thumbprint, city, version, document, expires_at)
        SELECT %(thumbprint)s, %(city)s, %(version)s, %(document)s, %(expires_at)s
        WHERE NOT EXISTS (SELECT FROM identity_revocations WHERE thumbprint = %(thumbprint)s)
        ON CONFLICT (thumbprint) DO UPDATE
        SET city = excluded.city, version = excluded.version, document = excluded.document,
            expires_at = excluded.expires_at, received_at = now()
        WHERE identities.version < excluded.version
        RETURNING 1
        """,
        {
            "thumbprint": thumbprint,
            "city": city,
            "version": version,
            "document": document,
            "expires_at": moment(expires_at),
        },
    ).fetchone()
    return kept is not None


def revocation_of(connection: Connection, thumbprint: str) -> str | None:
    """The statement that revoked an identity, if one is known."""
    row = connection.execute(
        "SELECT statement FROM identity_revocations WHERE thumbprint = %s", (thumbprint,)
    ).fetchone()
    return None if row is None else str(row[0])


def revocations(connection: Connection) -> list[str]:
    """The statements of all identities that are revoked."""
    return [str(row[0]) for row in connection.execute("SELECT statement FROM identity_revocations ORDER BY thumbprint")]


def save_revocation(connection: Connection, thumbprint: str, statement: str) -> None:
    """Keep the statement that revokes an identity. The first one stays; nothing takes it back."""
    connection.execute(
        "INSERT INTO identity_revocations (thumbprint, statement) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        (thumbprint, statement),
    )
