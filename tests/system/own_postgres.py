"""A PostgreSQL that a test may stop and start; its clients reach it through a proxy, at an address that stays."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embedded import postgres
from embedded.postgres_folder import folder_for
from embedded.remove import remove
from store.database import create_database, database_named
from store.migrations import migrate
from tests.system.proxy import CuttingProxy

_DATABASE = "city"


class OwnPostgres:
    """`url` is the address of a migrated database, which stays the same over stops and starts."""

    def __init__(self, home: Path) -> None:
        self._folder = folder_for(home)
        server = postgres.start(self._folder)
        direct = create_database(server.url, _DATABASE)
        migrate(direct)
        self._proxy = CuttingProxy(direct, [])
        self.url = self._proxy.url

    def stop(self) -> None:
        """Stop the server without waiting for its clients."""
        postgres.stop(self._folder)

    def start(self) -> None:
        """Start the server again, which takes another port."""
        self._proxy.pass_to(database_named(postgres.start(self._folder).url, _DATABASE))

    def close(self) -> None:
        self.stop()
        self._proxy.close()


@contextmanager
def own_postgres(home: Path) -> Iterator[OwnPostgres]:
    """A PostgreSQL of the test's own with its data in `home`, which is removed at the end."""
    home.mkdir(mode=0o755)
    server = OwnPostgres(home)
    try:
        yield server
    finally:
        server.close()
        remove(home)
