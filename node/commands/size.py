"""`sistercity size`: what a city takes of cores, memory, disk and partitions."""

from typing import Annotated

import typer


def size(
    people: Annotated[
        int | None, typer.Option(min=1, help="as many sources as the largest city has for each person")
    ] = None,
    meters: Annotated[int | None, typer.Option(min=0, help="that report each quarter of an hour")] = None,
    cameras: Annotated[int | None, typer.Option(min=0, help="that give five pictures a second")] = None,
    bins: Annotated[int | None, typer.Option(min=0, help="that report each hour")] = None,
    areas: Annotated[int, typer.Option(min=1, help="of each metric")] = 24,
    years: Annotated[float, typer.Option(min=0.1, help="that the node runs")] = 3.0,
    replicas: Annotated[int, typer.Option(min=1, help="copies of a message in Kafka")] = 3,
) -> None:
    """Say what a city takes, from figures that were measured (docs/sizing.md). Needs no node, and changes nothing."""
    from node.settings import settings
    from node.sizing import CityAsked, constants, described, sources_of
    from node.wiring import CommandError

    given = {"meters": meters, "cameras": cameras, "bins": bins}
    sources = dict(sources_of(people or 0)) | {name: count for name, count in given.items() if count is not None}
    if not any(sources.values()):
        raise CommandError("say how large the city is: --people, or --meters, --cameras and --bins")
    asked = CityAsked(sources, areas, years, replicas, settings().open_memory_mb << 20)
    typer.echo(described(asked, constants()))
