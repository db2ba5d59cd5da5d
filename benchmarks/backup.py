"""How long a year of publications takes to back up and to restore: an hourly metric, and one of days.

The year is that of `benchmarks.pull`, for 15 million people, with its cells in columns besides. `backup` ends with the
file on disk; `restore` reads and compares everything, fills an empty database and brings it to the newest tables. Each
is given by the clock and as processor time of this process (`cpu`), without PostgreSQL's. `peak_memory_mb` is this
process's, before and after. Ends without a figure if the restored tables have other rows.

    nice make bench ONLY=backup
"""

import time
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.pull import CITY, measure_year, publish_year, signed_city
from benchmarks.result import peak_mb
from benchmarks.timed import now
from node.backup.archive import opened
from node.backup.restoring import check_backup, restore_backup
from node.backup.taking import take_backup
from store.database import Connection, connect, create_database
from store.identities import save_own_identity
from store.migrations import migrate

CELLS = """
INSERT INTO published_cells (position, area, class, status, value, coverage, rule)
SELECT position, (cell ->> 'area')::integer, cell ->> 'class', cell ->> 'status', (cell ->> 'value')::bigint,
       cell ->> 'coverage', cell ->> 'rule'
FROM publications, json_array_elements(convert_from(body, 'UTF8')::json -> 'cells') AS cell
"""

# What a processor stores of the same cells, without the rows that they refer to. Of a superuser alone.
OWN_CELLS = """
SET session_replication_role = replica;
INSERT INTO cells (metric, window_start, window_end, area, class, topic, partition, value, readings, contributors,
                   largest, absolute, covered_ms, first_offset, last_offset, incomplete)
SELECT metric, window_start, window_end, area, class, 'bench.energy.readings.v1', area % 32, value, 800, 200,
       value / 50, value, 720000000, position * 100, position * 100 + 99, false
FROM published_cells JOIN publications USING (position);
"""


def bytes_a_row(connection: Connection) -> dict[str, float]:
    """On disk, with indexes and what is stored out of line, as these tables are after they were filled."""
    connection.execute(OWN_CELLS)
    found = {}
    for table in ("cells", "published_cells", "publications"):
        [(size, rows)] = connection.execute(
            f"SELECT pg_total_relation_size('{table}'), (SELECT count(*) FROM {table})"
        ).fetchall()
        found[table] = round(size / rows, 1)
    return found


def run(server_url: str, publications: int, areas: int) -> dict[str, object]:
    """All figures of one backup and restore of so many hours, with the days in them."""
    here, there = (create_database(server_url, f"bench_{name}") for name in ("here", "there"))
    now_ms = time.time_ns() // 1_000_000
    city = signed_city(CITY.id, now_ms)
    migrate(here)
    with connect(here) as connection:
        save_own_identity(connection, city.thumbprint, city.city, 1, city.document, city.expires_at)
        size = publish_year(connection, city, publications, areas, now_ms)
        cells = connection.execute(CELLS).rowcount
    begun_mb = round(peak_mb())
    with TemporaryDirectory() as folder:
        file = Path(folder, "backup.zip")
        begun = now()
        made = take_backup(here, CITY.id, Path(folder, "none"), file, taken_at="", software="", not_taken=())
        taken = now() - begun
        begun = now()
        with opened(file) as backup:
            check_backup(backup, CITY.id)
            restore_backup(backup, there)
        restored = now() - begun
        file_mb = file.stat().st_size / 1e6
    restored_mb = round(peak_mb())
    with connect(there) as connection:
        for table in made.tables:
            found = connection.execute(f'SELECT count(*) FROM "{table.name}"').fetchone()
            if found is None or found[0] != table.rows:
                raise SystemExit(f"{table.name} has {found} rows, not {table.rows}")
        row_bytes = bytes_a_row(connection)
    spent = {"backup": asdict(taken), "restore": asdict(restored)}
    return {
        "publications": publications + publications // 24,
        "cells": cells,
        "megabytes": {"bodies": round(size / 1e6, 1), "file": round(file_mb, 1)},
        **{name: {unit: round(value, 2) for unit, value in each.items()} for name, each in spent.items()},
        "bytes a row": row_bytes,
        "peak_memory_mb": {"begun": begun_mb, "ended": restored_mb},
    }


if __name__ == "__main__":
    measure_year("backup", "Backup and restore of a year", __doc__, run)
