"""A page that was given before is given again while the database says so, and never else; each time with its line."""

from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import sha256

import psycopg
import pytest
from fastapi.testclient import TestClient

from api.exchange.app import create_partner_api
from federation.access.verifying import verify_audit
from federation.strict_json import loads
from store.agreements import MetricGrant, revoke
from store.audit import audit_rows
from store.database import Connection, connect
from store.publications import Window, erase
from tests.api.exchange.agreed import Agreed, reader_of
from tests.federation.city import HOUR, IMPORT, ISFAHAN, SOLAR, T0, a_published_city

pytestmark = pytest.mark.services

HOURS = 4
ASKED = f"/v1/bodies?metric={IMPORT.name}&limit=100"
OF_ONE_ANSWER = {"sistercity-request-id", "sistercity-audit"}
ALL = (MetricGrant("given", IMPORT.name, 0, 0, 3660),)
FROM_THE_SECOND_HOUR = (MetricGrant("given", IMPORT.name, T0 + HOUR, 0, 3660),)


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with a_published_city(database_url, HOURS), connect(database_url) as found:
        yield found


@pytest.fixture
def api(database_url: str, connection: Connection) -> Iterator[TestClient]:
    with TestClient(create_partner_api(ISFAHAN, database_url)) as client:
        yield client


def said(answer) -> tuple[int, dict[str, str], bytes]:
    return answer.status_code, {k: v for k, v in answer.headers.items() if k not in OF_ONE_ANSWER}, answer.content


def lines_of(connection: Connection, agreement: str) -> list[dict[str, object]]:
    (chain,) = verify_audit(audit_rows(connection, agreement))
    assert chain.broken is None
    return [loads(row.line) for row in audit_rows(connection, agreement)]


def ordinary_statements(connection: Connection) -> list[tuple]:
    """What changes with each statement by which a request that goes the ordinary way is answered."""
    return connection.execute(
        "SELECT pid, query_start FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name IN ('sistercity pages', 'sistercity tokens') ORDER BY pid"
    ).fetchall()


def test_a_page_and_a_304_are_recorded_by_the_statement_that_finds_them_and_say_what_they_said_before(api, connection):
    reader = reader_of(api, Agreed.installed("again", connection, grants=ALL), connection)
    first = api.get(ASKED, headers=reader)
    before = ordinary_statements(connection)
    known = reader | {"If-None-Match": first.headers["etag"]}
    named = {"Sistercity-Request-Id": "theirs"}
    again, unchanged = api.get(ASKED, headers=reader), api.get(ASKED, headers=known | named)
    assert before and ordinary_statements(connection) == before
    assert said(again) == said(first) and first.content
    by_the_framework = api.get(f"{ASKED}&also=", headers=known)
    assert said(unchanged) == said(by_the_framework) and unchanged.status_code == 304
    lines = lines_of(connection, "again")
    of_one = {"sequence", "at", "before", "request"}
    told = [{name: value for name, value in line.items() if name not in of_one} for line in lines]
    assert told[0] == told[1] and told[2] == told[3] and told[0]["page"] == sha256(first.content).hexdigest()
    assert [answer.headers["sistercity-audit"].split()[0] for answer in (first, again, unchanged)] == ["1", "2", "3"]
    assert [line["request"] for line in lines[1:3]] == [again.headers["sistercity-request-id"], "theirs"]


def end_the_token(connection: Connection, agreed: Agreed) -> None:
    connection.execute("UPDATE access_tokens SET expires_at = now() WHERE agreement = %s", (agreed.agreement,))


def revoke_the_agreement(connection: Connection, agreed: Agreed) -> None:
    revoke(connection, agreed.agreement, "over")


def agree_on_another_metric(connection: Connection, agreed: Agreed) -> None:
    agreed.renew(connection, grants=(MetricGrant("given", SOLAR.name, 0, 0, 3660),))


def agree_on_less(connection: Connection, agreed: Agreed) -> None:
    agreed.renew(connection, grants=FROM_THE_SECOND_HOUR)


def withdraw_a_body(connection: Connection, agreed: Agreed) -> None:
    erase(connection, IMPORT.name, Window(T0 + HOUR, T0 + 2 * HOUR))


def give_the_token_to_another(connection: Connection, agreed: Agreed) -> None:
    other = Agreed.installed("another", connection, grants=FROM_THE_SECOND_HOUR)
    connection.execute(
        "UPDATE access_tokens SET agreement = %s WHERE agreement = %s", (other.agreement, agreed.agreement)
    )


def restore_another_log(connection: Connection, agreed: Agreed) -> None:
    connection.execute("UPDATE publication_log SET id = gen_random_uuid()")


CHANGES = [
    *((end_the_token, 401), (revoke_the_agreement, 401), (agree_on_another_metric, 403), (agree_on_less, 200)),
    *((withdraw_a_body, 200), (give_the_token_to_another, 200), (restore_another_log, 200)),
]


@pytest.mark.parametrize(("change", "status"), CHANGES, ids=[change.__name__ for change, _ in CHANGES])
def test_whatever_changes_holds_from_the_next_request(database_url, api, connection, change, status):
    agreed = Agreed.installed("changing", connection, grants=ALL)
    reader = reader_of(api, agreed, connection)
    before = [api.get(ASKED, headers=reader) for _ in range(3)][-1]
    change(connection, agreed)
    after = api.get(ASKED, headers=reader)
    with TestClient(create_partner_api(ISFAHAN, database_url)) as started_now:
        assert said(after) == said(started_now.get(ASKED, headers=reader))
    assert after.status_code == status and said(after) != said(before)
    pages = {before.headers["sistercity-audit"]: before} | (
        {after.headers["sistercity-audit"]: after} if status != 401 else {}
    )
    recorded = {line["page"] for name in ("changing", "another") for line in _known_lines(connection, name)}
    assert recorded == {sha256(answer.content).hexdigest() for answer in pages.values()}


def _known_lines(connection: Connection, agreement: str) -> list[dict[str, object]]:
    return lines_of(connection, agreement) if next(audit_rows(connection, agreement), None) else []


def test_what_another_partner_was_given_is_given_if_this_one_may_read_the_same_and_only_then(api, connection):
    first, second, other = (
        Agreed.installed(name, connection, grants=grants)
        for name, grants in (("first", ALL), ("second", ALL), ("other", FROM_THE_SECOND_HOUR))
    )
    page = api.get(ASKED, headers=reader_of(api, first, connection))
    before = ordinary_statements(connection)
    same = api.get(ASKED, headers=reader_of(api, second, connection))
    assert ordinary_statements(connection) == before and said(same) == said(page)
    less = api.get(ASKED, headers=reader_of(api, other, connection))
    assert less.content.splitlines() == page.content.splitlines()[1:] and ordinary_statements(connection) != before
    for name, given in (("first", page), ("second", same), ("other", less)):
        [line] = lines_of(connection, name)
        assert line["page"] == sha256(given.content).hexdigest()


def test_limits_hold_and_a_request_that_is_asked_in_two_ways_counts_once(api, connection):
    agreed = Agreed.installed("limited", connection, requests_per_minute=5, grants=ALL)
    reader = reader_of(api, agreed, connection)
    assert [api.get(ASKED, headers=reader).status_code for _ in range(3)] == [200] * 3
    withdraw_a_body(connection, agreed)
    assert [api.get(ASKED, headers=reader).status_code for _ in range(3)] == [200, 200, 429]
    page = api.get(ASKED, headers=reader_of(api, Agreed.installed("of bytes", connection, grants=ALL), connection))
    small = Agreed.installed("small", connection, bytes_per_hour=len(page.content) * 2, grants=ALL)
    reader = reader_of(api, small, connection)
    assert [api.get(ASKED, headers=reader).status_code for _ in range(3)] == [200, 200, 429]


def test_a_limit_that_was_renewed_holds_after_one_request(api, connection):
    agreed = Agreed.installed("renewed", connection, requests_per_minute=1000, grants=ALL)
    reader = reader_of(api, agreed, connection)
    assert [api.get(ASKED, headers=reader).status_code for _ in range(3)] == [200] * 3
    agreed.renew(connection, requests_per_minute=4, grants=ALL)
    assert [api.get(ASKED, headers=reader).status_code for _ in range(2)] == [200, 429]


def test_nothing_is_given_again_that_is_not_recorded(api, connection):
    reader = reader_of(api, Agreed.installed("unrecorded", connection, grants=ALL), connection)
    assert [api.get(ASKED, headers=reader).status_code for _ in range(2)] == [200] * 2
    connection.execute("ALTER TABLE audit ADD CONSTRAINT closed CHECK (agreement <> 'unrecorded') NOT VALID")
    with pytest.raises(psycopg.errors.CheckViolation):
        api.get(ASKED, headers=reader)
    connection.execute("ALTER TABLE audit DROP CONSTRAINT closed")
    assert api.get(ASKED, headers=reader).headers["sistercity-audit"].startswith("3 ")
    assert len(lines_of(connection, "unrecorded")) == 3


def test_two_processes_continue_one_chain_page_by_page(database_url, connection):
    agreed = Agreed.installed("two", connection, grants=ALL)
    with ExitStack() as stack:
        apis = [stack.enter_context(TestClient(create_partner_api(ISFAHAN, database_url))) for _ in range(2)]
        reader = reader_of(apis[0], agreed, connection)
        answers = [apis[turn % 2].get(ASKED, headers=reader) for turn in range(8)]
    assert [answer.headers["sistercity-audit"].split()[0] for answer in answers] == [*map(str, range(1, 9))]
    assert len(lines_of(connection, "two")) == 8
