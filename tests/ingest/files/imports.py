"""Files into a log in memory: what a test of a format, or of the import, needs."""

import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event

import numpy as np

from eventlog.protocol import Writer
from ingest.feed import Feed
from ingest.files.importing import FileImport, Imported
from ingest.files.reading import Empty, FileFormat, Note, Parsed
from ingest.register import Register
from schemas.batch import ROW, decode
from schemas.topics import live
from store.deliveries import Refused
from store.detectors import Detector
from store.source_history import BEGINNING_MS, NEVER_MS
from tests.ingest.account import RecordingWriter
from tests.ingest.registers import InMemorySources, Registered

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


def sources(*ids: str, area: int = 3, begins: int = BEGINNING_MS, ends: int = NEVER_MS) -> InMemorySources:
    """Sources with the numbers 10, 11... in the order of their ids, all in one area."""
    rows = {source: Registered(10 + place, 5, area) for place, source in enumerate(sorted(ids))}
    return InMemorySources(rows, begins, ends)


def register(*ids: str) -> Register:
    """A register that never changes, of `sources`."""
    return Register(lambda metric, time_ms: sources(*ids), lambda: 0)


def imported(
    form: FileFormat,
    paths: Path | Sequence[Path],
    register: Register,
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
    feed = Feed(writer, live("town", form.dataset), journal, "tests")
    importer = FileImport(feed, journal, register, lambda: NOW, source, history=history)
    return importer.run(form, [paths] if isinstance(paths, Path) else paths, stop), writer, journal


def rows(writer: RecordingWriter) -> list[tuple[int, int]]:
    """Start and value of every reading that was sent, in the order of the log."""
    found = []
    for message in writer.sent:
        batch = decode(message.value)
        for row in np.frombuffer(batch.rows, ROW):
            found.append((batch.start + int(row["after"]), int(row["value"])))
    return found


def outcomes(form: FileFormat, path: Path) -> list[Parsed | Refused | Empty]:
    """All but the notes."""
    return [outcome for outcome in form.read(path) if not isinstance(outcome, Note)]


def notes(form: FileFormat, path: Path) -> list[str]:
    return [outcome.text for outcome in form.read(path) if isinstance(outcome, Note)]


def parsed(form: FileFormat, path: Path) -> list[Parsed]:
    """The readings of a file; all else must be refused or empty."""
    found = outcomes(form, path)
    assert all(isinstance(outcome, Parsed | Refused | Empty) for outcome in found)
    return [outcome for outcome in found if isinstance(outcome, Parsed)]


def reasons(form: FileFormat, path: Path) -> dict[int, str]:
    """Position -> why it was refused."""
    return {outcome.position: outcome.reason for outcome in outcomes(form, path) if isinstance(outcome, Refused)}


def peak_bytes(action: Callable[[], object]) -> int:
    """The most memory that Python held at once while it ran."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
