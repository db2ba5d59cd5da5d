"""Who gets a token, what it opens and until when, and what an agreement's limits refuse."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from fastapi.testclient import TestClient

from federation.identity.document import RevokedKey
from store.agreements import revoke
from store.database import Connection, connect
from store.inspection import clock
from tests.api.exchange.agreed import STRANGER, Agreed, an_api, reader_of
from tests.federation.identity.cities import DAY, online

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def url(module_database_url: str) -> str:
    return module_database_url


@pytest.fixture(scope="module")
def connection(url: str) -> Iterator[Connection]:
    with connect(url) as found:
        yield found


@pytest.fixture(scope="module")
def api(url: str) -> Iterator[TestClient]:
    with TestClient(an_api(url)) as client:
        yield client


numbers = iter(range(1000))


@pytest.fixture
def agreed(connection: Connection) -> Agreed:
    """An agreement of its own for each test."""
    found = Agreed(f"agreement-{next(numbers)}")
    found.install(connection)
    return found


def test_an_assertion_gives_a_token_that_reads_and_only_its_hash_is_stored(api, agreed, connection):
    asked = agreed.asks(clock(connection))
    answer = api.post("/v1/token", data=asked)
    told = answer.json()
    assert told | {"access_token": ""} == {
        "access_token": "",
        "token_type": "Bearer",
        "expires_in": 900,
        "scope": agreed.agreement,
    }
    assert answer.headers["cache-control"] == "no-store"
    assert api.get("/v1/given/3", headers={"Authorization": f"bearer {told['access_token']}"}).content == b"xxx"
    row = connection.execute(
        "SELECT hash = sha256(%s::bytea), assertion, expires_at - issued_at = interval '900 s'"
        " FROM access_tokens JOIN assertions USING (agreement) WHERE agreement = %s",
        (told["access_token"].encode(), agreed.agreement),
    ).fetchone()
    assert row == (True, asked["client_assertion"], True)
    everything = connection.execute("SELECT string_agg(t::text, ' ') FROM access_tokens AS t").fetchone()[0]
    assert told["access_token"] not in everything


def test_an_assertion_is_taken_once_by_whichever_process_and_after_a_restart(url, agreed, connection):
    asked = agreed.asks(clock(connection))
    with ExitStack() as stack:
        first, second = (stack.enter_context(TestClient(an_api(url))) for _ in range(2))
        statuses = [app.post("/v1/token", data=asked).status_code for app in (first, first, second)]
    with TestClient(an_api(url)) as restarted:
        again = restarted.post("/v1/token", data=asked)
    assert statuses == [200, 401, 401]
    assert (again.status_code, again.json()["error"]) == (401, "invalid_client")
    assert again.json()["error_description"].startswith("replayed")


def test_nobody_but_the_city_itself_with_a_valid_access_key_gets_a_token(api, agreed, connection):
    now, another = clock(connection), Agreed()
    asked = agreed.asks(now)
    refused = {
        "wrong-audience": agreed.asks(now, audience=another.them.thumbprint),
        "expired": agreed.asks(now - 121_000),
        "not-yet-valid": agreed.asks(now + 65_000),
        "unknown-key": agreed.asks(now, key=STRANGER),
        "unknown-key: its key for publishing": agreed.asks(now, key=agreed.them.publish),
        "unknown-key: its identity key": agreed.asks(now, key=agreed.them.identity),
        "unknown-key: our own key": agreed.asks(now, key=agreed.us.access),
        "unknown-key: a city that nobody knows": agreed.asks(now, issuer=another.them.thumbprint, key=STRANGER),
        "forged": asked | {"client_assertion": asked["client_assertion"][:-4] + "AAAA"},
        "malformed": asked | {"client_assertion": "x"},
    }
    for name, form in refused.items():
        answer = api.post("/v1/token", data=form)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client"), name
        assert answer.json()["error_description"].split(":")[0] == name.split(":")[0]


def test_a_rotated_key_opens_nothing_beyond_its_overlap_and_a_revoked_one_nothing_at_all(api, agreed, connection):
    now, them = clock(connection), agreed.them
    new = Agreed().them.access

    def asked_with(key) -> int:
        return api.post("/v1/token", data=agreed.asks(now, key=key)).status_code

    overlapping = [online("access", them.access, now - DAY, now + 60_000), online("access", new, now - DAY, now + DAY)]
    agreed.introduce(connection, 2, keys=overlapping)
    assert [asked_with(them.access), asked_with(new)] == [200, 200]
    over = [online("access", them.access, now - DAY, now - 61_000), overlapping[1]]
    agreed.introduce(connection, 3, keys=over)
    assert [asked_with(them.access), asked_with(new)] == [401, 200]
    agreed.introduce(connection, 4, keys=over, revoked=[RevokedKey(over[1].kid, now, "lost")])
    assert [asked_with(them.access), asked_with(new)] == [401, 401]


def test_an_identity_that_expired_or_was_revoked_gets_no_token(api, connection, url):
    now, old, gone = clock(connection), Agreed("old"), Agreed("gone")
    for agreed in (old, gone):
        agreed.install(connection)
    old.introduce(connection, 2, expires_at=now - 61_000)
    connection.execute("INSERT INTO identity_revocations VALUES (%s, 'lost')", (gone.them.thumbprint,))
    for agreed in (old, gone):
        assert api.post("/v1/token", data=agreed.asks(now)).json()["error"] == "invalid_client"


def test_an_agreement_that_is_revoked_over_unknown_or_somebody_elses_has_one_and_the_same_answer(api, connection):
    now = clock(connection)
    agreed = {name: Agreed(name) for name in ("held", "revoked", "over", "anothers")}
    for each in agreed.values():
        each.install(connection)
    revoke(connection, "revoked", "no reason")
    connection.execute("UPDATE agreements SET valid_until = now() WHERE id = 'over'")
    answers = [
        api.post("/v1/token", data=form)
        for form in (
            agreed["revoked"].asks(now),
            agreed["over"].asks(now),
            agreed["held"].asks(now, scope="anothers"),
            agreed["held"].asks(now, scope="never heard of"),
        )
    ]
    assert {answer.status_code for answer in answers} == {400}
    assert {answer.json()["error"] for answer in answers} == {"invalid_scope"}
    assert len({answer.content for answer in answers}) == 1


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"grant_type": "authorization_code"}, "unsupported_grant_type"),
        ({"grant_type": ""}, "invalid_request"),
        ({"client_assertion_type": "x"}, "invalid_request"),
        ({"client_assertion": ""}, "invalid_request"),
        ({"scope": "a\0"}, "invalid_scope"),
        ({"scope": "é"}, "invalid_scope"),
        ({f"x{number}": "x" for number in range(20)}, "invalid_request"),
    ],
)
def test_a_form_that_is_not_as_it_must_be_is_refused(api, agreed, changed, error):
    form = {name: value for name, value in (agreed.asks(0) | changed).items() if value}
    answer = api.post("/v1/token", data=form)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_a_form_that_is_long_twofold_or_none_is_refused(api):
    head = {"Content-Type": "application/x-www-form-urlencoded"}
    for content, headers in ((b"scope=a&scope=b", head), (b"\xff=1", head), (b"", head), (b"scope=a", {})):
        assert api.post("/v1/token", content=content, headers=headers).status_code == 400
    assert api.post("/v1/token", content=b"x" * 20_000, headers=head).status_code == 413


def test_without_a_token_that_holds_nothing_is_read(api, agreed, connection):
    assert api.get("/v1/given/1").headers["www-authenticate"] == "Bearer"
    for wrong in ("Bearer x", "Basic eA==", "Bearer", "Bearer é".encode()):
        answer = api.get("/v1/given/1", headers={"Authorization": wrong})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_token_ends_with_its_time_and_with_its_agreement_from_the_next_request_on(api, agreed, connection):
    reader = reader_of(api, agreed, connection)
    assert api.get("/v1/given/1", headers=reader).status_code == 200
    connection.execute("UPDATE access_tokens SET expires_at = now() WHERE agreement = %s", (agreed.agreement,))
    assert api.get("/v1/given/1", headers=reader).status_code == 401
    reader = reader_of(api, agreed, connection)
    assert api.get("/v1/given/1", headers=reader).status_code == 200
    revoke(connection, agreed.agreement, "no reason")
    assert api.get("/v1/given/1", headers=reader).status_code == 401


def test_a_token_reads_under_its_own_agreement_alone(api, agreed, connection):
    other = Agreed(f"{agreed.agreement}-other")
    other.install(connection)
    reader = reader_of(api, other, connection)
    api.get("/v1/given/1", headers=reader)
    lines = api.get("/v1/audit", headers=reader_of(api, agreed, connection))
    assert lines.content == b""
    revoke(connection, other.agreement, "no reason")
    assert api.get("/v1/given/1", headers=reader).status_code == 401
