"""`sistercity ingest run`: the sources that a file lists, while they deliver."""

import fcntl
import logging
import os
import tempfile
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from node import lifecycle, wiring
from node.clock import now_ms
from node.commands.ingest.files import zone_named
from node.health import ANSWER_S, RoleHealth

if TYPE_CHECKING:
    from eventlog.protocol import Log, Writer
    from ingest.feed import Feed
    from ingest.journal import Journal
    from ingest.live.adapter import Adapter
    from ingest.live.heard import LastHeard
    from ingest.live.sources_file import FolderSource, SourceContent
    from ingest.routes import Routes
    from store.database import Connection

logger = logging.getLogger(__name__)

_LOOK_S = 1.0
_ASK_S = 15.0
_AGAIN_S = 5.0
_PRUNE_S = 3_600.0


def run(
    sources: Annotated[Path, typer.Argument(exists=True, dir_okay=False, metavar="SOURCES.toml")],
) -> None:
    """Take what the listed sources deliver, until stopped: watched folders (docs/live-sources.md)."""
    import psycopg

    from eventlog.protocol import DeliveryFailed, LogUnavailable
    from ingest.live.folder import Folder
    from ingest.live.heard import LastHeard
    from ingest.live.sources_file import load_sources
    from store.arrivals import last_arrivals

    listed = load_sources(sources)
    health = RoleHealth("ingest")
    stop = lifecycle.start("ingest", health)
    city = zone_named(wiring.city().zone)
    with ExitStack() as stack:
        folders: list[Folder] = []
        live: list[tuple[Adapter, SourceContent]] = []
        for source in listed:
            _lock(stack, source)
            spool = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sistercity-")))
            folder = Folder(source.name, source.path, source.pattern, source.settle_ms, spool, now_ms)
            folders.append(folder)
            live.append((folder, source.content))
        logger.info("watching %d folders", len(live))
        while not stop.is_set():
            try:
                with wiring.database("ingest") as connection:
                    limits = {source.name: source.silent_ms for source in listed}
                    heard = LastHeard(limits, last_arrivals(connection), now_ms())
                    _until_stopped(connection, live, city, health, heard, stop)
            except (DeliveryFailed, LogUnavailable, psycopg.OperationalError, OSError) as error:
                logger.warning("%s; trying again in %g s", str(error).strip(), _AGAIN_S)
                health.report(str(error).strip())
                for folder in folders:
                    folder.forget()
                stop.wait(_AGAIN_S)


def _until_stopped(
    connection: "Connection",
    live: "Sequence[tuple[Adapter, SourceContent]]",
    zone: ZoneInfo,
    health: RoleHealth,
    heard: "LastHeard",
    stop: Event,
) -> None:
    """Send what comes, until stopped. Raises what `SourceSender.turn` does."""
    from ingest.feed import feeder_named
    from ingest.files.lorawan import METRIC
    from ingest.journal import StoreArrivals, StoreJournal
    from ingest.live.sending import LiveSource, SourceSender
    from ingest.live.sources_file import TableContent, form_of
    from ingest.register import facts_of, stored_register
    from ingest.routes import stored_routes
    from schemas.catalogue import catalogue
    from schemas.topics import live as live_topic
    from store.database import require_answer

    city, log = wiring.city(), wiring.log()
    asked: Log = wiring.log(patience_s=ANSWER_S)
    senders: list[SourceSender] = []
    feeds: list[Feed] = []
    with ExitStack() as stack:
        for adapter, content in live:
            source = content.source if isinstance(content, TableContent) else None
            register = stored_register(connection, now_ms, source)
            form = form_of(content, zone, facts_of(register, catalogue()[METRIC]))
            topic = live_topic(city.id, form.dataset)
            wiring.ensure_topic(log, topic)
            writer = log.writer()
            stack.callback(writer.close)
            routes = stored_routes(connection, city.id, form.dataset, now_ms)
            feeder = feeder_named("folder", adapter.name)
            stream = _Stream(writer, topic, feeder, routes, health.report)
            journal = StoreJournal(connection, uuid.uuid4())
            feeds.append(stream.feed(journal))
            listed = LiveSource(adapter, form, source)
            arrivals = StoreArrivals(connection)
            senders.append(SourceSender(listed, stream.feed, journal, arrivals, register, now_ms, heard.hear))
        silent_s, prune_at = _ASK_S, monotonic()
        while not stop.is_set():
            done = sum(sender.turn(stop) for sender in senders)
            heard.show(now_ms())
            if monotonic() >= prune_at:
                prune_at = monotonic() + _PRUNE_S
                for sender in senders:
                    sender.prune()
            silent_s = 0.0 if done else silent_s + _LOOK_S
            if silent_s >= _ASK_S:
                silent_s = 0.0
                require_answer(connection)
                for feed in feeds:
                    feed.idle(asked)
            stop.wait(_LOOK_S)


@dataclass(frozen=True, slots=True)
class _Stream:
    """Where the readings of one source go."""

    writer: "Writer"
    topic: str
    feeder: str
    routes: "Routes"
    report: Callable[[str | None], None]

    def feed(self, journal: "Journal") -> "Feed":
        from ingest.feed import Feed

        return Feed(self.writer, self.topic, journal, self.feeder, self.routes, self.report)


def _lock(stack: ExitStack, source: "FolderSource") -> None:
    """One process takes the files of a folder. Raises `CommandError` if another does."""
    path = source.path / ".sistercity.lock"
    try:
        # Never through a link that somebody who may write to the folder has put there.
        file = stack.enter_context(os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "rb+"))
    except OSError as error:
        raise wiring.CommandError(
            f"{path}: can't be made, and the process must write beside the files: {error}"
        ) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise wiring.CommandError(f"{source.path}: another process watches this folder") from None
