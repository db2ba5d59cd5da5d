"""Tokens that partners read with, and the assertions that they were given for. Only hashes of tokens are stored.

A token is found by its SHA-256, so how long a look-up takes says nothing of another token's characters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from secrets import token_urlsafe

from psycopg_pool import ConnectionPool

from store.database import AsyncConnection, Connection, DatabaseUrl
from store.moments import moment

_TOKEN_BYTES = 32
_KEPT_EXPIRED = "1 hour"
STATEMENT_LIMIT_MS = 5000


@dataclass(frozen=True, slots=True)
class Access:
    """An agreement in force, for a request under it: its version, whose it is (a thumbprint), and its limits."""

    agreement: str
    version: int
    partner: str
    witness: bool
    requests_per_minute: int
    bytes_per_hour: int
    concurrent_requests: int


def token_hash(token: str) -> bytes:
    """What is stored of a token."""
    return sha256(token.encode()).digest()


_ACCESS = "id, version, partner, witness, requests_per_minute, bytes_per_hour, concurrent_requests"
TOKENS_IN_FORCE = f"""
    SELECT access_tokens.hash AS token, {_ACCESS} FROM access_tokens JOIN agreements_in_force ON id = agreement
    WHERE access_tokens.expires_at > now()
"""
"""Each token that is not over, with the `Access` of its agreement if that is in force now."""


async def agreements_of(connection: AsyncConnection, hashes: Sequence[bytes]) -> list[Access | None]:
    """The agreement that each token was issued for, if the token is not over and the agreement is in force now."""
    rows = await connection.execute(
        f"SELECT * FROM ({TOKENS_IN_FORCE}) AS held WHERE token = ANY(%s)",
        (list(hashes),),
        prepare=True,
    )
    found = {bytes(hash_): Access(*access) for hash_, *access in await rows.fetchall()}
    return [found.get(hash_) for hash_ in hashes]


def agreement_with(connection: Connection, agreement: str, own: str, partner: str) -> Access | None:
    """The agreement with this id, if it is in force and between the cities of these two thumbprints."""
    row = connection.execute(
        f"SELECT {_ACCESS} FROM agreements_in_force WHERE id = %s AND own = %s AND partner = %s",
        (agreement, own, partner),
    ).fetchone()
    return None if row is None else Access(*row)


def issue(connection: Connection, *, agreement: str, issuer: str, jti: str, assertion: str, life_s: int) -> str | None:
    """A new token for an agreement, good for `life_s` seconds; None if this issuer has used the `jti` before.

    The assertion is stored with it, in one transaction: of two processes that get the same one, one issues a token.
    Tokens that ended an hour ago are removed.
    """
    token = token_urlsafe(_TOKEN_BYTES)
    with connection.transaction():
        taken = connection.execute(
            "INSERT INTO assertions (issuer, jti, agreement, assertion) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (issuer, jti, agreement, assertion),
        )
        if taken.rowcount != 1:
            return None
        connection.execute(
            "INSERT INTO access_tokens (hash, agreement, expires_at) VALUES (%s, %s, now() + %s * interval '1 second')",
            (token_hash(token), agreement, life_s),
        )
        connection.execute(f"DELETE FROM access_tokens WHERE expires_at < now() - interval '{_KEPT_EXPIRED}'")
    return token


def prune_assertions(connection: Connection, before: int, most: int) -> int:
    """Remove up to `most` assertions that came before this (ms since 1970, UTC); how many.

    Those of the last day stay, whatever is asked for: none is accepted twice.
    """
    return connection.execute(
        "DELETE FROM assertions WHERE ctid = ANY(ARRAY(SELECT ctid FROM assertions"
        " WHERE received_at < least(%s, now() - interval '1 day') ORDER BY received_at LIMIT %s))",
        (moment(before), most),
    ).rowcount


def token_connections(database_url: DatabaseUrl, *, most: int, wait_s: float) -> ConnectionPool[Connection]:
    """A pool, not yet open, for the issue of tokens: at most `most` connections, in autocommit mode.

    `psycopg.OperationalError` is raised if none is free within `wait_s` seconds, and if a statement takes more than
    `STATEMENT_LIMIT_MS`.
    """
    return ConnectionPool(
        database_url,
        open=False,
        min_size=1,
        max_size=most,
        timeout=wait_s,
        check=ConnectionPool.check_connection,
        kwargs={
            "application_name": "sistercity access",
            "autocommit": True,
            "connect_timeout": 5,
            "options": f"-c timezone=UTC -c statement_timeout={STATEMENT_LIMIT_MS}",
        },
        name="sistercity access",
    )
