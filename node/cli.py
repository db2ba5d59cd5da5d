"""The `sistercity` command."""

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from node.commands import (
    agreement,
    areas,
    audit,
    backup,
    bundle,
    conformance,
    correct,
    demo,
    detect,
    doctor,
    health,
    identity,
    ingest,
    migrate,
    partner,
    plates,
    process,
    publish,
    pull,
    query,
    register,
    relay_dead_letters,
    serve,
    serve_partners,
    services,
    size,
    sources,
    standing,
    status,
    topics,
    verify,
    withdraw,
)
from node.explain import explain


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sistercity {version('sistercity')}")
        raise typer.Exit


app = typer.Typer(
    help="A city's streams, reduced to aggregates and shared with partner cities.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(demo.demo)
app.command()(services.services)
app.command()(size.size)
app.command()(migrate.migrate)
app.command()(backup.backup)
app.command()(backup.restore)
app.add_typer(register.app, name="register")
app.add_typer(areas.app, name="areas")
app.add_typer(topics.app, name="topics")
app.add_typer(ingest.app, name="ingest")
app.add_typer(sources.app, name="sources")
app.add_typer(plates.app, name="plates")
app.command()(detect.detect)
app.command()(process.process)
app.command()(correct.correct)
app.command()(publish.publish)
app.command()(withdraw.withdraw)
app.command()(relay_dead_letters.relay_dead_letters)
app.add_typer(agreement.app, name="agreement")
app.add_typer(audit.app, name="audit")
app.command()(serve.serve)
app.command()(serve_partners.serve_partners)
app.add_typer(identity.app, name="identity")
app.command()(pull.pull)
app.add_typer(partner.app, name="partner")
app.command()(bundle.export_bundle)
app.command()(bundle.import_bundle)
app.command()(verify.verify)
app.command()(conformance.conformance)
app.command()(query.query)
app.command()(standing.standing)
app.command()(status.status)
app.command()(doctor.doctor)
app.command()(health.health)


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options of the command itself, before a subcommand."""


def main() -> None:
    """Run the command; an error that an operator can mend is one message and exit code 1, not a traceback."""
    try:
        app()
    except Exception as error:
        text = explain(error)
        if text is None:
            raise
        print(f"sistercity: {text}", file=sys.stderr)
        sys.exit(1)
