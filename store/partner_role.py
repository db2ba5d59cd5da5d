"""The role of the database for the server that partners reach: what it may read and write, and nothing besides.

Views read with their owner's rights: through them the role sees what is agreed, and not the tables below. It sees no
cell that was not published, no register, and no figure of a partner.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import InsufficientPrivilege

from errors import OperatorError
from store.database import Connection

READS: Mapping[str, tuple[str, ...]] = {
    # What is agreed.
    "agreements_in_force": (),
    "agreed_metrics": (),
    "agreed_entries": (),
    "agreed_bodies": (),
    "agreed_cells": (),
    "agreed_pages": (),
    "witnessed_heads": (),
    "returned_bodies": (),
    # What everyone may know.
    "identities": (),
    "identity_revocations": (),
    "catalogues": (),
    "heads": (),
    "publication_log": ("id", "position"),
    "areas": ("version", "number", "name", "population"),
    "area_versions": ("version", "metric", "valid_from"),
    "detectors": (),
    # What it writes itself.
    "access_tokens": (),
    "audit": (),
    "audit_checkpoints": (),
}
"""Relation -> the columns that the role may read; all of them where none is named."""

WRITES: Mapping[str, str] = {"access_tokens": "INSERT, DELETE", "assertions": "INSERT", "audit": "INSERT"}
"""Table -> what the role may do with it besides reading. Nothing that was written is ever changed."""


class NoRole(OperatorError):
    """The role is not there, and can't be made."""


def grant_partner_role(connection: Connection, role: str) -> None:
    """Give `role` exactly the rights above in this database, whatever it had; it is made, without a login, if missing.

    Raises `NoRole` if it is missing and this connection may not make roles.
    """
    name = sql.Identifier(role)
    with connection.transaction():
        _make(connection, role)
        connection.execute(sql.SQL("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {}").format(name))
        for relation, columns in READS.items():
            listed = _listed(columns) if columns else sql.SQL("")
            connection.execute(sql.SQL("GRANT SELECT {} ON {} TO {}").format(listed, sql.Identifier(relation), name))
        for relation, rights in WRITES.items():
            connection.execute(sql.SQL("GRANT {} ON {} TO {}").format(sql.SQL(rights), sql.Identifier(relation), name))


def partner_login(connection: Connection, database_url: str) -> str:
    """A URL of this database for its role `<database>_partners`, which is made and may log in. For a database of ours.

    Its password follows from that of `database_url`, so that every process of this node makes the same one.
    """
    given = conninfo_to_dict(database_url)
    role = f"{given['dbname']}_partners"
    password = hmac.new(str(given.get("password") or "").encode(), role.encode(), hashlib.sha256).hexdigest()
    grant_partner_role(connection, role)
    connection.execute(sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(password)))
    return make_conninfo(database_url, user=role, password=password)


def _listed(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL("({})").format(sql.SQL(", ").join(map(sql.Identifier, columns)))


def _make(connection: Connection, role: str) -> None:
    # Roles belong to all databases of a server: two cities on one may make theirs at once.
    connection.execute("SELECT pg_advisory_xact_lock(hashtext('sistercity roles'))")
    if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is not None:
        return
    try:
        connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
    except InsufficientPrivilege:
        raise NoRole(
            f"there is no role {role!r}, and this user may not make one: let the database's administrator run"
            f' CREATE ROLE "{role}" LOGIN PASSWORD ..., then repeat this'
        ) from None
