"""Publications for tests: of cells that the test decides, or of what is due at a time that the test sets."""

from collections.abc import Sequence

from federation.disclosure.standing import times_of
from federation.publications.appending import Appender
from federation.publications.entries import PublicationEntry
from federation.publications.ledger import Beginning, LedgerState
from federation.publications.publisher import Published, publish_due
from federation.publications.recovery import ends_of
from federation.publications.schedule import Since, Stream
from federation.publications.slots import slot
from schemas.catalogue import Metric
from store.database import Connection
from store.publications import Header, Kind, PublishedCell, Window, append, lattice, next_numbers, publisher_lock
from store.recovery import log_facts
from store.standing import DecidedCell, Decision, record

CITY = "isfahan"


class LedgerInMemory:
    """Entries that no file keeps: they continue what the database has."""

    def __init__(self, connection: Connection, city: str = CITY) -> None:
        facts = log_facts(connection)
        beginning = Beginning(city, facts.id, facts.position, ends_of(facts))
        self.state = LedgerState(beginning, facts.position, beginning.ends)

    def append(self, entry: PublicationEntry, line: bytes) -> None:
        self.state = self.state.following(entry, line)


def publish(
    connection: Connection, metric: str, window: Window, topic: str, cells: Sequence[PublishedCell], revision: int = 0
) -> Header:
    """Append a publication of these cells, as the next one of its metric."""
    kind: Kind = "correction" if revision else "publication"
    header = Header(*_numbers(connection, metric), window, revision, window.end, kind)
    append(connection, header, topic, cells, left_at=window.end)
    return header


def appender(connection: Connection) -> Appender:
    """What appends to the log of this database, and to no file."""
    return Appender(connection, LedgerInMemory(connection), CITY, "UTC")


def publish_until(
    connection: Connection,
    metrics: Sequence[Metric],
    topic: str,
    now_ms: int,
    since: int,
    *,
    zone: str = "UTC",
    most: int = 100,
) -> list[Published]:
    """Publish, in one turn, what is due at `now_ms` of metrics that are published since `since`.

    All their cells are open, unless something else was decided.
    """
    for metric in metrics:
        open_everything(connection, metric, since)
    with publisher_lock(connection) as held:
        if not held:
            return []
        return publish_due(appender(connection), [Stream(topic, metrics)], zone, now_ms, Since(since), most=most) or []


def open_everything(connection: Connection, metric: Metric, since: int) -> None:
    """Decide, unless it was, that all cells of the metric are open for the ten years from `since` on."""
    cells = lattice(connection, metric.registered_as, metric.classes, Window(since, since + 1)).cells
    period = Window(since, since + 10 * 365 * 86_400_000)
    decided = tuple(DecidedCell(cell.area, cell.class_, True, 1, 1, None) for cell in cells)
    always = dict.fromkeys(metric.classes, times_of(metric))
    record(connection, Decision(metric.name, since, period, "measurement", period, 1, always, decided))


def publish_hour(connection: Connection, metric: Metric, topic: str, start: int) -> Published:
    """Publish the metric's window of one hour, the next that is due."""
    [made] = publish_until(connection, [metric], topic, slot(metric, Window(start, start + 3_600_000)), start)
    return made


def another_log(connection: Connection) -> None:
    """Give the log another id, as a city has that lost database and ledger."""
    connection.execute("UPDATE publication_log SET id = gen_random_uuid()")


def _numbers(connection: Connection, metric: str) -> tuple[int, str, int]:
    position, sequence = next_numbers(connection, metric)
    return position, metric, sequence
