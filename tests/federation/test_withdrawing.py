"""A withdrawal erases what was published, here and at partners, and says why; nothing of it comes back."""

import json
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from federation.compare import comparisons
from federation.publications.entries import entry_of
from federation.publications.withdrawing import LONGEST_REASON, CannotWithdraw, withdraw
from schemas.catalogue import catalogue
from store.accounts import partner_totals, stream_accounts
from store.corrections import CorrectedCell, Correction, record_corrections, undecided
from store.database import connect
from store.processing import Amounts
from store.publication_log import window_entries
from store.publications import Window
from tests.federation.city import HOUR, IMPORT, ISFAHAN, T0, TOPIC, a_published_city, add_cell, pass_time, serving
from tests.federation.handing import hand_over
from tests.federation.restoring import at_work, backup, due_at, publish_hours_until
from tests.publishing import appender, publish_until
from tests.system.command import Command

pytestmark = pytest.mark.services

HOURS = 3
WINDOW = Window(T0 + HOUR, T0 + 2 * HOUR)
REASON = "Meters of one feeder were counted twice."
NOW = T0 + 50 * HOUR


@pytest.fixture
def city(database_url):
    """A city that has published three hours; its second one is withdrawn by the tests."""
    with a_published_city(database_url, HOURS):
        yield database_url


def take_back(database_url: str, reason: str = REASON) -> None:
    with connect(database_url) as connection:
        withdraw(appender(connection), IMPORT, WINDOW.start, reason, NOW)


def taken(database_url: str, partner_url: str) -> None:
    hand_over(database_url, replace(ISFAHAN, zone="UTC"), partner_url, "da-nang")


def at_partner(database_url: str) -> dict[int, set[tuple[str, bool]]]:
    """By hour, what the partner's copy shows of it: each status, and whether there is a value."""
    with connect(database_url) as connection:
        rows = connection.execute(
            "SELECT (extract(epoch FROM window_start)::bigint * 1000 - %s) / %s, status, value IS NOT NULL"
            " OR coverage IS NOT NULL FROM partner_cells",
            (T0, HOUR),
        )
        found: dict[int, set[tuple[str, bool]]] = {}
        for hour, status, valued in rows:
            found.setdefault(int(hour), set()).add((status, valued))
        return found


WITHDRAWN = {("withdrawn", False)}
PUBLISHED = {("released", True), ("suppressed", False)}


def test_what_is_withdrawn_is_erased_here_and_its_entries_stay(city):
    take_back(city)
    with connect(city) as connection:
        (published, cells), (withdrawal, taken) = window_entries(connection, IMPORT.name, WINDOW.start)
        assert (published.kind, withdrawal.kind, withdrawal.revision) == ("publication", "withdrawal", 1)
        assert withdrawal.reason == REASON
        for columns in (cells, taken):
            assert set(columns.status) == {"withdrawn"}
            assert {*columns.value, *columns.coverage} == {None}
        assert list(zip(taken.area, taken.class_, strict=True)) == list(zip(cells.area, cells.class_, strict=True))
        rows = connection.execute(
            "SELECT kind, entry, body FROM publications WHERE window_start = to_timestamp(%s / 1000.0)"
            " ORDER BY sequence",
            (WINDOW.start,),
        ).fetchall()
        assert [body is None for _, _, body in rows] == [True, False]
        assert all(entry_of(entry).body for _, entry, _ in rows)
        assert json.loads(rows[1][1])["reason"] == REASON
        [stream] = [stream for stream in stream_accounts(connection) if stream.topic == TOPIC]
        assert stream.withdrawn == 1


def test_the_api_answers_with_the_reason_and_no_value(city):
    take_back(city)
    with serving(city) as url:
        [first, second, third] = httpx.get(f"{url}/v1/series/{IMPORT.name}?from=2025-06-01T00:00:00Z").json()["windows"]
        assert (second["kind"], second["reason"], second["revision"]) == ("withdrawal", REASON, 1)
        assert {(cell["status"], "value" in cell, "coverage" in cell) for cell in second["cells"]} == {
            ("withdrawn", False, False)
        }
        assert first["kind"] == third["kind"] == "publication"
        assert "reason" not in first


def test_a_partner_that_had_pulled_the_values_erases_them_and_says_so(city, second_database_url):
    taken(city, second_database_url)
    assert at_partner(second_database_url) == dict.fromkeys(range(HOURS), PUBLISHED)
    take_back(city)
    taken(city, second_database_url)
    assert at_partner(second_database_url) == {0: PUBLISHED, 1: WITHDRAWN, 2: PUBLISHED}
    with connect(second_database_url) as connection:
        reasons = connection.execute("SELECT reason FROM partner_publications WHERE kind = 'withdrawal'").fetchall()
        assert reasons == [(REASON,)]
        [partner] = partner_totals(connection)
        assert (partner.publications, partner.withdrawn) == (HOURS + 1, 1)
        [residential] = [
            row for row in comparisons(connection, "da-nang", {IMPORT.name: IMPORT}) if row.class_ == "residential"
        ]
        assert (residential.windows, residential.withdrawn) == (HOURS - 1, 1)


def test_a_partner_that_comes_later_never_sees_them(city, second_database_url):
    take_back(city)
    taken(city, second_database_url)
    assert at_partner(second_database_url) == {0: PUBLISHED, 1: WITHDRAWN, 2: PUBLISHED}


def test_a_withdrawn_window_is_neither_published_nor_corrected_again(city):
    take_back(city)
    with connect(city) as connection:
        area = connection.execute("SELECT min(number) FROM areas").fetchone()[0]
        amounts = Amounts(9_999, 200, 200, 10, 9_999, HOUR, 0, 9)
        cell = CorrectedCell(area, "residential", amounts, incomplete=False, changes={0: amounts})
        record_corrections(connection, [Correction((TOPIC, 0), IMPORT.name, WINDOW, 1, 9, "corrected", [cell])])
        assert undecided(connection, TOPIC, IMPORT.name) == [WINDOW]
        made = publish_until(connection, [IMPORT], TOPIC, NOW, T0)
        assert [of for of in made if of.header.window == WINDOW] == []
        assert undecided(connection, TOPIC, IMPORT.name) == []


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "x" * (LONGEST_REASON + 1), "a\x00b"])
def test_a_withdrawal_needs_a_reason_that_partners_accept(city, reason):
    with pytest.raises(CannotWithdraw, match="reason"):
        take_back(city, reason)


def test_only_what_was_published_is_withdrawn_and_only_once(city):
    take_back(city)
    with pytest.raises(CannotWithdraw, match="already: Meters"):
        take_back(city)
    with connect(city) as connection, pytest.raises(CannotWithdraw, match="was published"):
        withdraw(appender(connection), catalogue()["energy.solar"], WINDOW.start, REASON, NOW)


def test_the_command_withdraws_and_says_what_is_wrong(city_to_restore, tmp_path):
    publish_hours_until(city_to_restore, tmp_path / "ledger-isfahan.jsonl", 1)
    command = Command(Path("isfahan"), "nowhere:1", city_to_restore, tmp_path)
    assert "is no day" in command.fails("withdraw", IMPORT.name, "2025-06-01T04:30", "--reason", REASON)
    said = command("withdraw", IMPORT.name, "2025-06-01T01:00:00Z", "--reason", REASON)
    assert said == f"{IMPORT.name} 3: the window from 2025-06-01T01:00:00+00:00 on is withdrawn, in every revision\n"
    assert "already" in command.fails("withdraw", IMPORT.name, "2025-06-01T01:00:00Z", "--reason", REASON)


def test_a_backup_from_before_the_withdrawal_brings_nothing_back(city_to_restore, server_url, tmp_path):
    ledger = tmp_path / "ledger.jsonl"
    publish_hours_until(city_to_restore, ledger, 1)
    with backup(server_url, city_to_restore) as copy:
        with at_work(city_to_restore, ledger) as publisher:
            withdraw(publisher, IMPORT, T0, REASON, NOW)
        with at_work(copy, ledger, due_at(1)) as publisher:  # the first look after the restore
            entries = window_entries(publisher.connection, IMPORT.name, T0)
        assert [(header.kind, header.reason) for header, _ in entries] == [
            ("publication", None),
            ("withdrawal", REASON),
        ]
        assert {value for _, columns in entries for value in columns.value} == {None}


@pytest.fixture
def city_to_restore(database_url):
    with a_published_city(database_url, 0) as areas, connect(database_url) as connection:
        add_cell(connection, 0, areas[0], value=1_000_000)
        pass_time(connection, T0 + 99 * HOUR)
    return database_url
