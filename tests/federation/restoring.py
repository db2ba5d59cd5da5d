"""A city that publishes to a real ledger, its database, and backups of it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier

from federation.publications.appending import Appender
from federation.publications.ledger import Ledger
from federation.publications.publisher import publish_due, publishing
from federation.publications.schedule import Since, Stream
from federation.publications.signing import Signer
from federation.publications.slots import slot
from schemas.catalogue import Metric
from store.database import Connection, connect, database_named
from store.publications import Window
from tests.federation.city import HOUR, IMPORT, T0, TOPIC, add_cell, found_areas, open_topic, pass_time, register
from tests.published_log import published_log

CITY = "isfahan"
MEGAWATT_HOUR = 3_600_000_000_000

Shown = Mapping[tuple[str, int, int], tuple[tuple[str, int | None], ...]]
"""(metric, start of the window, revision) -> the status and the value of each cell."""


@contextmanager
def backup(server_url: str, database_url: str) -> Iterator[str]:
    """A copy of the database as it is now; nobody may be connected to it. Yields the copy's URL."""
    name, copy = str(conninfo_to_dict(database_url)["dbname"]), f"backup_{uuid4().hex}"
    with connect(server_url) as connection:
        connection.execute(
            SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(Identifier(copy), Identifier(name))
        )
        try:
            yield database_named(server_url, copy)
        finally:
            connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(copy)))


def due_at(hour: int, metric: Metric = IMPORT) -> int:
    """The slot of the metric's window that begins so many hours after T0."""
    return slot(metric, Window(T0 + hour * HOUR, T0 + (hour + 1) * HOUR))


@contextmanager
def at_work(
    database_url: str, ledger: Path, now_ms: int = due_at(0), signer: Signer | None = None
) -> Iterator[Appender]:
    """A publisher's turn, brought level with its ledger."""
    with (
        connect(database_url) as connection,
        publishing(connection, Ledger(ledger), CITY, "UTC", now_ms, signer) as appender,
    ):
        assert appender is not None
        yield appender


def publish_hours_until(database_url: str, ledger: Path, hour: int, signer: Signer | None = None) -> None:
    """Publish, as a publisher that has just started, all hours that are due in the slot of this one."""
    with at_work(database_url, ledger, due_at(hour), signer) as appender:
        publish_due(appender, [Stream(TOPIC, [IMPORT])], "UTC", due_at(hour), Since(T0))


def twelve_hours(database_url: str) -> None:
    """Make it a city of one area whose first twelve hours are processed."""
    with connect(database_url) as connection:
        (area,) = found_areas(connection, [1000])
        register(connection, 0, "residential", 200)
        open_topic(connection)
        for hour in range(12):
            add_cell(connection, hour, area, value=MEGAWATT_HOUR * (hour + 1))
        pass_time(connection, T0 + 99 * HOUR)


def change_every_cell(database_url: str) -> None:
    """What is reduced again after a restore may have other values."""
    with connect(database_url) as connection:
        connection.execute("UPDATE cells SET value = value + %s", (7 * MEGAWATT_HOUR,))


def shown(connection: Connection) -> Shown:
    """What the log shows to partners, except what was lost and what is skipped."""
    return {
        (header.metric, header.window.start, header.revision): tuple(zip(columns.status, columns.value, strict=True))
        for header, columns in published_log(connection)
        if header.kind in ("publication", "correction")
    }


def numbers(connection: Connection) -> list[tuple[int, int, str]]:
    """Position, sequence and kind of everything in the log of the one metric, in order."""
    return [(header.position, header.sequence, header.kind) for header, _ in published_log(connection)]
