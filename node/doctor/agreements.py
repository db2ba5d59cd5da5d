"""Agreements: whether one ends soon, and whether its partner is asked where it is."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from node.doctor.finding import Finding

if TYPE_CHECKING:
    from store.agreements import InstalledAgreement, KnownAgreement
    from store.database import DatabaseUrl

_DAY_MS = 86_400_000
_SOON_DAYS = 30


@dataclass(frozen=True, slots=True)
class AgreementState:
    """Every installed version, ordered by city, id and version; `said`: partner's thumbprint -> the addresses in its
    newest identity document."""

    known: "Sequence[KnownAgreement]"
    said: Mapping[str, tuple[str, ...]]


def read_agreements(database_url: "DatabaseUrl", limit_s: int) -> AgreementState:
    """Read the agreements. `limit_s`: seconds for each statement. Raises psycopg's errors."""
    from federation.identity.document import open_identity
    from store import agreements, identities, inspection

    with inspection.read_only_connection(database_url, limit_s) as connection:
        known = agreements.known_agreements(connection)
        documents = {
            partner: identities.identity_of(connection, partner)
            for partner in {each.agreement.partner for each in known if each.in_force}
        }
    return AgreementState(
        known,
        {
            partner: open_identity(document, pinned=partner, now_ms=None).addresses
            for partner, document in documents.items()
            if document is not None
        },
    )


def judge_agreements(state: AgreementState, now_ms: int, *, private_addresses: bool) -> Iterator[Finding]:
    """Judge the agreements; those that were revoked, or ended long ago, are left out."""
    if not state.known:
        yield Finding("ok", "agreements", "none is installed: nothing is given to anyone, and nothing is pulled")
    for _, versions in groupby(state.known, lambda each: each.agreement.id):
        yield from _judge(list(versions), state.said, now_ms, private_addresses)


def _judge(
    versions: "Sequence[KnownAgreement]", said: Mapping[str, tuple[str, ...]], now_ms: int, private_addresses: bool
) -> Iterator[Finding]:
    newest = versions[-1].agreement
    ended_days = (now_ms - newest.valid_until) // _DAY_MS
    if versions[-1].reason is not None or ended_days >= _SOON_DAYS:
        return
    what = f"agreement with {newest.city}"
    held = next((each.agreement for each in versions if each.in_force), None)
    if held is None:
        yield _not_in_force(what, newest, now_ms)
        return
    yield _end(what, held, newest, now_ms)
    yield from _addresses(what, held, said.get(held.partner), private_addresses)


def _not_in_force(what: str, newest: "InstalledAgreement", now_ms: int) -> Finding:
    from federation.wire import rfc3339

    if now_ms < newest.valid_from:
        return Finding("ok", what, f"{newest.id} begins {rfc3339(newest.valid_from)}")
    if now_ms >= newest.valid_until:
        words = f"{newest.id} ended {rfc3339(newest.valid_until)}: nothing is given or pulled under it any more; if it"
        return Finding("warn", what, f"{words} should go on, renew it: `sistercity agreement renew`")
    return Finding("warn", what, f"{newest.id} is not in force, since an identity is revoked: make a new one")


def _end(what: str, held: "InstalledAgreement", newest: "InstalledAgreement", now_ms: int) -> Finding:
    from federation.wire import rfc3339

    words = f"{held.id} version {held.version} is in force until {rfc3339(held.valid_until)}"
    if newest.version > held.version:
        # From its beginning on the newest holds, whenever the others end.
        if newest.valid_from > held.valid_until:
            gap = f"{words}, and version {newest.version} begins {rfc3339(newest.valid_from)}: nothing holds in between"
            return Finding("warn", what, gap)
        return Finding("ok", what, f"{words}, or until version {newest.version} begins {rfc3339(newest.valid_from)}")
    days = (held.valid_until - now_ms) // _DAY_MS
    if days < _SOON_DAYS:
        return Finding("warn", what, f"{words}, {days} days from now: renew it by `sistercity agreement renew`")
    return Finding("ok", what, words)


def _addresses(
    what: str, held: "InstalledAgreement", said: tuple[str, ...] | None, private_addresses: bool
) -> Iterator[Finding]:
    from federation.agreements.addresses import is_private

    if said is not None and set(said) != set(held.addresses):
        words = f"{held.city} is asked at {', '.join(held.addresses) or 'no address'}, and says that it is at"
        command = f"if its people confirm that, `sistercity agreement addresses {held.id} --allow`"
        yield Finding("warn", what, f"{words} {', '.join(said) or 'none'}: {command}")
    inside = [] if private_addresses else [address for address in held.addresses if is_private(address)]
    if inside:
        words = f"{', '.join(inside)} lies in a private network, and is not asked: set"
        yield Finding("warn", what, f"{words} SISTERCITY_PARTNER_PRIVATE_ADDRESSES=true if that is meant")
