"""The identity of a partner, pinned by the agreement and never older than the one we have; and our own keys."""

from collections.abc import Sequence

from joserfc.jwk import OKPKey

from federation.identity.document import BadIdentity, Identity, Revocation, open_identity
from federation.identity.expiry import show_identity, show_key
from federation.identity.receiving import known_identity, receive
from federation.partners.database import Threads
from federation.partners.limits import PartnerError
from federation.partners.source import Source
from store.agreements import InstalledAgreement
from store.database import Connection
from store.identities import own_identity, revocation_of


async def current_identity(agreement: InstalledAgreement, source: Source, threads: Threads, now_ms: int) -> Identity:
    """The partner's identity as it says now, or as we know it if it says nothing new; stored.

    Raises `PartnerError` ("revoked"), and `BadIdentity`.
    """
    text = await source.identity()
    return await threads.with_database(lambda connection: accepted(connection, agreement, text, now_ms))


def accepted(connection: Connection, agreement: InstalledAgreement, text: str | None, now_ms: int) -> Identity:
    """The identity under which an agreement's partner is read now, given what it sent (None: nothing new)."""
    pinned = agreement.partner
    if text is not None:
        received = receive(connection, text, pinned=pinned, now_ms=now_ms)
        if not isinstance(received, Revocation) and received.city != agreement.city:
            words = f"the identity document is of {received.city}, and the agreement with {agreement.city}"
            raise BadIdentity("other-city", words)
    if revocation_of(connection, pinned) is not None:
        words = f"{agreement.city} has revoked its identity: nothing under it is accepted any more"
        raise PartnerError("revoked", words)
    known = known_identity(connection, pinned)
    if known is None:
        raise PartnerError("no-identity", f"no identity document of {agreement.city} is known")
    show_identity(known)
    return open_identity(known.document, pinned=pinned, now_ms=now_ms)


async def access_key(threads: Threads, held: Sequence[OKPKey], now_ms: int) -> OKPKey:
    """Which of our private keys asks for access now. Raises `PartnerError` ("no-key")."""
    document = await threads.with_database(own_identity)
    own = None if document is None else open_identity(document, pinned=None, now_ms=None)
    key = None if own is None else own.signing_key("access", held, now_ms)
    show_key("access", own, key)
    if key is None:
        words = "there is no access key here that this city's identity document lists now: `sistercity identity show`"
        raise PartnerError("no-key", words)
    return key
