"""Identity documents in the database: never lowered, never brought back after a revocation; one is our own."""

import pytest

from store.database import Connection, connect
from store.identities import (
    identity_of,
    own_identity,
    published_identity,
    revocation_of,
    save_identity,
    save_own_identity,
    save_revocation,
)

LATER = 1_800_000_000_000
A, B = "a" * 43, "b" * 43


def save(connection: Connection, version: int, document: str, thumbprint: str = A) -> bool:
    return save_identity(connection, thumbprint, "isfahan", version, document, LATER)


@pytest.mark.services
def test_a_document_is_replaced_by_a_higher_version_alone_and_by_none_after_a_revocation(database_url: str) -> None:
    with connect(database_url) as connection:
        assert save(connection, 2, "second")
        assert not save(connection, 1, "first")
        assert not save(connection, 2, "another second")
        assert identity_of(connection, A) == "second"
        assert save(connection, 3, "third")
        assert identity_of(connection, A) == "third"
        assert identity_of(connection, B) is revocation_of(connection, A) is None
        save_revocation(connection, A, "the end")
        save_revocation(connection, A, "another end")
        assert revocation_of(connection, A) == "the end"
        assert not save(connection, 4, "fourth")
        save_revocation(connection, B, "before any document came")
        assert not save(connection, 1, "first", B)
        assert identity_of(connection, B) is None


@pytest.mark.services
def test_one_identity_is_our_own_and_its_revocation_is_what_we_tell(database_url: str) -> None:
    with connect(database_url) as connection:
        assert own_identity(connection) is published_identity(connection) is None
        assert save(connection, 1, "partner's", B)
        assert save_own_identity(connection, A, "isfahan", 1, "ours", LATER)
        assert not save_own_identity(connection, A, "isfahan", 1, "ours", LATER)
        assert own_identity(connection) == published_identity(connection) == "ours"
        save_revocation(connection, A, "the end")
        assert (own_identity(connection), published_identity(connection)) == ("ours", "the end")
        assert save_own_identity(connection, "c" * 43, "isfahan", 1, "new", LATER)
        assert own_identity(connection) == published_identity(connection) == "new"
        assert identity_of(connection, A) == "ours"
