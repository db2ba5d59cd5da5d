"""`sistercity audit`: what was given to partners, verified and written out."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from node import wiring

if TYPE_CHECKING:
    from federation.access.verifying import VerifiedAudit, Witness
    from store.audit import AuditRow
    from store.database import Connection

app = typer.Typer(help="What was given to partners: a chain of lines for each agreement.", no_args_is_help=True)


@app.command()
def verify(
    file: Annotated[
        Path | None, typer.Argument(help="lines of one agreement, as exported or read from /v1/audit; else the node's")
    ] = None,
    kept: Annotated[
        Path | None, typer.Option(help="lines `agreement sequence hash`: what a partner kept of Sistercity-Audit")
    ] = None,
    after: Annotated[
        str | None,
        typer.Option(help="`SEQUENCE HASH` of the line before the file's first, as Sistercity-Audit-Begins has it"),
    ] = None,
) -> None:
    """Verify every chain, and compare it with our signed heads and with what partners kept.

    Names the first line of each chain that is wrong. Lines that were removed by their age are not missed. A file needs
    no node.
    """
    from federation.access.verifying import checkpoint_of, verify_audit, witnesses

    vouched = [] if kept is None else list(witnesses(kept.read_text(), str(kept)))
    if file is not None:
        rows = list(_rows(file))
        if not rows:
            raise wiring.CommandError(f"{file} holds no line")
        begins = {} if after is None else {rows[0].agreement: checkpoint_of(after)}
        _report(verify_audit(rows, vouched, begins))
        return
    from store.audit import audit_checkpoints, audit_rows
    from store.verification import one_state

    with wiring.database("audit") as connection, one_state(connection):
        vouched += _signed(connection)
        _report(verify_audit(audit_rows(connection), vouched, audit_checkpoints(connection)))


@app.command()
def export(
    agreement: Annotated[str | None, typer.Argument(help="id of an agreement; else all of them")] = None,
    out: Annotated[Path | None, typer.Option(help="the new file; default: standard output")] = None,
) -> None:
    """Write out the lines, each as its hash was made."""
    from store.agreements import known_agreements
    from store.audit import audit_checkpoints, audit_rows

    with wiring.database("audit") as connection:
        if agreement is not None and not known_agreements(connection, agreement):
            raise wiring.CommandError(f"no agreement {agreement} is installed: see `sistercity agreement list`")
        for of, last in audit_checkpoints(connection).items():
            if agreement in (None, of):
                typer.echo(
                    f"lines of {of} were removed by their age: verify --after '{last.sequence} {last.hash}'", err=True
                )
        lines = (row.line + b"\n" for row in audit_rows(connection, agreement))
        if out is None:
            _write(typer.get_binary_stream("stdout"), lines)
        else:
            try:
                with out.open("xb") as file:
                    _write(file, lines)
            except FileExistsError:
                raise wiring.CommandError(f"{out} exists: move it away, or name another file by --out") from None


@app.command()
def kept() -> None:
    """Print what this city kept of its partners' audits, for a partner to verify its own with (`verify --kept`)."""
    from store.partner_facts import kept_audit_heads

    with wiring.database("audit") as connection:
        for agreement, sequence, hash_ in kept_audit_heads(connection):
            typer.echo(f"{agreement} {sequence} {hash_}")


def _signed(connection: "Connection") -> "list[Witness]":
    from federation.access.verifying import signed_witnesses
    from federation.identity.document import open_identity
    from store.heads import heads
    from store.identities import own_identity

    document = own_identity(connection)
    if document is None:
        return []
    return list(signed_witnesses(heads(connection), open_identity(document, pinned=None, now_ms=None)))


def _rows(file: Path) -> "Iterator[AuditRow]":
    from federation.access.audit import row_of

    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            yield row_of(line.removesuffix(b"\n"), f"{file}, line {number}")


def _report(chains: "Iterable[VerifiedAudit]") -> None:
    wrong = []
    lines = False
    for chain in chains:
        if chain.broken is not None:
            wrong.append(str(chain.broken))
        elif chain.head is not None:
            lines = True
            gone = f" ({chain.removed} before them were removed by their age)" if chain.removed else ""
            typer.echo(
                f"{chain.agreement}: {chain.head.sequence - chain.removed} lines{gone}, each as it was written,"
                f" {chain.witnessed} confirmed by others; the last is {chain.head.hash}"
            )
    if wrong:
        raise wiring.CommandError("\n".join(wrong))
    if not lines:
        typer.echo("there is no line: nobody was given anything")


def _write(out: BinaryIO, lines: Iterable[bytes]) -> None:
    for line in lines:
        out.write(line)
