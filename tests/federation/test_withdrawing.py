"""A withdrawal erases what was published, here and at partners, and says why; nothing of it comes back."""

import asyncio

import httpx
import pytest

from federation.compare import comparisons
from federation.partner import PartnerAddress
from federation.pulling import pull
from store.accounts import partner_totals, stream_accounts
from store.corrections import CorrectedCell, Correction, record_corrections, undecided
from store.database import connect
from store.processing import Amounts
from store.publication_log import window_entries
from store.publications import Header, PublishedCell, Window, append, next_numbers
from tests.federation.city import HOUR, IMPORT, ISFAHAN, T0, TOPIC, a_published_city, serving
from tests.publishing import publish_until

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


def take_back(database_url: str) -> None:
    with connect(database_url) as connection:
        *_, (published, cells) = window_entries(connection, IMPORT.name, WINDOW.start)
        position, sequence = next_numbers(connection, IMPORT.name)
        header = Header(position, IMPORT.name, sequence, WINDOW, published.revision + 1, NOW, "withdrawal", REASON)
        rows = zip(cells.area, cells.class_, cells.rule, strict=True)
        taken = [PublishedCell(area, class_, None, None, rule, withdrawn=True) for area, class_, rule in rows]
        append(connection, header, TOPIC, taken, left_at=NOW)


def pulled(url: str, database_url: str) -> None:
    asyncio.run(pull(PartnerAddress(url, ISFAHAN.id), database_url, "da-nang"))


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
        log = httpx.get(f"{url}/v1/publications").json()["publications"]
        assert [publication["kind"] for publication in log] == ["publication"] * HOURS + ["withdrawal"]
        assert {cell["status"] for cell in log[1]["cells"]} == {"withdrawn"}


def test_a_partner_that_had_pulled_the_values_erases_them_and_says_so(city, second_database_url):
    with serving(city) as url:
        pulled(url, second_database_url)
        assert at_partner(second_database_url) == dict.fromkeys(range(HOURS), PUBLISHED)
        take_back(city)
        pulled(url, second_database_url)
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
    with serving(city) as url:
        pulled(url, second_database_url)
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
