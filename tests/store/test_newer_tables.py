"""Tables that a newer version of the program has migrated stay as they are, and say so."""

import pytest

from store.database import connect
from store.migrations import NewerTables, migrate

pytestmark = pytest.mark.services


def test_tables_of_a_version_that_this_program_does_not_know_are_refused_in_words(database_url):
    with connect(database_url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        with pytest.raises(NewerTables, match="at version 9999, which this program does not know"):
            migrate(database_url)
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]
