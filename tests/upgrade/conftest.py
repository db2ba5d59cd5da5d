"""The database of release 0.1.0."""

import pytest

from store.migrations import migrate
from tests.upgrade.recording import restore


@pytest.fixture
def restored_url(server_url: str, second_database_url: str) -> str:
    """The release's database, restored into an empty one and brought to the newest tables."""
    restore(second_database_url)
    migrate(second_database_url)
    return second_database_url
