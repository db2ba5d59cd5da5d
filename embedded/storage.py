"""Kafka's storage as its tool formats it: two small files, of which only the ids differ from cluster to cluster.

`meta.properties` names the cluster and the folder; `bootstrap.checkpoint` holds the levels of the version's features.
A broker compares both ids with those that it has recorded since, so each copy gets ids of its own.
"""

import shutil
import uuid
from base64 import urlsafe_b64encode
from contextlib import suppress
from pathlib import Path

IDS = ("cluster.id", "directory.id")


def new_id() -> str:
    """An id as Kafka writes it: 22 characters, the first of which is no hyphen, or its tools would see an option."""
    return urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "_")


def copy(pattern: Path, folder: Path) -> str:
    """Copy a formatted storage to `folder`, which must not be there, with new ids; the cluster's. Raises OSError."""
    shutil.copytree(pattern, folder)
    ids = {name: new_id() for name in IDS}
    path = folder / "meta.properties"
    properties = dict(line.split("=", 1) for line in path.read_text().splitlines() if line[:1] not in ("", "#"))
    path.write_text("".join(f"{name}={value}\n" for name, value in (properties | ids).items()))
    return ids["cluster.id"]


def keep(folder: Path, pattern: Path) -> None:
    """Copy a storage that was just formatted to `pattern`, whole or not at all.

    Where this can't be written, or somebody else was first, nothing is copied.
    """
    unfinished = pattern.with_name(f"{pattern.name}.{uuid.uuid4().hex}")
    with suppress(OSError):
        shutil.copytree(folder, unfinished)
        unfinished.rename(pattern)
    shutil.rmtree(unfinished, ignore_errors=True)
