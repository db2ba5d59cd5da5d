"""`sistercity migrate`: the city's database, brought to the newest tables."""

from typing import Annotated

import typer

from node.waiting import wait_for_database
from node.wiring import database_url, revoked_again


def migrate(
    partner_role: Annotated[
        str | None,
        typer.Option(help="role of the database for `serve-partners`: gets the rights that it needs and no others"),
    ] = None,
    wait: Annotated[float, typer.Option(min=0, help="seconds to wait for a PostgreSQL that is starting")] = 60.0,
) -> None:
    """Bring the city's database to the newest version of the tables. Safe to repeat, and from many places at once.

    What the file of revocations says is applied: the database may have been restored.
    """
    from store.database import connect
    from store.migrations import migrate as bring_to_newest
    from store.partner_role import grant_partner_role

    url = database_url()
    wait_for_database(url, wait)
    bring_to_newest(url)
    with connect(url) as connection:
        for done in revoked_again(connection):
            typer.echo(done)
        if partner_role is not None:
            grant_partner_role(connection, partner_role)
    typer.echo("the database is at the newest version")
