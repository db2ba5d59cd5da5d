"""`sistercity topics grow`: more partitions for a stream, from a time on (R5)."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from node import wiring

if TYPE_CHECKING:
    from schemas.catalogue import Metric

_PATIENCE_S = 10


def grow(
    dataset: Annotated[
        str, typer.Argument(help="energy.readings, traffic.counts, waste.fill-levels or waste.collections")
    ],
    partitions: Annotated[int, typer.Option(min=2, max=1024, help="of the new topic; more than now")],
    begins: Annotated[
        datetime | None,
        typer.Option("--from", formats=["%Y-%m-%dT%H:%M"], help="local time; default: the next that all windows allow"),
    ] = None,
) -> None:
    """Let a stream go on in a new topic with more partitions. Readings of earlier windows still go to the old one.

    Every process that runs notices it by itself. It can't be taken back.
    """
    from ingest.routes import LEAD_MS
    from schemas.topics import live
    from store.generations import Generation, add_generation, generations

    city, log = wiring.city(), wiring.log(patience_s=_PATIENCE_S)
    metrics = _growing(dataset)
    begins_ms = _beginning(metrics, city.zone, begins, LEAD_MS)
    with wiring.database("topics") as connection:
        later = generations(connection).get(dataset, ())
        now = later[-1].partitions if later else log.describe(live(city.id, dataset)).partitions
        if partitions <= now:
            raise wiring.CommandError(f"{dataset} has {now} partitions already")
        generation = Generation(dataset, len(later) + 2, begins_ms, partitions)
        topic = live(city.id, dataset, generation.number)
        wiring.ensure_topic(log, topic, partitions)
        found = log.describe(topic).partitions
        if found != partitions:
            raise wiring.CommandError(f"{topic} was made before, with {found} partitions: say --partitions {found}")
        add_generation(connection, generation, lead_ms=LEAD_MS)
    start = datetime.fromtimestamp(begins_ms / 1000, ZoneInfo(city.zone))
    typer.echo(f"{dataset}: readings from {start.isoformat()} on go to {topic}, {partitions} partitions")


def _growing(dataset: str) -> "list[Metric]":
    """The metrics of a dataset that can grow. Raises `CommandError`."""
    from schemas.catalogue import datasets, metrics_of

    can = [name for name in datasets() if all(metric.derived_from is None for metric in metrics_of(name))]
    if dataset not in can:
        raise wiring.CommandError(
            f"{dataset} can't grow, only {', '.join(can)} can: vehicles are followed over the boundaries of windows, so"
            " pictures and their plate regions have to stay in one topic"
        )
    return list(metrics_of(dataset))


def _beginning(metrics: "list[Metric]", zone: str, given: datetime | None, lead_ms: int) -> int:
    """A time at which windows of all these metrics begin: `given`, in `zone`, or the first that is `lead_ms` ahead.

    Raises `CommandError` if `given` is none.
    """
    from node.clock import now_ms
    from schemas.windows import Windows

    windows = {metric.name: Windows(zone, metric.window) for metric in metrics}
    longest = windows[max(metrics, key=lambda metric: metric.longest_window_ms).name]
    place = ZoneInfo(zone)
    if given is None:
        return longest.bounds(longest.number(now_ms() + lead_ms))[1]
    time_ms = round(given.replace(tzinfo=place).timestamp() * 1000)
    for name, of_metric in windows.items():
        if of_metric.bounds(of_metric.number(time_ms))[0] != time_ms:
            following = datetime.fromtimestamp(longest.bounds(longest.number(time_ms))[1] / 1000, place)
            raise wiring.CommandError(
                f"no window of {name} begins at {given:%Y-%m-%dT%H:%M}; windows of all metrics begin at"
                f" {following:%Y-%m-%dT%H:%M}"
            )
    return time_ms
