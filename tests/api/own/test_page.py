"""The page at `/`: its content, its headers, and what it must never show."""

import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from api.own.app import create_own_api
from api.own.page.content import OTHER, fixed_words, gather
from api.own.page.html import rendered
from api.own.page.languages import CODES, languages
from federation.compare import comparisons
from schemas.catalogue import catalogue, datasets, published
from store.arrivals import FinishedArrival, record_arrivals
from store.database import connect
from store.publications import PublishedCell, Window
from tests.federation.city import (
    HOUR,
    IMPORT,
    ISFAHAN,
    LOCAL,
    T0,
    TOPIC,
    add_cell,
    found_areas,
    open_topic,
    pass_time,
    register,
    serving,
)
from tests.federation.handing import hand_over
from tests.federation.two_cities import SAIGON, exchanged, two_cities
from tests.publishing import publish, publish_hour

EVIL = "<script>alert('x')</script>&\"' "
ISOLATES = dict.fromkeys(map(ord, "\u2068\u2069"))


class Page(HTMLParser):
    """The page as a reader has it: its tables by caption or heading, its text, its links."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.words: list[str] = []
        self._into: list[str] | None = None
        self.feed(html)
        self.close()

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def attributes(self, name: str) -> list[str]:
        return [value for _, attributes in self.tags for key, value in attributes.items() if key == name and value]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self._into = []

    def handle_endtag(self, tag: str) -> None:
        if tag in ("th", "td") and self._into is not None:
            self.rows[-1].append(" ".join(" ".join(self._into).split()))
            self._into = None

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "style":
            return
        data = data.translate(ISOLATES)
        self.words.append(data)
        if self._into is not None:
            self._into.append(data)


def read(client: TestClient, query: str = "?lang=en") -> Page:
    response = client.get(f"/{query}")
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    return Page(response.text)


@pytest.fixture
def away() -> Iterator[TestClient]:
    with TestClient(create_own_api(ISFAHAN, "postgresql://nobody@127.0.0.1:1/nothing"), base_url=LOCAL) as client:
        yield client


@pytest.fixture
def api(database_url: str) -> Iterator[TestClient]:
    with TestClient(create_own_api(ISFAHAN, database_url), base_url=LOCAL) as client:
        yield client


@pytest.fixture(scope="module")
def both(server_url: str) -> Iterator[str]:
    with two_cities(server_url) as url:
        yield url


@pytest.fixture(scope="module")
def two(both: str) -> Iterator[TestClient]:
    """The page of a city that has exchanged everything with another, for reading only."""
    with TestClient(create_own_api(ISFAHAN, both), base_url=LOCAL) as client:
        yield client


def test_a_reason_that_is_no_fixed_word_is_not_repeated() -> None:
    reasons = {"cut": 3, "meter-4711": 2, "Mr. Smith": 1, "a" * 300: 4, "out-of-range": 1, "": 1}
    assert fixed_words(reasons) == {OTHER: 8, "cut": 3, "out-of-range": 1}


@pytest.mark.parametrize("code", CODES)
def test_without_its_database_the_page_states_it_in_every_language(code: str) -> None:
    language = languages()[code]
    page = Page(rendered(ISFAHAN, language, None, datetime.now(UTC)))
    assert language.text("away") in page.text
    assert page.attributes("lang")[0] == code


def test_a_page_without_its_database_is_a_503_with_retry_after(away: TestClient) -> None:
    response = away.get("/", headers={"Accept-Language": "vi"})
    assert response.status_code == 503
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert int(response.headers["retry-after"]) > 0
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    assert languages()["vi"].text("away") in Page(response.text).text


@pytest.mark.services
def test_an_empty_city_has_a_page_that_states_it(api: TestClient) -> None:
    page = read(api)
    assert "Isfahan has 1,961,260 people" in page.text
    assert "No stream has been processed yet." in page.text
    assert "No partner city has been reached yet." in page.text
    cells = [row[1:] for row in page.rows if row[0] in ("homes", "businesses", "residual waste", "all")]
    assert cells == [["not published yet"]] * 8


@pytest.mark.services
def test_the_figures_are_those_of_the_comparison(two: TestClient, both: str) -> None:
    page = read(two)
    with connect(both) as connection:
        rows = {(row.metric, row.class_, row.city): row for row in comparisons(connection, ISFAHAN.id, published())}
    assert len(rows) == 2 * sum(len(metric.classes) for metric in published().values())
    seen, metric = 0, None
    english = languages()["en"].sections
    for row in page.rows:
        metric = next(
            (name for name in published() if len(row) == 1 and row[0].startswith(english["metric"][name])), metric
        )
        class_ = next((name for name, word in english["class"].items() if word == row[0]), None)
        if metric is None or class_ is None or len(row) != 3:
            continue
        for cell, city in zip(row[1:], (ISFAHAN, SAIGON), strict=True):
            found = rows[metric, class_, city.id]
            if found.figure is None:
                assert cell == "suppressed"
                continue
            seen += 1
            number, share = re.match(r"(−?[\d,.]+)(?:%| \w+) (\d+)% of people shown", cell).groups()
            assert float(number.replace(",", "")) == pytest.approx(found.figure, rel=0.005)
            assert int(share) == round(100 * found.population_share)
    assert seen == sum(row.figure is not None for row in rows.values()) == 22


@pytest.mark.services
@pytest.mark.parametrize(
    ("code", "figures"),
    [
        ("en", ["2,429 Wh", "48.2%", "2.37 regions", "0.391 kg", "mean in %", "kg per person and day, newest month"]),
        ("vi", ["2.429 Wh", "48,2%", "2,37 vùng", "0,391 kg", "trung bình", "kg mỗi người mỗi ngày"]),
        ("fa", ["۲٬۴۲۹ وات‌ساعت", "۴۸٫۲٪", "۲٫۳۷ ناحیهٔ پلاک", "۰٫۳۹۱ کیلوگرم", "میانگین به"]),
    ],
)
def test_figures_come_with_their_unit_and_the_measure_of_their_metric(
    two: TestClient, code: str, figures: list[str]
) -> None:
    text = read(two, f"?lang={code}").text
    for figure in figures:
        assert figure in text


@pytest.mark.services
def test_the_account_is_shown_with_every_reason(two: TestClient) -> None:
    rows = [row for row in read(two).rows if len(row) == 2]
    for row in (
        ["Readings in", "2,216,260"],
        ["Counted", "2,109,035"],
        ["Duplicate", "16,517"],
        ["Late", "1,909"],
        ["Rejected", "412"],
        ["Open", "88,387"],
        ["Dead messages", "6"],
        ["cut short", "4"],
        ["from the future", "251"],
        ["unknown source", "64"],
        ["unreadable line", "9"],
    ):
        assert row in rows


@pytest.mark.services
def test_a_partner_is_shown_with_its_publications_and_the_newest_window_of_each_city(two: TestClient) -> None:
    page = read(two)
    assert "Publications received 194" in page.text  # 4 metrics of 24 hours, 96 quarter hours, a day, a month
    ends = next(row for row in page.rows if row[0] == "Electricity taken from the grid")
    assert ends[1:] == ["2 June 2025, 00:00", "1 June 2025, 20:30"]


@pytest.mark.services
def test_topics_of_past_data_are_summed_without_their_names(api: TestClient, database_url: str) -> None:
    with connect(database_url) as connection:
        for topic in (TOPIC, "isfahan.energy.readings.history.house-4711.v1", "isfahan.energy.readings.history.b.v1"):
            open_topic(connection, topic)
            connection.execute(
                "UPDATE stream_offsets SET messages = 1, dead = 1 WHERE topic = %s AND partition = 0", (topic,)
            )
    page = read(api)
    assert [row for row in page.rows if row[0] == "Messages in"] == [["Messages in", "1"], ["Messages in", "2"]]
    assert "Energy readings, past data" in page.text
    assert "4711" not in page.text


@pytest.mark.services
def test_live_sources_are_counted_with_the_time_of_their_deliveries_and_without_names(
    api: TestClient, database_url: str
) -> None:
    assert "deliver by themselves" not in read(api).text
    hour = 3_600_000
    with connect(database_url) as connection:
        for number, source in enumerate(["roof-4711", "roof-4711", "head-end"]):
            arrival = FinishedArrival(bytes([number]) * 32, f"meter-4711-{number}.csv", (number + 1) * hour)
            record_arrivals(connection, source, [arrival])
    text = read(api).text
    assert "Sources that deliver by themselves: 2 ." in text.replace("2.", "2 .")
    for language in ("en", "vi", "fa"):
        assert "4711" not in read(api, f"?lang={language}").text


@pytest.mark.services
def test_suppression_is_shown_and_no_number_that_must_stay_inside(api: TestClient, database_url: str) -> None:
    secrets: dict[str, Any] = {
        "value": 7_103_019,
        "contributors": 13,
        "largest": 7_103_007,
        "absolute": 71_030_090,
        "covered_ms": 1,
    }
    crowd: dict[str, Any] = {"largest": 7_103_041, "absolute": 71_030_410_007}
    with connect(database_url) as connection:
        areas = found_areas(connection, [1000, 2000, 3000])
        register(connection, 0, "residential", 4711)
        open_topic(connection)
        add_cell(connection, 0, areas[0], "commercial", **secrets)
        add_cell(connection, 0, areas[1], value=3_600_000 * 2000 * 5, contributors=7_103_003, **crowd)
        refuse = "INSERT INTO source_dead_letters VALUES ('meter-7103', 1, 'unknown-source', 'meter-7103')"
        connection.execute(refuse)
        pass_time(connection, T0 + HOUR + IMPORT.lateness_ms)
        publish_hour(connection, IMPORT, TOPIC, T0)
    html = api.get("/?lang=en").text
    page = Page(html)
    assert ["businesses", "suppressed"] in page.rows
    assert ["homes", "5.00 Wh 33% of people shown 1 of 24 windows"] in page.rows
    for secret in (*secrets.values(), 7_103_003, *crowd.values(), 4711, "meter-7103"):
        if secret not in (13, 1):
            assert str(secret) not in html.replace(",", "")
    text = re.sub(r"Made on .*? Times", "", Page(html).text)  # the clock may show any number
    numbers = set(re.findall(r"\d+", text.replace(",", "")))
    assert "13" not in numbers


@pytest.mark.services
def test_html_in_a_partners_names_stays_text(database_url: str, second_database_url: str) -> None:
    evil = replace(SAIGON, name=EVIL, names={"vi": EVIL})
    own = replace(ISFAHAN, name=EVIL, names={})
    with TestClient(create_own_api(own, database_url), base_url=LOCAL) as client:
        hand_over(second_database_url, evil, database_url, own.id)
        with connect(database_url) as connection:
            connection.execute("INSERT INTO source_dead_letters VALUES ('x', 1, %s, '')", (EVIL,))
        for code in CODES:
            page = Page(client.get(f"/?lang={code}").text)
            assert page.text.count(" ".join(EVIL.split())) >= 4
            assert languages()[code].text("received-never") in page.text
            assert {tag for tag, _ in page.tags}.isdisjoint({"script", "img", "iframe", "object", "form"})


@pytest.mark.services
def test_a_missing_figure_is_shown_with_its_reason(
    api: TestClient, database_url: str, second_database_url: str
) -> None:
    exchanged(database_url, second_database_url)
    solar = catalogue()["energy.solar"]
    with connect(database_url) as connection:
        (empty,) = found_areas(connection, [0], solar.name, since=T0 + 900 * HOUR)
        cells = [PublishedCell(empty, class_, 7, "high", solar.rule) for class_ in solar.classes]
        publish(connection, solar.name, Window(T0 + 1000 * HOUR, T0 + 1001 * HOUR), TOPIC, cells)
        changed = "UPDATE partner_metrics SET unit = 'kWh' WHERE metric = 'energy.import'"
        gone = "UPDATE partner_metrics SET metric = 'energy.wind' WHERE metric = 'energy.solar'"
        for statement in (changed, gone):
            connection.execute(statement)
    rows = read(api).rows
    homes = [row[1:] for row in rows if row[0] == "homes"]
    assert homes[0][1] == "defined otherwise"
    assert homes[1] == ["no residents", "not received yet"]
    assert ["businesses", "no residents", "not received yet"] in rows


@pytest.mark.services
def test_nothing_on_the_page_loads_from_another_server(two: TestClient) -> None:
    for code in CODES:
        html = two.get(f"/?lang={code}").text
        page = Page(html)
        links = page.attributes("href") + page.attributes("src") + page.attributes("action")
        assert {"v1/catalog", "openapi.json", "?lang=fa"} <= set(links)
        assert not [link for link in links if re.match(r"[a-z]+:|/", link)]
        assert "://" not in html and "url(" not in html and "@import" not in html
        for link in links:
            if link.startswith("#"):
                assert link[1:] in page.attributes("id")
            else:
                assert two.get(f"/{link}").status_code == 200
        assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
        assert not page.attributes("style")  # the policy would block it


@pytest.mark.services
def test_the_headers_forbid_what_the_page_does_not_do(two: TestClient) -> None:
    response = two.get("/", headers={"Accept-Language": "fa-IR, en;q=0.5"})
    headers = response.headers
    style = re.search(r"<style>(.*)</style>", response.text, re.DOTALL)
    assert style
    digest = b64encode(sha256(style[1].encode()).digest()).decode()
    assert headers["content-security-policy"].split("; ") == [
        "default-src 'none'",
        f"style-src 'sha256-{digest}'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")
    assert (headers["cache-control"], headers["vary"]) == ("no-store", "Accept-Language")
    assert headers["content-language"] == "fa"


@pytest.mark.services
def test_the_page_answers_head_and_refuses_post(database_url: str) -> None:
    with serving(database_url) as url, httpx.Client(base_url=url) as client:
        head, whole = client.head("/"), client.get("/")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == whole.headers["content-type"]
        assert head.headers["content-security-policy"] == whole.headers["content-security-policy"]
        assert client.post("/").status_code == 405


def test_the_page_is_no_part_of_the_described_api(away: TestClient) -> None:
    assert "/" not in away.get("/openapi.json").json()["paths"]


@pytest.mark.services
@pytest.mark.parametrize("code", CODES)
def test_the_page_can_be_used_with_a_screen_reader(two: TestClient, code: str) -> None:
    page = read(two, f"?lang={code}")
    tags = [tag for tag, _ in page.tags]
    assert (tags.count("main"), tags.count("h1"), tags.count("header"), tags.count("footer")) == (1, 1, 1, 1)
    assert page.tags[0] == ("html", {"lang": code, "dir": "rtl" if code == "fa" else "ltr"})
    levels = [int(tag[1]) for tag in tags if re.fullmatch(r"h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    identifiers = page.attributes("id")
    assert len(identifiers) == len(set(identifiers))
    assert set(page.attributes("aria-labelledby")) <= set(identifiers)
    assert all(attributes.get("scope") for tag, attributes in page.tags if tag == "th")
    assert tags.count("table") >= tags.count("caption") >= 4
    named = [attributes for tag, attributes in page.tags if tag == "nav"]
    assert len(named) == 3 and all(tag.get("aria-label") or tag.get("aria-labelledby") for tag in named)


@pytest.mark.services
def test_the_content_is_of_one_snapshot(both: str) -> None:
    with connect(both) as connection:
        content = gather(connection, ISFAHAN, published(), T0)
    assert [city.id for city in content.cities] == [ISFAHAN.id, SAIGON.id]
    assert [city.called("vi") for city in content.cities] == ["Isfahan", "Thành phố Hồ Chí Minh"]
    assert [stream.dataset for stream in content.streams] == [name for name in datasets() if name != "traffic.counts"]
