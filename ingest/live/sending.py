"""From deliveries to the log: all that came together is sent in the order of its times, then acknowledged."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from eventlog.protocol import Writer
from ingest.feed import Feed
from ingest.files.importing import FileImport, named
from ingest.files.pieces import MOST_OUTCOMES, FilePiece, pieces
from ingest.files.reading import FileFormat, Note, NotSuchFile, Outcome
from ingest.journal import Arrivals, Journal
from ingest.live.adapter import Adapter, Delivered
from ingest.live.heard import DELIVERIES, NOT_READ, SENT
from ingest.register import Register
from store.arrivals import FinishedArrival
from store.deliveries import Refused
from store.detectors import Detector

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LiveSource:
    """One source of the list: where its deliveries come from, and how they are read.

    `source` is the id in the register of readings that name none. `endless`: it delivers all the time, so that not
    every delivery is worth a line of the log. `each_line`: each reading came by itself.

    Whether two deliveries are sent in one turn or in two must not decide what counts. So only readings of one delivery
    contradict each other; of two deliveries the later one counts, or the one that was measured (R6).
    """

    adapter: Adapter
    form: FileFormat
    source: str | None
    endless: bool = False
    each_line: bool = False


class SourceSender:
    """Sends what one source delivers. `clock` gives milliseconds since 1970. One thread.

    `heard` is called with the source's name and the time of each delivery that is done.
    """

    def __init__(
        self,
        live: LiveSource,
        feed_for: Callable[[Journal], Feed],
        journal: Journal,
        arrivals: Arrivals,
        register: Register,
        clock: Callable[[], int],
        heard: Callable[[str, int], None] = lambda name, time_ms: None,
    ) -> None:
        self._heard = heard
        self._live = live
        self._feed_for = feed_for
        self._journal = journal
        self._arrivals = arrivals
        self._register = register
        self._clock = clock

    def turn(self, stop: Event) -> int:
        """Send what has arrived; how many deliveries are done now.

        Raises `eventlog.protocol.DeliveryFailed`, `OSError` and what the database does; then nothing is acknowledged.
        """
        adapter = self._live.adapter
        waiting = list(adapter.arrived(lambda checksum: self._arrivals.is_done(adapter.name, checksum)))
        done = 0
        while waiting and not stop.is_set():
            told = _Told(self._journal, adapter, waiting)
            form = _Watched(self._live.form)
            feed = self._feed_for(told)
            importer = FileImport(
                *(feed, told, self._register, self._clock, self._live.source),
                history=False,
                judged="by reading" if self._live.each_line else "by file",
            )
            try:
                imported = importer.run(form, [delivered.path for delivered in waiting], stop)
            except NotSuchFile as error:
                # Nothing has been sent. The file at fault is settled by itself, and the others are read again.
                faulty = [item for item in waiting if item.path.name == form.current] or waiting
                for delivered in faulty:
                    self._finish([delivered], told, str(error))
                waiting = [item for item in waiting if item not in faulty]
                for delivered in waiting:
                    adapter.retract(delivered)
                done += len(faulty)
                continue
            if not imported.complete:
                return done
            self._finish(waiting, told, "")
            refused = sum(imported.refused.values())
            logger.log(
                logging.DEBUG if self._live.endless else logging.INFO,
                "%s: %d files, %d of %d %s sent, %d refused",
                *(adapter.name, len(waiting), imported.readings, imported.read, form.noun, refused),
            )
            return done + len(waiting)
        return done

    def prune(self) -> None:
        """Forget old deliveries that the sender does not have any more."""
        self._arrivals.prune(self._live.adapter.name, self._live.adapter.present())

    def _finish(self, finished: Sequence[Delivered], told: "_Told", words: str) -> None:
        adapter = self._live.adapter
        for delivered in finished:
            adapter.settled(delivered, words)
            if words:
                logger.warning("%s: nothing of a file is sent: %s", adapter.name, words)
        self._arrivals.record(
            adapter.name,
            [FinishedArrival(d.checksum, d.name, d.received_ms, told.counts[d.path.name], words) for d in finished],
        )
        for delivered in finished:
            adapter.acknowledge(delivered)
            self._heard(adapter.name, delivered.received_ms)
            DELIVERIES.labels(NOT_READ if words else SENT).inc()


class _Watched:
    """Implements `FileFormat`: notes which file is being read."""

    def __init__(self, form: FileFormat) -> None:
        self._form = form
        self.dataset = form.dataset
        self.noun = form.noun
        self.current = ""

    def read(self, path: Path) -> Iterator[Outcome]:
        self.current = path.name
        yield from self._form.read(path)
        self.current = ""

    def pieces(self, path: Path) -> Iterator[FilePiece | Note]:
        self.current = path.name
        yield from pieces(self._form, path, MOST_OUTCOMES)
        self.current = ""


class _Told:
    """Implements `Journal`: refusals go to the sender, too, and are kept by name and content of what was delivered."""

    def __init__(self, journal: Journal, adapter: Adapter, waiting: Sequence[Delivered]) -> None:
        self._journal = journal
        self._adapter = adapter
        by_path = {delivered.path.absolute(): delivered for delivered in waiting}
        names = named([delivered.path for delivered in waiting])
        self._delivered: Mapping[str, Delivered] = {origin: by_path[path] for origin, path in names.items()}
        self.counts = {delivered.path.name: 0 for delivered in waiting}

    def acknowledged(self, writer: Writer) -> None:
        self._journal.acknowledged(writer)

    def refuse(self, origin: str, refused: Sequence[Refused]) -> None:
        delivered = self._delivered[origin]
        self._journal.refuse(f"{self._adapter.name}/{delivered.origin}", refused)
        if refused:
            self._adapter.refuse(delivered, refused)
        self.counts[delivered.path.name] += len(refused)

    def record_detector(self, dataset: str, detector: Detector, since_ms: int) -> None:
        self._journal.record_detector(dataset, detector, since_ms)
