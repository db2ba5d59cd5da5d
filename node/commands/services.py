"""`sistercity services`: the embedded Kafka and PostgreSQL, until told to stop."""

import typer

from node.lifecycle import start
from node.settings import settings


def services() -> None:
    """Start Kafka and PostgreSQL for this folder; they stop with this command (Ctrl-C).

    While they run, the other commands in this folder find them by themselves.
    """
    from embedded.services import await_stop
    from embedded.services import services as running_services

    stop = start("services")
    with running_services(settings().home, report=lambda line: typer.echo(line, err=True)) as running:
        typer.echo(f"Kafka       {running.kafka}")
        typer.echo(f"PostgreSQL  {running.database_url.rpartition('@')[2]}  (its password is in {settings().home})")
        typer.echo("Ctrl-C stops both; the data stays.")
        await_stop(settings().home, stop)
