"""`sistercity migrate`: the city's database, brought to the newest tables."""

import typer

from node.wiring import database_url


def migrate() -> None:
    """Bring the city's database to the newest version of the tables. Safe to repeat, and from many places at once."""
    from store.migrations import migrate as bring_to_newest

    bring_to_newest(database_url())
    typer.echo("the database is at the newest version")
