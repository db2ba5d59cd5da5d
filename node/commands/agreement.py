"""`sistercity agreement`: what two cities give each other, from the proposal to its end.

`propose`, `accept` and `renew` sign with the identity key and need no node; the others work on the node's database.
"""

from dataclasses import replace
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node import wiring
from node.clock import now_ms
from node.identity_files import identity_key_path, read_document, read_text
from node.settings import settings

if TYPE_CHECKING:
    from joserfc.jwk import OKPKey

    from federation.agreements.document import Agreement, Party
    from federation.identity.document import Identity
    from store.agreements import KnownAgreement

app = typer.Typer(help="What this city and a partner give each other: one file, signed by both.", no_args_is_help=True)

DAY_MS = 86_400_000

KeyOption = Annotated[Path | None, typer.Option("--key", help="our identity key; default: HOME/identity/identity.key")]
OwnOption = Annotated[
    Path | None, typer.Option("--identity", help="our identity document; default: HOME/identity/identity.jws")
]
OutOption = Annotated[Path | None, typer.Option("--out", help="the new file; default: a name in this folder")]
YesOption = Annotated[bool, typer.Option("--yes", help="sign without asking; the fingerprint was compared before")]
FromOption = Annotated[str | None, typer.Option("--from", help="when it begins: a day, or RFC 3339; default: now")]
DaysOption = Annotated[int, typer.Option(min=1, max=366, help="for how many days it holds")]


@app.command()
def propose(
    partner: Annotated[Path, typer.Argument(help="the identity document of the other city, as it sent it")],
    give: Annotated[list[str] | None, typer.Option(help="metric that we give; repeat it")] = None,
    receive: Annotated[list[str] | None, typer.Option(help="metric that we get; repeat it")] = None,
    purpose: Annotated[str, typer.Option(help="what both sides may use the figures for, in words")] = (
        "to compare the two cities"
    ),
    since: Annotated[str, typer.Option(help="the first window that is given: a day, or RFC 3339")] = "1970-01-01",
    delay: Annotated[int, typer.Option(min=0, help="seconds after its publication until a window is given")] = 0,
    retention: Annotated[int, typer.Option(min=1, help="days for which the other side may keep it")] = 3660,
    requests: Annotated[int, typer.Option(min=1, help="requests in a minute, at most")] = 600,
    size: Annotated[int, typer.Option("--bytes", min=1, help="bytes in an hour, at most")] = 2**30,
    concurrent: Annotated[int, typer.Option(min=1, help="requests at the same time, at most")] = 4,
    witness: Annotated[bool, typer.Option(help="show each other the heads that were seen of other cities")] = True,
    begin: FromOption = None,
    days: DaysOption = 365,
    key: KeyOption = None,
    identity: OwnOption = None,
    out: OutOption = None,
) -> None:
    """Write and sign a proposal, for the other city to accept. Its terms hold for both directions."""
    from federation.agreements.document import Terms
    from federation.agreements.document import propose as proposal_of
    from federation.identity.document import open_identity

    own = _own(identity)
    other = open_identity(read_text(partner), pinned=None, now_ms=now_ms())
    limits = (_time(since), delay, purpose, retention, requests, size, concurrent)
    grants = [
        Terms(giver, receiver, tuple(dict.fromkeys(metrics)), *limits)
        for giver, receiver, metrics in ((own.city, other.city, give), (other.city, own.city, receive))
        if metrics
    ]
    if not grants:
        raise wiring.CommandError("name what is agreed: --give METRIC, --receive METRIC, or both")
    start = _begin(begin)
    file = proposal_of(
        (_party(own), _party(other)),
        grants,
        witness=witness,
        valid_from=start,
        valid_until=start + days * DAY_MS,
        key=_key(key, own),
        now_ms=now_ms(),
    )
    _finish(file, own, out)


@app.command()
def renew(
    agreement: Annotated[Path, typer.Argument(help="the agreement that both cities have signed")],
    begin: FromOption = None,
    days: DaysOption = 365,
    give: Annotated[list[str] | None, typer.Option(help="from now on we give this metric instead; repeat it")] = None,
    receive: Annotated[list[str] | None, typer.Option(help="from now on we get this metric instead")] = None,
    partner: Annotated[Path | None, typer.Option(help="the other city's identity document, for new addresses")] = None,
    key: KeyOption = None,
    identity: OwnOption = None,
    out: OutOption = None,
) -> None:
    """Write and sign a proposal of the next version: the same terms for longer, or with other metrics or addresses."""
    from federation.agreements.document import open_agreement
    from federation.agreements.document import propose as proposal_of
    from federation.identity.document import open_identity

    own = _own(identity)
    before = open_agreement(agreement.read_bytes(), now_ms=None)
    before.party(own.thumbprint)
    other = before.other(own.thumbprint)
    if partner is not None:
        other = _party(open_identity(read_text(partner), pinned=other.thumbprint, now_ms=now_ms()))
    changed = {own.city: give, other.city: receive}
    grants = [
        terms if not (metrics := changed[terms.giver]) else replace(terms, metrics=tuple(dict.fromkeys(metrics)))
        for terms in before.grants
    ]
    if (give and before.given_by(own.city) is None) or (receive and before.received_by(own.city) is None):
        raise wiring.CommandError("the agreement has no grant in that direction: propose a new agreement with both")
    start = _begin(begin)
    file = proposal_of(
        (_party(own), other),
        grants,
        witness=before.witness,
        valid_from=start,
        valid_until=start + days * DAY_MS,
        key=_key(key, own),
        now_ms=now_ms(),
        renews=before,
    )
    _finish(file, own, out)


@app.command()
def accept(
    proposal: Annotated[Path, typer.Argument(help="the proposal of the other city")],
    yes: YesOption = False,
    key: KeyOption = None,
    identity: OwnOption = None,
    out: OutOption = None,
) -> None:
    """Show a proposal, and sign it: it is an agreement then, which both cities install."""
    from federation.agreements.description import description, fingerprint_request
    from federation.agreements.document import countersign, open_agreement
    from federation.agreements.installing import check_ours
    from schemas.catalogue import catalogue

    own = _own(identity)
    signing = _key(key, own)
    read = proposal.read_bytes()  # once: what is shown is what is signed
    found = open_agreement(read, now_ms=now_ms(), signatures=1)
    check_ours(found, own, catalogue())
    for line in description(found):
        typer.echo(line)
    typer.echo(fingerprint_request(found.other(own.thumbprint)))
    if not yes:
        typer.confirm("Is it the same, and does this city agree?", abort=True)
    path, made = _write(countersign(read, signing, now_ms=now_ms()), 2, own, out)
    other = made.other(own.thumbprint)
    typer.echo(f"{path} holds the agreement: send it to {other.contact}. Then both cities run, each on its node:")
    typer.echo(f"  sistercity agreement install {path.name}")


@app.command()
def install(agreement: Annotated[Path, typer.Argument(help="the agreement that both cities have signed")]) -> None:
    """Let this node give and get what an agreement says, from the time on that it says."""
    from federation.agreements.description import fingerprint_request
    from federation.agreements.installing import install as put_in
    from federation.wire import rfc3339
    from schemas.catalogue import catalogue

    private = settings().partner_private_addresses
    with wiring.database("agreement") as connection:
        found, own, new = put_in(
            connection, agreement.read_bytes(), catalogue(), now_ms=now_ms(), private_addresses=private
        )
    other = found.other(own)
    typer.echo(fingerprint_request(other))
    state = "is installed" if new else "was installed already"
    typer.echo(
        f"version {found.version} of {found.id} with {other.city} {state}; it begins {rfc3339(found.valid_from)}"
    )
    typer.echo("next: `sistercity serve-partners` gives what was agreed, `sistercity pull --follow` gets it")


@app.command()
def show(agreement: Annotated[str, typer.Argument(help="a file, or the id of an installed agreement")]) -> None:
    """Show an agreement or a proposal, in words."""
    from federation.agreements.description import description

    for found in _found(agreement):
        for line in description(found):
            typer.echo(line)


@app.command("list")
def list_agreements() -> None:
    """List every installed version of every agreement, and what became of it."""
    from store.agreements import known_agreements

    with wiring.database("agreement") as connection:
        known = known_agreements(connection)
    for each in known:
        typer.echo(_line(each))
    if not known:
        typer.echo("no agreement is installed: nothing is given to anyone, and nothing is pulled")


@app.command()
def revoke(
    agreement: Annotated[str, typer.Argument(help="the id of the agreement")],
    reason: Annotated[str, typer.Option(help="why, in words; it stays in this node's database")],
) -> None:
    """End an agreement in all its versions, from the next request on. Its id never returns."""
    from federation.agreements.payload import is_agreement_id
    from federation.agreements.revocations import RevocationsFault, agreement_line, remember
    from store.agreements import known_agreements
    from store.agreements import revoke as end

    with wiring.database("agreement") as connection:
        known = known_agreements(connection, agreement)
        if not known and not is_agreement_id(agreement):
            raise wiring.CommandError(f"{agreement!r} is no id of an agreement: see `sistercity agreement list`")
        done = end(connection, agreement, reason)
    try:
        kept = remember(wiring.revocations_path(), [agreement_line(agreement, reason)])
    except RevocationsFault as fault:
        words = f"agreement {agreement} is revoked, and a restore of the database would bring it back: {fault}"
        raise wiring.CommandError(f"{words}. Mend that, and run the command again") from None
    if not done and not kept:
        raise wiring.CommandError(f"agreement {agreement} was revoked before")
    with_whom = f" with {known[0].agreement.city}" if known else ", which was never installed here,"
    typer.echo(f"agreement {agreement}{with_whom} is revoked; tell the other city, which may go on by its own copy")


@app.command()
def addresses(
    agreement: Annotated[str, typer.Argument(help="the id of the agreement")],
    allow: Annotated[bool, typer.Option("--allow", help="ask the partner at its new addresses from now on")] = False,
) -> None:
    """Show where a partner is asked, and where its identity document says it is; take the latter over on command."""
    from federation.agreements.installing import check_addresses
    from federation.identity.document import open_identity
    from store.agreements import allow_addresses, known_agreements
    from store.identities import identity_of

    with wiring.database("agreement") as connection:
        known = known_agreements(connection, agreement)
        if not known:
            raise wiring.CommandError(f"no agreement {agreement} is installed: see `sistercity agreement list`")
        held = known[-1].agreement
        document = identity_of(connection, held.partner)
        said = None if document is None else open_identity(document, pinned=held.partner, now_ms=None).addresses
        typer.echo(f"{held.city} is asked at {', '.join(held.addresses) or 'no address'}")
        typer.echo(f"its identity document says {'nothing yet' if said is None else ', '.join(said) or 'no address'}")
        if allow and said is not None:
            check_addresses(held.city, said, private_addresses=settings().partner_private_addresses)
            allow_addresses(connection, agreement, said)
            typer.echo("from now on it is asked where the document says")


def _line(known: "KnownAgreement") -> str:
    from federation.wire import rfc3339

    each, now = known.agreement, now_ms()
    state = "in force" if known.in_force else "superseded, or an identity is revoked"
    if known.reason is not None:
        state = f"revoked: {known.reason}"
    elif now >= each.valid_until:
        state = "is over"
    elif now < each.valid_from:
        state = "has not begun"
    given, received = (", ".join(each.metrics(way)) or "nothing" for way in ("given", "received"))
    span = f"{rfc3339(each.valid_from)} to {rfc3339(each.valid_until)}"
    return f"{each.city}  {each.id} version {each.version}  {span}  {state}; we give {given}; we get {received}"


def _found(agreement: str) -> "list[Agreement]":
    """The agreement or proposal in a file, or every installed version of one."""
    from federation.agreements.document import BadAgreement, open_agreement
    from store.agreements import known_agreements

    path = Path(agreement)
    if path.is_file():
        try:
            return [open_agreement(path.read_bytes(), now_ms=None)]
        except BadAgreement as error:
            if error.reason != "one-signature":
                raise
            return [open_agreement(path.read_bytes(), now_ms=None, signatures=1)]
    with wiring.database("agreement") as connection:
        known = known_agreements(connection, agreement)
    if not known:
        raise wiring.CommandError(f"{agreement} is no file here, and no agreement with this id is installed")
    return [open_agreement(each.agreement.document, now_ms=None) for each in known]


def _finish(file: bytes, own: "Identity", out: Path | None) -> None:
    """Write a new proposal, and say whom to send it to and which fingerprint to compare."""
    from federation.agreements.description import fingerprint_request

    path, made = _write(file, 1, own, out)
    other = made.other(own.thumbprint)
    typer.echo(fingerprint_request(other))
    typer.echo(f"{path} holds the proposal: send it to {other.contact}; {other.city} accepts it")


def _write(file: bytes, signatures: int, own: "Identity", out: Path | None) -> "tuple[Path, Agreement]":
    """Write a new proposal or agreement into a new file."""
    from federation.agreements.document import open_agreement
    from federation.agreements.installing import check_ours
    from schemas.catalogue import catalogue

    made = open_agreement(file, now_ms=now_ms(), signatures=signatures)
    check_ours(made, own, catalogue())
    kind = "proposal" if signatures == 1 else "agreement"
    path = out or Path(f"{kind}-{made.parties[0].city}-{made.parties[1].city}-{made.id}-{made.version}.json")
    try:
        with path.open("xb") as opened:
            opened.write(file)
    except FileExistsError:
        raise wiring.CommandError(f"{path} exists: move it away, or name another file by --out") from None
    return path, made


def _own(path: Path | None) -> "Identity":
    from federation.identity.document import open_identity

    return read_document() if path is None else open_identity(read_text(path), pinned=None, now_ms=None)


def _key(path: Path | None, own: "Identity") -> "OKPKey":
    """Our identity key, which must be the one that signed our identity document."""
    from federation.identity.keys import read_key
    from federation.jose import thumbprint

    chosen = path or identity_key_path()
    key = read_key(chosen, "identity")
    if thumbprint(key) != own.thumbprint:
        raise wiring.CommandError(f"{chosen} holds the key of another identity than the identity document's")
    return key


def _party(identity: "Identity") -> "Party":
    from federation.agreements.document import party

    return party(identity.city, identity.name, identity.identity_key, identity.addresses, identity.contact)


def _begin(text: str | None) -> int:
    """When an agreement begins; now, without fractions of a second."""
    return now_ms() // 1000 * 1000 if text is None else _time(text)


def _time(text: str) -> int:
    """A day's beginning, or an RFC 3339 time; milliseconds since 1970, UTC."""
    from federation.wire import instant
    from store.moments import milliseconds

    try:
        return milliseconds(datetime.combine(date.fromisoformat(text), time(), UTC))
    except ValueError:
        pass
    try:
        return instant(text)
    except ValueError:
        raise wiring.CommandError(f"{text!r} is no day like 2026-05-01, and no time of RFC 3339") from None
