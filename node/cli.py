"""The `sistercity` command."""

import sys
from typing import TYPE_CHECKING

import typer
from pydantic import ValidationError

from node.commands import (
    demo,
    detect,
    doctor,
    health,
    ingest,
    migrate,
    plates,
    process,
    publish,
    pull,
    query,
    register,
    serve,
    services,
    status,
    topics,
)
from node.settings import PREFIX
from node.wiring import CommandError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

app = typer.Typer(
    help="A city's streams, reduced to aggregates and shared with partner cities.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(demo.demo)
app.command()(services.services)
app.command()(migrate.migrate)
app.add_typer(register.app, name="register")
app.add_typer(topics.app, name="topics")
app.add_typer(ingest.app, name="ingest")
app.add_typer(plates.app, name="plates")
app.command()(detect.detect)
app.command()(process.process)
app.command()(publish.publish)
app.command()(serve.serve)
app.command()(pull.pull)
app.command()(query.query)
app.command()(status.status)
app.command()(doctor.doctor)
app.command()(health.health)


def main() -> None:
    """Run the command; an error that an operator can mend is one message and exit code 1, not a traceback."""
    try:
        app()
    except Exception as error:
        if not isinstance(error, CommandError) and type(error).__name__ not in _EXPLAINED:
            raise
        print(f"sistercity: {_in_words(error)}", file=sys.stderr)
        sys.exit(1)


def _in_words(error: Exception) -> str:
    if type(error).__name__ == "UndefinedTable":
        return "the database has no tables of ours, or old ones: run `sistercity migrate`"
    if isinstance(error, ValidationError):
        return "; ".join(map(_setting_in_words, error.errors()))
    return str(error)


def _setting_in_words(error: "ErrorDetails") -> str:
    if not error["loc"]:  # of several settings together: the text names them
        return error["msg"].removeprefix("Value error, ")
    return f"{PREFIX}{'_'.join(map(str, error['loc'])).upper()}: {error['msg']}"


_EXPLAINED = frozenset(
    {
        "AccessRefused",
        "AlreadyRunning",
        "BadAddress",
        "BrokenWeights",
        "ChildEnded",
        "CityFileError",
        "DeliveryFailed",
        "DemoFailed",
        "LogUnavailable",
        "NoAreas",
        "NotInstalled",
        "NotLoopback",
        "NotSuchFile",
        "OperationalError",
        "PartnerError",
        "PermissionError",
        "ProducersTime",
        "ProgrammingError",
        "RegisterError",
        "ServicesFailed",
        "Stopped",
        "StoreUnavailable",
        "TopicChanged",
        "UndefinedTable",
        "UnknownTopic",
        "UnsafeFolder",
        "ValidationError",
    }
)
"""Errors whose text is written for an operator. By name: importing them all would import every room."""
