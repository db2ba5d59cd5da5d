"""After a crash, a fail-over or a restore, ledger and database agree, and nothing is published with other values."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from federation.publications import appending
from federation.publications.entries import PublicationEntry, entry_bytes, entry_of
from federation.publications.ledger import Beginning, Ledger, LedgerFault, read_entries, read_ledger
from federation.publications.recovery import ledger_fault
from federation.publications.resuming import resume_after_loss
from store.database import connect
from store.publications import Header, Window
from store.publishing import begin
from tests.federation.city import HOUR, IMPORT, T0, TOPIC, pass_time
from tests.federation.restoring import (
    CITY,
    MEGAWATT_HOUR,
    at_work,
    backup,
    change_every_cell,
    due_at,
    numbers,
    publish_hours_until,
    shown,
    twelve_hours,
)
from tests.publishing import another_log, publish

pytestmark = pytest.mark.services


class Crash(Exception):
    """The process ends here."""


@pytest.fixture
def ledger(tmp_path) -> Path:
    return tmp_path / "shared" / "ledger.jsonl"


@pytest.fixture
def city_url(database_url) -> str:
    twelve_hours(database_url)
    return database_url


def crashing(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Let the next publication crash at a point of the way from its decision to its commit."""

    def crash(*_: object, **__: object) -> None:
        raise Crash

    def after_it(done: Callable[..., object]) -> Callable[..., None]:
        def call(*arguments: object) -> None:
            done(*arguments)
            raise Crash

        return call

    if where == "before the entry":
        monkeypatch.setattr(Ledger, "append", crash)
    elif where == "after the entry":
        monkeypatch.setattr(Ledger, "append", after_it(Ledger.append))
    elif where == "in the last transaction":
        monkeypatch.setattr(appending, "drop_draft", crash)
    else:
        monkeypatch.setattr(appending, "finish", after_it(appending.finish))


@pytest.mark.parametrize("where", ["before the entry", "after the entry", "in the last transaction", "after all"])
def test_a_crash_between_ledger_and_database_changes_nothing_of_what_was_decided(
    city_url, ledger, monkeypatch, where
) -> None:
    publish_hours_until(city_url, ledger, 1)
    with monkeypatch.context() as patch:
        crashing(patch, where)
        with pytest.raises(Crash):
            publish_hours_until(city_url, ledger, 2)
    left = read_ledger(ledger).position == 3
    assert left == (where != "before the entry")
    change_every_cell(city_url)
    publish_hours_until(city_url, ledger, 3)
    with connect(city_url) as connection:
        assert numbers(connection) == [(n, n, "publication") for n in (1, 2, 3, 4)]
        value = dict(shown(connection)[IMPORT.name, T0 + 2 * HOUR, 0])["released"]
        assert value == (3 if left else 10) * MEGAWATT_HOUR
        assert connection.execute("SELECT count(*) FROM publication_drafts").fetchone() == (0,)
    assert_stored_as_in_the_ledger(city_url, ledger)


def assert_stored_as_in_the_ledger(database_url: str, ledger: Path) -> None:
    """Every entry is stored as its line, and every body that is there has the hash that its entry names."""
    with connect(database_url) as connection:
        stored = connection.execute("SELECT entry, body FROM publications ORDER BY position").fetchall()
    assert [line for line, _ in stored] == [line for _, line in read_entries(ledger)]
    for line, body in stored:
        if body is not None:
            assert hashlib.sha256(body).hexdigest() == json.loads(line)["body"]


def test_after_a_restore_what_the_backup_lacks_is_lost_and_never_published_with_other_values(
    server_url, city_url, ledger
) -> None:
    publish_hours_until(city_url, ledger, 3)
    with backup(server_url, city_url) as restored:
        publish_hours_until(city_url, ledger, 6)
        change_every_cell(restored)
        publish_hours_until(restored, ledger, 8)
        with connect(city_url) as before, connect(restored) as now:
            known, again = shown(before), shown(now)
            assert all(again[key] == cells for key, cells in known.items() if key in again)
            assert {start for _, start, _ in again} == {T0 + hour * HOUR for hour in (0, 1, 2, 3, 7, 8)}
            assert numbers(now) == [
                (n, n, "lost" if n in (5, 6, 7) else "publication") for n in (1, 2, 3, 4, 5, 6, 7, 8, 9)
            ]
        assert_stored_as_in_the_ledger(restored, ledger)


def test_a_database_that_is_made_anew_takes_the_log_of_its_ledger(city_url, second_database_url, ledger) -> None:
    publish_hours_until(city_url, ledger, 2)
    with at_work(second_database_url, ledger), connect(second_database_url) as connection:
        assert numbers(connection) == [(n, n, "lost") for n in (1, 2, 3)]
        row = connection.execute("SELECT id::text FROM publication_log").fetchone()
    assert row == (read_ledger(ledger).beginning.log,)


def test_publications_of_a_release_without_ledger_stay_and_the_ledger_begins_after_them(city_url, ledger) -> None:
    with connect(city_url) as connection:
        publish(connection, IMPORT.name, Window(T0, T0 + HOUR), TOPIC, [])
        begin(connection, IMPORT.name, T0)
    publish_hours_until(city_url, ledger, 2)
    with connect(city_url) as connection:
        assert numbers(connection) == [(n, n, "publication") for n in (1, 2, 3)]
    assert read_ledger(ledger).beginning.after == 1
    assert [entry.header.sequence for entry, _ in read_entries(ledger)] == [2, 3]
    publish_hours_until(city_url, ledger, 3)


def fault(database_url: str, ledger: Path) -> str:
    """The words with which a publisher refuses; doctor has the same."""
    with pytest.raises(LedgerFault) as raised, at_work(database_url, ledger):
        pass
    with connect(database_url) as connection:
        assert ledger_fault(connection, ledger, CITY) == str(raised.value)
    return str(raised.value)


def test_a_ledger_that_is_missing_behind_or_of_another_log_is_refused_in_words(
    city_url, ledger, second_database_url
) -> None:
    publish_hours_until(city_url, ledger, 1)
    older = ledger.read_bytes()
    publish_hours_until(city_url, ledger, 2)
    newest = ledger.read_bytes()
    ledger.unlink()
    assert "no ledger at" in fault(city_url, ledger)
    ledger.write_bytes(older)
    assert "ends with publication 2, and the database with 3" in fault(city_url, ledger)
    other = ledger.with_name("other.jsonl")
    with connect(second_database_url) as connection:
        another_log(connection)
        publish(connection, IMPORT.name, Window(T0, T0 + HOUR), TOPIC, [])
    with at_work(second_database_url, other):
        pass
    ledger.write_bytes(other.read_bytes())
    assert "another log" in fault(city_url, ledger)
    ledger.write_bytes(Beginning("hue", "a log").line() + b"\n")
    assert "ledger of hue" in fault(city_url, ledger)
    ledger.write_bytes(newest)
    publish_hours_until(city_url, ledger, 3)


def test_a_ledger_with_another_history_contradicts_the_database(server_url, city_url, ledger) -> None:
    publish_hours_until(city_url, ledger, 1)
    with backup(server_url, city_url) as copy:
        other = ledger.with_name("other.jsonl")
        other.write_bytes(ledger.read_bytes())
        publish_hours_until(city_url, ledger, 2)
        publish_hours_until(copy, other, 2)  # two publishers that share neither ledger nor database
        assert f"contradicts the database about {IMPORT.name}" in fault(city_url, other)


def test_after_a_loss_publishing_goes_on_after_every_window_that_may_have_left(server_url, city_url, ledger) -> None:
    publish_hours_until(city_url, ledger, 3)
    with backup(server_url, city_url) as restored:
        publish_hours_until(city_url, ledger, 6)
        ledger.unlink()
        change_every_cell(restored)
        assert "--resume-after-loss" in fault(restored, ledger)
        with connect(restored) as connection:
            [skip] = resume_after_loss(connection, ledger, CITY, [IMPORT], "UTC", due_at(7))
            assert skip.window == Window(T0 + 4 * HOUR, T0 + 8 * HOUR)
            with pytest.raises(LedgerFault, match="nothing is wrong"):
                resume_after_loss(connection, ledger, CITY, [IMPORT], "UTC", due_at(7))
        publish_hours_until(restored, ledger, 9)
        with connect(city_url) as before, connect(restored) as now:
            known, again = shown(before), shown(now)
            assert all(again[key] == cells for key, cells in known.items() if key in again)
            assert {start for _, start, _ in again} == {T0 + hour * HOUR for hour in (0, 1, 2, 3, 8, 9)}
            given, followed = numbers(before), numbers(now)
        assert {position for position, _, _ in followed[4:]}.isdisjoint(position for position, _, _ in given)
        assert {sequence for _, sequence, _ in followed[4:]}.isdisjoint(sequence for _, sequence, _ in given)
        assert [kind for _, _, kind in followed] == [*["publication"] * 4, "skip", *["publication"] * 2]


def test_a_window_that_was_skipped_gets_no_revision_though_it_left_incomplete(city_url, ledger) -> None:
    with connect(city_url) as connection:
        pass_time(connection, T0)
    publish_hours_until(city_url, ledger, 0)
    ledger.unlink()
    with connect(city_url) as connection:
        [skip] = resume_after_loss(connection, ledger, CITY, [IMPORT], "UTC", due_at(0))
        pass_time(connection, T0 + 99 * HOUR)
    assert skip.window == Window(T0, T0 + HOUR)
    publish_hours_until(city_url, ledger, 1)
    with connect(city_url) as connection:
        assert set(shown(connection)) == {(IMPORT.name, T0, 0), (IMPORT.name, T0 + HOUR, 0)}


def test_a_lost_withdrawal_is_done_again_in_the_restored_database(city_url, ledger) -> None:
    publish_hours_until(city_url, ledger, 0)
    known = Ledger(ledger)
    with known.locked():  # written by a city whose database is gone
        header = Header(2, IMPORT.name, 2, Window(T0, T0 + HOUR), 1, due_at(0), "withdrawal", "wrong")
        head = known.state.ends[IMPORT.name].hash
        entry = PublicationEntry(CITY, header, head, hashlib.sha256().hexdigest(), hashlib.sha256().hexdigest())
        known.append(entry, entry_bytes(entry))
    with at_work(city_url, ledger), connect(city_url) as connection:
        assert {status for status, _ in shown(connection)[IMPORT.name, T0, 0]} == {"withdrawn"}
        assert connection.execute("SELECT body FROM publications").fetchall() == [(None,), (None,)]


def test_an_entry_on_disk_is_there_before_the_database_commits(city_url, ledger, monkeypatch) -> None:
    seen: list[int] = []

    def finish(connection, draft) -> None:
        seen.append(read_ledger(ledger).position)
        assert entry_of(draft.entry).header.position == seen[-1]
        done(connection, draft)

    done = appending.finish
    monkeypatch.setattr(appending, "finish", finish)
    publish_hours_until(city_url, ledger, 2)
    assert seen == [1, 2, 3]


def test_what_is_published_while_doctor_looks_is_no_fault(city_url, ledger, monkeypatch) -> None:
    """Publications come after any of the statements and files that are read."""
    publish_hours_until(city_url, ledger, 1)
    hours = iter(range(2, 12))
    execute = psycopg.Connection.execute

    def published_after(connection: psycopg.Connection, *arguments: Any, **options: Any) -> Any:
        result = execute(connection, *arguments, **options)
        if connection is looking:
            publish_hours_until(city_url, ledger, next(hours))
        return result

    with connect(city_url) as looking:
        monkeypatch.setattr(psycopg.Connection, "execute", published_after)
        assert ledger_fault(looking, ledger, CITY) is None
    assert next(hours) > 3
