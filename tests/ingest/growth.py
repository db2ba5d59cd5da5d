"""A stream that grows into another topic while two processes ingest it."""

from collections.abc import Callable, Iterable, Sequence

from eventlog.protocol import Writer
from ingest.batches import Message
from ingest.feed import Feed
from ingest.journal import NoJournal
from ingest.routes import Routes
from ingest.simulated.faults import FaultRates
from ingest.simulated.fleet import Fleet
from ingest.simulated.simulator import Simulator
from tests.ingest.small_city import registered


class TwoProcesses(Feed):
    """Sends through two feeds by turns, each with what it has itself read of the topics; both tick.

    What one has sent is in the log before the other sends, so that the order is that of a single process. `reached` is
    called with every time that the source reaches.
    """

    def __init__(self, feeds: Sequence[Feed], reached: Callable[[int], None]) -> None:
        self.topic, self.feeder = feeds[0].topic, feeds[0].feeder
        self.messages = self.readings = 0
        self._feeds = list(feeds)
        self._reached = reached

    @property
    def cuts(self) -> Sequence[int]:
        return self._feeds[0].cuts

    def send(self, messages: Iterable[Message]) -> None:
        self._feeds[0].send(messages)
        self._feeds[0].flush()
        self._feeds.reverse()

    def tick(self, time_ms: int) -> None:
        for feed in self._feeds:
            feed.tick(time_ms)
            feed.flush()
        self._reached(time_ms)

    def flush(self) -> None:
        for feed in self._feeds:
            feed.flush()


class Clock:
    """The time that a replay has reached, milliseconds."""

    now = 0

    def __call__(self) -> int:
        return self.now


def replay(feed: Feed, fleet: Fleet, span: tuple[int, int], now: int, rates: FaultRates) -> None:
    """Send the meters' readings of a span of time, with faults, as of the time `now`."""
    Simulator(fleet, feed, NoJournal(), registered(fleet), lambda: now, rates).replay(*span)


def feeds(writers: Sequence[Writer], topic: str, routes: Callable[[], Routes]) -> list[Feed]:
    """A feed for each writer, each with routes of its own."""
    return [Feed(writer, topic, NoJournal(), "tests", routes()) for writer in writers]
