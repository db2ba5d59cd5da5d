from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256

import psycopg
import pytest

from store.database import Connection, connect
from store.debug_pictures import DebugPicture, NotEntered, enter, entries
from tests.store.registers import RegisterRow, load

pytestmark = pytest.mark.services

TAKEN = 1_790_000_000_123


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with connect(database_url) as opened:
        load(opened, [RegisterRow(2, "K-17", "traffic.regions", "a", "K-17", "any", 0, None)])
        yield opened


def made(**other: object) -> DebugPicture:
    known = DebugPicture("ana", 0, TAKEN, "the lens may be dirty", sha256(b"picture").digest(), 3)
    return replace(known, **other)  # type: ignore[arg-type]


def test_a_picture_is_entered_and_listed(connection: Connection) -> None:
    begin = connection.execute("SELECT extract(epoch FROM clock_timestamp()) * 1000").fetchone()
    first, second = enter(connection, made()), enter(connection, made(regions=0, reason="again"))
    assert first < second
    found = list(entries(connection))
    assert [entry.picture for entry in found] == [made(), made(regions=0, reason="again")]
    assert [entry.number for entry in found] == [first, second]
    assert {entry.database_user for entry in found} == {connection.info.user}
    assert begin is not None
    assert int(begin[0]) <= found[0].made_ms <= found[1].made_ms


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE debug_pictures SET reason = 'another'",
        "DELETE FROM debug_pictures",
        "TRUNCATE debug_pictures",
        "INSERT INTO debug_pictures OVERRIDING SYSTEM VALUE SELECT * FROM debug_pictures ON CONFLICT (number)"
        " DO UPDATE SET reason = 'another'",
    ],
)
def test_an_entry_stays_as_it_is(change: str, connection: Connection) -> None:
    enter(connection, made())
    with pytest.raises(psycopg.errors.RaiseException, match="never changed"):
        connection.execute(change)
    assert [entry.picture for entry in entries(connection)] == [made()]


def test_a_client_cannot_choose_user_and_time(connection: Connection) -> None:
    connection.execute(
        "INSERT INTO debug_pictures (made_at, database_user, os_user, camera, taken_at, reason, sha256, regions)"
        " SELECT '2001-01-01', 'somebody else', 'ana', 0, now(), 'a reason', sha256('x'), 0"
    )
    [entry] = entries(connection)
    assert entry.database_user == connection.info.user
    assert entry.made_ms > 1_700_000_000_000


@pytest.mark.parametrize("wrong", [{"reason": ""}, {"reason": " \n"}, {"camera": 1}, {"regions": -1}, {"sha256": b""}])
def test_an_incomplete_entry_is_refused(wrong: dict[str, object], connection: Connection) -> None:
    with pytest.raises(NotEntered):
        enter(connection, made(**wrong))
    assert list(entries(connection)) == []


def test_a_reason_that_postgresql_cannot_store_is_refused(connection: Connection) -> None:
    with pytest.raises(NotEntered):
        enter(connection, made(reason="a\0b"))
