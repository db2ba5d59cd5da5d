"""The database: whether it answers, has the newest tables, and knows the city's sources."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from node.clock import now_ms
from node.doctor.finding import Finding, judge_clock
from node.wiring import CommandError

if TYPE_CHECKING:
    from store.database import Connection
    from store.generations import Generation
    from store.inspection import ProcessedTopic, RegisteredSources
    from store.partners import PartnerState

_MANY = 1_000


@dataclass(frozen=True, slots=True)
class Contents:
    """The contents of tables of the newest version.

    `ready` counts windows that wait for the publisher, by topic; `generations` are the later topics of each dataset.
    """

    registered: "Mapping[str, RegisteredSources]"
    processed: "Mapping[str, ProcessedTopic]"
    ready: Mapping[str, int]
    partners: "Sequence[PartnerState]"
    generations: "Mapping[str, Sequence[Generation]]"


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


def read_state(database_url: str, city: str | None, limit_s: int) -> DatabaseState:
    """Read the state of the database, with the publications of this city's streams.

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


def _read(connection: "Connection", city: str | None) -> DatabaseState:
    from store import inspection

    asked_ms = now_ms()
    clock_ms = inspection.clock(connection)
    answered_ms = now_ms()
    version, newest = inspection.version(connection), inspection.newest_version()
    contents = _contents(connection, city, clock_ms) if version == newest else None
    return DatabaseState(version, newest, inspection.known_versions(), clock_ms, asked_ms, answered_ms, contents)


def _contents(connection: "Connection", city: str | None, now_ms: int) -> Contents:
    from node.stream_topics import stream_topics
    from schemas.catalogue import metrics_of
    from store import inspection, partners
    from store.generations import generations
    from store.publications import ready_windows

    grown = generations(connection)
    ready = {
        topic.name: sum(
            len(ready_windows(connection, topic.name, m.name, m.lateness_ms, _MANY)) for m in metrics_of(topic.dataset)
        )
        for topic in ([] if city is None else stream_topics(city, grown))
    }
    registered = inspection.registered(connection, now_ms)
    return Contents(registered, inspection.processed(connection), ready, partners.partners(connection), grown)


def judge_database(state: DatabaseState, metrics: Sequence[str]) -> Iterator[Finding]:
    """Judge the database. `metrics` are the names of all metrics of the catalogue."""
    yield Finding("ok", "database", "answers")
    yield judge_clock("database's clock", "it", state.clock_ms, state.asked_ms, state.answered_ms)
    yield _judge_version(state)
    if state.contents is not None:
        yield _judge_register(state.contents.registered, metrics)
        yield _judge_ready(state.contents.ready)


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
    counts = ", ".join(f"{metric} {of.sources:,} in {of.areas} areas" for metric, of in sorted(registered.items()))
    missing = [metric for metric in metrics if metric not in registered]
    if missing:
        return Finding("warn", what, f"{counts}; no source of {', '.join(missing)}")
    return Finding("ok", what, counts)


def _judge_ready(ready: Mapping[str, int]) -> Finding:
    waiting = {topic: count for topic, count in ready.items() if count}
    if not waiting:
        return Finding("ok", "publications", "no closed window waits for the publisher")
    counts = ", ".join(f"{count:,}{'+' if count >= _MANY else ''} of {topic}" for topic, count in waiting.items())
    return Finding("warn", "publications", f"closed windows wait: {counts}; does `sistercity publish` run?")
