"""`sistercity status`: the accounts of the streams."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from node import wiring
from node.clock import now_ms
from node.settings import settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from store.accounts import CameraUptime, PartnerTotals, StreamAccount
    from store.database import Connection
    from store.feeders import SlowestFeeder
    from store.partner_standing import MetricStanding, PartnerStanding
    from store.retention import KeptCity


def _ledger_fault(connection: "Connection") -> str | None:
    from federation.publications.recovery import ledger_fault

    if settings().city is None:
        return None
    city = wiring.city().id
    return ledger_fault(connection, wiring.ledger_path(city), city)


def status(as_json: Annotated[bool, typer.Option("--json", help="all of it, as JSON")] = False) -> None:
    """Show the outcome of every message and reading, what was published, and what was pulled."""
    from store.accounts import camera_uptimes, partner_totals, refusals_by_reason, stream_accounts
    from store.audit import lines_removed, oldest_line
    from store.feeders import slowest_feeders
    from store.partner_standing import metric_standings, partner_standings
    from store.retention import kept_cities

    now = now_ms()
    with wiring.database("status") as connection:
        fault = _ledger_fault(connection)
        streams, partners = stream_accounts(connection), partner_totals(connection)
        cameras, at_source = camera_uptimes(connection), refusals_by_reason(connection)
        slowest = slowest_feeders(connection)
        standings, of_metrics = partner_standings(connection, now), metric_standings(connection, now)
        kept = kept_cities(connection, now)
        settled = _settled(connection, standings)
        removed, oldest = lines_removed(connection), oldest_line(connection)
    if as_json:
        content = {
            "streams": [asdict(stream) for stream in streams],
            "slowest_feeders": {topic: asdict(feeder) for topic, feeder in slowest.items()},
            "partners": [asdict(partner) for partner in partners],
            "standings": [asdict(standing) for standing in standings],
            "metrics_of_partners": [asdict(standing) for standing in of_metrics],
            "kept": [asdict(city) for city in kept],
            "settled": settled,
            "audit": {"oldest": oldest, "removed": removed},
            "cameras": [asdict(camera) for camera in cameras],
            "refused": at_source,
            "ledger": fault,
        }
        typer.echo(json.dumps(content, indent=2))
        return
    _show_streams(streams, slowest, at_source, cameras)
    if fault is not None:
        typer.echo(f"NOTHING IS PUBLISHED: {fault}")
    _show_partners(partners, standings, of_metrics)
    _show_received(settled, kept)
    for line in _audit(removed, oldest):
        typer.echo(line)


def _show_streams(
    streams: "Sequence[StreamAccount]",
    slowest: "Mapping[str, SlowestFeeder]",
    at_source: "Mapping[str, int]",
    cameras: "Sequence[CameraUptime]",
) -> None:
    if not streams:
        typer.echo("no stream was processed yet, and nothing sent: `sistercity process` takes what is in Kafka")
    for stream in streams:
        _show_stream(stream, slowest.get(stream.topic))
    for reason, count in at_source.items():
        typer.echo(f"refused at the source, {reason}: {count}")
    for camera in cameras:
        typer.echo(
            f"camera {camera.source}: {camera.expected} pictures expected, {camera.seen} seen,"
            f" {camera.undecodable} undecodable, {camera.stale} stale, {camera.missing} missing"
        )


def _show_partners(
    partners: "Sequence[PartnerTotals]", standings: "Sequence[PartnerStanding]", of_metrics: "Sequence[MetricStanding]"
) -> None:
    for partner in partners:
        taken_back = f", {partner.withdrawn} windows withdrawn" if partner.withdrawn else ""
        typer.echo(f"partner {partner.city}: {partner.publications} publications pulled{taken_back}")
    for standing in standings:
        typer.echo(_standing(f"partner {standing.city}", standing))
    differing = {metric.city for metric in of_metrics if (metric.city, metric.standing) not in _words(standings)}
    for metric in of_metrics:
        if metric.city in differing:
            typer.echo(_standing(f"  {metric.metric} of {metric.city}", metric))


def _show_received(settled: "Sequence[Mapping[str, object]]", kept: "Sequence[KeptCity]") -> None:
    """What contradicted itself and was settled, and for how long figures are kept."""
    for each in settled:
        typer.echo(f"{each['city']} contradicted itself about {each['metric']}; settled by {each['by']}: {each['why']}")
    for city in kept:
        overdue = f"; {city.overdue:,} bodies wait for `sistercity pull` to erase them" if city.overdue else ""
        typer.echo(f"figures of {city.city} are kept for {city.days:,} days{overdue}")


def _audit(removed: "Mapping[str, tuple[int, int]]", oldest: int | None) -> "Iterator[str]":
    """What is left of the audit, and what was removed by its age."""
    from federation.wire import rfc3339

    if oldest is not None:
        yield f"the oldest line of the audit that may be removed by its age is of {rfc3339(oldest)}"
    for agreement, (sequence, at) in removed.items():
        yield f"audit of agreement {agreement}: lines up to {sequence} were removed by their age, last {rfc3339(at)}"


def _settled(connection: "Connection", partners: "Sequence[PartnerStanding]") -> list[dict[str, str | int]]:
    """What operators have decided about contradictions."""
    from store.settlements import recorded_contradictions

    return [
        {"city": partner.city, "metric": recorded.found.metric or "all metrics", **asdict(recorded.settlement)}
        for partner in partners
        for recorded in recorded_contradictions(connection, partner.thumbprint)
        if recorded.settlement is not None
    ]


def _words(standings: "Sequence[PartnerStanding]") -> set[tuple[str, str]]:
    return {(standing.city, standing.standing) for standing in standings}


def _standing(what: str, found: "PartnerStanding | MetricStanding") -> str:
    from federation.wire import rfc3339

    since = "" if found.since is None or found.standing == "fresh" else f" since {rfc3339(found.since)}"
    why = "" if found.reason is None else f": {found.detail or found.reason}"
    never = "" if since or why or found.standing == "fresh" else ": it was never asked; does `sistercity pull` run?"
    return f"{what} is {found.standing}{since}{why}{never}"


def _show_stream(stream: "StreamAccount", slowest: "SlowestFeeder | None") -> None:
    typer.echo(stream.topic)
    typer.echo(f"  acknowledged {stream.acknowledged.messages} messages, {stream.acknowledged.readings} readings")
    if (more := stream.unrecorded).messages:
        typer.echo(
            f"  unrecorded   {more.messages} messages, {more.readings} readings: in the log and the account; a sender"
            " crashed before it recorded them, or others send too"
        )
    for name, count in asdict(stream.account).items():
        typer.echo(f"  {name:14} {count}")
    typer.echo(f"  {'balanced':14} {'yes' if stream.account.balanced() else 'NO'}")
    typer.echo(
        f"  {stream.windows} windows closed, {stream.publications} publications:"
        f" {stream.cells_released} cells released, {stream.cells_suppressed} suppressed"
    )
    if slowest is not None:
        typer.echo(_waiting_for(slowest))
    if stream.withdrawn:
        typer.echo(f"  {stream.withdrawn} windows were withdrawn")
    for partition, reason in stream.stopped.items():
        typer.echo(f"  STOPPED, partition {partition}: {reason}")
    for partition, alarm in stream.alarms.items():
        typer.echo(f"  WARNING, partition {partition}: {alarm}")
    for reason, count in stream.reasons.items():
        typer.echo(f"  dead letters, {reason}: {count}")


def _waiting_for(found: "SlowestFeeder") -> str:
    from store.moments import moment

    lag_s = (found.furthest_ms - found.time_ms) // 1000
    return (
        f"  waits for feeder {found.feeder!r} in partition {found.partition}, which has come to"
        f" {moment(found.time_ms).isoformat()}, {lag_s} s behind the one furthest ahead"
    )
