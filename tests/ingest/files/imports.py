"""Files into a log in memory: what a test of a format, or of the import, needs."""

import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event

import numpy as np

from eventlog.protocol import Writer
from ingest.feed import Feed
from ingest.files.importing import FileImport, Imported
from ingest.files.reading import Empty, FileFormat, Outcome, Parsed
from schemas.catalogue import Metric
from schemas.topics import live
from store.deliveries import Refused
from store.detectors import Detector
from store.resolution import BEGINNING_MS, NEVER_MS, Resolved
from tests.ingest.account import RecordingWriter

DATA = Path(__file__).parents[4] / "shared/data/streams"
ABSENT = "the shared data does not lie beside this checkout (../shared/data)"
NOW = 1_790_000_000_000
PARTITIONS = 4


class Journal:
    """Keeps refusals as the database does: one for each origin and position."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, int], Refused] = {}
        self.acknowledgements = 0

    def acknowledged(self, writer: Writer) -> None:
        del writer
        self.acknowledgements += 1

    def record_detector(self, dataset: str, detector: Detector, since_ms: int) -> None:
        raise AssertionError("files hold no pictures")

    def refuse(self, origin: str, refused: Sequence[Refused]) -> None:
        for item in refused:
            self.kept.setdefault((origin, item.position), item)


def register(*ids: str, area: int = 3, begins: int = BEGINNING_MS, ends: int = NEVER_MS) -> Resolved:
    """Sources with the numbers 10, 11... in the order of their ids, all in one area."""
    count = len(ids)
    return Resolved(
        ids=np.array(sorted(one.encode() for one in ids), dtype=np.bytes_),
        number=np.arange(10, 10 + count, dtype=np.uint32),
        contributor=np.full(count, 5, np.uint32),
        area=np.full(count, area, np.int32),
        class_=np.zeros(count, np.uint8),
        holds_from_ms=begins,
        holds_until_ms=ends,
    )


def imported(
    form: FileFormat,
    paths: Path | Sequence[Path],
    resolve: Callable[[Metric, int], Resolved],
    journal: Journal | None = None,
    source: str | None = None,
    *,
    history: bool = True,
    stop: Event | None = None,
    writer: RecordingWriter | None = None,
) -> tuple[Imported, RecordingWriter, Journal]:
    """The report, all that went to the log, and what was kept."""
    journal = journal or Journal()
    writer = writer or RecordingWriter(PARTITIONS, NOW)
    feed = Feed(writer, live("town", form.dataset), journal)
    importer = FileImport(feed, journal, resolve, lambda: NOW, source, history=history)
    return importer.run(form, [paths] if isinstance(paths, Path) else paths, stop), writer, journal


def outcomes(form: FileFormat, path: Path) -> list[Outcome]:
    return list(form.read(path))


def parsed(form: FileFormat, path: Path) -> list[Parsed]:
    """The readings of a file; all else must be refused or empty."""
    found = outcomes(form, path)
    assert all(isinstance(one, Parsed | Refused | Empty) for one in found)
    return [one for one in found if isinstance(one, Parsed)]


def reasons(form: FileFormat, path: Path) -> dict[int, str]:
    """Position -> why it was refused."""
    return {one.position: one.reason for one in outcomes(form, path) if isinstance(one, Refused)}


def peak_bytes(action: Callable[[], object]) -> int:
    """The most memory that Python held at once while it ran."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
