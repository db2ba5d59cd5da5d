"""What `sistercity size` says follows from the results that are committed, and so does docs/sizing.md."""

import pytest
from typer.testing import CliRunner

from benchmarks.report import results
from benchmarks.sizing import CONSTANTS, PAGE, as_toml, measured, page_with
from node.cli import app
from node.sizing import CityAsked, constants, size, sources_of


def test_the_constants_of_the_package_are_those_of_the_results():
    assert as_toml(measured(results())) == CONSTANTS.read_text(encoding="utf-8"), "run `python -m benchmarks.sizing`"
    assert constants() == measured(results())


def test_the_page_is_what_the_command_says_of_the_constants():
    page = PAGE.read_text(encoding="utf-8")
    assert page_with(page, results()) == page, "run `python -m benchmarks.sizing`"
    said = CliRunner().invoke(app, ["size", "--people", "1500000"])
    assert said.exit_code == 0
    assert said.output.strip() in page


def test_a_city_of_twice_the_sources_takes_twice_the_cores_and_the_disk_of_kafka():
    sources = {"meters": 70_000, "cameras": 120, "bins": 900}
    once = size(CityAsked(sources), constants())
    twice = size(CityAsked({name: 2 * count for name, count in sources.items()}), constants())
    for one, two in zip(once.streams, twice.streams, strict=True):
        assert (two.rate, two.cores, two.log_disk) == pytest.approx((2 * one.rate, 2 * one.cores, 2 * one.log_disk))
        assert two.database_disk == one.database_disk > 0  # cells are of areas, not of sources


def test_processors_have_half_of_their_cores_free_and_partitions_to_share():
    found = size(CityAsked(sources_of(15_000_000)), constants())
    busy = sum(stream.cores for stream in found.streams)
    assert found.processes >= 2 * busy
    assert found.partitions >= found.processes
    assert found.catching_up_s <= 12 * 3600


def test_sources_that_are_given_come_before_those_of_the_people():
    said = CliRunner().invoke(app, ["size", "--people", "15000000", "--cameras", "0", "--meters", "77"]).output
    assert "cameras" not in said
    assert " 77 " in said and "100,000" in said


def test_a_city_without_sources_is_asked_how_large_it_is():
    said = CliRunner().invoke(app, ["size", "--bins", "0"])
    assert said.exit_code
    assert "--people" in str(said.exception)
