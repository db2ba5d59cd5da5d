"""`sistercity ingest camera`, `cameras` and `simulate-cameras`: pictures, or what a detector beside them found."""

import logging
import uuid
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node import lifecycle, wiring
from node.clock import now_ms
from node.commands.ingest.report import sent_in_words, write_report
from node.commands.ingest.simulated_register import load_simulated
from node.health import RoleHealth
from node.plate_detection import detect_function, detector_record, prepare_opencv
from node.settings import settings
from node.words import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ingest.cameras.camera_feed import CameraFeed
    from store.database import Connection

logger = logging.getLogger(__name__)

Rate = Annotated[float, typer.Option(help="pictures a second; a video of fewer frames gives its own")]
Beside = Annotated[bool, typer.Option("--detect", help="find plate regions here, and send these, no picture")]


def camera(
    path: Annotated[
        Path, typer.Argument(exists=True, help="a video file, or a folder of images in the order of names")
    ],
    source: Annotated[str, typer.Option(help="the camera's id in the register")],
    rate: Rate = 2.0,
    start: Annotated[
        str | None, typer.Option(help="when the first picture was taken (RFC 3339); default: so that the last is now")
    ] = None,
    detect: Beside = False,
    name: Annotated[str | None, typer.Option(help="with --detect: a name for an import of the past")] = None,
) -> None:
    """Send a camera's pictures into today's stream, where they stay for minutes; with --detect only plate regions."""
    from ingest.cameras.camera_feed import origin_of, send_all
    from ingest.cameras.sources import NoSource, open_source
    from ingest.identity import is_source_id, normal

    if name is not None and not detect:
        raise wiring.CommandError("pictures are kept for minutes, not as history: give --detect with --name")
    if not is_source_id(normal(source)):
        raise wiring.CommandError("no register can hold such an id of a source")
    stop = lifecycle.start("ingest")
    prepare_opencv()
    try:
        pictures = open_source(path, rate)
    except NoSource as error:
        raise wiring.CommandError(f"{path}: {error}") from None
    begin = now_ms() - pictures.length_ms if start is None else _moment(start)
    if begin + pictures.length_ms > now_ms():
        raise wiring.CommandError("the pictures would end in the future: choose an earlier --start")
    with (
        wiring.database("ingest") as connection,
        _feed(connection, origin_of(path), source, detect=detect, history=name) as feed,
    ):
        complete = send_all(feed, source, pictures, begin, now_ms, history=name is not None, stop=stop)
    typer.echo(f"{feed.sender.feed.topic}: {_in_words(feed)}")
    if not complete:
        raise wiring.CommandError(f"stopped before the end{'' if name is None else '; use another name next time'}")
    if detect:
        typer.echo(f"next: sistercity process{'' if name is None else f' --history {name} --until-caught-up'}")
    else:
        typer.echo("next, within minutes: sistercity detect")


def cameras(detect: Beside = False) -> None:
    """Send the pictures of all running cameras, until stopped. SISTERCITY_CAMERAS names the file that lists them."""
    from ingest.cameras.camera_feed import origin_of
    from ingest.cameras.live.addresses import load_cameras
    from ingest.cameras.live.running import run_cameras

    stop = lifecycle.start("cameras", health := RoleHealth("cameras"))
    for library in ("httpx", "httpcore"):  # they log addresses
        logging.getLogger(library).setLevel(logging.WARNING)
    prepare_opencv()
    path = settings().cameras
    if path is None:
        raise wiring.CommandError("set SISTERCITY_CAMERAS to the path of a file of cameras: docs/cameras.md")
    addresses = load_cameras(path)
    with (
        wiring.database("ingest") as connection,
        _feed(connection, origin_of(path), None, detect=detect, report=health.report) as feed,
    ):
        unregistered = [address.number for address in addresses if feed.find(address.source, now_ms()) is None]
        if unregistered:
            logger.warning("not in the register, so refused: camera %s", ", ".join(map(str, unregistered)))
        logger.info("waiting at %s", counted(len(addresses), "camera"))
        left_out = run_cameras(feed, addresses, now_ms, stop)
    typer.echo(f"{feed.sender.feed.topic}: {_in_words(feed)}; left out: {left_out}")


def simulate_cameras(
    cameras: Annotated[int, typer.Option(min=1, max=100, help="how many video cameras the city has")] = 2,
    stills: Annotated[int, typer.Option(min=0, max=100, help="and how many that give a picture every 10 seconds")] = 1,
    seconds: Annotated[float, typer.Option(min=0.1, max=86_400, help="how long a past span is replayed")] = 30.0,
    still_seconds: Annotated[
        float, typer.Option(min=0.1, max=900, help="how long a span of the still ones is replayed")
    ] = 900.0,
    rate: Annotated[float, typer.Option(min=0.01, max=30, help="pictures a second")] = 2.0,
    seed: Annotated[int, typer.Option(help="the same seed makes the same streets")] = 1,
    faults: Annotated[bool, typer.Option(help="send some pictures cut, twice or not at all, and count them")] = True,
    follow: Annotated[bool, typer.Option(help="after the replay, go on in real time until stopped")] = False,
    report: Annotated[Path | None, typer.Option(help="write what was sent, as JSON, when the replay is done")] = None,
    detect: Beside = False,
) -> None:
    """Simulate a city's cameras: load their register, replay a span as fast as possible; with --follow go on."""
    from ingest.cameras.simulated import CameraSimulator, SimulatedCameras
    from schemas.topics import dataset_of

    health = RoleHealth("ingest")
    stop = lifecycle.start("ingest", health if follow else None)
    prepare_opencv()
    city = wiring.city()
    simulated = SimulatedCameras(city, cameras, seed, stills)
    with wiring.database("ingest") as connection:
        load_simulated(connection, city, f"register-{city.id}-cameras.csv", simulated.register())
        with _feed(connection, simulated.origin, None, detect=detect, report=health.report) as feed:
            simulator = CameraSimulator(simulated, feed, now_ms, rate, faults=faults)
            logger.info("replaying %g seconds of %d video cameras, and %d still ones", seconds, cameras, stills)
            expected = simulator.replay(seconds, stop, still_seconds=still_seconds)
            logger.info("%s", sent_in_words(expected))
            if report is not None and not stop.is_set():
                write_report(report, {dataset_of(feed.sender.feed.topic): asdict(expected)})
            if follow:
                simulator.follow(stop, round(seconds * rate))


@contextmanager
def _feed(
    connection: "Connection",
    origin: str,
    source: str | None,
    *,
    detect: bool,
    history: str | None = None,
    report: "Callable[[str | None], None]" = lambda failure: None,
) -> "Iterator[CameraFeed]":
    """A feed into today's stream or, with a name, into an import of the past; its writer is closed at the end."""
    from ingest.cameras.camera_feed import CameraFeed
    from ingest.cameras.senders import FrameSender, RegionSender
    from ingest.feed import Feed, feeder_named
    from ingest.journal import StoreJournal
    from ingest.register import stored_register
    from schemas.topics import FRAMES, REGIONS, live
    from schemas.topics import history as history_topic

    city, log = wiring.city(), wiring.log()
    dataset = REGIONS if detect else FRAMES
    try:
        topic = live(city.id, dataset) if history is None else history_topic(city.id, dataset, history)
    except ValueError as error:
        raise wiring.CommandError(str(error)) from None
    wiring.ensure_topic(log, topic)
    journal = StoreJournal(connection, uuid.uuid4())
    writer = log.writer()
    register = stored_register(connection, now_ms, source)
    feed = Feed(writer, topic, journal, feeder_named("cameras", f"{origin}/{source or ''}"), report=report)
    sender = RegionSender(feed, journal, detect_function(), detector_record()) if detect else FrameSender(feed)
    yield CameraFeed(sender, register, journal, origin)
    writer.close()


def _moment(text: str) -> int:
    """Milliseconds since 1970, UTC."""
    from schemas.batch import LAST_MS
    from store.moments import milliseconds

    try:
        moment = datetime.fromisoformat(text)
        at = milliseconds(moment) if moment.tzinfo is not None else -1
    except (ValueError, OverflowError):
        at = -1
    if not 0 <= at < LAST_MS:
        raise wiring.CommandError("--start must be a time with its offset, such as 2026-07-01T08:00:00+07:00")
    return at


def _in_words(feed: "CameraFeed") -> str:
    from ingest.cameras.senders import RegionSender

    counts = feed.counts
    owed = counts.pictures + counts.refused
    refused = f"; {counts.refused} refused: no such camera is in the register" if counts.refused else ""
    if not isinstance(feed.sender, RegionSender):
        return f"{counts.pictures} of {owed} pictures sent, {counts.missing} of them missing{refused}"
    examined = feed.sender.counts
    undecodable = "".join(f", {count} {reason}" for reason, count in sorted(examined.undecodable.items()))
    found = f"{examined.seen} of {owed} pictures looked at, {examined.regions} regions found"
    return f"{found}; {counts.missing} missing, {examined.stale} stale{undecodable}{refused}"
