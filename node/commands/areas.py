"""`sistercity areas`: the parts of the city that figures are made for."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from node import wiring
from node.clock import now_ms

if TYPE_CHECKING:
    from ingest.area_report import VersionReport
    from schemas.catalogue import Metric

app = typer.Typer(help="The areas of a metric.", no_args_is_help=True)

MetricName = Annotated[str, typer.Argument(help="a metric of the catalogue, energy.import")]


@app.command()
def show(metric: MetricName) -> None:
    """Show the areas of all versions, with their contributors; never served over HTTP."""
    from ingest.area_report import report

    city = wiring.city()
    with wiring.database("areas") as connection:
        versions = report(connection, _metric(metric), now_ms())
    if not versions:
        raise wiring.CommandError(f"{metric} has no areas: they are drawn when its register is loaded")
    for version in versions:
        typer.echo("\n".join(_lines(version, ZoneInfo(city.zone))))


@app.command()
def redraw(
    metric: MetricName,
    people: Annotated[int | None, typer.Option(help="people that the sources serve; default: as many as now")] = None,
) -> None:
    """Draw the areas anew for the next quarter, if no piece of old and new areas is too small for the rule."""
    from ingest.redraw import in_words
    from ingest.redraw import redraw as draw_anew

    city = wiring.city()
    with wiring.database("areas") as connection:
        outcome = draw_anew(connection, city, _metric(metric), now_ms, people)
    begins = _day(outcome.drawn.valid_from_ms, ZoneInfo(city.zone))
    typer.echo(f"{metric}: {outcome.drawn.areas} areas from {begins} on")
    if outcome.avoided is not None:
        typer.echo(f"the present areas were only split: {in_words(city, outcome.avoided)}")


def _metric(name: str) -> "Metric":
    from schemas.catalogue import catalogue

    found = catalogue().get(name)
    if found is None:
        raise wiring.CommandError(f"{name!r} is no metric; the catalogue has {', '.join(catalogue())}")
    if found.derived_from is not None:
        raise wiring.CommandError(f"{name} has the areas of {found.derived_from}")
    return found


def _lines(version: "VersionReport", zone: ZoneInfo) -> "list[str]":
    lines = [f"{len(version.areas)} areas from {_day(version.valid_from_ms, zone)} on"]
    for area in version.areas:
        counts = ", ".join(
            f"{count.class_} {count.contributors:,}" + ("" if count.enough else f" of {count.minimum} at least")
            for count in area.counts
        )
        lines.append(f"  {area.number:6}  {area.name:62}  {area.population:>10,} people  {counts}")
    return lines


def _day(time_ms: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(time_ms / 1000, zone).date().isoformat()
