"""The city's identity: whether its document is valid for long enough, and its keys are where they should be, unread."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from node.doctor.finding import Finding

if TYPE_CHECKING:
    from federation.identity.changes import OnlineUse
    from federation.identity.document import Identity
    from store.database import Connection, DatabaseUrl

_DAY_MS = 86_400_000
_SOON_DAYS = 14
_WHAT = "identity"


@dataclass(frozen=True, slots=True)
class IdentityState:
    """What there is of the city's identity, in the database and on this machine.

    `installed` is the node's own document, `made` the newest that was made on this machine, `revoked` whether the
    identity is. `partners` are the cities with an agreement in force, each with when its newest document expires (ms),
    None if there is none. `held` are the kids of the online keys on this machine; `unguarded` says of each file of a
    key that others may read it; `identity_key` is where that key lies, if here.
    """

    installed: "Identity | None"
    revoked: bool
    partners: Mapping[str, int | None]
    made: "Identity | None" = None
    held: Mapping["OnlineUse", tuple[str, ...]] = field(default_factory=dict)
    unguarded: tuple[str, ...] = ()
    identity_key: Path | None = None


def read_identity(database_url: "DatabaseUrl", limit_s: int) -> IdentityState:
    """Read the state of the identity. `limit_s`: seconds for each statement.

    Raises psycopg's errors, and `KeyFileError` or `BadIdentity` for files that can't be used.
    """
    from federation.identity.document import open_identity
    from store import agreements, identities, inspection

    with inspection.read_only_connection(database_url, limit_s) as connection:
        text = identities.own_identity(connection)
        installed = None if text is None else open_identity(text, pinned=None, now_ms=None)
        revoked = installed is not None and identities.revocation_of(connection, installed.thumbprint) is not None
        partners = {each.city: _expiry(connection, each.partner) for each in agreements.in_force(connection)}
    return _with_files(IdentityState(installed, revoked, partners))


def _expiry(connection: "Connection", thumbprint: str) -> int | None:
    from federation.identity.receiving import known_identity

    known = known_identity(connection, thumbprint)
    return None if known is None else known.expires_at


def _with_files(state: IdentityState) -> IdentityState:
    from federation.identity.keys import old_file, readable_by_others
    from federation.jose import thumbprint
    from node import identity_files

    uses: tuple[OnlineUse, ...] = ("publish", "access")
    online = [identity_files.key_path(use) for use in uses]
    paths = [identity_files.identity_key_path(), *online, *map(old_file, online)]
    present = [path for path in paths if path.exists()]
    unguarded = [words for path in present if (words := readable_by_others(path, path.stat().st_mode))]
    return replace(
        state,
        made=identity_files.read_document() if identity_files.document_path().exists() else None,
        held={} if unguarded else {use: tuple(map(thumbprint, identity_files.online_keys(use))) for use in uses},
        unguarded=tuple(unguarded),
        identity_key=paths[0] if paths[0].exists() else None,
    )


def judge_identity(state: IdentityState, now_ms: int) -> Iterator[Finding]:
    """Judge the city's identity at `now_ms`."""
    for words in state.unguarded:
        yield Finding("fail", "identity's keys", words)
    if state.identity_key is not None:
        words = f"{state.identity_key} lies on this machine: move it to where no server is, and keep a copy elsewhere"
        yield Finding("warn", "identity key", words)
    yield from _judge_partners(state.partners, now_ms)
    if state.installed is None:
        yield _judge_absence(state)
        return
    yield _judge_document(state.installed, state, now_ms)
    for use, kids in state.held.items():
        if kids:
            yield _judge_key(state.installed, use, kids, now_ms)


def _judge_partners(partners: Mapping[str, int | None], now_ms: int) -> Iterator[Finding]:
    """A city is not let in, and nothing of it is taken, without a document that is valid."""
    missing = [city for city, expires in sorted(partners.items()) if expires is None]
    expired = [city for city, expires in sorted(partners.items()) if expires is not None and now_ms >= expires]
    for cities, words in ((missing, "no identity document is here"), (expired, "its document has expired")):
        if cities:
            mend = "does `sistercity pull` run? Else ask the city for its file, and `sistercity identity import` it"
            yield Finding("warn", "partners' identities", f"{', '.join(cities)}: {words}; {mend}")


def _judge_absence(state: IdentityState) -> Finding:
    if state.partners:
        words = f"{len(state.partners)} agreements are in force, and the node does not know who it is: "
        return Finding("fail", _WHAT, f"{words}run `sistercity identity import FILE --own`")
    if state.made is not None:
        return Finding("warn", _WHAT, "made, and not imported: run `sistercity identity import FILE --own`")
    return Finding("ok", _WHAT, "none: nothing is exchanged with other cities")


def _judge_document(installed: "Identity", state: IdentityState, now_ms: int) -> Finding:
    days = (installed.expires_at - now_ms) // _DAY_MS
    words = f"{installed.city}, version {installed.version}"
    if state.revoked:
        return Finding("fail", _WHAT, f"{words}: revoked; partners accept nothing: make a new identity and agreements")
    renew = "run `sistercity identity renew` where the identity key is, and import the document"
    if now_ms >= installed.expires_at:
        return Finding("fail", _WHAT, f"{words}, has expired and partners refuse it: {renew}")
    made = state.made
    if made is not None and (made.thumbprint, made.version > installed.version) == (installed.thumbprint, True):
        return Finding("warn", _WHAT, f"{words}, and version {made.version} was made here: import it")
    if days < _SOON_DAYS:
        return Finding("warn", _WHAT, f"{words}, expires in {days} days: {renew}")
    return Finding("ok", _WHAT, f"{words}, expires in {days} days")


def _judge_key(installed: "Identity", use: "OnlineUse", kids: tuple[str, ...], now_ms: int) -> Finding:
    what = f"{use} key"
    listed = [key for key in installed.keys if key.use == use and key.kid in kids and not installed.is_revoked(key.kid)]
    if not any(key.not_before <= now_ms < key.not_after for key in listed):
        words = "none of those on this machine is listed in the document that the node has, valid and not revoked"
        return Finding("fail", what, f"{words}: import the newest document, or put the newest key here")
    days = (max(key.not_after for key in listed) - now_ms) // _DAY_MS
    if days < _SOON_DAYS:
        words = f"valid for {days} more days: run `sistercity identity rotate {use}`, or put the newer key here"
        return Finding("warn", what, words)
    return Finding("ok", what, f"valid for {days} more days")
