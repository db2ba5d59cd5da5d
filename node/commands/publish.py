"""`sistercity publish`: windows become publications, each in its slot."""

import logging
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from node import lifecycle, wiring
from node.clock import now_ms
from node.commands.process import import_topics
from node.health import RoleHealth
from node.publisher_housekeeping import PublisherHousekeeping
from node.settings import settings

if TYPE_CHECKING:
    from threading import Event

    from federation.publications.publisher import Published
    from federation.publications.schedule import Since, Stream
    from federation.publications.signing import Signer
    from store.database import Connection

log = logging.getLogger(__name__)

_LONGEST_TURN_S = 300.0
_DAYS_AGO = {"today": 0, "yesterday": 1}


def publish(
    since: Annotated[
        list[str] | None,
        typer.Option(
            help="the day from which the city publishes (yesterday, 2026-05-01, METRIC=2026-05-01, or an RFC 3339"
            " time); default: today, when a metric is published for the first time. It can't be changed afterwards"
        ),
    ] = None,
    once: Annotated[bool, typer.Option(help="publish what is due, and end")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="seconds between looks")] = 5.0,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume-after-loss", help="the ledger is lost: skip whatever may have left, begin another, and end"
        ),
    ] = False,
    history: Annotated[
        str | None, typer.Option(help="publish this import, and end; needs the three options below")
    ] = None,
    metric: Annotated[list[str] | None, typer.Option(help="of the import: this metric")] = None,
    first: Annotated[str | None, typer.Option("--from", help="of the import: the first local day")] = None,
    last: Annotated[str | None, typer.Option("--until", help="of the import: the local day after the last")] = None,
) -> None:
    """Publish every window in its slot: its cells released or suppressed, or all of them incomplete. Until stopped."""
    stop = lifecycle.start("publish", health := RoleHealth("publish", silent_s=every + _LONGEST_TURN_S))
    if resume:
        _resume()
        return
    if history is not None:
        _publish_history(history, metric or [], first, last, stop)
        return
    if metric or first or last:
        raise wiring.CommandError(
            "--metric, --from and --until name what is published of an import: give --history too"
        )
    begin = _since(since or [], wiring.city().zone)
    _level_revocations()
    if once:
        _publish_what_is_due(begin, stop)
    else:
        _publish_until_stopped(begin, every, health, stop)


def _publish_until_stopped(begin: "Since", poll_s: float, health: RoleHealth, stop: "Event") -> None:
    from federation.access.pruning import AuditPruning
    from federation.publications.publisher import Publisher

    city = wiring.city()
    log.info("publishing each window in its slot; another publisher, if there is one, goes first")
    Publisher(
        *(wiring.database_url(), wiring.ledger_path(city.id), city.id, city.zone, streams),
        since=begin,
        clock=now_ms,
        poll_s=poll_s,
        stop=stop,
        signer=head_signer(),
        report=health.report,
        after_turn=PublisherHousekeeping(AuditPruning(settings().audit_days), settings().cell_days, city.id),
    ).run()


def _publish_what_is_due(begin: "Since", stop: "Event") -> None:
    """Publish until nothing is due any more, and say of each publication what it holds."""
    from federation.publications.ledger import Ledger
    from federation.publications.publisher import publish_due, publishing

    city = wiring.city()
    path = wiring.ledger_path(city.id)
    published = False
    with wiring.database("publish") as connection:
        while not stop.is_set():
            with publishing(connection, Ledger(path), city.id, city.zone, now_ms(), head_signer()) as appender:
                if appender is None:
                    raise wiring.CommandError("another publisher is at work; it publishes what is due")
                made = publish_due(appender, streams(connection), city.zone, now_ms(), begin)
            if made is None:
                break
            for publication in made:
                _say(publication)
                published = True
    if not published and not stop.is_set():
        typer.echo("nothing is due")


def _level_revocations() -> None:
    """Apply the file of revocations to the database, which may have been restored, and add what only that knows."""
    from federation.agreements.revocations import remember_all

    with wiring.database("publish") as connection:
        for done in wiring.revoked_again(connection):
            log.warning("the database was restored: %s", done)
        remember_all(connection, wiring.revocations_path())


def head_signer() -> "Signer":
    """What signs with this machine's publish key. Raises `KeyFileError` if that can't be used now."""
    from federation.publications.signing import Signer
    from node.identity_files import online_keys

    online_keys("publish")
    return Signer(lambda: online_keys("publish"))


def _say(made: "Published") -> None:
    typer.echo(
        f"{made.header.metric} {made.header.sequence}: {made.released} released, {made.suppressed} suppressed,"
        f" {made.incomplete} incomplete"
    )


def _publish_history(name: str, metrics: Sequence[str], first: str | None, last: str | None, stop: "Event") -> None:
    """Publish what is named of an import."""
    from federation.publications.history import publish_history
    from federation.publications.ledger import Ledger
    from federation.publications.publisher import publishing
    from schemas.catalogue import catalogue
    from schemas.topics import history
    from store.publications import Window

    city = wiring.city()
    unknown = [metric for metric in metrics if metric not in catalogue()]
    if not metrics or unknown or first is None or last is None:
        words = f"there is no metric {unknown[0]!r}" if unknown else "an import is published by metrics and days"
        raise wiring.CommandError(f"{words}: give --metric, --from and --until with --history")
    start, end = (moment_of(day, city.zone) for day in (first, last))
    if start >= end:
        raise wiring.CommandError("--until names the day after the last: it must be later than --from")
    import_topics(city.id, [name])
    chosen = [catalogue()[metric] for metric in dict.fromkeys(metrics)]
    ledger = Ledger(wiring.ledger_path(city.id))
    with wiring.database("publish") as connection:
        while not stop.is_set():
            with publishing(connection, ledger, city.id, city.zone, now_ms(), head_signer()) as appender:
                if appender is not None:
                    for metric in chosen:
                        topic = history(city.id, metric.dataset, name)
                        for made in publish_history(appender, topic, metric, Window(start, end), city.zone, now_ms()):
                            _say(made)
                    return
            stop.wait(0.1)  # until the running publisher's turn is over


def _resume() -> None:
    """Begin another ledger, and say what is skipped."""
    from federation.publications.resuming import resume_after_loss
    from federation.wire import rfc3339
    from schemas.catalogue import catalogue

    city = wiring.city()
    path = wiring.ledger_path(city.id)
    with wiring.database("publish") as connection:
        skips = resume_after_loss(connection, path, city.id, list(catalogue().values()), city.zone, now_ms())
    for header in skips:
        span = f"{rfc3339(header.window.start)} to {rfc3339(header.window.end)}"
        typer.echo(f"{header.metric}: nothing of {span} is published any more")
    typer.echo(f"the ledger at {path} is a new one; start `sistercity publish` again")


def streams(connection: "Connection") -> "Sequence[Stream]":
    """The topics of this city's running streams."""
    from federation.publications.schedule import Stream
    from node.stream_topics import stream_topics
    from schemas.catalogue import metrics_of
    from store.generations import generations

    return [
        Stream(topic.name, metrics_of(topic.dataset), topic.begins_ms, topic.ends_ms)
        for topic in stream_topics(wiring.city().id, generations(connection))
    ]


def _since(given: Sequence[str], zone: str) -> "Since":
    from federation.publications.schedule import Since
    from schemas.catalogue import catalogue

    others, of = None, {}
    for text in given:
        metric, separator, day = text.rpartition("=")
        if separator and metric not in catalogue():
            raise wiring.CommandError(f"--since {text}: there is no metric {metric!r}")
        if separator:
            of[metric] = moment_of(day, zone)
        else:
            others = moment_of(day, zone)
    return Since(others, of)


def moment_of(text: str, zone: str) -> int:
    """A local day's midnight, or an RFC 3339 time; milliseconds since 1970, UTC. `text` may be today or yesterday."""
    from federation.wire import instant
    from store.moments import milliseconds

    if text in _DAYS_AGO:
        today = datetime.fromtimestamp(now_ms() / 1000, ZoneInfo(zone)).date()
        text = (today - timedelta(days=_DAYS_AGO[text])).isoformat()
    try:
        return milliseconds(datetime.combine(date.fromisoformat(text), time(), ZoneInfo(zone)))
    except ValueError:
        pass
    try:
        return instant(text)
    except ValueError:
        raise wiring.CommandError(f"{text!r} is no day like 2026-05-01 or yesterday, and no time of RFC 3339") from None
