"""The page for a data protection officer says what the catalogue says, and claims no more than was shown."""

import re
from pathlib import Path

import pytest

from schemas.catalogue import catalogue
from schemas.rules import minimum_contributors

PAGE = (Path(__file__).parent.parent / "docs" / "disclosure.md").read_text(encoding="utf-8")
TABLE = {
    name: row.split("|")
    for row in re.findall(r"^\| (`[a-z]+\.[a-z-]+`.*) \|$", PAGE, re.MULTILINE)
    for name in re.findall(r"`([a-z]+\.[a-z-]+)`", row.split("|")[0])
}
LENGTHS = {"hour": "hour", "day": "day", "month": "month", "quarter of an hour": "quarter-hour"}


@pytest.mark.parametrize("name", [name for name, metric in catalogue().items() if metric.published])
def test_every_metric_that_leaves_is_named_with_its_rule_its_window_and_how_it_is_rounded(name):
    metric = catalogue()[name]
    _, _, window, rule, rounded = (field.strip() for field in TABLE[name])
    assert LENGTHS[window] == metric.window
    assert rule == f"`{metric.rule}`"
    number, _, unit = rounded.partition(" ")
    in_smallest = {"Wh": 3_600_000, "%": 100, "kg": 1_000, "": metric.smallest_per_unit}
    assert round(float(number) * in_smallest[unit]) == metric.base


def test_a_metric_that_stays_inside_is_not_among_them():
    assert set(TABLE) == {name for name, metric in catalogue().items() if metric.published}


def test_the_numbers_of_the_rules_are_those_in_force():
    """At least 100 households, 15 other customers, 11 of all else."""
    assert minimum_contributors(catalogue()["energy.import"].rule, "residential") == 100
    assert minimum_contributors(catalogue()["energy.solar"].rule, "commercial") == 15
    for name in ("waste.fill", "waste.collected", "waste.tonnage", "traffic.occupancy"):
        assert {minimum_contributors(catalogue()[name].rule, class_) for class_ in catalogue()[name].classes} == {11}


def test_nothing_that_only_passed_a_threshold_is_called_anonymous():
    sentences = re.split(r"(?<=[.:])\s", " ".join(PAGE.split()))
    assert [said for said in sentences if "anonym" in said.lower() and " not " not in said] == []
