"""The examination of a whole node, part by part."""

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from node import wiring
from node.clock import now_ms
from node.doctor.finding import Examination, Finding
from node.settings import misspelled, settings

if TYPE_CHECKING:
    from eventlog.inspection import ClusterState
    from ingest.cities import City
    from node.doctor.database import DatabaseState
    from node.topic_plan import PlannedTopic
    from store.inspection import RegisteredSources

_NEEDED = (
    *("eventlog.kafka", "store.inspection", "store.partner_standing", "ingest.area_report"),
    *("federation.publications.publisher", "federation.publications.recovery", "federation.publications.schedule"),
    *("federation.identity.document", "store.agreements"),
)
"""What the examinations import. On a busy machine that takes seconds, and their time is for answers."""

_FIRST_ANSWER_S = 5
_LONGEST_S = 12.0


def examine(sources: Path | None = None) -> Iterator[Finding]:
    """Examine the whole node, and the live sources of a list; changes nothing.

    Takes at most half a minute, if nothing answers.
    """
    from node.doctor.database import judge_database
    from node.doctor.kafka import judge_cluster, unused_topics
    from node.doctor.partners import judge_partners
    from node.doctor.streams import judge_streams
    from node.topic_plan import planned_topics
    from schemas.catalogue import catalogue

    for module in _NEEDED:
        import_module(module)
    for name, meant in misspelled():
        yield Finding("warn", "settings", f"nothing reads {name}: is {meant} meant?")
    city, failed = Examination("city", _LONGEST_S, wiring.city).result()
    yield from _only(failed) if city is None else _city(city)
    # The database first: it knows into which topics a stream has grown.
    database, without_database = Examination("database", _LONGEST_S, lambda: _read_database(city)).result()
    grown = {} if database is None or database.contents is None else database.contents.generations
    plan = [] if city is None else planned_topics(city.id, settings().partitions, grown)
    cluster, failed = Examination("kafka", _LONGEST_S, lambda: _read_kafka(city, plan)).result()
    unused: frozenset[str] = frozenset()
    if database is not None and database.contents is not None:
        unused = unused_topics(plan, database.contents.registered, database.contents.processed)
    yield from _only(failed) if cluster is None else judge_cluster(cluster, plan, unused)
    yield from _only(without_database) if database is None else judge_database(database, list(catalogue()))
    if database is not None and database.contents is not None:
        if cluster is not None and city is not None:
            yield from judge_streams(cluster, database.contents.processed, city.id)
        yield from _areas(database.contents.registered)
        yield from _identity()
        yield from _agreements()
        yield from _heads()
        yield from _growth()
        contents = database.contents
        yield from judge_partners(contents.partners, contents.metrics, contents.kept)
    if sources is not None:
        yield from _sources(sources)
    yield from _disks()


def _city(city: "City") -> Iterator[Finding]:
    yield Finding("ok", "city", f"{city.name}, {len(city.districts)} districts, {city.zone}")


def _read_kafka(city: "City | None", plan: "Sequence[PlannedTopic]") -> "ClusterState":
    from node.doctor.streams import group_of
    from schemas.topics import RETENTION_ALARM

    topics = [planned.topic for planned in plan]
    groups = [] if city is None else sorted({group_of(city.id, topic) for topic in topics})
    return wiring.log(patience_s=_FIRST_ANSWER_S).inspect(topics, groups, RETENTION_ALARM)


def _read_database(city: "City | None") -> "DatabaseState":
    from node.doctor.database import read_state

    return read_state(wiring.known_database_url(), city, _FIRST_ANSWER_S)


def _areas(registered: "Mapping[str, RegisteredSources]") -> Iterator[Finding]:
    from node.doctor.areas import examine_areas

    metrics = [metric for metric, sources in registered.items() if sources.areas]
    read = Examination(
        "areas", _LONGEST_S, lambda: list(examine_areas(wiring.known_database_url(), metrics, 2 * _FIRST_ANSWER_S))
    )
    found, failed = read.result()
    yield from found if found is not None else _only(failed)


def _identity() -> Iterator[Finding]:
    from node.doctor.identity import judge_identity, read_identity

    read = Examination("identity", _LONGEST_S, lambda: read_identity(wiring.known_database_url(), _FIRST_ANSWER_S))
    state, failed = read.result()
    yield from _only(failed) if state is None else judge_identity(state, now_ms())


def _heads() -> Iterator[Finding]:
    from node.doctor.heads import judge_heads, read_heads

    read = Examination(
        "signed heads", _LONGEST_S, lambda: read_heads(wiring.known_database_url(), _FIRST_ANSWER_S, now_ms())
    )
    state, failed = read.result()
    yield from _only(failed) if state is None else judge_heads(state, now_ms())


def _growth() -> Iterator[Finding]:
    from node.doctor.growth import judge_growth, read_growth

    url, now = wiring.known_database_url(), now_ms()
    found, failed = Examination("growth", _LONGEST_S, lambda: read_growth(url, _FIRST_ANSWER_S, now)).result()
    chosen = settings()
    budget, days = chosen.database_budget_gb, chosen.audit_days
    yield from _only(failed) if found is None else judge_growth(found, now, budget_gb=budget, audit_days=days)


def _agreements() -> Iterator[Finding]:
    from node.doctor.agreements import judge_agreements, read_agreements

    read = Examination("agreements", _LONGEST_S, lambda: read_agreements(wiring.known_database_url(), _FIRST_ANSWER_S))
    state, failed = read.result()
    private = settings().partner_private_addresses
    yield from _only(failed) if state is None else judge_agreements(state, now_ms(), private_addresses=private)


def _sources(file: Path) -> Iterator[Finding]:
    from node.doctor.sources import judge_sources, read_sources

    now, url, proxy = now_ms(), wiring.known_database_url, wiring.poll_proxy()
    read = Examination("sources", _LONGEST_S, lambda: read_sources(file, url(), _FIRST_ANSWER_S, now, proxy))
    found, failed = read.result()
    yield from _only(failed) if found is None else judge_sources(found, now)


def _disks() -> Iterator[Finding]:
    from node.doctor.machine import examine_disks

    found, failed = Examination("disks", _LONGEST_S, lambda: examine_disks(_folders())).result()
    yield from found if found is not None else _only(failed)


def _folders() -> Iterator[Path]:
    home = settings().home
    yield home
    if home.exists() and (settings().kafka is None or settings().database_url is None):
        from embedded.postgres_folder import folder_for

        yield from (home / "kafka", folder_for(home.resolve()).path)


def _only(finding: Finding | None) -> Iterator[Finding]:
    if finding is not None:
        yield finding
