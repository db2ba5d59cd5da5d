"""The names under which the processes of one machine join their groups."""

import socket

import pytest

from node.instance import instance
from node.settings import settings


@pytest.fixture
def on_machine(monkeypatch):
    """Sets the name of this machine."""

    def name(chosen: str) -> None:
        monkeypatch.setenv("SISTERCITY_INSTANCE", chosen)
        settings.cache_clear()

    yield name
    settings.cache_clear()


def test_each_process_has_its_number_and_the_next_one_gets_that_of_one_that_ended(city, on_machine):
    on_machine("north")
    with instance(city, lasting=True) as first:
        with instance(city, lasting=True) as second, instance(city, lasting=True) as third:
            assert [first, second, third] == ["north-1", "north-2", "north-3"]
        with instance(city, lasting=True) as next_one, instance(f"{city}.other", lasting=True) as other:
            assert [next_one, other] == ["north-2", "north-1"]


def test_without_the_setting_the_host_name_is_used(city, monkeypatch):
    monkeypatch.delenv("SISTERCITY_INSTANCE", raising=False)
    settings.cache_clear()
    with instance(city, lasting=True) as name:
        assert name is not None
        assert name.startswith(socket.gethostname()[:1])
    settings.cache_clear()


def test_what_kafka_takes_for_no_name_is_replaced(city, on_machine):
    on_machine("north hall/1")
    with instance(city, lasting=True) as name:
        assert name == "north-hall-1-1"


def test_a_process_that_ends_by_itself_has_no_name(city):
    with instance(city, lasting=False) as name:
        assert name is None
