"""An agreement in words, for the people who sign it."""

from collections.abc import Iterator

from federation.agreements.document import Agreement, Party, Terms
from federation.identity.fingerprint import digits
from federation.wire import rfc3339


def description(agreement: Agreement) -> Iterator[str]:
    """All that an agreement says, line by line."""
    version = f"agreement {agreement.id}, version {agreement.version}"
    yield version + ("" if agreement.supersedes is None else ", which supersedes the one before")
    yield f"holds from {rfc3339(agreement.valid_from)} until {rfc3339(agreement.valid_until)}"
    for party in agreement.parties:
        yield from _party(party, party.thumbprint in agreement.signers)
    for terms in agreement.grants:
        yield from _terms(terms)
    shown = "show" if agreement.witness else "do not show"
    yield f"the two cities {shown} each other the signed heads that they have seen of others"


def fingerprint_request(party: Party) -> str:
    """What to do with the other city's fingerprint before relying on a file that came by e-mail."""
    return (
        f"Call {party.contact} of {party.city}, by a number that you have from elsewhere, and compare fingerprints:\n"
        f"  {digits(party.thumbprint)}"
    )


def _party(party: Party, signed: bool) -> Iterator[str]:
    yield f"{party.city} ({party.name}), contact {party.contact}, {'has signed' if signed else 'has not signed yet'}"
    yield f"  fingerprint {digits(party.thumbprint)}"
    yield f"  at {', '.join(party.addresses) or 'no address: it is not asked'}"


def _terms(terms: Terms) -> Iterator[str]:
    yield f"{terms.giver} gives {terms.receiver}: {', '.join(terms.metrics)}"
    delay = f"{terms.delay_seconds:,} seconds after they were published" if terms.delay_seconds else "at once"
    yield f"  windows from {rfc3339(terms.since)} on, {delay}"
    yield f"  for {terms.purpose!r}; to be kept for {terms.retention_days:,} days at most"
    limits = f"{terms.requests_per_minute:,} requests a minute, {terms.bytes_per_hour:,} bytes an hour"
    yield f"  at most {limits}, {terms.concurrent_requests:,} at a time"
