"""The languages of the page: each has every text, and writes numbers and times in its own way."""

import re
from pathlib import Path
from string import Formatter

import pytest

from api.own.page.languages import CODES, chosen, languages
from schemas.catalogue import catalogue, datasets
from schemas.rules import THRESHOLDS
from tests.federation.city import T0

DOCS = Path(__file__).parents[3] / "docs"


def keys(code: str) -> set[tuple[str, str]]:
    return {(section, key) for section, texts in languages()[code].sections.items() for key in texts}


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("code", CODES)
def test_every_language_has_the_same_texts_with_the_same_placeholders(code: str) -> None:
    assert keys(code) == keys("en")
    for section, texts in languages()[code].sections.items():
        for key, text in texts.items():
            assert text.strip() == text != ""
            assert fields(text) == fields(languages()["en"].sections[section][key]), (section, key)


def test_every_metric_class_dataset_and_rule_of_the_catalogue_has_its_words() -> None:
    english = languages()["en"]
    for metric in catalogue().values():
        assert english.sections["metric"][metric.name] == metric.title
        assert english.sections["definition"][metric.name] == metric.definition
        assert set(metric.classes) <= english.sections["class"].keys()
        assert metric.window in english.sections["span"]
    assert set(datasets()) <= english.sections["dataset"].keys()
    assert {metric.rule for metric in catalogue().values()} == english.sections["rule"].keys()


def test_every_reason_in_the_operators_manual_has_its_words() -> None:
    table = (DOCS / "operator.md").read_text().split("| reason | of | what |")[1].split("\n\n")[0]
    reasons = {word for row in table.splitlines() for word in re.findall(r"`([a-z-]+)`", row[1:].partition("|")[0])}
    assert len(reasons) > 15
    assert reasons <= languages()["en"].sections["reason"].keys()


@pytest.mark.parametrize("code", CODES)
def test_the_text_of_a_rule_holds_its_own_numbers(code: str) -> None:
    language = languages()[code]
    for rule, text in language.sections["rule"].items():
        thresholds = THRESHOLDS[rule].values()
        needed = {number for of in thresholds for number in (of.contributors, of.dominance, of.largest)}
        assert set(re.findall(r"\d+", text)) - {"0"} == {
            language.number(number) for number in needed if number and number > 1
        }


@pytest.mark.parametrize(
    ("asked", "accepted", "code"),
    [
        (None, "", "en"),
        (None, "de, fr;q=0.9", "en"),
        (None, "de, vi;q=0.8, fa;q=0.9", "fa"),
        (None, "vi;q=0.8, fa;q=0.8", "vi"),
        (None, "fa;q=0, vi;q=0.1", "vi"),
        (None, "fa-IR", "fa"),
        (None, "VI-vn, en", "vi"),
        (None, "*", "en"),
        (None, "fa;q=nan, vi;q=many, ;;;=,", "en"),
        ("vi", "fa", "vi"),
        ("FA", "", "fa"),
        ("tlh", "fa", "fa"),
        ("", "vi", "vi"),
        ("../en", "", "en"),
    ],
)
def test_a_reader_gets_the_language_that_was_requested_or_accepted(asked: str | None, accepted: str, code: str) -> None:
    assert chosen(asked, accepted).code == code


@pytest.mark.parametrize(
    ("code", "number", "percent", "time"),
    [
        ("en", "−1,234,567.80", "0.5%", "1 June 2025, 03:30"),
        ("vi", "−1.234.567,80", "0,5%", "03:30 ngày 1 tháng 6 năm 2025"),
        ("fa", "\u200e−۱٬۲۳۴٬۵۶۷٫۸۰", "۰٫۵٪", "۱ ژوئن ۲۰۲۵، ساعت ۰۳:۳۰"),
    ],
)
def test_each_language_writes_numbers_and_times_its_own_way(code: str, number: str, percent: str, time: str) -> None:
    language = languages()[code]
    assert language.number(-1_234_567.8, 2) == number
    assert language.percent(0.5, 1) == percent
    assert language.time(T0, "Asia/Tehran") == time


def test_only_a_share_of_1_is_100_percent_and_only_0_is_0_percent() -> None:
    shares = [0, 0.0001, 0.29, 0.9999, 1]
    assert [languages()["en"].share(share) for share in shares] == ["0%", "1%", "29%", "99%", "100%"]


def test_a_time_at_the_end_of_the_year_9999_is_shown() -> None:
    assert "9999" in languages()["en"].time(253_402_300_799_000, "Asia/Tehran")
