"""The versions of the tables, and bringing a database to the newest one.

Apart from `store.database`, since importing Alembic and SQLAlchemy takes as long as all else that a role needs.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from errors import OperatorError
from store.database import DatabaseUrl, url_of

_MADE = re.compile(r"CREATE (?:TABLE|FUNCTION) (\w+)")
MIGRATION_LOCK = 0x5157E2C17
"""Key of the advisory lock that lets one process migrate at a time; who needs tables that stay shares it."""


class NewerTables(OperatorError):
    """A newer version of the program has migrated the tables."""


@contextmanager
def migrations() -> Iterator[Config]:
    """Alembic's settings: the folder of the tables' versions."""
    with resources.as_file(resources.files("store.migrations")) as folder:
        config = Config()
        config.set_main_option("script_location", str(folder))
        config.set_main_option("path_separator", "os")
        yield config


def names_of_ours() -> frozenset[str]:
    """The names of all tables and functions that any version of ours has made."""
    folder = resources.files("store.migrations") / "versions"
    texts = [each.read_text("utf-8") for each in folder.iterdir() if each.name.endswith(".py")]
    return frozenset(name for text in texts for name in _MADE.findall(text)) | {"alembic_version"}


def migrate(database_url: DatabaseUrl, version: str = "head") -> None:
    """Bring the tables to the newest version, or only as far as `version`; safe to call from several processes at once.

    Tables that are at a later version already stay as they are. Raises `NewerTables`, and psycopg's errors.
    """
    parameters: dict[str, Any] = {key: value for key, value in conninfo_to_dict(url_of(database_url)).items() if value}
    engine = create_engine("postgresql+psycopg://", connect_args=parameters, poolclass=NullPool)
    try:
        with migrations() as config, engine.connect() as connection:
            connection.exec_driver_sql("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
            connection.commit()
            _require_known(config, connection)
            config.attributes["connection"] = connection
            command.upgrade(config, version)
            connection.commit()
    except DBAPIError as error:
        raise error.orig or error from None  # as everywhere else, without SQLAlchemy's own words around it


def _require_known(config: Config, connection: Connection) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    version = MigrationContext.configure(connection).get_current_revision()
    if version is not None and version not in known:
        raise NewerTables(
            f"the tables are at version {version}, which this program does not know: install the one that migrated them"
        )
    connection.commit()
