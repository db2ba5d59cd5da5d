"""Signing the head of all chains, by the publisher: after each turn that published, and again long before it expires.

One signature covers everything before it, so a turn of a hundred publications costs one. Publishing never waits for it:
without a key, or with one that can't be read, windows leave in their slots all the same, unsigned.
"""

import logging
from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import sha256

from joserfc.jwk import OKPKey

from errors import OperatorError
from federation import jose
from federation.identity.document import Identity, open_identity
from federation.identity.expiry import show_identity, show_key
from federation.publications.heads import LASTS_MS, BadHead, SignedHead, open_head, sign_head
from federation.publications.ledger import LedgerState
from store import partner_heads
from store.audit import all_audit_heads
from store.database import Connection
from store.heads import StoredHead, newest_head, save_head
from store.identities import own_identity

log = logging.getLogger(__name__)

_AGAIN_MS = LASTS_MS // 7
"""A head is signed again after a day: whoever pulls now and then has one that lasts for six days more."""

Keys = Callable[[], Sequence[OKPKey]]
"""Reads the private keys of use `publish`. Raises `OperatorError` if one can't be used."""


class Signer:
    """Signs heads with the key that the city's identity document lists. `keys` is asked when a head is due."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._complaint = ""

    def sign(self, connection: Connection, city: str, state: LedgerState, now_ms: int) -> StoredHead | None:
        """Sign what the ledger says, if that is due; to be called under the publisher's locks, in no transaction.

        Returns the head that was signed. A head can't be signed without the city's identity in the database, or with
        none of its keys here: that is logged once.
        """
        identity = own(connection)
        key, complaint = self._key(identity, now_ms)
        show_key("publish", identity, key)
        if identity is not None:
            show_identity(identity)
        if complaint and complaint != self._complaint:
            log.warning("no head is signed: %s", complaint)
        self._complaint = complaint
        if identity is None or key is None:
            return None
        before = newest_head(connection)
        if before is not None and not _due(before, identity, key, state, now_ms):
            return None
        return _sign(connection, city, identity, key, state, before, now_ms)

    def _key(self, identity: Identity | None, now_ms: int) -> tuple[OKPKey | None, str]:
        """The key that signs now, and what is wrong, in words, if there are keys and none can."""
        try:
            held = self._keys()
        except OperatorError as error:
            return None, str(error)
        if not held:
            return None, ""
        if identity is None:
            return None, "the database has no identity of this city: `sistercity identity import`"
        key = identity.signing_key("publish", held, now_ms)
        return key, "" if key else "the identity document lists none of the publish keys that are here"


def own(connection: Connection) -> Identity | None:
    """The identity of our own city, if there is one, whether or not its document has expired."""
    document = own_identity(connection)
    return None if document is None else _opened(document)


def seen_by_partners(connection: Connection) -> list[SignedHead]:
    """The heads of our own city that partners have seen, those that a key which is not revoked has signed.

    The highest number first; none of a city without an identity.
    """
    document = own_identity(connection)
    if document is None:
        return []
    seen = partner_heads.heads_of(connection, _opened(document).thumbprint)
    heads = (_head(each.document, document) for each in seen)
    return [head for head in heads if head is not None]


@lru_cache(maxsize=1024)
def _head(document: str, identity: str) -> SignedHead | None:
    """None of a revoked key: whoever has it may have signed."""
    try:
        return open_head(document, _opened(identity), None)
    except BadHead:
        return None


@lru_cache(maxsize=8)
def _opened(document: str) -> Identity:
    return open_identity(document, pinned=None, now_ms=None)


def _due(before: StoredHead, identity: Identity, key: OKPKey, state: LedgerState, now_ms: int) -> bool:
    try:
        known = open_head(before.document, identity, None)
    except BadHead:
        return True
    ends = {metric: end for metric, end in state.ends.items() if end.hash is not None}
    told = (known.log, known.position, known.ends, known.kid)
    return now_ms >= before.issued_at + _AGAIN_MS or told != (
        *(state.beginning.log, state.position, ends),
        jose.thumbprint(key),
    )


def _sign(
    connection: Connection,
    city: str,
    identity: Identity,
    key: OKPKey,
    state: LedgerState,
    before: StoredHead | None,
    now_ms: int,
) -> StoredHead:
    seen = seen_by_partners(connection)[:1]
    # The time, since a number that was used must never be used again, and the database may forget after a restore.
    number = max(now_ms, *(known.number + 1 for known in (before, *seen) if known is not None), 1)
    audited = all_audit_heads(connection)
    document = sign_head(
        key,
        city=city,
        log=state.beginning.log,
        number=number,
        position=state.position,
        ends=state.ends,
        audit=None if audited is None else sha256(audited).hexdigest(),
        now_ms=now_ms,
    )
    head = StoredHead(number, now_ms, now_ms + LASTS_MS, document, audited)
    save_head(connection, head)
    return head
