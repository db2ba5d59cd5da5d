"""Roles that start at the same time make the same database."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from store.database import connect, create_database, database_named
from tests.conftest import WORKER

pytestmark = pytest.mark.services


def test_of_several_who_make_a_database_at_once_none_fails(server_url):
    together, name = Barrier(4), f"made_at_once_{WORKER}"

    def make() -> str:
        together.wait()
        return create_database(server_url, name)

    with ThreadPoolExecutor(4) as threads:
        made = [future.result() for future in [threads.submit(make) for _ in range(4)]]
    assert made == [database_named(server_url, name)] * 4
    with connect(server_url) as connection:
        connection.execute(f"DROP DATABASE {name}")
