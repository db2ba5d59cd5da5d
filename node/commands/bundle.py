"""`sistercity export-bundle` and `import-bundle`: what cities exchange, by file."""

from pathlib import Path
from typing import Annotated

import typer

from node import serving, wiring

File = Annotated[Path, typer.Argument(help="the bundle")]


def export_bundle(
    agreement: Annotated[str, typer.Argument(help="id of the agreement: `sistercity agreement list`")], file: File
) -> None:
    """Write all that a partner may read under an agreement now to a new file, for a partner that no network reaches."""
    from federation.partners.bundles import export_bundle as export

    try:
        entries, bodies = export(wiring.database_url(), agreement, serving.facts(), file)
    except FileExistsError:
        raise wiring.CommandError(f"{file} exists, and is not overwritten") from None
    typer.echo(f"{entries} entries, {bodies} bodies; whoever has {file} reads what the agreement gives")


def import_bundle(file: File) -> None:
    """Verify and store what a partner's bundle holds, exactly as if it had been pulled."""
    import asyncio

    from federation.partners.pulling import pull_bundle
    from node.commands.pull import pulling

    done = asyncio.run(pull_bundle(pulling(), file))
    if done.failure is not None:
        raise wiring.CommandError(done.failure)
    assert done.result is not None
    typer.echo(f"{done.city}: {done.result.entries} entries, {done.result.bodies} bodies")
