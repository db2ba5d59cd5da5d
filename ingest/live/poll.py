"""A source that is asked: one address, again and again, for what has changed.

What it answered counts as taken when the log has it; before that its ETag is not sent, and nothing of it is passed
over. So a process that ends in between asks again, and readings that come twice count once (R6). What the last answer
was is remembered in the process alone: the first answer after a start is sent whole.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from time import monotonic

import httpx
from prometheus_client import Counter

from ingest.files.reading import FileFormat
from ingest.live.adapter import Delivered, ToldNothing
from ingest.live.answers import AnswerPage, Connecting, PollFailed, PollLimits
from ingest.live.polled_pages import TOO_SLOW, PollAddress, all_pages
from ingest.live.unrepeated import LastAnswer, Unrepeated

POLLS = Counter("sistercity_poll_requests", "Polls of listed sources, by what came of them", ["outcome"])
TAKEN, UNCHANGED = "taken", "unchanged"
_FIRST_PAUSE_S = 5.0
_LONGEST_PAUSE_S = 900.0
_LOOK_S = 0.2

logger = logging.getLogger(__name__)


def pause_s(failures: int, every_s: float, wait_s: float, share: float) -> float:
    """Seconds until a source is asked again after `failures` in a row, at least 1.

    They double from 5 seconds to a quarter of an hour, or to `every_s` if that is longer. `share`, from 0 to 1, takes
    up to half of it away, so that many nodes do not ask together. It is never less than `wait_s`, which the source
    asked for.
    """
    longest = max(_LONGEST_PAUSE_S, every_s)
    doubled = min(longest, min(_FIRST_PAUSE_S, every_s) * 2.0 ** min(failures - 1, 30))
    return max(wait_s, doubled * (1 - share / 2))


def ask_once(address: PollAddress, connecting: Connecting, now_ms: int, deadline_s: float) -> str:
    """Ask a source for one page, and give up what it answers: what came within so many seconds, in words.

    Raises `PollFailed`.
    """
    brief = replace(address, limits=PollLimits(deadline_s, address.limits.most), paging="none")
    with TemporaryDirectory(prefix="sistercity-") as folder:
        url = address.first_page(now_ms - address.begin_s * 1_000)
        try:
            pages = asyncio.run(all_pages(brief, connecting, url, {}, Path(folder)))
        except PollFailed as error:
            if error.reason != TOO_SLOW:
                raise
            return f"it has not answered whole within {deadline_s:g} s"  # it may take longer when it is polled
        return f"it answers with {sum(page.size for page in pages):,} bytes"


class Poll(ToldNothing):
    """Implements `Adapter`: a delivery is a page of an answer. `spool` is a folder of this process.

    `clock` gives milliseconds since 1970. `stop` ends a poll that is under way.
    """

    def __init__(
        self,
        name: str,
        address: PollAddress,
        connecting: Connecting,
        spool: Path,
        clock: Callable[[], int],
        stop: Event,
    ) -> None:
        self.name = name
        self._address = address
        self._connecting = connecting
        self._spool = spool
        self._clock = clock
        self._stop = stop
        self._due = 0.0
        """On the monotonic clock: the time of day may jump."""
        self._failures = 0
        self._conditions: Mapping[str, str] = {}
        self._asked_ms: int | None = None
        """When the last poll began whose readings the log has."""
        self._open: set[Path] = set()
        self._offered: tuple[Mapping[str, str], int, Mapping[str, bytes]] = ({}, 0, {})
        """Conditions, time, and checksums by page of the poll whose deliveries are open."""
        self._pages: Mapping[str, bytes] = {}
        """Checksums by page of the last answer that the log has."""
        self._last = LastAnswer()

    def unrepeated(self, form: FileFormat) -> FileFormat:
        """A format that passes over what the last answer had."""
        return Unrepeated(form, self._last)

    def arrived(self, done: Callable[[bytes], bool]) -> Sequence[Delivered]:
        """What the source answers, if it is due and has changed. Raises `OSError` if the spool is full."""
        del done  # an answer that comes again after another one is the newer of the two, and counts
        if monotonic() < self._due:
            return ()
        begun_ms = self._clock()
        pages = self._asked(begun_ms)
        if not pages:
            return ()
        of_pages = {page.path.name: page.checksum for page in pages}
        self._offered = (pages[0].conditions if self._address.is_one_page else {}, begun_ms, of_pages)
        fresh = [page for page in pages if self._pages.get(page.path.name) != page.checksum]
        for page in pages:
            if page not in fresh:
                page.path.unlink()
        self._open = {page.path for page in fresh}
        self._advance()
        POLLS.labels(TAKEN if fresh else UNCHANGED).inc()
        return [Delivered(page.path.name, page.path, page.checksum, begun_ms) for page in fresh]

    def acknowledge(self, delivered: Delivered) -> None:
        """Ask only for what is newer from now on, when all pages of the poll are done."""
        delivered.path.unlink(missing_ok=True)
        self._open.discard(delivered.path)
        self._advance()

    def forget(self) -> None:
        """Ask again for what is not acknowledged, after an interruption."""
        if self._open:
            self._due = 0.0
        self._open = set()
        self._last.forget()
        self._clear()

    def _advance(self) -> None:
        if not self._open:
            self._conditions, self._asked_ms, self._pages = self._offered
            self._last.accept(self._pages)

    def _asked(self, now_ms: int) -> Sequence[AnswerPage]:
        """The pages of an answer; none if there is none, or it has not changed."""
        try:
            pages = asyncio.run(self._unless_stopped(self._url(now_ms)))
        except PollFailed as error:
            self._failures += 1
            pause = pause_s(self._failures, self._address.every_s, error.wait_s, random.random())
            self._due = monotonic() + pause
            POLLS.labels(error.reason).inc()
            logger.warning("%s: %s; asking again in %.0f s", self.name, error, pause)
            self._clear()
            return ()
        self._failures = 0
        self._due = monotonic() + self._address.every_s
        if pages is None:
            self._clear()
        elif not pages:
            self._asked_ms = now_ms
            POLLS.labels(UNCHANGED).inc()
        return pages or ()

    async def _unless_stopped(self, url: httpx.URL) -> Sequence[AnswerPage] | None:
        """The pages; none if nothing has changed; None if the process stops. Raises `PollFailed`."""
        asking = all_pages(self._address, self._connecting, url, self._conditions, self._spool)
        work = asyncio.ensure_future(asking)
        while not work.done():
            if self._stop.is_set():
                work.cancel()
                with suppress(asyncio.CancelledError, PollFailed):
                    await work
                return None
            await asyncio.wait([work], timeout=_LOOK_S)
        return work.result()

    def _url(self, now_ms: int) -> httpx.URL:
        if self._asked_ms is None:
            return self._address.first_page(now_ms - self._address.begin_s * 1_000)
        return self._address.first_page(min(self._asked_ms, now_ms) - self._address.overlap_s * 1_000)

    def _clear(self) -> None:
        for path in self._spool.iterdir():
            path.unlink()
