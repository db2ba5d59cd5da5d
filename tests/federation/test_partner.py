"""Following a partner: every publication of the other city is stored whole and once, whatever fails meanwhile."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from prometheus_client import REGISTRY

from federation.compare import comparisons
from federation.partners.fetching import FetchLimits, PartnerError
from federation.partners.partner import PartnerAddress, PullResult
from federation.partners.pulling import follow, pull
from schemas.catalogue import catalogue
from store.database import connect
from store.partners import partner_named
from store.publication_log import log_state
from store.publications import Header, Window, append
from tests.federation.city import HOUR, IMPORT, T0, a_published_city, publish_hours, serving
from tests.federation.hostile import HostilePartner, serving_partner
from tests.publishing import another_log
from tests.waiting import until

pytestmark = pytest.mark.services

OWN = "da-nang"
HOURS = 9
LIMITS = FetchLimits(publications=2, attempts=3, backoff_s=0.01, backoff_cap_s=0.02, deadline_s=20)

Rows = list[tuple[object, ...]]


@pytest.fixture
def areas(second_database_url: str) -> Iterator[list[int]]:
    with a_published_city(second_database_url, HOURS) as numbers:
        yield numbers


@pytest.fixture
def url(second_database_url: str, areas: list[int]) -> Iterator[str]:
    with serving(second_database_url) as address:
        yield address


def run(url: str, database_url: str, limits: FetchLimits = LIMITS) -> PullResult:
    return asyncio.run(pull(PartnerAddress(url), database_url, OWN, limits))


def published(database_url: str) -> Rows:
    with connect(database_url) as connection:
        return connection.execute(
            "SELECT metric, sequence, window_start, window_end, revision, area, class, status, value, coverage, rule"
            " FROM publications JOIN published_cells USING (position) ORDER BY 1, 2, area, class"
        ).fetchall()


def pulled(database_url: str) -> Rows:
    with connect(database_url) as connection:
        return connection.execute(
            "SELECT metric, sequence, window_start, window_end, revision, area, class, status, value, coverage, rule"
            " FROM partner_publications JOIN partner_cells USING (city, metric, window_start, revision)"
            " WHERE city = 'isfahan' ORDER BY 1, 2, area, class"
        ).fetchall()


def count(database_url: str) -> int:
    with connect(database_url) as connection:
        row = connection.execute("SELECT count(*) FROM partner_publications").fetchone()
    assert row
    return int(row[0])


@contextmanager
def following(partners: list[PartnerAddress], database_url: str) -> Iterator[None]:
    """Follow in a thread until the context ends."""
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    coroutine = follow(partners, database_url, OWN, stop, poll_s=0.02, limits=LIMITS)
    thread = threading.Thread(target=loop.run_until_complete, args=(coroutine,))
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        assert not thread.is_alive()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def test_every_published_cell_is_pulled_once(url: str, database_url: str, second_database_url: str) -> None:
    assert run(url, database_url) == PullResult("isfahan", HOURS, 5, restarted=False)
    assert pulled(database_url) == published(second_database_url)
    assert len(pulled(database_url)) == 4 * HOURS
    assert run(url, database_url) == PullResult("isfahan", 0, 0, restarted=False)


def test_later_publications_are_pulled_from_the_stored_cursor(
    url: str, database_url: str, second_database_url: str, areas: list[int]
) -> None:
    run(url, database_url)
    with connect(second_database_url) as connection:
        publish_hours(connection, areas, range(HOURS, HOURS + 3))
    assert run(url, database_url).publications == 3
    assert pulled(database_url) == published(second_database_url)


def test_an_empty_city_is_pulled_and_followed_later(database_url: str, second_database_url: str) -> None:
    with a_published_city(second_database_url, 0) as areas, serving(second_database_url) as url:
        assert run(url, database_url).publications == 0
        with connect(second_database_url) as connection:
            publish_hours(connection, areas, range(2))
        assert run(url, database_url).publications == 2


@pytest.mark.parametrize("sequence", range(1, HOURS + 1, 2))
def test_a_failure_while_a_page_is_stored_leaves_no_gap_and_nothing_twice(
    url: str, database_url: str, second_database_url: str, sequence: int
) -> None:
    with connect(database_url) as connection:
        connection.execute(
            f"""
            CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF NEW.window_start = to_timestamp({(T0 + (sequence - 1) * HOUR) // 1000}) THEN
                    PERFORM pg_terminate_backend(pg_backend_pid());
                END IF;
                RETURN NEW;
            END $$;
            CREATE TRIGGER fail AFTER INSERT ON partner_cells FOR EACH ROW EXECUTE FUNCTION fail();
            """
        )
        with pytest.raises(psycopg.OperationalError):
            run(url, database_url)
        assert count(database_url) == (sequence - 1) // 2 * 2
        connection.execute("DROP TRIGGER fail ON partner_cells")
    assert run(url, database_url).publications == HOURS - (sequence - 1) // 2 * 2
    assert pulled(database_url) == published(second_database_url)


def test_a_killed_puller_continues_from_the_stored_cursor(
    url: str, database_url: str, second_database_url: str
) -> None:
    code = (
        "import asyncio, sys; from federation.partners.fetching import FetchLimits;"
        "from federation.partners.partner import PartnerAddress; from federation.partners.pulling import pull;"
        "asyncio.run(pull(PartnerAddress(sys.argv[1]), sys.argv[2], 'da-nang', FetchLimits(publications=2)))"
    )
    with connect(database_url) as connection:
        connection.execute(  # the puller waits for this connection in the middle of its second page
            f"""
            CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF NEW.window_start = to_timestamp({(T0 + 3 * HOUR) // 1000}) THEN
                    PERFORM pg_advisory_xact_lock(1);
                END IF;
                RETURN NEW;
            END $$;
            CREATE TRIGGER wait AFTER INSERT ON partner_cells FOR EACH ROW EXECUTE FUNCTION wait();
            SELECT pg_advisory_lock(1);
            """
        )
        process = subprocess.Popen([sys.executable, "-c", code, url, database_url])
        try:
            waiting = (
                "SELECT count(*) FROM pg_locks JOIN pg_database ON oid = database"
                " WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted"
            )
            until(
                lambda: connection.execute(waiting).fetchone() == (1,), "the pull waits in the middle of a publication"
            )
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        connection.execute("SELECT pg_advisory_unlock(1)")
        until(lambda: connection.execute(waiting).fetchone() == (0,), "its session no longer waits")
        alive = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s"
        until(lambda: connection.execute(alive, ("sistercity pull",)).fetchone() == (0,), "its sessions have ended")
        assert count(database_url) == 2
        connection.execute("DROP TRIGGER wait ON partner_cells")
    assert run(url, database_url).publications == HOURS - 2
    assert pulled(database_url) == published(second_database_url)


def test_two_pullers_of_one_partner_store_everything_once(
    url: str, database_url: str, second_database_url: str
) -> None:
    async def both() -> list[PullResult | BaseException]:
        pulls = (pull(PartnerAddress(url), database_url, OWN, LIMITS) for _ in range(4))
        return await asyncio.gather(*pulls, return_exceptions=True)

    for outcome in asyncio.run(both()):
        assert isinstance(outcome, PullResult) or (isinstance(outcome, PartnerError) and outcome.reason == "conflict")
    run(url, database_url)
    assert pulled(database_url) == published(second_database_url)


def test_a_restored_partner_is_read_again_from_its_new_logs_beginning(
    url: str, database_url: str, second_database_url: str
) -> None:
    run(url, database_url)
    with connect(second_database_url) as connection:
        another_log(connection)
        log = log_state(connection).id
    assert run(url, database_url) == PullResult("isfahan", HOURS, 5, restarted=True)
    assert pulled(database_url) == published(second_database_url)
    with connect(database_url) as connection:
        known = partner_named(connection, "isfahan")
    assert known is not None and known.log_id == log
    assert run(url, database_url) == PullResult("isfahan", 0, 0, restarted=False)


def test_a_partner_that_was_restored_is_waited_for_and_what_it_lost_is_kept(
    url: str, database_url: str, second_database_url: str, areas: list[int]
) -> None:
    run(url, database_url)
    known = pulled(database_url)
    with connect(second_database_url) as connection:  # a backup of the first four hours, without its ledger's word yet
        connection.execute("DELETE FROM published_cells WHERE position > 4")
        connection.execute("DELETE FROM publications WHERE position > 4")
        connection.execute("UPDATE publication_log SET position = 4")
        connection.execute("UPDATE publication_sequences SET sequence = 4")
    assert run(url, database_url) == PullResult("isfahan", 0, 0, restarted=False)
    with connect(second_database_url) as connection:  # the ledger's word: the others were published, and are lost
        for number in range(4, HOURS):
            window = Window(T0 + number * HOUR, T0 + (number + 1) * HOUR)
            header = Header(number + 1, IMPORT.name, number + 1, window, 0, window.end, "lost")
            append(connection, header, "", [], left_at=window.end)
        publish_hours(connection, areas, range(HOURS, HOURS + 1))
    assert run(url, database_url) == PullResult("isfahan", 1, 1, restarted=False)
    assert pulled(database_url)[: len(known)] == known
    assert len(pulled(database_url)) > len(known)


def test_a_skip_is_followed_over_its_gap_and_a_lost_publication_has_no_cells(
    url: str, database_url: str, second_database_url: str, areas: list[int]
) -> None:
    window = Window(T0 + HOURS * HOUR, T0 + (HOURS + 2) * HOUR)
    with connect(second_database_url) as connection:
        append(connection, Header(90, IMPORT.name, 70, window, 0, window.end, "skip"), "", [], left_at=window.end)
        after = Window(window.end, window.end + HOUR)
        append(connection, Header(91, IMPORT.name, 71, after, 0, after.end, "lost"), "", [], left_at=after.end)
    assert run(url, database_url).publications == HOURS + 2
    with connect(database_url) as connection:
        kinds = connection.execute("SELECT sequence, kind FROM partner_publications ORDER BY sequence").fetchall()
    assert kinds == [*((n, "publication") for n in range(1, HOURS + 1)), (70, "skip"), (71, "lost")]
    assert run(url, database_url) == PullResult("isfahan", 0, 0, restarted=False)


def test_polls_of_an_unchanged_partner_are_answered_without_a_body(database_url: str) -> None:
    hostile = HostilePartner()
    hostile.tag = '"same"'
    with serving_partner(hostile) as url, following([PartnerAddress(url)], database_url):
        until(
            lambda: all(hostile.unchanged.get(path, 0) > 2 for path in ("/v1/publications", "/v1/catalog")),
            "several polls were answered with 304",
        )
    assert count(database_url) == 4


def test_an_etag_that_cannot_be_sent_back_is_dropped(database_url: str) -> None:
    hostile = HostilePartner()
    hostile.tag = '"\xe9"'
    with serving_partner(hostile) as url, following([PartnerAddress(url)], database_url):
        until(lambda: hostile.requests.count("/v1/catalog") > 2, "the catalog was requested again")
    assert count(database_url) == 4


def test_following_pulls_what_is_published_meanwhile(
    url: str, database_url: str, second_database_url: str, areas: list[int]
) -> None:
    with following([PartnerAddress(url)], database_url):
        until(lambda: count(database_url) == HOURS, "all publications were pulled")
        with connect(second_database_url) as connection:
            publish_hours(connection, areas, range(HOURS, HOURS + 2))
        until(lambda: count(database_url) == HOURS + 2, "the new publications were pulled")
    assert pulled(database_url) == published(second_database_url)


def failed_pulls() -> float:
    return REGISTRY.get_sample_value("sistercity_pulls_total", {"outcome": "failed"}) or 0


def test_a_partner_that_hangs_or_lies_or_is_away_delays_no_other(
    url: str, database_url: str, second_database_url: str
) -> None:
    hanging, lying = HostilePartner(), HostilePartner()
    hanging.hold.clear()
    lying.catalog["city"]["id"] = OWN
    before = failed_pulls()
    with serving_partner(hanging) as slow, serving_partner(lying) as liar:
        partners = [
            PartnerAddress(slow),
            PartnerAddress(liar),
            PartnerAddress("http://127.0.0.1:1"),
            PartnerAddress(url),
        ]
        with following(partners, database_url):
            until(lambda: count(database_url) == HOURS, "all publications were pulled")
            until(lambda: len(lying.requests) > 2, "the lying partner was requested again, in its turn")
    assert pulled(database_url) == published(second_database_url)
    assert failed_pulls() > before


def test_a_follower_survives_a_database_that_goes_away(
    url: str, database_url: str, second_database_url: str, server_url: str, areas: list[int]
) -> None:
    name = psycopg.conninfo.conninfo_to_dict(database_url)["dbname"]
    with connect(server_url) as server, following([PartnerAddress(url)], database_url):
        until(lambda: count(database_url) == HOURS, "all publications were pulled")
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        with connect(second_database_url) as connection:
            publish_hours(connection, areas, range(HOURS, HOURS + 2))
        server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        until(lambda: count(database_url) == HOURS + 2, "the new publications were pulled")


def test_both_cities_are_compared_by_the_same_arithmetic(url: str, database_url: str, second_database_url: str) -> None:
    run(url, database_url)
    with connect(second_database_url) as theirs, connect(database_url) as ours:
        own = comparisons(theirs, "isfahan", catalogue())
        assert own[0].figure and own[0].metric == IMPORT.name
        assert comparisons(ours, OWN, catalogue()) == own
