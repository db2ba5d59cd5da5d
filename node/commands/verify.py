"""`sistercity verify`: every chain, head, body and catalogue that is stored here, our own and partners'."""

from typing import TYPE_CHECKING

import typer

from node import wiring

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from federation.identity.document import Identity
    from federation.publications.heads import SignedHead
    from federation.publications.verifying import VerifiedEntries
    from store.database import Connection

_COLUMNS = ("city", "metric", "entries", "bodies", "withdrawn", "not here", "signed up to")
_WIDTHS = (20, 28, 8, 8, 9, 8)


def verify() -> None:
    """Verify what this city and its partners have published, as it is stored here; exit 1 at the first contradiction.

    It proves who said what, and that nothing of it was changed or left out since: not that it is true.
    """
    from store.verification import one_state, partner_cities

    city = wiring.city()
    _say(_COLUMNS)
    with wiring.database("verify") as connection, one_state(connection):
        catalogues = _catalogues(connection)
        _own(connection, city.id, catalogues)
        for partner in partner_cities(connection):
            _partner(connection, partner.thumbprint, partner.city, partner.document, catalogues)
    typer.echo("no contradiction")


def _catalogues(connection: "Connection") -> "Container[str]":
    """The hashes of all catalogues that are here, each of which is that of its bytes."""
    from federation.publications.entries import digest
    from store.verification import catalogue_hashes

    found = set()
    for hash_, content in catalogue_hashes(connection):
        if digest(content) != hash_:
            raise wiring.CommandError(f"the catalogue that is stored as {hash_} has other content")
        found.add(hash_)
    return found


def _own(connection: "Connection", city: str, catalogues: "Container[str]") -> None:
    from federation.publications.recovery import ledger_fault
    from federation.publications.signing import own
    from federation.publications.verifying import verify_chains
    from store.heads import heads as signed_heads
    from store.verification import heads_seen, own_entries

    identity = own(connection)
    documents = [head.document for head in signed_heads(connection)]
    if identity is not None:
        _check_recorded(connection, identity.thumbprint, city)
        documents += [seen for seen in heads_seen(connection, identity.thumbprint) if seen not in documents]
    heads = _heads(city, documents, identity)
    chains = verify_chains(city, heads, own_entries(connection), catalogues, whole=True)
    _table(city, chains)
    if (fault := ledger_fault(connection, wiring.ledger_path(city), city)) is not None:
        raise wiring.CommandError(fault)


def _partner(
    connection: "Connection", thumbprint: str, city: str, document: str | None, catalogues: "Container[str]"
) -> None:
    from federation.identity.document import open_identity
    from federation.publications.verifying import verify_chains
    from store.verification import heads_seen, partner_entries

    settled = _check_recorded(connection, thumbprint, city)
    identity = None if document is None else open_identity(document, pinned=thumbprint, now_ms=None)
    heads = _heads(city, heads_seen(connection, thumbprint), identity, settled)
    _table(city, verify_chains(city, heads, partner_entries(connection, thumbprint), catalogues, whole=False))


def _heads(
    city: str, documents: "Sequence[str]", identity: "Identity | None", settled: "Mapping[str, int] | None" = None
) -> "Sequence[SignedHead]":
    """The verified heads of a city; says which can't be verified."""
    from federation.publications.verifying import verified_heads

    if identity is None:
        if documents:
            typer.echo(f"{city}: its identity is not known, so none of {len(documents)} heads can be verified")
        return []
    heads, left_out = verified_heads(documents, identity, settled)
    if left_out:
        typer.echo(f"{city}: {left_out} heads count no more, since their keys are revoked or no longer listed")
    return heads


def _check_recorded(connection: "Connection", thumbprint: str, city: str) -> dict[str, int]:
    """Raise `CommandError` if the puller has found that this city contradicts itself, and nobody has settled it.

    Says what was settled, and returns metric -> the number of the newest head that was known then.
    """
    from federation.wire import rfc3339
    from store.settlements import recorded_contradictions

    settled = {}
    for recorded in recorded_contradictions(connection, thumbprint):
        found, decided = recorded.found, recorded.settlement
        where = f"{city} has contradicted itself about {found.metric or 'its heads'}: {found.reason}"
        if decided is None:
            raise wiring.CommandError(f"{where}; `sistercity partner show {city}` shows both signed pieces")
        typer.echo(f"{where}; settled by {decided.by} on {rfc3339(decided.at)}: {decided.why}")
        settled[found.metric] = decided.number
    return settled


def _table(city: str, chains: "Sequence[VerifiedEntries]") -> None:
    for chain in chains:
        signed = "all" if chain.signed == chain.last else chain.signed or "nothing"
        _say((city, chain.metric, chain.entries, chain.bodies, chain.erased, chain.absent, signed))
        if chain.uncatalogued:
            typer.echo(f"{city}: {chain.uncatalogued} entries of {chain.metric} name a catalogue that is not here")


def _say(columns: "Sequence[object]") -> None:
    *first, last = map(str, columns)
    padded = (
        text.ljust(width) if index < 2 else text.rjust(width)
        for index, (text, width) in enumerate(zip(first, _WIDTHS, strict=True))
    )
    typer.echo("  ".join((*padded, last)))
