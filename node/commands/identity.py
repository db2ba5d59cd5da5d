"""`sistercity identity`: the city's long-term key, and the document that names its online keys."""

from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node import wiring
from node.clock import now_ms
from node.identity_files import (
    document_path,
    identity_folder,
    identity_key_path,
    key_path,
    read_document,
    read_text,
    revocation_path,
    stage_key,
    take_staged_key,
    write_text,
)

if TYPE_CHECKING:
    from joserfc.jwk import OKPKey

    from federation.identity.changes import OnlineUse
    from federation.identity.document import Identity, OnlineKey, Revocation

app = typer.Typer(help="The city's identity towards other cities. No node is needed.", no_args_is_help=True)

IdentityKey = Annotated[
    Path | None, typer.Option("--identity-key", help="file of the identity key; default: HOME/identity/identity.key")
]
Addresses = Annotated[
    list[str] | None, typer.Option("--address", help="https:// address of the city's node; may be repeated")
]
Contact = Annotated[str | None, typer.Option(help="whom to call or write to, for the other city's operator")]


class Online(StrEnum):
    """The online keys."""

    publish = "publish"
    access = "access"


class Revoked(StrEnum):
    """The values of `identity revoke`."""

    publish = "publish"
    access = "access"
    identity = "identity"


@app.command()
def create(
    contact: Annotated[str, typer.Option(help="whom to call or write to, for the other city's operator")],
    address: Addresses = None,
    city: Annotated[str | None, typer.Option(help="id of the city; default: that of SISTERCITY_CITY")] = None,
    name: Annotated[str | None, typer.Option(help="name of the city; default: that of SISTERCITY_CITY")] = None,
) -> None:
    """Make the identity key, the online keys and the first identity document, in HOME/identity."""
    from federation.identity.changes import listed
    from federation.identity.document import LONGEST_VALIDITY_MS, open_identity, sign_identity, sign_revocation
    from federation.identity.keys import write_key
    from federation.jose import new_key

    if document_path().exists():
        raise wiring.CommandError(
            f"there is an identity in {identity_folder()}, which `sistercity identity show` tells of;"
            " `sistercity identity renew --address` or `--contact` changes what it says"
        )
    known = wiring.city() if city is None or name is None else None
    city, name = city or known.id, name or known.name  # type: ignore[union-attr]
    now = now_ms() // 1000 * 1000
    key, publish, access = new_key(), new_key(), new_key()
    document = sign_identity(
        key,
        city=city,
        name=name,
        addresses=address or [],
        contact=contact,
        version=1,
        issued_at=now,
        expires_at=now + LONGEST_VALIDITY_MS,
        keys=[listed("publish", publish, now), listed("access", access, now)],
    )
    identity_folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    write_key(identity_key_path(), key, "identity", city)
    write_key(key_path("publish"), publish, "publish", city)
    write_key(key_path("access"), access, "access", city)
    ends = sign_revocation(key, city=city, revoked_at=now, reason="signed in advance, for the loss of the key")
    write_text(revocation_path(), ends, 0o600)
    write_text(document_path(), document)
    _tell(open_identity(document, pinned=None, now_ms=now))
    typer.echo(f"move {identity_key_path()} away from every server, and keep a second copy of it elsewhere")
    typer.echo(f"keep {revocation_path()} in a safe, apart from the key: whoever has it can end this identity")
    typer.echo(f"then, on the node: sistercity identity import {document_path()} --own")


@app.command()
def show(
    file: Annotated[Path | None, typer.Argument(help="an identity document or a revocation; default: our own")] = None,
) -> None:
    """Show what an identity document says, and its fingerprint in digits, to compare on the telephone."""
    from federation.identity.document import open_identity, open_revocation
    from federation.identity.receiving import is_revocation

    text = read_document().document if file is None else read_text(file)
    if is_revocation(text):
        _tell_revoked(open_revocation(text, pinned=None))
    else:
        _tell(open_identity(text, pinned=None, now_ms=None))


@app.command()
def renew(
    identity_key: IdentityKey = None,
    address: Addresses = None,
    contact: Contact = None,
    name: Annotated[str | None, typer.Option(help="the city's name")] = None,
) -> None:
    """Sign the next version of the document, valid for 90 days; with other addresses, contact or name where given."""
    from federation.identity.changes import next_version

    key, known = _identity_key(identity_key), read_document()
    _replace(known, next_version(key, known, _now(), addresses=address or None, contact=contact, name=name))


@app.command()
def rotate(
    use: Annotated[Online, typer.Argument(help="which online key")],
    identity_key: IdentityKey = None,
    overlap_days: Annotated[int, typer.Option(min=0, max=90, help="days for which the old key stays valid")] = 7,
) -> None:
    """Make a new online key; the old one stays valid for some days, and lies in a file ending in .old."""
    from federation.identity.changes import next_version, rotated

    key, known = _identity_key(identity_key), _settled(use.value)
    added = _stage(use.value, known)
    overlap_ms = timedelta(days=overlap_days) // timedelta(milliseconds=1)
    _replace(known, next_version(key, known, added.not_before, keys=rotated(known, added, overlap_ms)))
    _take(use.value)


@app.command()
def revoke(
    use: Annotated[Revoked, typer.Argument(help="which key")],
    reason: Annotated[str, typer.Option(help="why, in words; partners read it")],
    identity_key: IdentityKey = None,
    kid: Annotated[list[str] | None, typer.Option(help="only this online key; may be repeated")] = None,
) -> None:
    """Take back a key that others may have. What it signed is refused from when a partner knows, whatever its time.

    Without --kid every key of that use is revoked. If none is left, a new one is made. For `identity`, a statement is
    written that ends the identity itself.
    """
    from federation.identity.changes import next_version, revoked, usable

    key = _identity_key(identity_key)
    if use is Revoked.identity:
        _end(key, read_document(), reason)
        return
    online: OnlineUse = "publish" if use is Revoked.publish else "access"
    known = _settled(online)
    kids = kid or [listed.kid for listed in known.keys if listed.use == online]
    revocations = revoked(known, kids, _now(), reason)
    if set(usable(known, online, _now())) - set(kids):
        _replace(known, next_version(key, known, _now(), revocations=revocations))
        return
    added = _stage(online, known)
    _replace(known, next_version(key, known, added.not_before, keys=[*known.keys, added], revocations=revocations))
    _take(online)
    typer.echo("send the document to your partners: until they have it, they accept what the revoked key signs")


@app.command()
def export(
    file: Annotated[Path | None, typer.Argument(help="where to write it; default: standard output")] = None,
) -> None:
    """Give the identity document as one line of text, for instance to send it by e-mail."""
    document = read_document().document
    if file is None:
        typer.echo(document)
    else:
        write_text(file, document)


@app.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(help="an identity document or a revocation, ours or a partner's")],
    own: Annotated[bool, typer.Option("--own", help="it is this city's own")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="with --own: another identity takes the old one's place")
    ] = False,
) -> None:
    """Put a document or a revocation into the node's database."""
    from federation.agreements.revocations import identity_line, remember
    from federation.identity.document import Identity
    from federation.identity.receiving import receive, receive_own

    text = read_text(file)
    with wiring.database("identity") as connection:
        if own:
            kept = receive_own(connection, text, now_ms=now_ms(), replace=replace)
        else:
            kept = receive(connection, text, pinned=None, now_ms=now_ms())
    if not isinstance(kept, Identity) or kept.revoked:
        remember(wiring.revocations_path(), [identity_line(text)])
    if isinstance(kept, Identity):
        _tell(kept)
    else:
        _tell_revoked(kept)


def _now() -> int:
    """The time in whole seconds, in ms: documents are read by people."""
    return now_ms() // 1000 * 1000


def _identity_key(file: Path | None) -> "OKPKey":
    from federation.identity.keys import read_key

    path = file or identity_key_path()
    if not path.exists():
        raise wiring.CommandError(f"the identity key is needed, and {path} is not there: name its file, --identity-key")
    return read_key(path, "identity")


def _settled(use: "OnlineUse") -> "Identity":
    """The document, after a rotation that was interrupted has been finished."""
    known = read_document()
    take_staged_key(use, known)
    return known


def _stage(use: "OnlineUse", known: "Identity") -> "OnlineKey":
    """A new online key, beside the one in use, as the document is to list it."""
    from federation.identity.changes import listed
    from federation.jose import new_key

    key = new_key()
    stage_key(key, use, known)
    return listed(use, key, _now())


def _take(use: "OnlineUse") -> None:
    """Use the new key, now that the document that lists it is on the disk."""
    take_staged_key(use, read_document())
    typer.echo(
        f"where the key is used, import the document first; then keep its present {use}.key as {use}.key.old, and put"
        f" {key_path(use)} in its place"
    )


def _replace(known: "Identity", document: str) -> None:
    """Keep the next version of a document, unless it is none."""
    from federation.identity.document import newer, open_identity

    made = open_identity(document, pinned=known.thumbprint, now_ms=None)
    newer(known, made)
    write_text(document_path(), document)
    _tell(made)
    typer.echo(f"on the node: sistercity identity import {document_path()}")


def _end(key: "OKPKey", known: "Identity", reason: str) -> None:
    """Write the statement that ends an identity."""
    from federation.identity.document import open_revocation, sign_revocation

    statement = sign_revocation(key, city=known.city, revoked_at=_now(), reason=reason)
    ended = open_revocation(statement, pinned=known.thumbprint)
    write_text(revocation_path(), statement, 0o600)
    _tell_revoked(ended)
    typer.echo(f"import {revocation_path()} on the node, and send it to every partner")


def _tell(identity: "Identity") -> None:
    from federation.wire import rfc3339

    _line("city", f"{identity.city}, {identity.name}")
    _tell_thumbprint(identity.thumbprint)
    _line("version", f"{identity.version}, from {rfc3339(identity.issued_at)} until {rfc3339(identity.expires_at)}")
    _line("addresses", ", ".join(identity.addresses) or "none")
    _line("contact", identity.contact)
    for key in identity.keys:
        ended = ", revoked" if identity.is_revoked(key.kid) else ""
        _line(f"{key.use} key", f"{key.kid}, from {rfc3339(key.not_before)} until {rfc3339(key.not_after)}{ended}")
    for each in identity.revoked:
        _line("revoked", f"{each.kid}, {rfc3339(each.revoked_at)}: {each.reason}")


def _tell_revoked(revocation: "Revocation") -> None:
    from federation.wire import rfc3339

    _line("revoked", f"the identity of {revocation.city}, {rfc3339(revocation.revoked_at)}: {revocation.reason}")
    _tell_thumbprint(revocation.thumbprint)


def _tell_thumbprint(thumbprint: str) -> None:
    from federation.identity.fingerprint import digits

    _line("identity", thumbprint)
    _line("read aloud", digits(thumbprint))


def _line(what: str, words: str) -> None:
    typer.echo(f"{what:12} {words}")
