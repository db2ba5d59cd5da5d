"""An error that an operator can mend is one message; every other exception is a traceback, on purpose."""

import importlib
import pkgutil
from collections.abc import Iterator

import psycopg
import pytest

import api.cursors
import api.exchange.access
import api.exchange.gate
import api.exchange.token
import api.own.registry.protocol
import api.own.registry.subjects
import api.problems
import embedded.kafka
import eventlog.kafka.bounds
import eventlog.protocol
import federation.access.assertion
import federation.access.quotas
import federation.access.tokens
import federation.disclosure.rules
import federation.partners.chains
import federation.partners.connecting
import federation.partners.source
import federation.publications.entries
import federation.strict_json
import ingest.cameras.live.protocol
import ingest.cameras.sources
import ingest.files.spacing
import ingest.files.uplinks
import ingest.live.answers
import ingest.live.topics.avro_schema
import ingest.tables.keys
import ingest.tables.times
import processors.brakes
import processors.fold
import processors.rereading
import schemas.batch
import schemas.pictures
import store.audit
import store.debug_pictures
import store.partner_cursors
import store.processing
import store.publications
import store.standing
from errors import OperatorError
from node import cli

ROOMS = ("schemas", "eventlog", "store", "ingest", "processors", "federation", "api", "node", "embedded")
HANDLED = {
    api.exchange.access.NotGranted: "an answer with status 401",
    api.exchange.gate.Crowded: "an answer with status 503",
    api.exchange.token.TokenRefused: "the route of tokens, an answer of RFC 6749",
    federation.access.assertion.BadAssertion: "the route of tokens, an answer of RFC 6749",
    federation.access.tokens.UnknownAgreement: "the route of tokens, an answer of RFC 6749",
    federation.access.quotas.LimitReached: "an answer with status 429",
    federation.strict_json.BadJson: "whoever reads the JSON, which says what it was of",
    store.audit.AuditMoved: "the writer of the audit, which reads the heads again",
    api.cursors.BadCursor: "an answer with status 400",
    api.problems.ApiProblem: "an answer of the API",
    api.own.registry.protocol.RegistryError: "an answer of the schema registry",
    api.own.registry.subjects.NoAvroSchema: "an answer of the schema registry",
    embedded.kafka.CalledOff: "the guard, which stops the other service",
    eventlog.kafka.bounds.TooMuch: "the member of a group, which raises Unreadable",
    eventlog.protocol.OffsetGone: "the runner, which counts a gap or raises Stopped",
    federation.publications.entries.BadEntry: "the ledger, which raises LedgerFault",
    federation.partners.connecting.PrivateAddress: "the fetcher, which raises PartnerError",
    federation.partners.chains.NothingYet: "the puller, which asks again at its next turn",
    federation.partners.source.NoHead: "the reader of chains, which raises NothingYet",
    federation.partners.source.LogGone: "the puller, which reads from the beginning",
    federation.disclosure.rules.UnknownRule: "a defect: the catalogue names a rule that is not written",
    ingest.cameras.live.protocol.CameraUnavailable: "the camera's loop, which tries again",
    ingest.cameras.sources.NoSource: "the commands, which name the file",
    ingest.files.spacing.UnclearInterval: "the file formats, which name the file",
    ingest.files.uplinks.BadUplink: "the import, which counts the line",
    ingest.live.answers.PollFailed: "the poll, which asks again, and doctor, which says it",
    ingest.live.topics.avro_schema.NotInSchema: "the topic's reader, which refuses the message",
    ingest.live.topics.avro_schema.UnusableSchema: "the registry, which refuses the messages, and the keys of the list",
    ingest.tables.keys.WrongKey: "the reader of profiles, which names the file",
    ingest.tables.times.WrongFormat: "the reader of profiles, which names the file",
    processors.rereading.Interrupted: "the command, which ends",
    processors.fold.ReplayDiffers: "the runner, which raises Stopped",
    processors.brakes.TooManyDead: "the runner, which raises Stopped",
    processors.brakes.TooManyRejected: "the runner, which raises Stopped",
    schemas.pictures.BadPicture: "detector and commands, which count or name the picture",
    schemas.batch.DecodeError: "the processor, which keeps a dead letter",
    store.debug_pictures.NotEntered: "the command, which names the picture",
    store.partner_cursors.Conflict: "the puller, which raises PartnerError",
    store.standing.NoDecision: "a defect: the publisher decides before it closes",
    store.publications.OutOfTurn: "a defect: someone publishes in spite of the lock",
    store.processing.Fenced: "the runner, which joins the group again",
}
"""Public exceptions that are not written for an operator, and where each is handled."""


def exceptions() -> Iterator[type[Exception]]:
    """Every public exception class of the product."""
    for room in ROOMS:
        package = importlib.import_module(room)
        names = [room, *(m.name for m in pkgutil.walk_packages(package.__path__, f"{room}."))]
        for name in names:
            if name.startswith("store.migrations") or name.endswith("__main__"):  # run by alembic; runs the command
                continue
            for found in vars(importlib.import_module(name)).values():
                if isinstance(found, type) and issubclass(found, Exception) and found.__module__ == name:
                    yield found


PUBLIC = sorted((e for e in exceptions() if not e.__name__.startswith("_")), key=lambda e: (e.__module__, e.__name__))
MARKED = [error for error in PUBLIC if issubclass(error, OperatorError)]


def run(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def app() -> None:
        raise error

    monkeypatch.setattr(cli, "app", app)
    cli.main()


@pytest.mark.parametrize("error", PUBLIC)
def test_a_public_exception_is_an_operators_or_is_known_to_be_handled(error):
    assert issubclass(error, OperatorError) != (error in HANDLED)


@pytest.mark.parametrize("kind", MARKED)
def test_an_operators_error_is_one_message_and_exit_code_1(kind, monkeypatch, capsys):
    error = kind.__new__(kind, "what is wrong")  # without the class's own __init__, whose arguments differ
    with pytest.raises(SystemExit) as ended:
        run(error, monkeypatch)
    assert ended.value.code == 1
    assert capsys.readouterr().err == "sistercity: what is wrong\n"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (psycopg.OperationalError("no answer"), "no answer"),
        (psycopg.errors.ConnectionTimeout("no answer in time"), "no answer in time"),
        (psycopg.ProgrammingError("missing ="), "missing ="),
        (
            psycopg.errors.UndefinedTable("relation x"),
            "the database has no tables of ours, or those of another version",
        ),
        (
            psycopg.errors.UndefinedColumn("column y"),
            "the database has no tables of ours, or those of another version",
        ),
        (PermissionError(13, "Permission denied", "folder"), "folder: Permission denied: this process runs as user"),
        (FileNotFoundError(2, "No such file or directory", "a.json"), "a.json: No such file or directory\n"),
        (IsADirectoryError(21, "Is a directory", "here"), "here: Is a directory\n"),
        (OSError(28, "No space left on device"), "No space left on device\n"),
    ],
)
def test_a_librarys_error_that_an_operator_can_mend_is_one_message(error, text, monkeypatch, capsys):
    with pytest.raises(SystemExit) as ended:
        run(error, monkeypatch)
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith(f"sistercity: {text}")


@pytest.mark.parametrize(
    "error",
    [ValueError("a defect"), psycopg.errors.SyntaxError("wrong SQL"), KeyError("x"), OSError(9, "Bad file descriptor")],
)
def test_a_defect_keeps_its_traceback(error, monkeypatch):
    with pytest.raises(type(error)):
        run(error, monkeypatch)
