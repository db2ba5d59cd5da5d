"""Every answer to a partner is recorded before it leaves, in one chain for each agreement, whoever writes it."""

from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import sha256

import psycopg
import pytest
from fastapi import APIRouter, Response
from fastapi.testclient import TestClient

from api.exchange.access import Granted
from federation.access.audit import end_of, follow_audit
from federation.access.verifying import verify_audit
from federation.strict_json import loads
from store.audit import AuditHead, all_audit_heads, audit_checkpoints, audit_rows, remove_lines
from store.database import Connection, connect
from store.inspection import clock
from tests.api.exchange.agreed import Agreed, an_api, reader_of

pytestmark = pytest.mark.services

mistaken = APIRouter()


@mistaken.get("/v1/mistaken")
async def mistake(granted: Granted) -> Response:
    granted.hashed(b"a page", sha256(b"a page").hexdigest())
    return Response(b"another")


@pytest.fixture(scope="module")
def connection(module_database_url: str) -> Iterator[Connection]:
    with connect(module_database_url) as found:
        yield found


@pytest.fixture(scope="module")
def api(module_database_url: str) -> Iterator[TestClient]:
    with TestClient(an_api(module_database_url, [mistaken])) as client:
        yield client


def told_end(answer) -> AuditHead:
    sequence, hash_ = answer.headers["sistercity-audit"].split()
    return AuditHead(int(sequence), hash_)


def test_an_answer_says_where_the_chain_ends_with_it_and_the_line_says_what_was_in_it(api, connection):
    agreed = Agreed.installed("told", connection)
    reader = reader_of(api, agreed, connection)
    before = clock(connection)
    answers = [api.get("/v1/given/5?x=1", headers=reader | {"Sistercity-Request-Id": f"id-{n}"}) for n in range(3)]
    rows = list(audit_rows(connection, "told"))
    assert [answer.headers["sistercity-request-id"] for answer in answers] == ["id-0", "id-1", "id-2"]
    head = None
    for row, answer in zip(rows, answers, strict=True):
        head = follow_audit(head, "told", row.line)
        assert told_end(answer) == head
        assert before <= row.at <= clock(connection)
    assert {**loads(rows[1].line), "at": None, "before": None} == {
        **{"format": 1, "agreement": "told", "sequence": 2, "at": None, "before": None, "request": "id-1"},
        **{"path": "/v1/given/5", "metric": "energy.import", "first": 3, "last": 9, "status": 200},
        **{"page": sha256(b"x" * 5).hexdigest(), "bytes": 5},
    }


def test_the_log_says_under_which_id_of_a_request_and_with_which_line_of_the_audit(api, connection, caplog):
    reader = reader_of(api, Agreed.installed("logged", connection), connection)
    with caplog.at_level("INFO", "api.exchange.accounting"):
        answer = api.get("/v1/given/5", headers=reader | {"Sistercity-Request-Id": "id-of-theirs"})
    [record] = caplog.records
    assert record.getMessage() == "/v1/given/5 200, 5 bytes, agreement logged"
    assert (vars(record)["request"], vars(record)["audit"]) == ("id-of-theirs", told_end(answer).sequence)


def test_a_hash_that_was_told_of_other_content_is_not_recorded(api, connection):
    reader = reader_of(api, Agreed.installed("mistaken", connection), connection)
    answer = api.get("/v1/mistaken", headers=reader)
    [row] = audit_rows(connection, "mistaken")
    assert loads(row.line)["page"] == sha256(answer.content).hexdigest()


def test_refusals_of_what_a_token_asks_for_are_recorded_and_those_without_a_token_are_not(api, connection):
    agreed = Agreed.installed("refused", connection)
    reader = reader_of(api, agreed, connection)
    assert api.get("/v1/given/1").status_code == 401
    answer = api.get("/v1/given/much", headers=reader | {"Sistercity-Request-Id": "not\x7fan id"})
    assert answer.status_code == 422
    (row,) = audit_rows(connection, "refused")
    line = loads(row.line)
    assert (line["status"], line["page"]) == (422, sha256(answer.content).hexdigest())
    assert line["request"] == answer.headers["sistercity-request-id"] != "not\x7fan id"


def test_an_unforeseen_error_is_recorded_as_nothing_given_and_tells_nothing_of_the_inside(
    module_database_url, connection
):
    agreed = Agreed.installed("broken", connection)
    with TestClient(an_api(module_database_url), raise_server_exceptions=False) as api:
        answer = api.get("/v1/broken", headers=reader_of(api, agreed, connection))
        assert (answer.status_code, answer.json()["title"]) == (500, "Internal Server Error")
        assert answer.json().keys() == {"type", "title", "status"}
        assert told_end(answer).sequence == 1
    (row,) = audit_rows(connection, "broken")
    line = loads(row.line)
    assert {name: line[name] for name in ("path", "metric", "first", "last", "status", "page")} == {
        **{"path": "/v1/broken", "metric": None, "first": None, "last": None},
        **{"status": 500, "page": sha256(answer.content).hexdigest()},
    }


def test_a_partner_reads_its_own_lines_page_by_page_and_reading_adds_none(api, connection):
    agreed, other = Agreed.installed("own", connection), Agreed.installed("other", connection)
    reader = reader_of(api, agreed, connection)
    ends = [told_end(api.get("/v1/given/1", headers=reader)) for _ in range(3)]
    api.get("/v1/given/1", headers=reader_of(api, other, connection))
    lines, after = [], "0"
    while page := api.get("/v1/audit", params={"after": after, "limit": 2}, headers=reader).content:
        lines += page.splitlines()
        after = str(len(lines))
    assert lines == [row.line for row in audit_rows(connection, "own")]
    last = api.get("/v1/audit", params={"after": 3}, headers=reader)
    assert (last.headers["sistercity-next"], told_end(last)) == ("3", ends[-1])
    again = api.get("/v1/audit", params={"after": 3}, headers=reader | {"If-None-Match": last.headers["etag"]})
    assert again.status_code == 304
    removed = end_of(next(audit_rows(connection, "own")))
    remove_lines(connection, "own", removed)
    page = api.get("/v1/audit", params={"limit": 1}, headers=reader | {"If-None-Match": last.headers["etag"]})
    assert (page.content, page.headers["sistercity-next"]) == (lines[1] + b"\n", "2")
    assert page.headers["sistercity-audit-begins"] == f"{removed.sequence} {removed.hash}"
    assert api.get("/v1/audit", params={"after": 2}, headers=reader).headers["sistercity-next"] == "3"


def test_two_processes_write_one_chain(module_database_url, connection):
    agreed = Agreed.installed("two", connection)
    with ExitStack() as stack:
        apis = [stack.enter_context(TestClient(an_api(module_database_url))) for _ in range(2)]
        reader = reader_of(apis[0], agreed, connection)
        ends = [told_end(apis[turn % 2].get("/v1/given/1", headers=reader)) for turn in range(6)]
    assert [end.sequence for end in ends] == [1, 2, 3, 4, 5, 6]
    (chain,) = verify_audit(audit_rows(connection, "two"))
    assert (chain.head, chain.broken) == (ends[-1], None)


def test_nothing_is_given_that_is_not_recorded(api, connection):
    agreed = Agreed.installed("unrecorded", connection)
    reader = reader_of(api, agreed, connection)
    connection.execute("ALTER TABLE audit ADD CONSTRAINT closed CHECK (agreement <> 'unrecorded')")
    try:
        with pytest.raises(psycopg.errors.CheckViolation):
            api.get("/v1/given/4", headers=reader)
    finally:
        connection.execute("ALTER TABLE audit DROP CONSTRAINT closed")
    assert api.get("/v1/given/4", headers=reader).content == b"xxxx"
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'sistercity audit'"
    )
    cut = api.get("/v1/given/4", headers=reader)
    assert (cut.status_code, cut.headers["retry-after"], b"xxxx" in cut.content) == (503, "5", False)
    assert api.get("/v1/given/4", headers=reader).content == b"xxxx"
    assert [row.sequence for row in audit_rows(connection, "unrecorded")] == [1, 2]


def test_the_ends_of_all_chains_are_listed_as_a_signed_head_names_them(connection):
    listed = all_audit_heads(connection)
    rows = audit_rows(connection)
    ends = {chain.agreement: chain.head for chain in verify_audit(rows, (), audit_checkpoints(connection))}
    assert listed.decode() == "".join(f"{name} {end.sequence} {end.hash}\n" for name, end in sorted(ends.items()))
    assert len(ends) > 3
