"""A PostgreSQL with a standby that follows it; clients know both addresses and use the one that can be written."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from embedded import postgres
from embedded.postgres_folder import PostgresFolder, folder_for
from embedded.remove import remove
from store.database import connect, create_database, database_named
from store.migrations import migrate
from tests.system.proxy import CuttingProxy
from tests.waiting import until

_DATABASE = "city"
_REPLICATED = {"wal_level": "replica", "max_wal_senders": "4", "fsync": "off"}


class PostgresPair:
    """`url` names both servers. The standby follows asynchronously, as PostgreSQL does unless told otherwise."""

    def __init__(self, home: Path) -> None:
        self._first, self._second = (folder_for(home / name) for name in ("first", "second"))
        server = postgres.start(self._first)
        self._primary = create_database(server.url, _DATABASE)
        migrate(self._primary)
        shutil.copy(self._first.path / "password", self._second.path / "password")
        _copy(server.url, self._second)
        self._proxy = CuttingProxy(self._primary, [])  # the standby takes another port at each start
        self.follow()
        ports = [str(conninfo_to_dict(url)["port"]) for url in (self._primary, self._proxy.url)]
        self.url = make_conninfo(
            self._primary, host="127.0.0.1,127.0.0.1", port=",".join(ports), target_session_attrs="read-write"
        )

    def follow(self) -> None:
        """Start the standby."""
        self._standby = database_named(postgres.start(self._second).url, _DATABASE)
        self._proxy.pass_to(self._standby)

    def caught_up(self) -> None:
        """Wait until the standby has all that the primary has committed."""
        with connect(self._primary) as primary, connect(self._standby) as standby:
            [(end,)] = primary.execute("SELECT pg_current_wal_lsn()::text").fetchall()
            has = "SELECT coalesce(pg_last_wal_replay_lsn() >= %s::pg_lsn, false)"
            until(lambda: standby.execute(has, (end,)).fetchone()[0], "the standby has caught up", pause_s=0.05)

    def cut_off(self) -> None:
        """Stop the standby: what is committed from here on it will never have."""
        postgres.stop(self._second)

    def fail_over(self) -> None:
        """The primary is gone for good, and the standby takes its place."""
        postgres.stop(self._first)
        self.follow()
        with connect(self._standby) as connection:
            connection.execute("SELECT pg_promote()")

    def close(self) -> None:
        for folder in (self._first, self._second):
            postgres.stop(folder)
        self._proxy.close()


def _copy(url: str, folder: PostgresFolder) -> None:
    """Copy the running primary's data as those of a standby."""
    folder.data.mkdir(mode=0o700)
    postgres.give(folder, folder.data)
    made = postgres.run(
        *(folder, "pg_basebackup", f"--dbname={url}", f"--pgdata={folder.data}"),
        *("--write-recovery-conf", "--checkpoint=fast", "--wal-method=stream", "--no-sync"),
    )
    assert made.returncode == 0, made.stderr


@contextmanager
def postgres_pair(home: Path) -> Iterator[PostgresPair]:
    """Two servers of the test's own with their data in `home`, which is removed at the end."""
    for folder in (home, home / "first", home / "second"):
        folder.mkdir(mode=0o755)
    with patch.dict(postgres.SETTINGS, _REPLICATED):
        pair = PostgresPair(home)
        try:
            yield pair
        finally:
            pair.close()
            remove(home)
