"""Publishing (R12): every window in its slot, whatever came in, by one publisher.

A publication holds every cell of its window's lattice. A released cell carries value, coverage and rule: it is open
(`federation.disclosure.standing`), and passed its rule. A suppressed cell carries status and rule alone, so that a cell
that failed its rule looks like a cell without readings, and one that is closed. A window
that a partition has not passed, or that lacks readings, leaves incomplete as a whole; its values follow at fixed times.
"""

import logging
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psycopg
from prometheus_client import Counter, Gauge, Histogram

from federation.disclosure.rules import passes, rule_in_force
from federation.disclosure.standing import Judged, is_open, judge
from federation.publications.appending import Appender
from federation.publications.corrections import next_revision
from federation.publications.deciding import decide, withhold
from federation.publications.ledger import Ledger
from federation.publications.recovery import check_not_restored, ensure_ledger, recover
from federation.publications.schedule import Due, Since, Stream, begin_all, due
from federation.publications.signing import Signer
from federation.publications.standing import close_what_failed_in_lost_windows, standing_for
from schemas.catalogue import Metric, leaving
from store.cells import cells_of_window
from store.corrections import note_decided, note_release, proposal, undecided
from store.database import Connection, DatabaseUrl, connect
from store.processing import Cell
from store.publication_log import window_entries
from store.publications import (
    Header,
    Kind,
    Lattice,
    PublishedCell,
    Window,
    has_sources,
    lattice,
    publisher_lock,
)
from store.publishing import Processed, check_again, topic_state
from store.standing import close

log = logging.getLogger(__name__)

PUBLICATIONS = Counter("sistercity_publications", "Publications appended to the log.", ["dataset"])
CELLS = Counter(
    "sistercity_published_cells",
    "Cells decided: released, suppressed, incomplete, or outside (reduced for an area or class that the window does not"
    " have).",
    ["dataset", "outcome"],
)

DUE = Gauge("sistercity_windows_due", "Windows whose slots had passed when the newest turn began, at most 100.")
TURN_SECONDS = Histogram("sistercity_publish_turn_seconds", "One turn: a look at what is due, and its publication.")

_WINDOWS_AT_ONCE = 100
_AWAY = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.ReadOnlySqlTransaction)
"""What a database raises that is away, or that has become a copy that can't be written (a fail-over)."""

Streams = Callable[[Connection], Sequence[Stream]]
"""Reads which topics are published."""


@dataclass(frozen=True, slots=True)
class Published:
    """A publication that was made, and how many of its cells were released, suppressed and incomplete."""

    header: Header
    released: int
    suppressed: int
    incomplete: int


def publish_due(
    appender: Appender,
    streams: Sequence[Stream],
    zone: str,
    now_ms: int,
    since: Since | None = None,
    *,
    most: int = _WINDOWS_AT_ONCE,
) -> list[Published] | None:
    """Publish what is due at `now_ms`, at most `most` windows, oldest slots first; each in its own transaction.

    To be called under the publisher's lock. `zone` is the city's. Returns None if nothing was due. A crash leaves whole
    publications and no gap; the next call goes on. Raises `UnknownRule` before anything is published, `NoAreas`,
    `HasBegun`, `LedgerFault`, and psycopg's errors.
    """
    metrics = leave(
        appender.connection, {metric.name: metric for stream in streams for metric in stream.metrics}.values()
    )
    for metric in metrics:
        rule_in_force(metric)
    begin_all(appender.connection, metrics, zone, since or Since(), now_ms)
    entries = due(appender.connection, metrics, zone, now_ms, most)
    DUE.set(len(entries))
    turn = Turn(appender, streams, zone, now_ms)
    made = [published for entry in entries if (published := turn.publish(entry)) is not None]
    corrected = turn.correct() if len(entries) < most else []
    return [*made, *corrected] if entries or corrected else None


@contextmanager
def publishing(
    connection: Connection, ledger: Ledger, city: str, zone: str, now_ms: int, signer: Signer | None = None
) -> Iterator[Appender | None]:
    """What publishes for this city, brought level with the ledger; None if another process does.

    Two locks keep others away: one of the database, and one of the ledger, which copies of the database share. At the
    end, `signer` signs what was published. Raises `LedgerFault` if ledger and database do not agree, or if partners
    have seen more of this city than the ledger has.
    """
    with publisher_lock(connection) as held:
        if not held:
            yield None
            return
        ensure_ledger(connection, ledger.path, city)
        with ledger.locked() as locked:
            if locked:
                recover(connection, ledger, city, now_ms)
                check_not_restored(connection, ledger.state)
            yield Appender(connection, ledger, city, zone) if locked else None
            if locked and signer is not None:
                signer.sign(connection, city, ledger.state, now_ms)


def leave(connection: Connection, metrics: Collection[Metric]) -> tuple[Metric, ...]:
    """Those of `metrics` that may leave this city, of two metrics of one flow one (P3)."""
    flows = {metric.same_flow_as for metric in metrics if metric.same_flow_as is not None}
    return leaving(metrics, [flow for flow in flows if has_sources(connection, flow)])


class Publisher:
    """Publishes the windows of some streams in their slots, until `stop` is set.

    `streams` gives the topics, of which there may be more as time goes on; `clock` the present (ms since 1970, UTC).
    `signer` signs each turn's publications; None: they leave unsigned. Several publishers may share a ledger: one of
    them publishes, the others stand by. `report` is told of each turn that succeeded, as None, and of each failure.
    `after_turn` is called with the connection and the present after each turn.
    """

    def __init__(
        self,
        database_url: DatabaseUrl,
        ledger: Path,
        city: str,
        zone: str,
        streams: Streams,
        *,
        since: Since,
        clock: Callable[[], int],
        poll_s: float,
        stop: threading.Event,
        signer: Signer | None = None,
        report: Callable[[str | None], None] = lambda failure: None,
        after_turn: Callable[[Connection, int], object] = lambda connection, now_ms: None,
    ) -> None:
        self._url = database_url
        self._ledger = Ledger(ledger)
        self._city = city
        self._zone = zone
        self._streams = streams
        self._since = since
        self._clock = clock
        self._poll_s = poll_s
        self._stop = stop
        self._signer = signer
        self._report = report
        self._after_turn = after_turn

    def run(self) -> None:
        """Run until `stop` is set. A database or a disk that is away, or can't be written, is logged and tried again.

        Raises `UnknownRule`, `NoAreas`, `HasBegun` and `LedgerFault`, which would be raised again at every poll.
        """
        while not self._stop.is_set():
            try:
                with connect(self._url, name="sistercity publish") as connection:
                    self._poll(connection)
            except _AWAY as error:
                log.warning("the database did not answer; trying again in %s s: %s", self._poll_s, error)
                self._report(f"the database did not answer: {error}")
            except OSError as error:
                log.warning("the ledger can't be written; trying again in %s s: %s", self._poll_s, error)
                self._report(f"the ledger can't be written: {error}")
            self._stop.wait(self._poll_s)

    def _poll(self, connection: Connection) -> None:
        while not self._stop.is_set():
            now_ms = self._clock()
            with (
                TURN_SECONDS.time(),
                publishing(connection, self._ledger, self._city, self._zone, now_ms, self._signer) as appender,
            ):
                made = (
                    None
                    if appender is None
                    else publish_due(appender, self._streams(connection), self._zone, now_ms, self._since)
                )
            self._report(None)
            self._after_turn(connection, now_ms)
            if made:
                log.info("%s", _summary(made))
            if made is None:
                self._stop.wait(self._poll_s)


@dataclass(slots=True)
class Turn:
    """One look at what is due, under the publisher's lock.

    It knows how far each topic was at its beginning, and the lattices of this turn alone: a register may be loaded
    before the next.
    """

    appender: Appender
    streams: Sequence[Stream]
    zone: str
    now_ms: int
    _states: dict[str, Processed] = field(default_factory=dict)
    _lattices: dict[str, Lattice] = field(default_factory=dict)
    _examined: set[str] = field(default_factory=set)

    @property
    def _connection(self) -> Connection:
        return self.appender.connection

    def publish(self, entry: Due) -> Published | None:
        """Publish a window; None if it was to be revised and is not whole."""
        metric, window = entry.metric, entry.window
        topic = next((stream.topic for stream in self.streams if stream.has(metric, window)), "")
        passed = self._passed(topic, metric, window)  # before the cells are read: later ones would be missing
        reduced = cells_of_window(self._connection, topic, metric.name, window.start)
        whole = passed and not any(cell.incomplete for cell in reduced)
        if entry.before is not None and not whole:
            check_again(self._connection, entry.before, None if entry.last else entry.at)
            return None
        cells = self._lattice(metric, window)
        judged = self._judged(metric, window, cells, reduced if whole else ())
        decided = decide(metric, window, cells, reduced, judged.released) if whole else withhold(metric, cells)
        revision = 0 if entry.before is None else entry.before.revision + 1
        kind: Kind = "correction" if revision else "publication"
        for area, class_ in sorted(judged.failed):
            # Before it leaves: after a crash in between, the cell is closed, and suppressed here all the same.
            close(self._connection, metric.name, area, class_, window)
        published = self._append(metric, window, topic, decided, revision, kind, entry.at)
        _account(metric, published, _outside(cells, reduced))
        return published

    def _judged(self, metric: Metric, window: Window, cells: Lattice, reduced: Sequence[Cell]) -> Judged:
        """Which open cells are released, and which of them have failed: none of a window that is not whole."""
        passes_rule = partial(passes, rule_in_force(metric))
        topics = [stream.topic for stream in self.streams if metric in stream.metrics]
        if reduced and metric.name not in self._examined:
            self._examined.add(metric.name)
            close_what_failed_in_lost_windows(
                self._connection, metric, window, topics=topics, passes=passes_rule, zone=self.zone
            )
        standing = standing_for(
            self._connection, metric, window, cells, topics=topics, passes=passes_rule, zone=self.zone
        )  # also of a window that is not whole: what is open is decided before the first window leaves
        return judge(is_open(metric, standing, window, self.zone), reduced, passes_rule)

    def correct(self) -> list[Published]:
        """Publish what late readings have made of windows, as far as it may leave (R13, P6)."""
        return [
            published
            for stream in self.streams
            for metric in stream.metrics
            for window in undecided(self._connection, stream.topic, metric.name)
            if (published := self._correct(stream.topic, metric, window)) is not None
        ]

    def _correct(self, topic: str, metric: Metric, window: Window) -> Published | None:
        found = proposal(self._connection, topic, metric.name, window)
        entries = window_entries(self._connection, metric.name, window.start)
        following = next_revision(metric, window, self._lattice(metric, window), entries, found)
        if following == "wait":
            return None
        published = None
        if following != "none":
            # Before it leaves: after a crash in between, later corrections are compared with it all the same.
            note_release(self._connection, metric.name, window, following.released)
            published = self._append(
                metric, window, topic, following.cells, following.revision, "correction", following.due_at
            )
            _account(metric, published, 0)
        note_decided(self._connection, topic, metric.name, window, found)
        return published

    def _append(
        self,
        metric: Metric,
        window: Window,
        topic: str,
        cells: Sequence[PublishedCell],
        revision: int,
        kind: Kind,
        at: int,
    ) -> Published:
        header = self.appender.append(
            *(metric, window, kind, cells),
            revision=revision,
            published_at=at,
            topic=topic,
            now_ms=self.now_ms,
        )
        return _counted(header, cells)

    def _passed(self, topic: str, metric: Metric, window: Window) -> bool:
        """Whether every partition has passed the window, and none may lack readings of it."""
        state = self._states.get(topic)
        if state is None:
            state = self._states[topic] = topic_state(self._connection, topic)
        if state.event_time is None or window.end > state.event_time - metric.lateness_ms:
            return False
        return state.incomplete_before is None or window.start >= state.incomplete_before

    def _lattice(self, metric: Metric, window: Window) -> Lattice:
        known = self._lattices.get(metric.name)
        if known is None or not known.holds(window):
            known = self._lattices[metric.name] = lattice(
                self._connection,
                metric.registered_as,
                metric.classes,
                window,
                of_any_class=metric.derived_from is not None,
            )
        return known


def _summary(made: Sequence[Published]) -> str:
    """What a turn has published, in a line."""
    revisions = sum(published.header.revision > 0 for published in made)
    metrics = ", ".join(sorted({published.header.metric for published in made}))
    released, suppressed, incomplete = (
        sum(getattr(published, status) for published in made) for status in ("released", "suppressed", "incomplete")
    )
    return (
        f"published {len(made)} windows of {metrics} ({revisions} revisions), up to position"
        f" {made[-1].header.position}; cells: {released} released, {suppressed} suppressed, {incomplete} incomplete"
    )


def _outside(cells: Lattice, reduced: Sequence[Cell]) -> int:
    places = {(cell.area, cell.class_) for cell in cells.cells}
    return sum((cell.area, cell.class_) not in places for cell in reduced)


def _counted(header: Header, cells: Sequence[PublishedCell]) -> Published:
    statuses = [cell.status for cell in cells]
    return Published(header, statuses.count("released"), statuses.count("suppressed"), statuses.count("incomplete"))


def _account(metric: Metric, made: Published, outside: int) -> None:
    PUBLICATIONS.labels(metric.dataset).inc()
    for outcome, count in (
        ("released", made.released),
        ("suppressed", made.suppressed),
        ("incomplete", made.incomplete),
        ("outside", outside),
    ):
        CELLS.labels(metric.dataset, outcome).inc(count)
    if outside:
        log.warning(
            "publication %s of %s leaves out %s cells: their areas or classes are not those of its window",
            *(made.header.position, metric.name, outside),
        )
