"""Installing an agreement that both cities have signed: what must be true of it here, and how it is kept."""

from collections.abc import Collection, Sequence
from typing import Literal

from federation.agreements.addresses import is_private
from federation.agreements.document import Agreement, BadAgreement, Terms, open_agreement
from federation.identity.document import Identity, open_identity
from store import agreements
from store.agreements import InstalledAgreement, MetricGrant
from store.database import Connection
from store.identities import own_identity


def install(
    connection: Connection, file: bytes, metrics: Collection[str], *, now_ms: int, private_addresses: bool
) -> tuple[Agreement, str, bool]:
    """Install the agreement in a file; returns it, our identity's thumbprint, and whether it is new here.

    `metrics` are those that this city can give. Raises `BadAgreement` and `store.agreements.InstallRefused`.
    """
    found = open_agreement(file, now_ms=now_ms)
    document = own_identity(connection)
    if document is None:
        raise BadAgreement(
            "no-identity", "this node does not know its own identity: `sistercity identity import identity.jws`"
        )
    own = open_identity(document, pinned=None, now_ms=None)
    check_ours(found, own, metrics)
    partner = found.other(own.thumbprint)
    check_addresses(partner.city, partner.addresses, private_addresses=private_addresses)
    new = agreements.install(connection, as_installed(found, own.thumbprint), found.supersedes)
    return found, own.thumbprint, new


def check_ours(agreement: Agreement, own: Identity, metrics: Collection[str]) -> None:
    """Raise `BadAgreement` unless one party is this city, by its id and identity, and what it gives is known here."""
    party = agreement.party(own.thumbprint)
    if party.city != own.city:
        words = f"the agreement calls this city {party.city!r}, and its identity says {own.city!r}"
        raise BadAgreement("swapped-parties", words)
    given = agreement.given_by(own.city)
    unknown = [] if given is None else [metric for metric in given.metrics if metric not in metrics]
    if unknown:
        raise BadAgreement("unknown-metric", f"this city has no metric {', '.join(unknown)}, and can't give it")


def check_addresses(city: str, addresses: Sequence[str], *, private_addresses: bool) -> None:
    """Raise `BadAgreement` ("private-address") if the partner would be asked inside a private network, unless that is
    allowed."""
    inside = [] if private_addresses else [address for address in addresses if is_private(address)]
    if inside:
        words = f"{city} is at {', '.join(inside)}, inside a private network"
        raise BadAgreement(
            "private-address", f"{words}: set SISTERCITY_PARTNER_PRIVATE_ADDRESSES=true if that is meant"
        )


def as_installed(agreement: Agreement, own: str) -> InstalledAgreement:
    """An agreement as the database keeps it, from the side of the party with the identity `own`.

    The limits are those of what we give; without it, those of what we get hold for what is left to ask of us.
    """
    partner, party = agreement.other(own), agreement.party(own)
    given, received = agreement.given_by(party.city), agreement.received_by(party.city)
    limits = given or received
    assert limits is not None, "an agreement has a grant"
    return InstalledAgreement(
        *(agreement.id, agreement.version, own, partner.thumbprint, partner.city, agreement.file, agreement.hash),
        *(partner.addresses, agreement.valid_from, agreement.valid_until, agreement.witness),
        *(limits.requests_per_minute, limits.bytes_per_hour, limits.concurrent_requests),
        (*_grants("given", given), *_grants("received", received)),
    )


def _grants(direction: Literal["given", "received"], terms: Terms | None) -> list[MetricGrant]:
    if terms is None:
        return []
    of_all = (terms.since, terms.delay_seconds, terms.retention_days)
    return [MetricGrant(direction, metric, *of_all) for metric in sorted(terms.metrics)]
