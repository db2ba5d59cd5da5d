"""Documents and revocations that come in, from a partner's node or by file: verified, compared, and kept."""

from federation import jose
from federation.identity.document import (
    BadIdentity,
    Identity,
    Revocation,
    newer,
    open_identity,
    open_revocation,
)
from store.database import Connection
from store.identities import (
    identity_of,
    own_identity,
    revocation_of,
    save_identity,
    save_own_identity,
    save_revocation,
)


def receive(connection: Connection, text: str, *, pinned: str | None, now_ms: int) -> Identity | Revocation:
    """Verify a document or a revocation, and keep it if it is new. `pinned` is the thumbprint that it must have.

    Returns what is in force then. Raises `BadIdentity`, also if the identity is revoked ("revoked"); nothing is kept
    then.
    """
    if is_revocation(text):
        return _keep_revocation(connection, open_revocation(text, pinned=pinned))
    received = _checked(connection, open_identity(text, pinned=pinned, now_ms=now_ms))
    save_identity(connection, *_columns(received))
    return received


def receive_own(connection: Connection, text: str, *, now_ms: int, replace: bool) -> Identity | Revocation:
    """`receive` of our own document, or of the revocation of our own identity.

    With `replace` it may be of another identity than before, whose agreements no partner accepts any more. Raises
    `BadIdentity` ("other-identity") without.
    """
    before = own_identity(connection)
    own = None if before is None else open_identity(before, pinned=None, now_ms=None)
    if is_revocation(text):
        return _keep_revocation(connection, open_revocation(text, pinned=None if own is None else own.thumbprint))
    received = _checked(connection, open_identity(text, pinned=None, now_ms=now_ms))
    if own is not None and own.thumbprint != received.thumbprint and not replace:
        words = (
            f"this node is {own.city} by the identity {own.thumbprint}, and the file is of another identity,"
            f" {received.thumbprint}; --replace takes it, and all agreements have to be made anew"
        )
        raise BadIdentity("other-identity", words)
    save_own_identity(connection, *_columns(received))
    return received


def bring_back(connection: Connection, text: str) -> Identity | Revocation | None:
    """Keep a revocation, or a newer document of a city that is known, which was accepted before, whatever its time.

    Returns what was kept, None if nothing is new. Raises `BadIdentity`.
    """
    if is_revocation(text):
        statement = open_revocation(text, pinned=None)
        known = revocation_of(connection, statement.thumbprint) is not None
        return None if known else _keep_revocation(connection, statement)
    document = open_identity(text, pinned=None, now_ms=None)
    if identity_of(connection, document.thumbprint) is None:
        return None
    return document if save_identity(connection, *_columns(document)) else None


def known_identity(connection: Connection, thumbprint: str) -> Identity | None:
    """What is known of a city, whatever its time: None if there is no document, or its identity is revoked."""
    document = identity_of(connection, thumbprint)
    if document is None or revocation_of(connection, thumbprint) is not None:
        return None
    return open_identity(document, pinned=thumbprint, now_ms=None)


def is_revocation(text: str) -> bool:
    """Whether a signed object claims to be a revocation. Nothing is verified."""
    try:
        jose.signer(text, "sistercity-revocation")
    except jose.BadSignature:
        return False
    return True


def _keep_revocation(connection: Connection, revocation: Revocation) -> Revocation:
    save_revocation(connection, revocation.thumbprint, revocation.statement)
    return revocation


def _checked(connection: Connection, received: Identity) -> Identity:
    if revocation_of(connection, received.thumbprint) is not None:
        words = f"{received.city} has revoked the identity {received.thumbprint}: make a new agreement with its new one"
        raise BadIdentity("revoked", words)
    document = identity_of(connection, received.thumbprint)
    known = None if document is None else open_identity(document, pinned=received.thumbprint, now_ms=None)
    newer(known, received)
    return received


def _columns(identity: Identity) -> tuple[str, str, int, str, int]:
    return identity.thumbprint, identity.city, identity.version, identity.document, identity.expires_at
