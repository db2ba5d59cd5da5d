"""`sistercity publish`: windows become publications, each in its slot."""

from collections.abc import Sequence
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from node import lifecycle, wiring
from node.clock import now_ms
from node.commands.process import import_topics

if TYPE_CHECKING:
    from federation.publications.publisher import Published
    from federation.publications.schedule import Since, Stream
    from store.database import Connection


def publish(
    since: Annotated[
        list[str] | None,
        typer.Option(
            help="the day from which the city publishes (2026-05-01, or METRIC=2026-05-01; also a time, RFC 3339);"
            " default: today, when a metric is published for the first time. It can't be changed afterwards"
        ),
    ] = None,
    once: Annotated[bool, typer.Option(help="publish what is due, and end")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="seconds between looks")] = 5.0,
    history: Annotated[
        str | None, typer.Option(help="publish this import, and end; needs the three options below")
    ] = None,
    metric: Annotated[list[str] | None, typer.Option(help="of the import: this metric")] = None,
    first: Annotated[str | None, typer.Option("--from", help="of the import: the first local day")] = None,
    last: Annotated[str | None, typer.Option("--until", help="of the import: the local day after the last")] = None,
) -> None:
    """Publish every window in its slot: its cells released or suppressed, or all of them incomplete. Until stopped."""
    from federation.publications.publisher import Publisher, publish_due

    stop = lifecycle.start("publish")
    city = wiring.city()
    if history is not None:
        _publish_history(history, metric or [], first, last)
        return
    if metric or first or last:
        raise wiring.CommandError(
            "--metric, --from and --until name what is published of an import: give --history too"
        )
    begin = _since(since or [], city.zone)
    if not once:
        Publisher(wiring.database_url(), streams, city.zone, since=begin, clock=now_ms, poll_s=every, stop=stop).run()
        return
    with wiring.database("publish") as connection:
        while not stop.is_set():
            made = publish_due(connection, streams(connection), city.zone, now_ms(), begin)
            if made is None:
                return
            for publication in made:
                _say(publication)


def _say(made: "Published") -> None:
    typer.echo(
        f"{made.header.metric} {made.header.sequence}: {made.released} released, {made.suppressed} suppressed,"
        f" {made.incomplete} incomplete"
    )


def _publish_history(name: str, metrics: Sequence[str], first: str | None, last: str | None) -> None:
    """Publish what is named of an import."""
    from federation.publications.history import publish_history
    from schemas.catalogue import catalogue
    from schemas.topics import history
    from store.publications import Window

    city = wiring.city()
    unknown = [metric for metric in metrics if metric not in catalogue()]
    if not metrics or unknown or first is None or last is None:
        words = f"there is no metric {unknown[0]!r}" if unknown else "an import is published by metrics and days"
        raise wiring.CommandError(f"{words}: give --metric, --from and --until with --history")
    start, end = (_moment(day, city.zone) for day in (first, last))
    if start >= end:
        raise wiring.CommandError("--until names the day after the last: it must be later than --from")
    import_topics(city.id, [name])
    chosen = [catalogue()[metric] for metric in dict.fromkeys(metrics)]
    with wiring.database("publish") as connection:
        for metric in chosen:
            topic = history(city.id, metric.dataset, name)
            for made in publish_history(connection, topic, [metric], Window(start, end), city.zone, now_ms()):
                _say(made)


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
            of[metric] = _moment(day, zone)
        else:
            others = _moment(day, zone)
    return Since(others, of)


def _moment(text: str, zone: str) -> int:
    """A local day's midnight, or an RFC 3339 time; milliseconds since 1970, UTC."""
    from federation.wire import instant
    from store.moments import milliseconds

    try:
        return milliseconds(datetime.combine(date.fromisoformat(text), time(), ZoneInfo(zone)))
    except ValueError:
        pass
    try:
        return instant(text)
    except ValueError:
        raise wiring.CommandError(f"{text!r} is no day like 2026-05-01, and no time of RFC 3339") from None
