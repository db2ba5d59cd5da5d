"""`sistercity detect`: from pictures to plate regions."""

from contextlib import closing
from dataclasses import replace
from typing import Annotated

import typer

from node import lifecycle, wiring
from node.commands.process import WORKERS
from node.health import RoleHealth
from node.instance import instance
from node.plate_detection import detect_function, detector_record, prepare_opencv
from node.settings import settings
from node.workers import run_workers

_PICTURES_AT_ONCE = 50


def detect(
    context: typer.Context,
    until_caught_up: Annotated[bool, typer.Option(help="end when nothing is left to look at")] = False,
    workers: Annotated[int, typer.Option(min=1, max=256, help=WORKERS)] = 1,
) -> None:
    """Find plate regions in the cameras' pictures, until stopped. Processes share the cameras.

    Pictures stay in Kafka for minutes: those that were not looked at in time are counted as lost.
    """
    if workers > 1:
        run_workers("detect", context, workers, lasting=not until_caught_up)
        return
    from processors.frame_fold import FrameFoldFactory
    from processors.plan import Plan
    from processors.region_output import RegionOutput
    from processors.runner import Runner
    from schemas.topics import FRAMES, REGIONS, live
    from store.processing_postgres import PostgresStore

    stop = lifecycle.start("detect", health := RoleHealth("detect"))
    prepare_opencv()
    city, log = wiring.city(), wiring.log()
    frames, regions = live(city.id, FRAMES), live(city.id, REGIONS)
    for topic in (frames, regions):
        wiring.ensure_topic(log, topic)
    plan = Plan(
        group=f"{city.id}.detect",
        commit_s=settings().commit_seconds,
        accept_gap=True,
        accept_cut=True,
        skip_unreadable=True,
        until_caught_up=until_caught_up,
        at_once=_PICTURES_AT_ONCE,
        piece=1,
    )
    with (
        instance(plan.group, lasting=not until_caught_up) as name,
        closing(PostgresStore(wiring.database_url())) as store,
        closing(RegionOutput(log, store, frames, regions, detector_record())) as output,
    ):
        folds = FrameFoldFactory(frames, output, detect_function())
        plan = replace(plan, instance=name)
        Runner(log, store, folds, plan, after_commit=output.send_ticks, report=health.report).run(stop)
