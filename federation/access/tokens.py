"""The exchange of an access assertion for a token."""

from dataclasses import dataclass

from joserfc.jwk import OKPKey

from federation.access.assertion import Assertion, BadAssertion, check_assertion
from federation.identity.document import BadIdentity, open_identity
from store.access import Access, agreement_with, issue
from store.database import Connection
from store.identities import identity_of, own_identity, revocation_of

TOKEN_LIFE_S = 900


class UnknownAgreement(Exception):
    """The city has no agreement of this id with us: it never had, it is somebody else's, it is over or revoked."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A city has proven who it is, and asks for a token under an agreement in force."""

    assertion: Assertion
    access: Access


def check_request(connection: Connection, assertion: str, agreement: str, now_ms: int) -> Asked:
    """Who asks, and under which agreement. Raises `BadAssertion` and `UnknownAgreement`.

    Cities are known by the documents in the database; `now_ms` in ms since 1970, UTC.
    """
    own = _own_thumbprint(connection)
    proven = check_assertion(
        assertion,
        audience=own,
        key_of=lambda issuer, kid: _access_key(connection, issuer, kid, now_ms),
        now_ms=now_ms,
    )
    access = agreement_with(connection, agreement, own, proven.issuer)
    if access is None:
        raise UnknownAgreement
    return Asked(proven, access)


def issue_token(connection: Connection, asked: Asked) -> str:
    """A token for `TOKEN_LIFE_S` seconds. Raises `BadAssertion` ("replayed") if the assertion was used before."""
    token = issue(
        connection,
        agreement=asked.access.agreement,
        issuer=asked.assertion.issuer,
        jti=asked.assertion.jti,
        assertion=asked.assertion.text,
        life_s=TOKEN_LIFE_S,
    )
    if token is None:
        raise BadAssertion("replayed", "an assertion with this jti was used before: sign another")
    return token


def _own_thumbprint(connection: Connection) -> str:
    document = own_identity(connection)
    if document is None:
        raise BadAssertion("no-identity", "this city has published no identity yet")
    return open_identity(document, pinned=None, now_ms=None).thumbprint


def _access_key(connection: Connection, issuer: str, kid: str, now_ms: int) -> OKPKey | None:
    document = identity_of(connection, issuer)
    if document is None or revocation_of(connection, issuer) is not None:
        return None
    try:
        return open_identity(document, pinned=issuer, now_ms=now_ms).key_for("access", kid, now_ms)
    except BadIdentity:
        return None
