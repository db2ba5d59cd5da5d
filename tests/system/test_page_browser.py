"""The page of a city in a real browser: a phone and a desk, three languages, light and dark, and no script at all."""

from collections.abc import Iterator

import pytest

from api.own.page.languages import CODES, languages
from tests.federation.city import ISFAHAN, serving
from tests.federation.two_cities import two_cities
from tests.system.chromium import MISSING, Chromium, View, chromium, installed

pytestmark = [pytest.mark.services, pytest.mark.skipif(installed() is None, reason=MISSING)]

SMALLEST, PHONE, DESK = (320, 568), (390, 844), (1280, 900)
ISOLATES = dict.fromkeys(map(ord, "\u2068\u2069"))

FAINT = """
(() => {
  const channel = (v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r / 255) + 0.7152 * channel(g / 255) + 0.0722 * channel(b / 255);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = parse(getComputedStyle(node).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = { looked: 0, faint: [] };
  for (const node of document.body.querySelectorAll("*")) {
    if (![...node.childNodes].some((one) => one.nodeType === 3 && one.data.trim())) continue;
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(behind(node))].sort((x, y) => y - x);
    found.looked += 1;
    if ((a + 0.05) / (b + 0.05) < 4.5) found.faint.push(node.outerHTML);
  }
  return found;
})()
"""
"""Every element with text of its own whose colour stands out too little from what is behind it (WCAG 2.2, 1.4.3)."""

OUTSIDE = """
[...document.body.querySelectorAll("*")].filter((node) => {
  const { left, right } = node.getBoundingClientRect();
  return !node.closest(".scroll") && (left < -0.5 || right > document.documentElement.clientWidth + 0.5);
}).map((node) => node.outerHTML)
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with chromium(tmp_path_factory.mktemp("chromium")) as started:
        yield started


@pytest.fixture(scope="module")
def address(server_url: str) -> Iterator[str]:
    with two_cities(server_url) as database_url, serving(database_url) as url:
        yield url


def opened(browser: Chromium, address: str, code: str, size: tuple[int, int]) -> View:
    view = browser.view(*size, phone=size != DESK)
    view.open(f"{address}/?lang={code}")
    return view


def text(view: View) -> str:
    return str(view.value("document.body.innerText")).translate(ISOLATES)


@pytest.mark.parametrize("code", CODES)
def test_the_page_is_whole_in_every_language_without_a_script_or_another_server(
    browser: Chromium, address: str, code: str
) -> None:
    language = languages()[code]
    for size in (SMALLEST, PHONE, DESK):
        view = opened(browser, address, code, size)
        assert view.requests == [f"{address}/?lang={code}"]
        assert view.complaints == []
        assert view.value("document.documentElement.scrollWidth") <= size[0]
        assert view.value(OUTSIDE) == []
        shown = text(view)
        for key in ("compare-heading", "streams-heading", "partners-heading", "links-heading"):
            assert language.text(key) in shown
        assert language.number(2429) in shown and language.number(2_216_260) in shown
        assert language.sections["state"]["suppressed"] in shown
        assert ISFAHAN.names.get(code, ISFAHAN.name) in view.value("document.title")


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("dark", [False, True])
def test_every_text_stands_out_from_what_is_behind_it(browser: Chromium, address: str, code: str, dark: bool) -> None:
    view = opened(browser, address, code, DESK)
    view.dark(dark)
    view.value("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    background = view.value("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") != dark
    found = view.value(FAINT)
    assert found["looked"] > 100
    assert found["faint"] == []


def test_persian_runs_from_right_to_left_and_the_others_do_not(browser: Chromium, address: str) -> None:
    for code in CODES:
        view = opened(browser, address, code, PHONE)
        lefts = view.value("[...document.querySelectorAll('thead th')].slice(0, 3).map((one) => one.offsetLeft)")
        assert lefts == sorted(lefts, reverse=code == "fa") and len(set(lefts)) == 3
        assert view.value("getComputedStyle(document.body).direction") == ("rtl" if code == "fa" else "ltr")


def test_links_lead_to_the_other_languages_and_the_keyboard_shows_where_it_is(browser: Chromium, address: str) -> None:
    view = opened(browser, address, "en", PHONE)
    seen = []
    for _ in range(3):
        for kind in ("rawKeyDown", "keyUp"):
            view("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        style = "getComputedStyle(document.activeElement)"
        assert view.value(f"{style}.outlineStyle") == "solid"
        assert float(str(view.value(f"{style}.outlineWidth")).removesuffix("px")) >= 2
        seen.append(view.value("document.activeElement.href"))
    assert seen == [f"{address}/?lang={code}" for code in CODES]


def test_a_node_without_its_database_still_has_a_page(browser: Chromium) -> None:
    with serving("postgresql://nobody@127.0.0.1:1/nothing") as url:
        view = opened(browser, url, "fa", SMALLEST)
        assert languages()["fa"].text("away-heading") in text(view)
        assert view.value(OUTSIDE) == []
        assert view.requests == [f"{url}/?lang=fa"]
