"""The database: whether it answers, has the newest tables, and knows the city's sources."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from node import wiring
from node.clock import now_ms
from node.doctor.finding import Finding, judge_clock
from node.wiring import CommandError
from node.words import counted

if TYPE_CHECKING:
    from ingest.cities import City
    from store.database import Connection, DatabaseUrl
    from store.dead_letters import WaitingLetters
    from store.generations import Generation
    from store.inspection import ProcessedTopic, RegisteredSources
    from store.partner_standing import MetricStanding, PartnerStanding
    from store.retention import KeptCity

_MANY = 1_000
_RELAY_HOURS = 24
"""How long dead letters may wait for the relay, which may be run once a day."""
_HOUR_MS = 3_600_000
"""So long after its time is over, what a partner gave is not yet overdue: the puller erases every ten minutes."""
_PATIENCE_MS = 300_000
"""How long after its slot a window is not yet overdue: a publisher may have much to catch up with."""


@dataclass(frozen=True, slots=True)
class Contents:
    """The contents of tables of the newest version.

    `overdue` counts windows whose slot passed a while ago, by metric, for each that is published; `generations` are the
    later topics of each dataset; `unrelayed` are dead letters that wait for the relay; `unusual` counts contributors
    that are spelled otherwise than loads spell them; `ledger_fault` says why nothing is published, if the database does
    not agree with the ledger; `kept` says of each partner what is kept longer than agreed.
    """

    registered: "Mapping[str, RegisteredSources]"
    processed: "Mapping[str, ProcessedTopic]"
    overdue: Mapping[str, int]
    partners: "Sequence[PartnerStanding]"
    metrics: "Sequence[MetricStanding]"
    generations: "Mapping[str, Sequence[Generation]]"
    unrelayed: "WaitingLetters | None"
    unusual: int = 0
    ledger_fault: str | None = None
    kept: "Sequence[KeptCity]" = ()


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """The state of a database; `contents` is None unless it has the newest tables. Times in ms since 1970, UTC."""

    version: str | None
    newest: str | None
    known: frozenset[str]
    clock_ms: int
    asked_ms: int
    answered_ms: int
    contents: Contents | None


def read_state(database_url: "DatabaseUrl", city: "City | None", limit_s: int) -> DatabaseState:
    """Read the state of the database, with the publications and the ledger of this city.

    `limit_s`: seconds for the connection and for each statement. Raises `CommandError` if there is no such database,
    and psycopg's errors.
    """
    import psycopg

    from store import inspection

    try:
        with inspection.read_only_connection(database_url, limit_s) as connection:
            return _read(connection, city)
    except psycopg.OperationalError as error:
        if "does not exist" not in str(error):
            raise
        raise CommandError(f"{error}; `sistercity migrate` makes the embedded one, make your own by hand") from None


def _read(connection: "Connection", city: "City | None") -> DatabaseState:
    from store import inspection

    asked_ms = now_ms()
    clock_ms = inspection.clock(connection)
    answered_ms = now_ms()
    version, newest = inspection.version(connection), inspection.newest_version()
    contents = _contents(connection, city) if version == newest else None
    return DatabaseState(version, newest, inspection.known_versions(), clock_ms, asked_ms, answered_ms, contents)


def _contents(connection: "Connection", city: "City | None") -> Contents:
    from federation.publications.recovery import ledger_fault
    from store import inspection
    from store.dead_letters import waiting_letters
    from store.generations import generations
    from store.partner_standing import metric_standings, partner_standings
    from store.retention import kept_cities

    return Contents(
        inspection.registered(connection, now_ms()),
        inspection.processed(connection),
        {} if city is None else _overdue(connection, city.zone),
        partner_standings(connection, now_ms()),
        metric_standings(connection, now_ms()),
        generations(connection),
        waiting_letters(connection),
        inspection.unusual_contributors(connection),
        None if city is None else ledger_fault(connection, wiring.ledger_path(city.id), city.id),
        kept_cities(connection, now_ms() - _HOUR_MS),
    )


def _overdue(connection: "Connection", zone: str) -> Mapping[str, int]:
    from federation.publications.publisher import leave
    from federation.publications.schedule import due
    from schemas.catalogue import catalogue
    from store.publishing import begins

    late_ms = now_ms() - _PATIENCE_MS
    begun = [catalogue()[metric] for metric in begins(connection) if metric in catalogue()]
    metrics = leave(connection, begun)
    return {metric.name: len(due(connection, [metric], zone, late_ms, _MANY)) for metric in metrics}


def judge_database(state: DatabaseState, metrics: Sequence[str]) -> Iterator[Finding]:
    """Judge the database. `metrics` are the names of all metrics of the catalogue."""
    yield Finding("ok", "database", "answers")
    yield judge_clock("database's clock", "it", state.clock_ms, state.asked_ms, state.answered_ms)
    yield _judge_version(state)
    if state.contents is not None:
        yield _judge_register(state.contents.registered, metrics)
        if state.contents.unusual:
            yield _judge_spellings(state.contents.unusual)
        yield _judge_overdue(state.contents.overdue)
        if state.contents.unrelayed is not None:
            yield _judge_relay(state.contents.unrelayed, state.clock_ms)
        fault = state.contents.ledger_fault
        yield Finding("fail" if fault else "ok", "ledger", fault or "agrees with the database")


def _judge_version(state: DatabaseState) -> Finding:
    what = "tables"
    if state.version == state.newest:
        return Finding("ok", what, f"at the newest version, {state.version}")
    if state.version is None:
        return Finding("fail", what, "there are none of ours: run `sistercity migrate`")
    if state.version in state.known:
        return Finding("fail", what, f"at version {state.version}, not {state.newest}: run `sistercity migrate`")
    words = f"at version {state.version}, which this program does not know: install the one that migrated them"
    return Finding("fail", what, words)


def _judge_register(registered: "Mapping[str, RegisteredSources]", metrics: Sequence[str]) -> Finding:
    what = "register"
    if not registered:
        return Finding("fail", what, "has no valid source: run `sistercity register load FILE`")
    without_areas = [metric for metric, sources in registered.items() if not sources.areas]
    if without_areas:
        words = f"no areas are drawn for {', '.join(without_areas)}: load the register again"
        return Finding("fail", what, words)
    counts = ", ".join(
        f"{metric} {of.sources:,} in {counted(of.areas, 'area')}" for metric, of in sorted(registered.items())
    )
    missing = [metric for metric in metrics if metric not in registered]
    if missing:
        return Finding("warn", what, f"{counts}; no source of {', '.join(missing)}")
    return Finding("ok", what, counts)


def _judge_spellings(unusual: int) -> Finding:
    count = f"{unusual:,}{'+' if unusual >= _MANY else ''}"
    words = f"{count} contributors are spelled so that one may count twice: see `sistercity register spellings`"
    return Finding("warn", "spellings", words)


def _judge_overdue(overdue: Mapping[str, int]) -> Finding:
    what = "publications"
    if not overdue:
        return Finding("warn", what, "nothing was ever published: run `sistercity publish`")
    waiting = {metric: count for metric, count in overdue.items() if count}
    if not waiting:
        return Finding("ok", what, "every window has been published in its slot")
    counts = ", ".join(f"{count:,}{'+' if count >= _MANY else ''} of {metric}" for metric, count in waiting.items())
    return Finding("warn", what, f"windows are overdue: {counts}; does `sistercity publish` run?")


def _judge_relay(waiting: "WaitingLetters", clock_ms: int) -> Finding:
    hours = (clock_ms - waiting.oldest_ms) // 3_600_000
    words = f"{waiting.letters:,} wait for the relay"
    if hours < _RELAY_HOURS:
        return Finding("ok", "dead letters", words)
    return Finding(
        "warn", "dead letters", f"{words}, some for {hours} hours; does `sistercity relay-dead-letters` run?"
    )
