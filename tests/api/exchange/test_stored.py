"""What partners read: the stored bytes of what was agreed, and nothing else."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from api.cursors import cursor
from api.exchange.app import create_partner_api
from federation.publications.entries import entry_of
from federation.publications.withdrawing import withdraw
from federation.wire import Series, rfc3339
from store import agreed
from store.agreements import MetricGrant, revoke
from store.database import Connection, connect
from store.heads import StoredHead, save_head
from store.inspection import clock
from store.partner_role import partner_login
from store.publication_log import log_state
from tests.api.exchange.agreed import Agreed
from tests.federation.city import HOUR, IMPORT, ISFAHAN, SOLAR, T0, a_published_city
from tests.publishing import appender

pytestmark = pytest.mark.services

HOURS = 5
DELAYED, SINCE = 3, 2
"""The partner `delayed` gets windows 1 and 2 (its delay ends between two of them), `since` gets those from 2 on."""


@dataclass(frozen=True)
class Reader:
    """A partner with a token."""

    api: TestClient
    headers: dict[str, str]

    def get(self, path: str, **parameters):
        headers = self.headers | parameters.pop("headers", {})
        return self.api.get(path, params=parameters or None, headers=headers)

    def lines(self, path: str, **parameters) -> list[bytes]:
        answer = self.get(path, **parameters)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/jsonl"
        assert answer.headers["cache-control"] == "private, no-cache"
        assert not answer.content or answer.content.endswith(b"\n")
        return answer.content.splitlines()


def reader(api: TestClient, connection: Connection, name: str, **fields) -> Reader:
    partner = Agreed(name)
    partner.install(connection, **fields)
    answer = api.post("/v1/token", data=partner.asks(clock(connection)))
    return Reader(api, {"Authorization": f"Bearer {answer.json()['access_token']}"})


@pytest.fixture(scope="module")
def connection(module_database_url: str) -> Iterator[Connection]:
    with a_published_city(module_database_url, HOURS), connect(module_database_url) as found:
        yield found


@pytest.fixture(scope="module")
def api(module_database_url: str, connection: Connection) -> Iterator[TestClient]:
    role_url = partner_login(connection, module_database_url)  # the rights of the role are enough for all of it
    with TestClient(create_partner_api(ISFAHAN, role_url)) as client:
        yield client


@pytest.fixture(scope="module")
def all_of_it(api: TestClient, connection: Connection) -> Reader:
    return reader(api, connection, "everything")


@pytest.fixture(scope="module")
def stored(connection: Connection) -> list[tuple[bytes, bytes]]:
    """Entries and bodies as they are in the database."""
    return connection.execute("SELECT entry, body FROM publications ORDER BY position").fetchall()


def test_entries_are_the_stored_bytes_page_by_page_without_gap_or_repetition(all_of_it, stored):
    after, seen = {}, []
    while True:
        answer = all_of_it.get("/v1/entries", limit=2, **after)
        after = {"after": answer.headers["sistercity-next"]}
        if not answer.content:
            break
        seen += answer.content.splitlines()
    assert seen == [entry for entry, _ in stored]
    assert len(seen) == HOURS


def test_bodies_are_the_stored_bytes_whose_hashes_the_entries_name(all_of_it, stored):
    first = all_of_it.get("/v1/bodies", metric=IMPORT.name, limit=2)
    rest = all_of_it.lines("/v1/bodies", metric=IMPORT.name, after=first.headers["sistercity-next"])
    bodies = first.content.splitlines() + rest
    assert bodies == [body for _, body in stored]
    assert [sha256(body).hexdigest() for body in bodies] == [entry_of(entry).body for entry, _ in stored]
    found = all_of_it.get(f"/v1/bodies/{sha256(bodies[3]).hexdigest()}")
    assert (found.content, found.headers["content-type"]) == (bodies[3], "application/json")
    assert all_of_it.get(f"/v1/bodies/{'0' * 64}").status_code == 404


def test_a_page_of_bodies_ends_before_eight_mebibytes_but_holds_one_line(all_of_it, stored, monkeypatch):
    sizes = [len(body) + 1 for _, body in stored]
    monkeypatch.setattr(agreed, "MOST_BYTES", sizes[0] + sizes[1])
    assert len(all_of_it.lines("/v1/bodies", metric=IMPORT.name)) == 2
    monkeypatch.setattr(agreed, "MOST_BYTES", 1)
    assert len(all_of_it.lines("/v1/bodies", metric=IMPORT.name)) == 1
    assert len(all_of_it.lines("/v1/entries")) == 1


def test_another_metric_than_the_agreed_ones_is_refused_and_its_entries_are_not_there(all_of_it, api, connection):
    answers = [all_of_it.get("/v1/bodies", metric=SOLAR.name), all_of_it.get(f"/v1/series/{SOLAR.name}")]
    for answer in answers:
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:sistercity:problem:not-agreed")
    solar = reader(api, connection, "solar", grants=(MetricGrant("given", SOLAR.name, 0, 0, 3660),))
    assert solar.lines("/v1/entries") == []
    assert solar.get("/v1/bodies", metric=IMPORT.name).status_code == 403


def test_bodies_come_after_the_delay_and_from_since_on_and_entries_at_once(api, connection, stored):
    published = [entry_of(entry).header.published_at for entry, _ in stored]
    delay = (clock(connection) - published[DELAYED - 1]) // 1000 - 1800
    late = reader(api, connection, "late", grants=(MetricGrant("given", IMPORT.name, 0, delay, 3660),))
    young = reader(api, connection, "young", grants=(MetricGrant("given", IMPORT.name, T0 + SINCE * HOUR, 0, 3660),))
    bodies = [body for _, body in stored]
    for partner, due in ((late, bodies[: DELAYED - 1 + 1]), (young, bodies[SINCE:])):
        assert partner.lines("/v1/entries") == [entry for entry, _ in stored]
        assert partner.lines("/v1/bodies", metric=IMPORT.name) == due
        for body in bodies:
            status = 200 if body in due else 404
            assert partner.get(f"/v1/bodies/{sha256(body).hexdigest()}").status_code == status
        series = partner.get(f"/v1/series/{IMPORT.name}", **{"from": "2025-05-01T00:00:00Z"}).json()
        assert [window["sequence"] for window in series["windows"]] == [json.loads(body)["sequence"] for body in due]


def test_a_revoked_agreement_opens_nothing_from_the_next_request_on(api, connection):
    partner = reader(api, connection, "short-lived")
    assert partner.lines("/v1/entries")
    revoke(connection, "short-lived", "it ends")
    for path in ("/v1/entries", "/v1/head", f"/v1/series/{IMPORT.name}"):
        assert partner.get(path).status_code == 401


def test_a_page_that_is_kept_is_found_under_no_agreement_that_does_not_give_it(all_of_it, api, connection, stored):
    late = reader(api, connection, "much-later", grants=(MetricGrant("given", IMPORT.name, 0, 10**9, 3660),))
    ending = reader(api, connection, "ending")
    for _ in range(2):
        for partner in (all_of_it, ending):
            assert partner.lines("/v1/bodies", metric=IMPORT.name) == [body for _, body in stored]
        assert late.lines("/v1/bodies", metric=IMPORT.name) == []
    revoke(connection, "ending", "it ends")
    assert ending.get("/v1/bodies", metric=IMPORT.name).status_code == 401


def test_the_audit_names_the_hash_of_a_page_whether_it_was_read_or_kept(api, connection):
    partner = reader(api, connection, "audited")
    answers = [partner.get("/v1/bodies", metric=IMPORT.name) for _ in range(2)]
    lines = [json.loads(line) for line in partner.lines("/v1/audit")]
    assert [line["page"] for line in lines] == [sha256(answer.content).hexdigest() for answer in answers]


def test_a_series_is_json_or_a_table_of_the_same_cells(all_of_it):
    path = f"/v1/series/{IMPORT.name}"
    answer = all_of_it.get(path)
    found = Series.model_validate_json(answer.content)
    table = all_of_it.get(path, headers={"Accept": "text/csv"})
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    assert table.content == all_of_it.get(path, format="csv").content
    assert table.headers["etag"] != answer.headers["etag"]
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert [(row["window_start"], int(row["area"]), row["class"], row["status"], row["value"]) for row in rows] == [
        (window.window.start, cell.area, cell.class_, cell.status, str(getattr(cell, "value", "")))
        for window in found.windows
        for cell in window.cells
    ]
    assert {row["unit"] for row in rows} == {"mJ"}


def test_cursors_of_another_log_are_gone_and_broken_ones_are_refused(all_of_it, connection):
    log = log_state(connection).id
    for after, status in ((cursor(str(uuid4()), 0), 410), ("nonsense", 400), (cursor(log, 2**64 - 1), 200)):
        assert all_of_it.get("/v1/entries", after=after).status_code == status


def test_what_has_not_changed_is_not_sent_again_and_still_recorded(all_of_it, stored):
    body = sha256(stored[0][1]).hexdigest()
    for path in ("/v1/entries", f"/v1/bodies?metric={IMPORT.name}", f"/v1/bodies/{body}", f"/v1/series/{IMPORT.name}"):
        first = all_of_it.get(path)
        again = all_of_it.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
        before, after = (int(answer.headers["sistercity-audit"].split()[0]) for answer in (first, again))
        assert after == before + 1


def test_the_newest_head_is_served_as_it_was_signed(all_of_it, connection):
    assert all_of_it.get("/v1/head").status_code == 404
    now = clock(connection)
    for number in (1, 2):
        save_head(connection, StoredHead(number, now, now + HOUR, f"head.{number}.signed"))
    answer = all_of_it.get("/v1/head")
    assert (answer.text, answer.headers["content-type"]) == ("head.2.signed", "application/jose")


def test_heads_of_others_are_for_witnesses_alone_and_the_newest_ten(api, connection, all_of_it):
    thumbprint = "x" * 43
    for number in range(12):
        connection.execute(
            "INSERT INTO partner_heads (thumbprint, number, hash, seen_by, document, log, issued_at, expires_at)"
            " VALUES (%s, %s, %s, %s, %s, 'log', now(), now())",
            (thumbprint, number, str(number), "y" * 43, f"seen.{number}.head"),
        )
    found = all_of_it.lines(f"/v1/heads/{thumbprint}")
    assert found == [f"seen.{number}.head".encode() for number in range(11, 1, -1)]
    assert all_of_it.lines(f"/v1/heads/{'z' * 43}") == []
    alone = reader(api, connection, "alone", witness=False)
    assert alone.get(f"/v1/heads/{thumbprint}").status_code == 403


def test_a_partner_gets_its_own_lost_bodies_back_by_hash_and_nobody_elses(api, connection):
    owner, other = Agreed("owner"), reader(api, connection, "other")
    owner.install(connection)
    body = b'{"lost":true}'
    connection.execute(
        "INSERT INTO partner_entries (thumbprint, metric, sequence, hash, line, kind, window_start, window_end,"
        " revision, published_at, body, catalogue)"
        " VALUES (%s, 'x', 1, 'hash', '{}', 'publication', now(), now(), 0, now(), 'body', 'catalogue')",
        (owner.them.thumbprint,),
    )
    connection.execute(
        "INSERT INTO partner_bodies (thumbprint, metric, sequence, hash, body, window_end)"
        " VALUES (%s, 'x', 1, %s, %s, now())",
        (owner.them.thumbprint, sha256(body).hexdigest(), body),
    )
    answer = api.post("/v1/token", data=owner.asks(clock(connection)))
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    path = f"/v1/bodies/{sha256(body).hexdigest()}"
    assert api.get(path, headers=headers).content == body
    assert other.get(path).status_code == 404


def test_identity_and_catalogues_are_public(api, connection):
    Agreed("public").install(connection)
    identity = api.get("/v1/identity")
    assert identity.headers["content-type"] == "application/jose"
    assert identity.text == connection.execute("SELECT document FROM identities WHERE own").fetchone()[0]
    content = b'{"format":1,"name":"energy.import"}'
    hash_ = sha256(content).hexdigest()
    connection.execute("INSERT INTO catalogues VALUES (%s, %s, %s)", (hash_, IMPORT.name, content))
    assert api.get(f"/v1/catalogues/{hash_}").content == content
    assert api.get(f"/v1/catalogues/{'0' * 64}").status_code == 404
    assert api.get("/v1/catalog").json()["city"]["id"] == "isfahan"


def test_a_withdrawn_body_is_gone_its_entry_stays_and_the_withdrawal_passes_every_delay(api, connection, stored):
    """The last test of this file: it changes what was published."""
    century = 100 * 365 * 86_400
    late = reader(api, connection, "a-century", grants=(MetricGrant("given", IMPORT.name, 0, century, 3660),))
    all_of_it = reader(api, connection, "after")
    pages = [all_of_it.get("/v1/bodies", metric=IMPORT.name) for _ in range(2)]  # the second one is kept
    assert {page.content for page in pages} == {b"".join(body + b"\n" for _, body in stored)}
    again = {"If-None-Match": pages[1].headers["etag"]}
    assert all_of_it.get("/v1/bodies", metric=IMPORT.name, headers=again).status_code == 304
    withdraw(appender(connection), IMPORT, T0 + HOUR, "Counted twice.", T0 + 50 * HOUR)
    path = f"/v1/bodies/{sha256(stored[1][1]).hexdigest()}"
    assert all_of_it.get(path).status_code == 410
    lines = all_of_it.lines("/v1/entries")
    assert lines[:HOURS] == [entry for entry, _ in stored]
    taken_back = entry_of(lines[-1])
    assert taken_back.header.kind == "withdrawal"
    sequences = [
        json.loads(line)["sequence"] for line in all_of_it.lines("/v1/bodies", metric=IMPORT.name, headers=again)
    ]
    assert sequences == [1, 3, 4, 5, 6]
    assert late.lines("/v1/bodies", metric=IMPORT.name) == []
    assert json.loads(late.get(f"/v1/bodies/{taken_back.body}").content)["kind"] == "withdrawal"
    windows = all_of_it.get(f"/v1/series/{IMPORT.name}").json()["windows"]
    assert [window["kind"] for window in windows].count("withdrawal") == 1
    assert windows[1]["window"]["start"] == rfc3339(T0 + HOUR)
