"""`sistercity status`: how the streams' accounts stand."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from node import wiring


def status(as_json: Annotated[bool, typer.Option("--json", help="all of it, as JSON")] = False) -> None:
    """Show what became of every message and reading, what was published, and what was pulled."""
    from store.accounts import camera_uptimes, partner_totals, refusals_by_reason, stream_accounts

    with wiring.database("status") as connection:
        found, partners = stream_accounts(connection), partner_totals(connection)
        pictures, at_source = camera_uptimes(connection), refusals_by_reason(connection)
    if as_json:
        content = {
            "streams": [asdict(one) for one in found],
            "partners": [asdict(one) for one in partners],
            "cameras": [asdict(one) for one in pictures],
            "refused": at_source,
        }
        typer.echo(json.dumps(content, indent=2))
        return
    for one in found:
        typer.echo(one.topic)
        typer.echo(f"  acknowledged {one.acknowledged.messages} messages, {one.acknowledged.readings} readings")
        for name, count in asdict(one.account).items():
            typer.echo(f"  {name:14} {count}")
        typer.echo(f"  {'balanced':14} {'yes' if one.account.balanced() else 'NO'}")
        typer.echo(
            f"  {one.windows} windows closed, {one.publications} publications: {one.cells_released} cells released,"
            f" {one.cells_suppressed} suppressed"
        )
        for reason, count in one.reasons.items():
            typer.echo(f"  dead letters, {reason}: {count}")
    for reason, count in at_source.items():
        typer.echo(f"refused at the source, {reason}: {count}")
    for camera in pictures:
        typer.echo(
            f"camera {camera.source}: {camera.expected} pictures expected, {camera.seen} seen,"
            f" {camera.undecodable} undecodable, {camera.stale} stale, {camera.missing} missing"
        )
    for partner in partners:
        typer.echo(f"partner {partner.city} at {partner.url}: {partner.publications} publications pulled")
