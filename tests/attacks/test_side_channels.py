"""A suppressed cell answers alike whatever its true amount: the same bytes, sizes and ETags, statements and rows read.

Two cities differ in nothing but what is in a suppressed cell of every hour. Each is asked for everything.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any

import numpy as np
import psycopg
import pytest
from fastapi.testclient import TestClient
from psycopg import sql

from api.own.app import create_own_api
from federation.wire import rfc3339
from store import publication_log
from store.database import Connection, connect
from store.moments import moment
from tests.federation.city import (
    HOUR,
    IMPORT,
    ISFAHAN,
    LOCAL,
    T0,
    add_cell,
    found_areas,
    open_topic,
    publish_hours,
    register,
)
from tests.soak import amount, soak
from tests.waiting import until

pytestmark = pytest.mark.services

ASKED_AGAIN = amount(100, soak=1_000)
PATHS = (
    "/v1/catalog",
    f"/v1/series/{IMPORT.name}",
    f"/v1/series/{IMPORT.name}?class=residential",
    "/",
    "/?lang=fa",
)

Truth = Mapping[str, Any] | None
"""The amounts of the suppressed cell of an hour, None for a cell without readings."""

NOTHING: Sequence[Truth] = (None, {"value": 0, "largest": 0, "absolute": 0}, {"contributors": 99}, None)
MUCH: Sequence[Truth] = (
    {"value": 7 * 10**15, "contributors": 99, "largest": 10, "absolute": 7 * 10**15},
    {"contributors": 1, "value": 3_600_000, "largest": 3_600_000, "absolute": 3_600_000},
    None,
    {"contributors": 0, "value": 0, "largest": 0, "absolute": 0},
)


def a_city(database_url: str, truths: Sequence[Truth]) -> None:
    """A city that has published an hour for each of these truths, all of them at the same times in the same log."""
    with connect(database_url) as connection:
        areas = found_areas(connection, [1000, 3000, 2000])
        register(connection, 0, "residential", 150)
        open_topic(connection)
        for hour, truth in enumerate(truths):
            if truth is not None:
                add_cell(connection, hour, areas[2], covered_ms=HOUR, **truth)
        publish_hours(connection, areas[:2], range(len(truths)))
        connection.execute("UPDATE publications SET published_at = %s", (moment(T0 + 99 * HOUR),))
        connection.execute("UPDATE publication_log SET id = '00000000-0000-4000-8000-000000000000'")


def answers(client: TestClient, headers: Mapping[str, str] | None = None) -> list[tuple[Any, ...]]:
    """Of each path: status, headers and bytes, and those of the answer when its ETag is sent."""
    found = []
    for path in PATHS:
        first = client.get(path, headers=headers)
        again = client.get(path, headers={**(headers or {}), "If-None-Match": first.headers.get("ETag", '""')})
        found += [(path, each.status_code, dict(each.headers), each.content) for each in (first, again)]
    return found


def rows_read(database_url: str) -> Mapping[str, tuple[int, ...]]:
    """Scans and rows read of every table. A session counts its own when it ends, so the others must have ended."""
    with connect(database_url) as connection:
        others = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        until(lambda: connection.execute(others).fetchone() is None, "every other session has ended")
        rows = connection.execute(
            "SELECT relname, seq_scan, seq_tup_read, coalesce(idx_scan, 0), coalesce(idx_tup_fetch, 0)"
            " FROM pg_stat_user_tables"
        ).fetchall()
    return {name: tuple(counts) for name, *counts in rows}


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page shows the minute in which it was made: the same one on all pages here."""

    class Stopped(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Stopped":
            return cls.fromtimestamp((T0 + 100 * HOUR) / 1000, tz or UTC)

    monkeypatch.setattr("api.own.page.routes.datetime", Stopped)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Every statement that is sent to the database from here on, and how many rows came back."""
    found: list[tuple[str, int]] = []
    execute = psycopg.Cursor.execute

    def noted(cursor: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        result = execute(cursor, query, *arguments, **options)
        found.append((str(query), cursor.rowcount))
        return result

    monkeypatch.setattr(psycopg.Cursor, "execute", noted)
    return found


def level(url: str) -> None:
    """Take from a database what makes the same statements read other rows, and is no part of what is compared.

    Dead rows of an earlier test, whether autovacuum has come by, and how often which connection of a pool has had a
    statement, after which PostgreSQL makes one plan for all.
    """
    with connect(url) as connection:
        connection.execute("VACUUM (FULL, ANALYZE)")
        name = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("ALTER DATABASE {} SET plan_cache_mode = force_custom_plan").format(name))


def observed(url: str, truths: Sequence[Truth], said: list[tuple[str, int]]) -> Mapping[str, Any]:
    """Everything that can be observed of a city: its answers, and what it asks of its database for them."""
    a_city(url, truths)
    level(url)
    before = rows_read(url)
    said.clear()
    with TestClient(create_own_api(ISFAHAN, url), base_url=LOCAL) as client:
        answered = answers(client)
    statements = list(said)
    after = rows_read(url)
    return {
        "answers": answered,
        "statements": statements,
        "rows": {table: tuple(map(int.__sub__, after[table], before[table])) for table in after},
    }


def test_nothing_tells_what_is_in_a_suppressed_cell(database_url, second_database_url, said):
    little, much = observed(database_url, NOTHING, said), observed(second_database_url, MUCH, said)
    assert little == much
    assert little["rows"]["cells"] == (0, 0, 0, 0)
    assert sum(little["rows"]["published_cells"]) > 0
    assert b'"suppressed"' in little["answers"][2][-1]
    assert b'"released"' in little["answers"][2][-1]


def test_an_api_that_looks_at_the_cells_themselves_is_noticed(
    database_url, second_database_url, said, monkeypatch: pytest.MonkeyPatch
):
    log_state = publication_log.log_state

    def curious(connection: Connection) -> publication_log.LogState:
        connection.execute("SELECT value FROM cells WHERE class = 'residential'").fetchall()
        return log_state(connection)

    monkeypatch.setattr(publication_log, "log_state", curious)
    little, much = observed(database_url, NOTHING, said), observed(second_database_url, MUCH, said)
    assert little["answers"] == much["answers"]
    assert little["statements"] != much["statements"]
    assert little["rows"] != much["rows"]


def asked_by(client: TestClient, partner: str) -> list[bytes]:
    """What one partner is told, who says who he is in every way that a request has."""
    headers = {
        "User-Agent": partner,
        "Authorization": f"Bearer {partner}",
        "X-Forwarded-For": f"192.0.2.{len(partner)}",
        "Cookie": f"partner={partner}",
    }
    return [content for *_, content in answers(client, headers)]


def differing(told: Iterable[object]) -> int:
    """How many different things were told to those who should be told the same."""
    return len({repr(each) for each in told})


@soak
def test_partners_who_put_together_what_they_were_told_know_what_each_of_them_knew(database_url):
    a_city(database_url, MUCH)
    with TestClient(create_own_api(ISFAHAN, database_url), base_url=LOCAL) as client:
        partners = ("hue", "da-nang", "shiraz")
        assert differing(asked_by(client, partner) for partner in partners) == 1
        pages = [cells_in_pages(client, hours) for hours in (1, 2, 1000)]
        assert differing(pages) == 1
        assert differing(client.get(f"/v1/series/{IMPORT.name}").content for _ in range(ASKED_AGAIN)) == 1


def cells_in_pages(client: TestClient, hours: int) -> list[Any]:
    """The whole series, in answers of at most so many hours."""
    found: list[Any] = []
    for start in range(T0, T0 + len(MUCH) * HOUR, hours * HOUR):
        end = min(start + hours * HOUR, T0 + len(MUCH) * HOUR)
        span = {"from": rfc3339(start), "to": rfc3339(end)}
        found += client.get(f"/v1/series/{IMPORT.name}", params=span).json()["windows"]
    return found


def test_noise_that_differs_by_partner_or_request_is_noticed():
    """Whoever asks often enough takes the mean, and has the exact value."""
    draw = np.random.default_rng(0)
    told = [round(1_000 + draw.normal(0, 30)) for _ in range(1_000)]
    assert differing(told) > 1
    assert sum(told) / len(told) == pytest.approx(1_000, abs=3)
