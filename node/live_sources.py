"""The sources of a list, while they deliver: groups of them, each in a thread with its own connections."""

import logging
import threading
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, Protocol
from zoneinfo import ZoneInfo

from node import wiring
from node.clock import now_ms
from node.health import ANSWER_S, RoleHealth

if TYPE_CHECKING:
    from eventlog.kafka import KafkaLog
    from eventlog.protocol import Log, Writer
    from ingest.feed import Feed
    from ingest.files.reading import FileFormat
    from ingest.journal import Arrivals, Journal
    from ingest.live.adapter import Adapter
    from ingest.live.heard import LastHeard
    from ingest.live.sending import SourceSender
    from ingest.live.sources_file import SourceContent
    from ingest.routes import Routes
    from store.database import Connection

logger = logging.getLogger(__name__)

_LOOK_S = 1.0
_ASK_S = 15.0
_AGAIN_S = 5.0
_PRUNE_S = 3_600.0


class Forgetting(Protocol):
    """What an adapter does after an interruption."""

    def forget(self) -> None:
        """Begin anew with what is not acknowledged."""


@dataclass(frozen=True, slots=True)
class RunningSource:
    """An adapter and what it delivers. `kind` is a part of its feeder's name. `endless`: it delivers all the time.
    `remembered_days`: how long deliveries are recorded, 0 for not at all. `each_line`: each line of a delivery stands
    by itself. `around` is the format of its deliveries, made of that of its content: where lines must be made of them
    first, or some are passed over. `arrivals` records its deliveries in a way of its own."""

    adapter: "Adapter"
    forgetting: Forgetting
    content: "SourceContent"
    kind: str
    endless: bool = False
    remembered_days: int = 0
    each_line: bool = False
    around: "Callable[[FileFormat], FileFormat] | None" = None
    arrivals: "Callable[[Connection], Arrivals] | None" = None


@dataclass(frozen=True, slots=True)
class SourceGroup:
    """Sources that take turns in one thread; `wait` returns when there may be something, or after so many
    seconds."""

    name: str
    sources: Sequence[RunningSource]
    wait: Callable[[float], object]


class SourceThreads:
    """Runs groups until stopped. `failure` is what ended one of them for good; then `stop` is set."""

    def __init__(self, zone: ZoneInfo, health: RoleHealth, heard: "LastHeard", stop: Event) -> None:
        self._heard = heard
        self.failure: BaseException | None = None
        self._zone = zone
        self._stop = stop
        self._reports = _Reports(health)
        self._threads: list[threading.Thread] = []

    def start(self, group: SourceGroup) -> None:
        """Run a group in a thread."""
        report = self._reports.of(group.name)
        thread = threading.Thread(target=self._run, args=(group, report), name=group.name)
        self._threads.append(thread)
        thread.start()

    def fail(self, error: BaseException) -> None:
        """End all: `join` raises this, or what was said before."""
        self.failure = self.failure or error
        self._stop.set()

    def join(self) -> None:
        """Return when all have ended. Raises what ended one of them."""
        for thread in self._threads:
            thread.join()
        if self.failure is not None:
            raise self.failure

    def _run(self, group: SourceGroup, report: Callable[[str | None], None]) -> None:
        try:
            self._again_and_again(group, report)
        except BaseException as error:
            self.fail(error)
        finally:
            for source in group.sources:
                source.forgetting.forget()

    def _again_and_again(self, group: SourceGroup, report: Callable[[str | None], None]) -> None:
        import psycopg

        from eventlog.protocol import DeliveryFailed, LogUnavailable

        while not self._stop.is_set():
            try:
                with wiring.database("ingest") as connection:
                    _until_stopped(connection, group, self._zone, report, self._heard, self._stop)
            except (DeliveryFailed, LogUnavailable, psycopg.OperationalError, OSError) as error:
                logger.warning("%s: %s; trying again in %g s", group.name, str(error).strip(), _AGAIN_S)
                report(str(error).strip())
                for source in group.sources:
                    source.forgetting.forget()
                self._stop.wait(_AGAIN_S)


def _until_stopped(
    connection: "Connection",
    group: SourceGroup,
    zone: ZoneInfo,
    report: Callable[[str | None], None],
    heard: "LastHeard",
    stop: Event,
) -> None:
    """Send what comes, until stopped. Raises what `SourceSender.turn` does."""
    from store.arrivals import last_arrivals
    from store.database import require_answer

    log = wiring.log()
    asked: Log = wiring.log(patience_s=ANSWER_S)
    for name, time_ms in last_arrivals(connection).items():
        heard.hear(name, time_ms)
    senders: list[SourceSender] = []
    feeds: list[Feed] = []
    with ExitStack() as stack:
        for source in group.sources:
            sender, feed = _sender(connection, source, zone, log, report, heard, stack)
            senders.append(sender)
            feeds.append(feed)
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
            group.wait(_LOOK_S)


def _sender(
    connection: "Connection",
    source: RunningSource,
    zone: ZoneInfo,
    log: "KafkaLog",
    report: Callable[[str | None], None],
    heard: "LastHeard",
    stack: ExitStack,
) -> "tuple[SourceSender, Feed]":
    """What sends for a source, and a feed to ask whether the log is there; its writer is closed with `stack`."""
    from ingest.feed import feeder_named
    from ingest.files.lorawan import METRIC
    from ingest.journal import StoreJournal
    from ingest.live.sending import LiveSource, SourceSender
    from ingest.live.sources_file import TableContent, form_of
    from ingest.register import facts_of, stored_register
    from ingest.routes import stored_routes
    from schemas.catalogue import catalogue
    from schemas.topics import live

    city = wiring.city()
    name = source.content.source if isinstance(source.content, TableContent) else None
    register = stored_register(connection, now_ms, name)
    form = form_of(source.content, zone, facts_of(register, catalogue()[METRIC]), each_line=source.each_line)
    if source.around is not None:
        form = source.around(form)
    topic = live(city.id, form.dataset)
    wiring.ensure_topic(log, topic)
    writer = log.writer()
    stack.callback(writer.close)
    routes = stored_routes(connection, city.id, form.dataset, now_ms)
    stream = _Stream(writer, topic, feeder_named(source.kind, source.adapter.name), routes, report)
    journal = StoreJournal(connection, uuid.uuid4())
    listed = LiveSource(source.adapter, form, name, source.endless, source.each_line)
    arrivals = _arrivals(connection, source)
    return SourceSender(listed, stream.feed, journal, arrivals, register, now_ms, heard.hear), stream.feed(journal)


def _arrivals(connection: "Connection", source: RunningSource) -> "Arrivals":
    from ingest.journal import NoArrivals, StoreArrivals

    if source.arrivals is not None:
        return source.arrivals(connection)
    days = source.remembered_days
    return StoreArrivals(connection, days) if days else NoArrivals()


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


class _Reports:
    """Successes and failures of groups as those of one role: it succeeds while none of them fails."""

    def __init__(self, health: RoleHealth) -> None:
        self._health = health
        self._lock = threading.Lock()
        self._failures: dict[str, str | None] = {}

    def of(self, name: str) -> Callable[[str | None], None]:
        """Where a group reports."""
        self._failures[name] = "it has not begun"

        def report(failure: str | None) -> None:
            with self._lock:
                self._failures[name] = failure
                first = next((f"{group}: {words}" for group, words in self._failures.items() if words), None)
                self._health.report(first)

        return report
