"""A partner that says what it must not is refused with a clear error, and nothing of that page is stored."""

import asyncio
import gzip
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from federation.partners.fetching import FetchLimits, PartnerError
from federation.partners.partner import PartnerAddress, PullResult
from federation.partners.pulling import pull
from federation.wire import Problem
from store.database import connect
from store.partners import partner_named
from tests.federation.hostile import Edit, HostilePartner, Json, Reply, publication, reply, serving_partner

pytestmark = pytest.mark.services

QUICK = FetchLimits(publications=2, attempts=3, backoff_s=0.01, backoff_cap_s=0.02, deadline_s=10, bytes=100_000)
PAGE = "/v1/publications"
CATALOG = "/v1/catalog"


@pytest.fixture
def partner() -> HostilePartner:
    return HostilePartner()


@pytest.fixture
def url(partner: HostilePartner) -> Iterator[str]:
    with serving_partner(partner) as address:
        yield address


def run(url: str, database_url: str, city: str | None = None, limits: FetchLimits = QUICK) -> PullResult:
    return asyncio.run(pull(PartnerAddress(url, city), database_url, "isfahan", limits))


def refused(url: str, database_url: str, reason: str, limits: FetchLimits = QUICK) -> str:
    with pytest.raises(PartnerError) as caught:
        run(url, database_url, limits=limits)
    assert caught.value.reason == reason
    return str(caught.value)


def stored(database_url: str) -> tuple[int, int, str | None]:
    """Publications and cells stored, and the cursor."""
    with connect(database_url) as connection:
        publications = connection.execute("SELECT count(*) FROM partner_publications").fetchone()
        cells = connection.execute("SELECT count(*) FROM partner_cells").fetchone()
        known = partner_named(connection, "hue")
    assert publications and cells
    return publications[0], cells[0], None if known is None else known.cursor


def first(change: Callable[[Json], Any]) -> Edit:
    """An edit of the page's first publication."""

    def edit(page: Json) -> None:
        change(page["publications"][0])

    return edit


def cell(index: int = 0, drop: str | None = None, **change: Any) -> Edit:
    """An edit of one cell of the page's first publication."""

    def edit(page: Json) -> None:
        found = page["publications"][0]["cells"][index]
        found.update(change)
        if drop:
            del found[drop]

    return edit


def text_for(text: str, old: str) -> Edit:
    """The page's JSON with a part of it replaced, for JSON that json.dumps would not write."""
    return lambda page: json.dumps(page).replace(old, text, 1).encode()


MALFORMED: dict[str, Edit] = {
    "value a text": cell(value="500"),
    "value a fraction": cell(value=500.5),
    "value a whole float": cell(value=500.0),
    "value true": cell(value=True),
    "value null": cell(value=None),
    "value beyond bigint": cell(value=2**63),
    "value below bigint": cell(value=-(2**63) - 1),
    "value of 5000 digits": text_for("9" * 5000, "500"),
    "value with an exponent": text_for("5e2", "500"),
    "value NaN": text_for("NaN", "500"),
    "value Infinity": text_for("-Infinity", "500"),
    "released without value": cell(drop="value"),
    "released without coverage": cell(drop="coverage"),
    "suppressed with value": cell(1, value=5),
    "coverage in percent": cell(coverage=99),
    "coverage in no band": cell(coverage="all"),
    "a count of contributors": cell(contributors=3),
    "no rule": cell(drop="rule"),
    "unknown status": cell(status="hidden\nforged log line"),
    "area beyond integer": cell(area=2**31),
    "area a text": cell(area="1"),
    "a null character": cell(rule="a\x00b"),
    "half a surrogate": text_for('"rule": "\\ud800"', '"rule": "customers-100-15"'),
    "the same cell twice": first(lambda publication: publication["cells"].append(publication["cells"][0])),
    "sequence zero": first(lambda publication: publication.update(sequence=0)),
    "revision negative": first(lambda publication: publication.update(revision=-1)),
    "window a number": first(lambda publication: publication["window"].update(start=1_748_736_000)),
    "window backwards": first(lambda publication: publication["window"].update(end=publication["window"]["start"])),
    "window without zone": first(lambda publication: publication["window"].update(start="2025-06-01T03:00:00")),
    "month thirteen": first(lambda publication: publication["window"].update(start="2025-13-01T03:00:00Z")),
    "year zero": first(lambda publication: publication["window"].update(start="0000-01-01T03:00:00Z")),
    "no cursor": lambda page: {key: value for key, value in page.items() if key != "next"},
    "cursor null": lambda page: page.update(next=None),
    "a cursor that breaks a query": lambda page: page.update(next="c2&limit=9"),
    "publications null": lambda page: page.update(publications=None),
    "a list": lambda page: [page],
    "null": lambda page: b"null",
    "nothing": lambda page: b"",
    "half": lambda page: json.dumps(page).encode()[:-10],
    "two": lambda page: json.dumps(page).encode() * 2,
    "not UTF-8": lambda page: b'"\xff"',
    "very deep": lambda page: b"[" * 50_000,
}


@pytest.mark.parametrize("edit", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_page_is_refused_and_the_pages_before_are_kept(
    partner: HostilePartner, url: str, database_url: str, edit: Edit
) -> None:
    partner.page = edit
    words = refused(url, database_url, "malformed")
    assert "\n" not in words and len(words) < 500
    assert stored(database_url) == (2, 4, "c1")
    partner.page = lambda page: None  # mended: it goes on where it stood
    assert run(url, database_url).publications == 2
    assert stored(database_url) == (4, 8, "c2")


CONTRADICTIONS: dict[str, tuple[str, Edit]] = {
    "an area that the catalogue has not": ("not-in-catalogue", cell(area=3)),
    "a class that the catalogue has not": ("not-in-catalogue", cell(0, None, **{"class": "commercial"})),
    "a metric that the catalogue has not": (
        "not-in-catalogue",
        first(lambda publication: publication.update(metric="x")),
    ),
    "another unit": ("not-in-catalogue", first(lambda publication: publication.update(unit="kWh"))),
    "another city": ("other-city", lambda page: page.update(city="isfahan")),
    "another log": ("other-log", lambda page: page.update(log="log-2")),
    "the same cursor again": ("no-progress", lambda page: page.update(next="c1")),
    "more than asked for": ("too-many", lambda page: page["publications"].append(publication(5))),
    "a sequence with a gap": ("conflict", first(lambda publication: publication.update(sequence=4))),
    "a sequence again": ("conflict", first(lambda publication: publication.update(sequence=2))),
    "a window again": ("conflict", first(lambda edited: edited.update(window=publication(1)["window"]))),
}


@pytest.mark.parametrize(("reason", "edit"), CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys())
def test_a_page_that_contradicts_its_request_or_the_catalogue_is_refused(
    partner: HostilePartner, url: str, database_url: str, reason: str, edit: Edit
) -> None:
    partner.page = edit
    refused(url, database_url, reason)
    assert stored(database_url) == (2, 4, "c1")


SHORT = {"Content-Type": "application/json"}
ANSWERS: dict[str, tuple[str, Reply]] = {
    "a page of HTML": ("not-json", Reply(body=b"{}", headers={"Content-Type": "text/html"})),
    "no media type": ("not-json", Reply(body=b"{}", headers={})),
    "something compressed": (
        "not-json",
        Reply(body=gzip.compress(b"0" * 10**7), headers=SHORT | {"Content-Encoding": "gzip"}),
    ),
    "too much": ("too-large", Reply(body=b" " * 100_001)),
    "a redirect": ("redirect", Reply(302, headers={"Location": "http://127.0.0.1:1/v1/publications"})),
    "a permanent redirect": ("redirect", Reply(308, headers={"Location": "/v1/catalog"})),
    "no such page": ("refused", Reply(404)),
    "an empty success": ("refused", Reply(204)),
    "unchanged, unasked": ("not-modified", Reply(304)),
}


@pytest.mark.parametrize("path", [CATALOG, PAGE])
@pytest.mark.parametrize(("reason", "answer"), ANSWERS.values(), ids=ANSWERS.keys())
def test_an_answer_of_another_kind_is_refused_at_once(
    partner: HostilePartner, url: str, database_url: str, path: str, reason: str, answer: Reply
) -> None:
    partner.replies = {path: [answer]}
    refused(url, database_url, reason)
    assert stored(database_url) == (0, 0, None)
    assert len(partner.requests) == (1 if path == CATALOG else 2)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 599])
def test_a_server_error_is_retried_a_limited_number_of_times(
    partner: HostilePartner, url: str, database_url: str, status: int
) -> None:
    partner.replies = {PAGE: [Reply(status)] * 2}
    assert run(url, database_url).publications == 4
    partner.replies = {PAGE: [Reply(status)] * 3}
    partner.requests.clear()
    assert "3 times" in refused(url, database_url, "unreachable")
    assert len(partner.requests) == 4


def test_an_unreachable_partner_is_an_error_after_the_last_attempt(database_url: str) -> None:
    assert "3 times" in refused("http://127.0.0.1:1", database_url, "unreachable")


def test_an_answer_that_never_ends_is_aborted_at_the_deadline(
    partner: HostilePartner, url: str, database_url: str
) -> None:
    partner.hold.clear()
    limits = FetchLimits(attempts=2, backoff_s=0.01, deadline_s=0.2)
    assert "2 times" in refused(url, database_url, "unreachable", limits)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hue.example",
        "ftp://127.0.0.1/",
        "http://",
        "http://127.0.0.1/?a=b",
        "http://127.0.0.1:port/",
        "http://a:b@127.0.0.1/",
    ],
)
def test_an_invalid_address_is_refused(database_url: str, url: str) -> None:
    refused(url, database_url, "bad-url")


def test_a_partner_that_claims_to_be_this_city_is_refused(partner: HostilePartner, url: str, database_url: str) -> None:
    partner.catalog["city"]["id"] = "isfahan"
    refused(url, database_url, "own-city")
    assert stored(database_url) == (0, 0, None)


def test_a_partner_that_becomes_another_city_is_refused(partner: HostilePartner, url: str, database_url: str) -> None:
    run(url, database_url)
    partner.catalog["city"]["id"] = "da-nang"
    refused(url, database_url, "other-city")
    with connect(database_url) as connection:
        assert partner_named(connection, "da-nang") is None


def test_a_partner_that_claims_another_partners_city_is_refused(
    partner: HostilePartner, url: str, database_url: str
) -> None:
    run(url, database_url)
    with serving_partner(HostilePartner()) as thief:
        refused(thief, database_url, "other-url")
        assert run(thief, database_url, city="hue").publications == 0  # named by the operator: the city has moved
    with pytest.raises(PartnerError, match="not da-nang"):
        run(url, database_url, city="da-nang")


def test_a_log_that_is_gone_twice_is_refused(partner: HostilePartner, url: str, database_url: str) -> None:
    gone = Reply(410, Problem(title="Gone", status=410).model_dump_json().encode())
    partner.replies = {PAGE: [gone, gone]}
    refused(url, database_url, "gone")


@pytest.mark.parametrize(
    "change",
    [
        lambda catalog: catalog["metrics"].append(catalog["metrics"][0]),
        lambda catalog: catalog["metrics"][0].update(areas=catalog["metrics"][0]["areas"] * 2),
        lambda catalog: catalog["metrics"][0].update(smallest_per_unit=0),
        lambda catalog: catalog["metrics"][0].update(classes=[]),
        lambda catalog: catalog["metrics"][0]["areas"][0].update(population=-1),
        lambda catalog: catalog["metrics"][0]["areas"][0].update(population=2**63),
        lambda catalog: catalog["city"].update(name="a\x1b[2Jb"),
        lambda catalog: catalog["city"].update(id=""),
        lambda catalog: catalog["city"].update(id=7),
    ],
)
def test_a_malformed_catalogue_is_refused(
    partner: HostilePartner, url: str, database_url: str, change: Callable[[Json], Any]
) -> None:
    change(partner.catalog)
    refused(url, database_url, "malformed")
    assert stored(database_url) == (0, 0, None)


def test_a_new_quarters_areas_are_learned_before_a_page_is_refused(
    partner: HostilePartner, url: str, database_url: str
) -> None:
    partner.replies = {CATALOG: [reply(partner.catalog)]}
    later = {"number": 3, "name": "C", "population": 5, "valid_from": "2025-07-01T00:00:00Z"}
    partner.catalog = json.loads(json.dumps(partner.catalog))
    partner.catalog["metrics"][0]["areas"].append(later)
    partner.page = cell(area=3)
    assert run(url, database_url).publications == 4


def test_fields_that_a_later_version_adds_are_ignored(partner: HostilePartner, url: str, database_url: str) -> None:
    partner.catalog["city"]["mayor"] = "?"
    partner.page = first(lambda publication: publication.update(signature="?"))
    assert run(url, database_url).publications == 4


def test_a_log_that_changes_before_the_first_page_is_read_from_its_start(
    partner: HostilePartner, url: str, database_url: str
) -> None:
    partner.replies = {PAGE: [Reply(404)]}
    refused(url, database_url, "refused")
    partner.catalog["log"] = "log-2"
    assert run(url, database_url) == PullResult("hue", 4, 2, restarted=True)
